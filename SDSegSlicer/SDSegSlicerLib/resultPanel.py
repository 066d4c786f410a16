"""The result: volumes, the slices to review first, and the instability map over the CT."""

from collections.abc import Callable
from typing import Any

import qt
import slicer
from slicer import vtkMRMLSegmentationDisplayNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from SDSegLib.review.formatting import milliliters_text, seconds_text
from SDSegLib.review.summary import RunSummary, SliceToReview

from .libraryTexts import libraryText
from .widgets import colorIcon, fitTable, prepareTable
from .wrappedLabels import showText

_MOST_STRUCTURE_ROWS = 8
_MOST_SLICE_ROWS = 7
MEASURE_SAMPLES = 5


class ResultPanel:
    """The section Result.

    Args:
        ui: The window's widgets.
        openEditor: Opens the module Segment Editor.
        undo: Restores the state before the last change.
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
            text = milliliters_text(structure.milliliters) if found else _("not found")
            if structure.name in summary.kept:
                text = _("kept as edited")
            volume = qt.QTableWidgetItem(text)
            volume.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
            for column, item in enumerate((name, volume)):
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                table.setItem(row, column, item)
        fitTable(table, _MOST_STRUCTURE_ROWS)
        showText(self._ui.resultFacts, "\n".join([names, *_facts(summary)]))

    def _onDoubleClicked(self, row: int, column: int) -> None:
        """Show the centre of a structure in the slice views."""
        if self._shown is None or self._node is None:
            return
        structure = self._shown.structures[row]
        segmentId = segmentIdOf(self._node, structure.id, structure.name)
        center = self._node.GetSegmentCenterRAS(segmentId) if segmentId else None
        if center is not None:
            slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *center)


def segmentIdOf(node: vtkMRMLSegmentationNode, structureId: str, name: str) -> str:
    """The segment of a structure by ID, else by name: a run may have written into one of the user.

    Returns:
        "" if there is none, for example because it was deleted.
    """
    segmentation = node.GetSegmentation()
    if segmentation.GetSegment(structureId) is not None:
        return structureId
    return str(segmentation.GetSegmentIdBySegmentName(name) or "")


def _names(parameters: Any) -> str:
    """Names of the volume and of the segmentation."""
    nodes = (parameters.resultVolume, parameters.resultSegmentation)
    return " → ".join(_("(removed)") if node is None else node.GetName() for node in nodes)


def _facts(summary: RunSummary) -> list[str]:
    time = seconds_text(summary.seconds, libraryText)
    if summary.load_seconds > 0:
        loading = seconds_text(summary.load_seconds, libraryText)
        time += ", " + _("of these {loading} for loading").format(loading=loading)
    lines = [time, _device(summary.device)]
    about = [summary.model]
    if summary.samples > 1:
        about.append(_("mean of {count} repetitions").format(count=summary.samples))
    if summary.frames > 1:
        about.append(_("{count} frames, volumes of the last one").format(count=summary.frames))
    lines.append(", ".join(about))
    lines.append(_("Volumes as the model found them; later edits are not counted."))
    if summary.kept:
        lines.append(_("Kept as edited: {names}").format(names=", ".join(summary.kept)))
    return lines + list(summary.notes)


def _device(chosen: str) -> str:
    """Device and reason as text for the user, from the library's "cpu: asked for"."""
    name, _colon, reason = chosen.partition(": ")
    if name == "cpu":
        return _("On the processor ({reason})").format(reason=reason)
    return _("On the GPU ({reason})").format(reason=reason)


