"""What was found: volumes, seconds, device, and what to do with it."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer import vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from .formatting import colorIcon, formatMilliliters, formatSeconds
from .runSummary import RunSummary

_MOST_ROWS = 8


class ResultPanel:
    """The section Result.

    Args:
        ui: The window's widgets.
        openEditor: Opens the module Segment Editor.
        undo: Brings back the state before the last change.
    """

    def __init__(self, ui: Any, openEditor: Callable[[], None], undo: Callable[[], None]) -> None:
        self._ui = ui
        self._shown: RunSummary | None = None
        self._names = ""
        self._node: vtkMRMLSegmentationNode | None = None
        self.show3DButton = slicer.qMRMLSegmentationShow3DButton()
        self.show3DButton.setToolTip(_("Show the structures as surfaces in the 3-D view."))
        ui.show3DPlace.layout().addWidget(self.show3DButton)
        table = ui.resultTable
        table.setColumnCount(2)
        table.setHorizontalHeaderLabels([_("Structure"), _("Volume (mL)")])
        prepareTable(table)
        table.connect("cellDoubleClicked(int,int)", self._onDoubleClicked)
        qt.QWidget.setTabOrder(table, self.show3DButton)
        ui.openEditorButton.connect("clicked()", openEditor)
        ui.undoButton.connect("clicked()", undo)

    def update(self, parameters: Any, summary: RunSummary | None, canUndo: bool) -> None:
        """Follow the parameter node; hidden while there is no result."""
        self._node = parameters.resultSegmentation
        isShown = summary is not None and self._node is not None
        self._ui.resultSection.setVisible(isShown)
        if self.show3DButton.segmentationNode() is not self._node:
            self.show3DButton.setSegmentationNode(self._node)
        self._ui.undoButton.setEnabled(canUndo)
        names = _names(parameters)
        if isShown and summary is not None and (summary, names) != (self._shown, self._names):
            self._fill(summary, names)
        self._shown, self._names = summary if isShown else None, names

    def _fill(self, summary: RunSummary, names: str) -> None:
        table = self._ui.resultTable
        table.setRowCount(len(summary.structures))
        for row, structure in enumerate(summary.structures):
            name = qt.QTableWidgetItem(colorIcon(structure.color), structure.name)
            found = structure.milliliters > 0
            text = formatMilliliters(structure.milliliters) if found else _("not found")
            if structure.name in summary.kept:
                text = _("kept as edited")
            volume = qt.QTableWidgetItem(text)
            volume.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            for column, item in enumerate((name, volume)):
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                table.setItem(row, column, item)
        fitTable(table, _MOST_ROWS)
        self._ui.resultFacts.setText("\n".join([names, *_facts(summary)]))

    def _onDoubleClicked(self, row: int, column: int) -> None:
        """Show the middle of a structure in the slice views."""
        if self._shown is None or self._node is None:
            return
        segmentation = self._node.GetSegmentation()
        structure = self._shown.structures[row]
        segmentId = structure.id
        if segmentation.GetSegment(segmentId) is None:
            segmentId = segmentation.GetSegmentIdBySegmentName(structure.name)
        center = self._node.GetSegmentCenterRAS(segmentId) if segmentId else None
        if center is not None:
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *center)


def _names(parameters: Any) -> str:
    """Of what was segmented and what was written."""
    nodes = (parameters.resultVolume, parameters.resultSegmentation)
    return " → ".join(_("(removed)") if node is None else node.GetName() for node in nodes)


def prepareTable(table: Any) -> None:
    """A calm table: whole rows, no grid, no row numbers."""
    table.verticalHeader().setVisible(False)
    table.setShowGrid(False)
    table.setAlternatingRowColors(True)
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    table.setSelectionMode(qt.QAbstractItemView.SingleSelection)
    table.setEditTriggers(qt.QAbstractItemView.NoEditTriggers)
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    header = table.horizontalHeader()
    header.setHighlightSections(False)
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setSectionResizeMode(0, qt.QHeaderView.Stretch)
    for column in range(table.columnCount):
        side = qt.Qt.AlignRight if column else qt.Qt.AlignLeft
        table.horizontalHeaderItem(column).setTextAlignment(side | qt.Qt.AlignVCenter)


def fitTable(table: Any, mostRows: int) -> None:
    """As high as its rows, up to `mostRows`."""
    height = table.fontMetrics().height() + 6
    table.verticalHeader().setDefaultSectionSize(height)
    rows = min(max(1, table.rowCount), mostRows)
    table.setFixedHeight(table.horizontalHeader().sizeHint.height() + rows * height + 4)


def _facts(summary: RunSummary) -> list[str]:
    time = formatSeconds(summary.seconds)
    if summary.loadSeconds > 0:
        loading = formatSeconds(summary.loadSeconds)
        time += ", " + _("of these {loading} for loading").format(loading=loading)
    lines = [time, _device(summary.device)]
    about = [summary.model]
    if summary.samples > 1:
        about.append(_("mean of {count} samples").format(count=summary.samples))
    if summary.frames > 1:
        about.append(_("{count} frames, volumes of the last one").format(count=summary.frames))
    lines.append(", ".join(about))
    lines.append(_("Volumes as the model found them; later edits are not counted."))
    if summary.kept:
        lines.append(_("Kept as edited: {names}").format(names=", ".join(summary.kept)))
    return lines + list(summary.notes)


def _device(chosen: str) -> str:
    """Where it was computed and why, from the library's "cpu: asked for"."""
    name, _colon, reason = chosen.partition(": ")
    if name == "cpu":
        return _("On the processor ({reason})").format(reason=reason)
    return _("On the GPU ({reason})").format(reason=reason)
