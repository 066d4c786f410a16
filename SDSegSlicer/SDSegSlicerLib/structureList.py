"""Which structures to segment: check boxes with their colours."""

import math
from typing import Any

import qt
from slicer.i18n import tr as _

from SDSegLib.families.description import ModelDescription

from .formatting import colorIcon

_MOST_ROWS = 6
_COLUMNS = 2
_AROUND_TEXT = 52  # box, colour and gaps
_ROW_PADDING = 5


class StructureList:
    """The list with its buttons; keeps the ticked names in the parameter node.

    Args:
        ui: The window's widgets.
    """

    def __init__(self, ui: Any) -> None:
        self._ui = ui
        self._parameters: Any = None
        self._isFilling = False
        self._names: list[str] = []
        self._shown: list[tuple[str, tuple[int, int, int]]] = []
        view = ui.structureList
        view.setFlow(qt.QListView.LeftToRight)
        view.setWrapping(True)
        view.setResizeMode(qt.QListView.Adjust)
        view.connect("itemChanged(QListWidgetItem*)", self._onItemChanged)
        ui.allStructuresButton.connect("clicked()", lambda: self._tick(self._names))
        ui.noStructuresButton.connect("clicked()", lambda: self._tick([]))

    @property
    def names(self) -> list[str]:
        """Of all structures of the model."""
        return list(self._names)

    def update(self, parameters: Any, model: ModelDescription | None) -> None:
        """Follow the parameter node; another model begins with all structures ticked."""
        self._parameters = parameters
        self._fill(model)
        if model is not None and parameters.knownModel != model.name:
            self._tick(self._names)
            parameters.knownModel = model.name
        ticked = set(parameters.structures)
        self._isFilling = True
        for row in range(self._ui.structureList.count):
            item = self._ui.structureList.item(row)
            state = qt.Qt.Checked if item.text() in ticked else qt.Qt.Unchecked
            if item.checkState() != state:
                item.setCheckState(state)
        self._isFilling = False
        self._ui.structureFacts.setText(self._facts(len(ticked & set(self._names))))

    def wanted(self) -> tuple[str, ...]:
        """Names to ask for; empty for all."""
        ticked = set(self._parameters.structures)
        names = tuple(name for name in self._names if name in ticked)
        return () if len(names) == len(self._names) else names

    def _fill(self, model: ModelDescription | None) -> None:
        shown = [] if model is None else [(item.name, item.color) for item in model.structures]
        if shown == self._shown:
            return
        self._shown = shown
        self._names = [name for name, _color in shown]
        view = self._ui.structureList
        self._isFilling = True
        view.clear()
        for name, color in shown:
            item = qt.QListWidgetItem(colorIcon(color), name)
            item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable | qt.Qt.ItemIsUserCheckable)
            item.setCheckState(qt.Qt.Unchecked)
            view.addItem(item)
        self._fit()
        self._isFilling = False

    def _fit(self) -> None:
        """As wide as the longest name, as high as two columns need."""
        view = self._ui.structureList
        metrics = view.fontMetrics()
        widths = [metrics.boundingRect(name).width() for name in self._names]
        height = metrics.height() + _ROW_PADDING
        size = qt.QSize(max(widths, default=0) + _AROUND_TEXT, height)
        view.setGridSize(size)
        for row in range(len(self._names)):
            view.item(row).setSizeHint(size)
        rows = min(_MOST_ROWS, max(1, math.ceil(len(self._names) / _COLUMNS)))
        view.setFixedHeight(rows * height + 6)

    def _tick(self, names: list[str]) -> None:
        if self._parameters is not None:
            self._parameters.structures = list(names)

    def _onItemChanged(self, item: Any) -> None:
        if self._isFilling:
            return
        items = (self._ui.structureList.item(row) for row in range(len(self._names)))
        self._tick([item.text() for item in items if item.checkState() == qt.Qt.Checked])

    def _facts(self, count: int) -> str:
        total = len(self._names)
        if count == 0:
            return _("None ticked: all {total} are segmented").format(total=total)
        return _("{count} of {total}").format(count=count, total=total)