class ReviewPanel:
    """The section Review.

    Args:
        ui: The window's widgets.
        onMeasure: Called by the button for a run with several samples.
        onChosen: Called with a slice that the user has chosen.
    """

    def __init__(
        self,
        ui: Any,
        onMeasure: Callable[[], None],
        onChosen: Callable[[SliceToReview], None],
    ) -> None:
        self._ui = ui
        self._onChosen = onChosen
        self._parameters: Any = None
        self._summary: RunSummary | None = None
        self._isFilling = False
        table = ui.reviewTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Checked"), _("Slice"), _("Unsure")])
        prepareTable(table)
        table.connect("currentCellChanged(int,int,int,int)", self._goTo)
        table.connect("cellClicked(int,int)", self._goTo)
        table.connect("itemChanged(QTableWidgetItem*)", self._onItemChanged)
        ui.checkedNextButton.connect("clicked()", self._checkAndGoOn)
        ui.measureButton.connect("clicked()", onMeasure)

    def update(self, parameters: Any, summary: RunSummary | None, isBusy: bool) -> None:
        """Follow the parameter node; hidden while there is no result."""
        self._parameters = parameters
        hasResult = summary is not None and parameters.resultSegmentation is not None
        self._ui.reviewSection.setVisible(hasResult)
        if not hasResult or summary is None:
            self._summary = None
            return
        if summary != self._summary:
            self._fill(summary)
        isMeasured = summary.samples > 1
        self._ui.reviewTable.setVisible(bool(summary.slices))
        self._ui.reviewControls.setVisible(isMeasured or bool(summary.slices))
        self._ui.measureButton.setVisible(not isMeasured and summary.frames == 1)
        self._ui.measureButton.setEnabled(not isBusy and parameters.resultVolume is not None)
        self._ui.checkedNextButton.setEnabled(bool(summary.slices))
        hasMap = parameters.instabilityMap is not None
        for widget in (self._ui.overlayCheckBox, self._ui.overlaySlider):
            widget.setVisible(isMeasured)
        self._ui.overlayCheckBox.setEnabled(hasMap)
        self._ui.overlaySlider.setEnabled(hasMap and parameters.showInstability)
        showText(self._ui.reviewFacts, _introduction(summary))

    def _fill(self, summary: RunSummary) -> None:
        isSameList = self._summary is not None and _places(summary) == _places(self._summary)
        self._summary = summary
        table = self._ui.reviewTable
        self._isFilling = True
        if not isSameList:
            table.setRowCount(len(summary.slices))
            for row, item in enumerate(summary.slices):
                self._fillRow(row, item)
            table.setCurrentCell(-1, -1)
            fitTable(table, _MOST_SLICE_ROWS)
        for row, item in enumerate(summary.slices):
            table.item(row, 0).setCheckState(qt.Qt.Checked if item.is_checked else qt.Qt.Unchecked)
        self._isFilling = False
        done = sum(item.is_checked for item in summary.slices)
        self._ui.reviewCount.setText(
            _("{done} of {total} checked").format(done=done, total=len(summary.slices))
        )

    def _fillRow(self, row: int, item: SliceToReview) -> None:
        cells = (
            qt.QTableWidgetItem(colorIcon(item.color), item.structure),
            qt.QTableWidgetItem(str(item.number)),
            qt.QTableWidgetItem(f"{100 * item.instability:.0f} %"),
        )
        for column, cell in enumerate(cells):
            flags = qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable
            if column == 0:
                flags |= qt.Qt.ItemIsUserCheckable
            side = qt.Qt.AlignRight if column else qt.Qt.AlignLeft
            cell.setTextAlignment(side | qt.Qt.AlignVCenter)
            cell.setFlags(flags)
            self._ui.reviewTable.setItem(row, column, cell)

    def _goTo(self, row: int) -> None:
        if self._isFilling or self._summary is None or not 0 <= row < len(self._summary.slices):
            return
        item = self._summary.slices[row]
        volumeNode = self._parameters.resultVolume
        if volumeNode is None:
            return
        world = [0.0, 0.0, 0.0]
        volumeNode.TransformPointToWorld(list(item.center_ras), world)
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *world)
        self._onChosen(item)

    def _onItemChanged(self, cell: Any) -> None:
        if self._isFilling or self._summary is None or cell.column() != 0:
            return
        isChecked = cell.checkState() == qt.Qt.Checked
        self._parameters.summary = self._summary.with_checked(cell.row(), isChecked).to_text()

    def _checkAndGoOn(self) -> None:
        if self._summary is None:
            return
        row = self._ui.reviewTable.currentRow()
        if row >= 0:
            self._parameters.summary = self._summary.with_checked(row, True).to_text()
        left = [n for n, item in enumerate(self._summary.slices) if not item.is_checked]
        after = [n for n in left if n > row] or left
        if after:
            self._ui.reviewTable.setCurrentCell(after[0], 0)


def _places(summary: RunSummary) -> list[tuple[str, int, float]]:
    return [(item.structure, item.number, item.instability) for item in summary.slices]


def _introduction(summary: RunSummary) -> str:
    if summary.slices:
        return _("Look at these slices first; the least sure come first.")
    if summary.samples == 1:
        return _("There is no slice to look at first.")
    return _("The repetitions agree everywhere; there is no slice to look at first.")


class InstabilityOverlay:
    """Shows the map over the CT with the segments as outlines, and restores the views."""

    def __init__(self) -> None:
        self._shownId: str | None = None
        self._opacity = 0.0
        self._before: dict[str, tuple[str | None, float]] = {}
        self._outlined: vtkMRMLSegmentationDisplayNode | None = None

    def update(self, parameters: Any) -> None:
        """Follow the parameter node."""
        node = parameters.instabilityMap
        if node is None or not parameters.showInstability:
            self.hide()
            return
        if self._shownId != node.GetID():
            self.hide()
            self._remember()
            self._outline(parameters.resultSegmentation)
        elif self._opacity == parameters.instabilityOpacity:
            return
        self._shownId, self._opacity = node.GetID(), parameters.instabilityOpacity
        slicer.util.setSliceViewerLayers(
            background=parameters.resultVolume or "keep-current",
            foreground=node,
            foregroundOpacity=self._opacity,
        )

    def hide(self) -> None:
        """Restore the previous content of the slice views."""
        if self._shownId is None:
            return
        for node in _compositeNodes():
            if node.GetForegroundVolumeID() in (self._shownId, None):
                volumeId, opacity = self._before.get(node.GetID(), (None, 0.0))
                isThere = volumeId is not None and slicer.mrmlScene.GetNodeByID(volumeId)
                node.SetForegroundVolumeID(volumeId if isThere else None)
                node.SetForegroundOpacity(opacity)
        self._shownId = None
        if self._outlined is not None and self._outlined.GetScene() is not None:
            self._outlined.SetVisibility2DFill(True)
        self._outlined = None

    def _outline(self, segmentation: vtkMRMLSegmentationNode | None) -> None:
        """Show segments by their outlines alone: their colours would mix with the map's."""
        display = None if segmentation is None else segmentation.GetDisplayNode()
        if display is not None and display.GetVisibility2DFill():
            display.SetVisibility2DFill(False)
            self._outlined = display

    def _remember(self) -> None:
        self._before = {
            node.GetID(): (node.GetForegroundVolumeID(), node.GetForegroundOpacity())
            for node in _compositeNodes()
        }


def _compositeNodes() -> list[Any]:
    return list(slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"))
