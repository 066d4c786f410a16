"""Inputs of CTK: slider with number, path, list of check boxes, button with menu, message box."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QModelIndex, Qt
from PySide6.QtWidgets import (
    QComboBox,
    QDoubleSpinBox,
    QFileDialog,
    QHBoxLayout,
    QMessageBox,
    QPushButton,
    QSizePolicy,
    QSlider,
    QStyle,
    QStyleOptionComboBox,
    QStylePainter,
    QToolButton,
    QWidget,
)

from .fields import fields
from .signals import StandinSignal


class ctkDoubleSpinBox(QWidget):
    """A spin box inside a widget; CTK's can change its decimals with Ctrl and +."""

    valueChanged = StandinSignal("valueChanged(double)")
    editingFinished = StandinSignal("editingFinished()")
    vars().update(
        fields(
            "decimals",
            "readOnly",
            "value",
            decimals=(int, 2),
            readOnly=(bool, False),
            minimum=(float, 0.0),
            maximum=(float, 99.99),
            singleStep=(float, 1.0),
            prefix=(str, ""),
            suffix=(str, ""),
            value=(float, 0.0),
        )
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._spinBox = QDoubleSpinBox()
        layout.addWidget(self._spinBox)
        self._spinBox.connect("valueChanged(double)", self.setValue)
        self._spinBox.connect("editingFinished()", self.editingFinished.emit)

    def stepUp(self) -> None:
        self.setValue(self.value + self.singleStep)

    def stepDown(self) -> None:
        self.setValue(self.value - self.singleStep)

    def _changed(self, name: str) -> None:
        value = min(max(self.value, self.minimum), self.maximum)
        if name != "value" and value != self.value:
            self.setValue(value)
            return
        self._value = round(value, self.decimals)
        self._spinBox.blockSignals(True)
        self._spinBox.setReadOnly(self.readOnly)
        self._spinBox.setDecimals(self.decimals)
        self._spinBox.setRange(self.minimum, self.maximum)
        self._spinBox.setSingleStep(self.singleStep)
        self._spinBox.setPrefix(self.prefix)
        self._spinBox.setSuffix(self.suffix)
        self._spinBox.setValue(self._value)
        self._spinBox.blockSignals(False)
        if name == "value":
            self.valueChanged.emit(self._value)


class ctkSliderWidget(QWidget):
    """A slider and a spin box for one float."""

    valueChanged = StandinSignal("valueChanged(double)")
    valueIsChanging = StandinSignal("valueIsChanging(double)")
    vars().update(
        fields(
            "value",
            "spinBoxVisible",
            decimals=(int, 2),
            singleStep=(float, 1.0),
            pageStep=(float, 10.0),
            minimum=(float, 0.0),
            maximum=(float, 99.0),
            value=(float, 0.0),
            prefix=(str, ""),
            suffix=(str, ""),
            tickInterval=(float, 0.0),
            tracking=(bool, True),
            spinBoxVisible=(bool, True),
            autoSpinBoxWidth=(bool, True),
            popupSlider=(bool, False),
        )
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._slider, self._spinBox = QSlider(Qt.Horizontal), QDoubleSpinBox()
        layout.addWidget(self._slider)
        layout.addWidget(self._spinBox)
        self._changed("maximum")
        self._spinBox.connect("valueChanged(double)", self.setValue)
        self._slider.connect("valueChanged(int)", lambda step: self.setValue(self._of(step)))

    def reset(self) -> None:
        self.setValue(0.0)

    def _of(self, step: int) -> float:
        return self.minimum + step * self.singleStep

    def _changed(self, name: str) -> None:
        value = min(max(self.value, self.minimum), self.maximum)
        if name != "value" and value != self.value:
            self.setValue(value)
            return
        self._value = round(value, self.decimals)
        for part in (self._spinBox, self._slider):
            part.blockSignals(True)
        self._spinBox.setDecimals(self.decimals)
        self._spinBox.setRange(self.minimum, self.maximum)
        self._spinBox.setSingleStep(self.singleStep)
        self._spinBox.setPrefix(self.prefix)
        self._spinBox.setSuffix(self.suffix)
        self._spinBox.setValue(self._value)
        self._spinBox.setVisible(self.spinBoxVisible)
        self._slider.setRange(0, round((self.maximum - self.minimum) / self.singleStep))
        self._slider.setValue(round((self._value - self.minimum) / self.singleStep))
        for part in (self._spinBox, self._slider):
            part.blockSignals(False)
        if name == "value":
            self.valueChanged.emit(self._value)


class ctkPathLineEdit(QWidget):
    """A line for a path, with a button that opens a file dialog."""

    Dirs, Files, Drives, NoSymLinks, AllEntries = 0x001, 0x002, 0x004, 0x008, 0x007
    Readable, Writable, Executable, Hidden = 0x010, 0x020, 0x040, 0x100
    ShowDirsOnly, DontResolveSymlinks, DontConfirmOverwrite = 0x01, 0x02, 0x04
    AdjustToContents, AdjustToContentsOnFirstShow, AdjustToMinimumContentsLength = range(3)

    currentPathChanged = StandinSignal("currentPathChanged(QString)")
    validInputChanged = StandinSignal("validInputChanged(bool)")
    vars().update(
        fields(
            "currentPath",
            label=(str, ""),
            filters=(int, 0x007),
            currentPath=(str, ""),
            options=(int, 0),
            settingKey=(str, ""),
            showBrowseButton=(bool, True),
            showHistoryButton=(bool, True),
            sizeAdjustPolicy=(int, 1),
            minimumContentsLength=(int, 0),
            nameFilters=(list, []),
        )
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._combo = QComboBox()
        self._combo.setEditable(True)
        self._combo.setSizePolicy(QSizePolicy.Expanding, QSizePolicy.Fixed)
        self._button = QToolButton()
        self._button.setText("…")
        layout.addWidget(self._combo)
        layout.addWidget(self._button)
        self._combo.connect("editTextChanged(QString)", self.setCurrentPath)
        self._button.connect("clicked()", self.browse)

    def browse(self) -> None:
        if not self.filters & self.Files:
            path = QFileDialog.getExistingDirectory(self, self.label, self.currentPath)
        else:
            dialog = QFileDialog.getOpenFileName
            if self.filters & self.Writable:
                dialog = QFileDialog.getSaveFileName
            path = dialog(self, self.label, self.currentPath, ";;".join(self.nameFilters))
        if path:
            self.setCurrentPath(path)

    def addCurrentPathToHistory(self) -> None:
        if self.currentPath and self._combo.findText(self.currentPath) < 0:
            self._combo.addItem(self.currentPath)

    def retrieveHistory(self) -> None: ...

    def _changed(self, name: str) -> None:
        self._button.setVisible(self.showBrowseButton)
        if name == "currentPath":
            if self._combo.currentText != self._currentPath:
                self._combo.setEditText(self._currentPath)
            self.currentPathChanged.emit(self._currentPath)


class ctkCheckableComboBox(QComboBox):
    """A combo box whose items have check boxes."""

    checkedIndexesChanged = StandinSignal("checkedIndexesChanged()")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.model().connect("rowsInserted(QModelIndex,int,int)", self._makeCheckable)
        self.model().connect("dataChanged(QModelIndex,QModelIndex)", self._itemsChanged)

    def checkableModel(self) -> Any:
        return self.model()

    def checkedIndexes(self) -> tuple[QModelIndex, ...]:
        return tuple(index for index in self._indexes() if self.checkState(index) == Qt.Checked)

    def allChecked(self) -> bool:
        return all(self.checkState(index) == Qt.Checked for index in self._indexes())

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()

    def checkState(self, index: QModelIndex) -> int:
        return int(self.model().data(index, Qt.CheckStateRole) or 0)

    def setCheckState(self, index: QModelIndex, state: int) -> None:
        self.model().setData(index, int(state), Qt.CheckStateRole)

    def _indexes(self) -> list[QModelIndex]:
        model = self.model()
        return [model.index(row, 0) for row in range(model.rowCount())]

    def _makeCheckable(self, parent: QModelIndex, first: int, last: int) -> None:
        for row in range(first, last + 1):
            item = self.model().item(row)
            item.setCheckable(True)

    def _itemsChanged(self) -> None:
        checked = [index.row() for index in self.checkedIndexes()]
        if checked != self.__dict__.get("_lastChecked", []):
            self._lastChecked = checked
            self.checkedIndexesChanged.emit()
        self.update()

    def paintEvent(self, event: QEvent) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionComboBox()
        self.initStyleOption(option)
        option.currentText = ", ".join(self.itemText(i.row()) for i in self.checkedIndexes())
        painter.drawComplexControl(QStyle.CC_ComboBox, option)
        painter.drawControl(QStyle.CE_ComboBoxLabel, option)


class ctkMenuButton(QPushButton):
    """A button with a menu at its right end."""

    def __init__(self, text: Any = "", parent: QWidget | None = None) -> None:
        if isinstance(text, QWidget):
            text, parent = "", text
        super().__init__(parent)
        self.setText(text)


class ctkMessageBox(QMessageBox):
    """A message box that can be told not to come again."""

    vars().update(
        fields(
            "dontShowAgain",
            dontShowAgain=(bool, False),
            dontShowAgainSettingsKey=(str, ""),
            dontShowAgainVisible=(bool, False),
        )
    )
