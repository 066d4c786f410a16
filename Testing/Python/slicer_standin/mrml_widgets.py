"""qMRMLWidget and the widgets that show segments, on real MRML nodes."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor
from PySide6.QtWidgets import (
    QAbstractItemView,
    QHeaderView,
    QTableWidget,
    QTableWidgetItem,
    QVBoxLayout,
    QWidget,
)

from .ctk_inputs import ctkMenuButton
from .fields import fields
from .observing import Observer
from .signals import StandinSignal


class qMRMLWidget(QWidget):
    """A widget that knows the scene and tells its children."""

    mrmlSceneChanged = StandinSignal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._scene: Any = None

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLSegmentsTableView(qMRMLWidget):
    """The table of a segmentation's segments: colour, name, opacity."""

    selectionChanged = StandinSignal("selectionChanged(QItemSelection,QItemSelection)")
    segmentAboutToBeModified = StandinSignal("segmentAboutToBeModified(QString)")
    vars().update(
        fields(
            "*",
            selectionMode=(int, int(QAbstractItemView.ExtendedSelection)),
            headerVisible=(bool, True),
            visibilityColumnVisible=(bool, True),
            colorColumnVisible=(bool, True),
            opacityColumnVisible=(bool, True),
            statusColumnVisible=(bool, False),
            layerColumnVisible=(bool, False),
            readOnly=(bool, False),
            filterBarVisible=(bool, False),
            textFilter=(str, ""),
            jumpToSelectedSegmentEnabled=(bool, False),
        )
    )

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        self._table = QTableWidget(0, 3)
        self._table.setHorizontalHeaderLabels(["Color", "Opacity", "Name"])
        self._table.horizontalHeader().setSectionResizeMode(2, QHeaderView.Stretch)
        self._table.verticalHeader().setVisible(False)
        self._table.setSelectionBehavior(QAbstractItemView.SelectRows)
        self._table.connect(
            "itemSelectionChanged()", lambda: self.selectionChanged.emit(None, None)
        )
        layout.addWidget(self._table)
        self._node: Any = None
        self._ids: list[str] = []
        self._observer = Observer(self._refresh)

    @property
    def segmentCount(self) -> int:
        return len(self._ids)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        self._observer.clear()
        self._node = node
        if node is not None:
            segmentation = node.GetSegmentation()
            for event in ("SegmentAdded", "SegmentRemoved", "SegmentModified"):
                self._observer.observe(segmentation, getattr(segmentation, event))
        self._refresh()

    def tableWidget(self) -> QTableWidget:
        return self._table

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = {index.row() for index in self._table.selectedIndexes()}
        return tuple(self._ids[row] for row in sorted(rows))

    def setSelectedSegmentIDs(self, ids: list[str]) -> None:
        self._table.clearSelection()
        for segment_id in ids:
            self._table.selectRow(self._ids.index(segment_id))

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return tuple(self._ids)

    def rowForSegmentID(self, segmentID: str) -> int:
        return self._ids.index(segmentID) if segmentID in self._ids else -1

    def segmentIDForRow(self, row: int) -> str:
        return self._ids[row]

    def _changed(self, name: str) -> None:
        self._table.horizontalHeader().setVisible(self.headerVisible)
        self._table.setColumnHidden(0, not self.colorColumnVisible)
        self._table.setColumnHidden(1, not self.opacityColumnVisible)
        self._table.setSelectionMode(QAbstractItemView.SelectionMode(self.selectionMode))

    def _refresh(self) -> None:
        segmentation = self._node.GetSegmentation() if self._node else None
        self._ids = list(segmentation.GetSegmentIDs()) if segmentation else []
        self._table.setRowCount(len(self._ids))
        for row, segment_id in enumerate(self._ids):
            segment = segmentation.GetSegment(segment_id)
            color = QTableWidgetItem()
            color.setBackground(QColor.fromRgbF(*segment.GetColor()))
            for column, item in enumerate(
                (color, QTableWidgetItem("1.00"), QTableWidgetItem(segment.GetName()))
            ):
                if self.readOnly:
                    item.setFlags(item.flags() & ~Qt.ItemIsEditable)
                self._table.setItem(row, column, item)


class qMRMLSegmentationShow3DButton(ctkMenuButton):
    """Makes and removes the closed surfaces of a segmentation node."""

    vars().update(fields(locked=(bool, False)))

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Show 3D", parent)
        self.setCheckable(True)
        self.setEnabled(False)
        self._node: Any = None
        self._observer = Observer(self._refresh)
        self.connect("toggled(bool)", self._onToggled)

    def segmentationNode(self) -> Any:
        return self._node

    def setSegmentationNode(self, node: Any) -> None:
        if node is not None and not node.IsA("vtkMRMLSegmentationNode"):
            raise TypeError(f"setSegmentationNode wants a segmentation node, not {node!r}")
        self._observer.clear()
        self._node = node
        if node is not None:
            segmentation = node.GetSegmentation()
            for event in ("SegmentAdded", "SegmentRemoved", "ContainedRepresentationNamesModified"):
                self._observer.observe(segmentation, getattr(segmentation, event))
        self._refresh()

    def _changed(self, name: str) -> None:
        self._refresh()

    def _refresh(self) -> None:
        segmentation = self._node.GetSegmentation() if self._node else None
        some = segmentation is not None and segmentation.GetNumberOfSegments() > 0
        self.setEnabled(some and not self.locked)
        self.blockSignals(True)
        self.setChecked(some and segmentation.ContainsRepresentation("Closed surface"))
        self.blockSignals(False)

    def _onToggled(self, on: bool) -> None:
        if self._node is None:
            return
        if on:
            self._node.CreateClosedSurfaceRepresentation()
        else:
            self._node.RemoveClosedSurfaceRepresentation()
