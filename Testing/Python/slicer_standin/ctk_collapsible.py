"""Sections that fold: ctkCollapsibleButton and ctkCollapsibleGroupBox."""

from __future__ import annotations

from typing import Any

from PySide6.QtCore import QEvent, QRect, QSize, Qt
from PySide6.QtWidgets import (
    QAbstractButton,
    QFrame,
    QGroupBox,
    QStyle,
    QStyleOption,
    QStyleOptionButton,
    QStylePainter,
    QWidget,
)

from .fields import fields
from .signals import StandinSignal

_NO_LIMIT = 16777215


class _Folding:
    """Hides the children that were shown, and shows them again."""

    def _fold(self: Any, folded: bool) -> None:
        if folded:
            shown = [child for child in self.children() if _is_shown(child)]
            self._foldedChildren = [*self.__dict__.get("_foldedChildren", []), *shown]
            for child in shown:
                child.hide()
        else:
            for child in self.__dict__.pop("_foldedChildren", []):
                child.show()
        self.setMaximumHeight(self._header() + self.collapsedHeight if folded else _NO_LIMIT)
        self.updateGeometry()
        self.update()

    def _onToggled(self: Any, checked: bool) -> None:
        self.collapsed = not checked

    def childEvent(self: Any, event: Any) -> None:
        if event.added() and event.child().isWidgetType():
            event.child().installEventFilter(self)

    def eventFilter(self: Any, child: Any, event: Any) -> bool:
        """A child that is shown while the section is folded waits until it unfolds."""
        if event.type() == QEvent.ShowToParent and self.collapsed and child.parent() is self:
            waiting = self.__dict__.setdefault("_foldedChildren", [])
            waiting.append(child)
            child.hide()
        return False


class ctkCollapsibleButton(_Folding, QAbstractButton):
    """A button as wide as the panel, over the widgets that it shows and hides."""

    contentsCollapsed = StandinSignal("contentsCollapsed(bool)")
    vars().update(
        fields(
            collapsed=(bool, False),
            collapsedHeight=(int, 10),
            contentsFrameShape=(int, int(QFrame.NoFrame)),
            contentsFrameShadow=(int, int(QFrame.Plain)),
            contentsLineWidth=(int, 1),
            contentsMidLineWidth=(int, 0),
        )
    )

    def __init__(self, text: Any = "", parent: QWidget | None = None) -> None:
        if isinstance(text, QWidget):
            text, parent = "", text
        super().__init__(parent)
        self.setCheckable(True)
        self.setChecked(True)
        self.setText(text)
        self.setContentsMargins(0, self._header(), 0, 0)
        self.connect("toggled(bool)", self._onToggled)

    def _changed(self, name: str) -> None:
        if name == "collapsed":
            self._fold(self._collapsed)
            self.setChecked(not self._collapsed)
            self.contentsCollapsed.emit(self._collapsed)

    def _header(self) -> int:
        return self.fontMetrics().height() + 8

    def sizeHint(self) -> QSize:
        width = self.fontMetrics().horizontalAdvance(self.text) + 40
        hint = QSize(width, self._header() + self.collapsedHeight)
        if self.layout() and not self.collapsed:
            hint = hint.expandedTo(self.layout().totalSizeHint())
        return hint

    def minimumSizeHint(self) -> QSize:
        width = self.fontMetrics().horizontalAdvance(self.text) + 40
        hint = QSize(width, self._header() + (self.collapsedHeight if self.collapsed else 0))
        if self.layout() and not self.collapsed:
            hint = hint.expandedTo(self.layout().totalMinimumSize())
        return hint

    def hitButton(self, position: Any) -> bool:
        return QRect(0, 0, self.width, self._header()).contains(position)

    def paintEvent(self, event: QEvent) -> None:
        painter = QStylePainter(self)
        option = QStyleOptionButton()
        option.initFrom(self)
        option.rect = QRect(0, 0, self.width, self._header())
        option.state |= QStyle.State_Sunken if self.down else QStyle.State_Raised
        painter.drawControl(QStyle.CE_PushButtonBevel, option)
        arrow = QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QRect(6, (self._header() - 12) // 2, 12, 12)
        kind = QStyle.PE_IndicatorArrowRight if self.collapsed else QStyle.PE_IndicatorArrowDown
        painter.drawPrimitive(kind, arrow)
        place = QRect(24, 0, self.width - 30, self._header())
        text = self.fontMetrics().elidedText(self.text, Qt.ElideRight, place.width())
        flags = int(Qt.AlignLeft | Qt.AlignVCenter | Qt.TextShowMnemonic)
        painter.drawItemText(place, flags, self.palette, self.enabled, text)


class ctkCollapsibleGroupBox(_Folding, QGroupBox):
    """A group box with an arrow in the place of the check mark."""

    vars().update(fields(collapsed=(bool, False), collapsedHeight=(int, 14)))

    def __init__(self, title: Any = "", parent: QWidget | None = None) -> None:
        if isinstance(title, QWidget):
            title, parent = "", title
        super().__init__(parent)
        self.setTitle(title)
        self.setCheckable(True)
        self.setChecked(True)
        self.connect("toggled(bool)", self._onToggled)

    def _changed(self, name: str) -> None:
        if name == "collapsed":
            self._fold(self._collapsed)
            self.setChecked(not self._collapsed)

    def _header(self) -> int:
        return self.fontMetrics().height() + 4

    def paintEvent(self, event: QEvent) -> None:
        painter = QStylePainter(self)
        height = self._header()
        painter.setPen(self.palette.mid().color())
        painter.drawRect(QRect(0, height // 2, self.width - 1, self.height - height // 2 - 1))
        text = self.fontMetrics().elidedText(self.title, Qt.ElideRight, self.width - 40)
        width = self.fontMetrics().horizontalAdvance(text)
        painter.fillRect(QRect(6, 0, width + 24, height), self.palette.window())
        arrow = QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QRect(8, (height - 11) // 2, 11, 11)
        kind = QStyle.PE_IndicatorArrowRight if self.collapsed else QStyle.PE_IndicatorArrowDown
        painter.drawPrimitive(kind, arrow)
        painter.setPen(self.palette.windowText().color())
        painter.drawText(QRect(23, 0, width + 4, height), int(Qt.AlignVCenter), text)


def _is_shown(child: object) -> bool:
    return isinstance(child, QWidget) and not child.isHidden()
