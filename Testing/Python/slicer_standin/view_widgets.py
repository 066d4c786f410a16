"""The views in the middle of the main window: slices are drawn, 3-D is a coloured field."""

from __future__ import annotations

from typing import Any

import slicer
import vtk
from PySide6.QtCore import QRect, Qt
from PySide6.QtGui import QColor, QImage, QPainter
from PySide6.QtWidgets import QGridLayout, QWidget

from .observing import Observer
from .slice_picture import slice_picture

_BAR = 18
_COLORS = {"Red": "#f34a33", "Yellow": "#edd54c", "Green": "#6eb04b"}


class SliceView(QWidget):
    """What Slicer would show of one slice: layers of volumes, and segments over them."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._viewName = name
        widget = slicer.app.layoutManager().sliceWidget(name)
        self._logic = widget.sliceLogic()
        self._observer = Observer(self._changed)
        for node in (widget.mrmlSliceNode(), widget.mrmlSliceCompositeNode()):
            self._observer.observe(node, vtk.vtkCommand.ModifiedEvent)

    def _changed(self) -> None:
        self.update()

    def resizeEvent(self, event: Any) -> None:
        self._logic.ResizeSliceNode(max(self.width, 1), max(self.height - _BAR, 1))

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect, QColor("black"))
        pixels = slice_picture(slicer.mrmlScene, self._logic)
        height, width = pixels.shape[:2]
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format_RGB888)
        painter.drawImage(QRect(0, _BAR, self.width, self.height - _BAR), image)
        painter.fillRect(0, 0, self.width, _BAR, QColor(_COLORS[self._viewName]))
        painter.setPen(QColor("black"))
        painter.drawText(6, 14, self._viewName[0])
        offset = f"{self._logic.GetSliceOffset():.1f} mm"
        painter.drawText(QRect(0, 0, self.width - 6, _BAR), int(Qt.AlignRight), offset)
        painter.end()


class ThreeDView(QWidget):
    """Nothing is rendered."""

    def paintEvent(self, event: Any) -> None:
        painter = QPainter(self)
        painter.fillRect(self.rect, QColor("#8c8cc0"))
        painter.fillRect(0, 0, self.width, _BAR, QColor("#7f7fd9"))
        painter.drawText(6, 14, "1")
        painter.end()


def make_views() -> QWidget:
    """The conventional layout, in two rows."""
    views = QWidget()
    grid = QGridLayout(views)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setSpacing(2)
    grid.addWidget(SliceView("Red"), 0, 0)
    grid.addWidget(ThreeDView(), 0, 1)
    grid.addWidget(SliceView("Yellow"), 1, 0)
    grid.addWidget(SliceView("Green"), 1, 1)
    return views
