"""The whole window: its parts, their common parameter node, and the runs."""

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import qt
import slicer
import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SDSegLib.errors import SDSegError
from SDSegLib.operations.segment import SegmentOperation
from SDSegLib.options import RunOptions
from SDSegLib.review.summary import RunSummary, SliceToReview
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

from .addCasePanel import AddCasePanel
from .advancedPanel import AdvancedPanel
from .background import releaseVolumes, sharedWorker, workerHere
from .caseFolder import CaseFolder
from .deletedChoices import DeletedChoices
from .dependencyPanel import DependencyPanel
from .earlierResults import EarlierResults
from .editorPanel import EditorPanel, newSegmentation
from .exportMenu import ExportMenu
from .inputPanel import InputPanel, RegionPanel
from .modelPanel import ModelPanel, StructureList
from .outputPanel import OutputPanel
from .parameters import OutputMode
from .requirements import PACKAGES
from .resultPanel import (
    MEASURE_SAMPLES,
    InstabilityOverlay,
    ResultPanel,
    ReviewPanel,
    segmentIdOf,
)
from .runControl import RunBar, RunController
from .segmentationRun import RunSettings, SegmentationRun
from .serverPanel import ServerPanel
from .shownVolume import ShownVolume
from .teachPanel import TeachPanel
from .widgets import MessageArea, takeKeyboardFocus
from .windowPanel import WindowPanel
from .wrappedLabels import WrappedLabels

_DRAW_DELAY_MS = 50
_MESSAGE_MS = 4000
_FIRST_TAG = 0  # of a new wrapper's first GUI; 3D Slicer's `connectGui` does not return it


class Window(VTKObservationMixin):
    """Shows the parameter node and reacts to clicks.

    Args:
        ui: The widgets of the `.ui` file.
        logic: The module's logic.
    """

    def __init__(self, ui: Any, logic: Any) -> None:
        VTKObservationMixin.__init__(self)
        self.parameters: Any = None
        self._ui = ui
        self._logic = logic
        self._guiTag: int | None = None
        self._isUpdating = False
        self._warmed: RunOptions | None = None
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(_DRAW_DELAY_MS)
        self._timer.connect("timeout()", self.update)
        self._asking = qt.QTimer()
        self._asking.setSingleShot(True)
        self._asking.setInterval(0)
        self._asking.connect("timeout()", self._askToGoOnHere)
        self.messages = MessageArea(ui, self._showLog, lambda: self.advanced.logText())
        self._labels = WrappedLabels(vars(ui).values())
        for selector in (ui.inputSelector, ui.regionSelector, ui.outputSelector):
            takeKeyboardFocus(selector)
        self.input = InputPanel(ui, self._timer.start)
        self.shown = ShownVolume(ui, self._timer.start)
        self.display = WindowPanel(ui)
        self.earlier = EarlierResults(ui)
        self.deleted = DeletedChoices(lambda text: self.messages.show(text, "info"))
        self.model = ModelPanel(ui)
        self.structures = StructureList(ui)
        self.region = RegionPanel(ui, self._timer.start)
        self.output = OutputPanel(ui)
        self.advanced = AdvancedPanel(ui, self.messages, self._onModelsChanged)
        self.server = ServerPanel(ui, self.messages, self.update)
        self.dependencies = DependencyPanel(ui, self.messages, self.update)
        self.runBar = RunBar(ui, self.segment, self.cancel)
        self.controller = RunController(self.update, self._onRunEnded)
        self.editor = EditorPanel(ui)
        self.result = ResultPanel(ui, self.editor.openModule, self._undo)
        self.review = ReviewPanel(ui, self._measure, self._onSliceChosen)
        self.overlay = InstabilityOverlay()
        self.export = ExportMenu(ui, self.messages, self.dependencies)
        self.caseFolder = CaseFolder(self.messages, self.update)
        self.addCase = AddCasePanel(ui, self.messages, self.dependencies, self.caseFolder)
        self.teach = TeachPanel(
            ui, self.messages, self.dependencies, self.caseFolder, self._useModel
        )

        ui.drawStructureButton.connect("clicked()", self._drawStructure)

    # The parameter node and the scene

    def connectParameters(self) -> None:
        """Use the scene's parameter node: at the start, and after a scene was closed or loaded."""
        self._disconnectParameters()
        self.parameters = self._logic.getParameterNode()
        tag = self.parameters.connectGui(self._ui)
        self._guiTag = _FIRST_TAG if tag is None else tag
        self.addObserver(
            self.parameters.parameterNode, vtk.vtkCommand.ModifiedEvent, self._onModified
        )
        self.deleted.follow(self.parameters)
        self._reloadModels()
        self.update()

    def enter(self) -> None:
        """The user opens the module."""
        if self.parameters is None or self.parameters.parameterNode.GetScene() is None:
            self.connectParameters()
        self._reloadModels()
        self.caseFolder.reload()
        self.editor.enter()
        self.shown.follow()
        self.update()

    def leave(self) -> None:
        """The user opens another module."""
        self.shown.stop()
        self.editor.leave()

    def releaseScene(self) -> None:
        """The scene is about to be closed."""
        self.controller.cancel(_("Cancelled, because the scene was closed."))
        self.controller.forget()
        releaseVolumes()
        self._disconnectParameters()
        self.overlay.hide()
        self.earlier.forget()
        self.editor.release()
        self.addCase.release()
        self.input.stop()
        self.region.stop()

    def stop(self) -> None:
        """The window is closed: release everything."""
        self._timer.stop()
        self._asking.stop()
        self.controller.stop()
        self._disconnectParameters()
        self.overlay.hide()
        self.editor.stop()
        self.shown.stop()
        for part in (
            self.input, self.region, self.advanced, self.dependencies, self.export, self.addCase,
            self.teach, self.server,
        ):  # fmt: skip
            part.stop()
        self._labels.release()

    def _disconnectParameters(self) -> None:
        self.removeObservers()
        self.deleted.follow(None)
        if self.parameters is not None and self._guiTag is not None:
            self.parameters.disconnectGui(self._guiTag)
        self.parameters, self._guiTag = None, None

    def _onModified(self, caller: Any = None, event: Any = None) -> None:
        self.update()

    # Drawing

    def update(self) -> None:
        """Show the current state of the parameter node and of the run."""
        if self.parameters is None or self._isUpdating:
            return
        self._isUpdating = True
        try:
            self._draw()
        finally:
            self._isUpdating = False

    def _draw(self) -> None:
        parameters, isBusy = self.parameters, self.controller.isBusy
        self.shown.update(parameters)
        self.input.update(parameters, self.model.models)
        self.display.update(parameters, self.input.isCt)
        self.model.update(parameters, self.input.examination)
        current = self.model.current
        description = None if current is None else current.description
        self.structures.update(parameters, description)
        self.region.update(parameters)
        self.output.update(parameters, description)
        self.advanced.update(parameters, isBusy, self.model.mirrorProblem)
        self.server.update(isBusy)
        self.earlier.update(parameters)
        summary = RunSummary.from_text(parameters.summary)
        self.result.update(parameters, summary, self.editor.canUndo(parameters) and not isBusy)
        self.review.update(parameters, summary, isBusy)
        self.editor.update(parameters)
        self.overlay.update(parameters)
        self.export.update(parameters)
        self.addCase.update(parameters)
        self.teach.update(parameters)
        self._drawDrawing()
        self._ui.settingsWidget.setEnabled(not isBusy)
        self.runBar.draw(self.controller.run, self._problem(), self.server.leaves)
        self._warmUp()

    def _drawDrawing(self) -> None:
        """The button that begins a new structure; it needs a CT."""
        hasCt = self.parameters.inputVolume is not None
        tip = _(
            "Draw a structure that no model knows on some slices of the chosen CT, and carry it "
            "to the others with SDSeg Propagate."
        )
        self._ui.drawStructureButton.setEnabled(hasCt and not self.controller.isBusy)
        self._ui.drawStructureButton.setToolTip(tip if hasCt else _("Choose a CT above first."))

    def _warmUp(self) -> None:
        """Make the worker load the model before Segment is clicked.

        Once for each way to load it, and only when the next click could start a run.
        """
        model = self.model.current
        if model is None or self._problem() or self.input.isChecking:
            return
        wanted = RunOptions(model=str(model.folder), device=self.parameters.device.value)
        if wanted == self._warmed or self.controller.isBusy or not self.dependencies.areThere:
            return
        self._warmed = wanted
        sharedWorker().warm_up(SegmentOperation(wanted))

    def _problem(self) -> str:
        parts = (
            self.dependencies, self.input, self.model, self.region, self.output, self.server,
        )  # fmt: skip
        problems = (part.problem for part in parts)
        return next(filter(None, problems), "")

    # Reactions to clicks

    def segment(self) -> None:
        """Start a run, or show a message about what is missing."""
        if self.parameters is None:
            return
        if self.input.isChecking:  # its findings may need a confirmation first
            self.input.waitForFindings()
            self.update()
        if not self._problem():
            self._start(self._settings, self.segment)

    def _start(
        self,
        settings: Callable[[], RunSettings],
        again: Callable[[], None],
        worker: Callable[[], WorkerClient] = sharedWorker,
    ) -> None:
        """Start a run, unless packages are missing; `again` is called once they are installed."""
        self.messages.clear()
        if not self.dependencies.ask(PACKAGES, _("Segmenting"), again):
            return
        self.dependencies.hide()
        try:
            run = SegmentationRun(worker(), settings(), self.editor.undoable)
            self.controller.start(run)
        except SDSegError as error:
            self.messages.show(str(error))

    def cancel(self) -> None:
        """Stop the run."""
        self.controller.cancel()

    def _settings(self) -> RunSettings:
        parameters = self.parameters
        return RunSettings(
            volumeNode=parameters.inputVolume,
            options=RunOptions(
                model=str(self.model.current.folder) if self.model.current else parameters.model,
                structures=self.structures.wanted() or None,
                samples=parameters.samples,
                steps=parameters.steps,
                mirror=parameters.mirror and not self.model.mirrorProblem,
                device=parameters.device.value,
                precision=parameters.precision.value,
                batch=parameters.batch or None,
            ),
            roiNode=parameters.region,
            segmentationNode=parameters.outputSegmentation,
            mode=parameters.outputMode.value,
            overwriteEdited=parameters.overwriteEdited,
            allFrames=parameters.allFrames,
        )

    def _onRunEnded(self, run: SegmentationRun) -> None:
        if run.state is State.FAILED:
            self.messages.show(run.error)
            if run.server:
                self._asking.start()  # asks once the end of this run is drawn
        elif run.state is State.CANCELLED:
            self.messages.show(run.error, "info")
        elif self.parameters is not None and run.summary is not None:
            self._takeResult(run, run.summary)

    def _askToGoOnHere(self) -> None:
        """A server has failed: this computer takes its place if the user agrees, this time."""
        run = self.controller.run
        if self.parameters is None or run is None or run.isBusy:
            return
        question = _("{error}\n\nCompute on this computer this time?").format(error=run.error)
        if slicer.util.confirmYesNoDisplay(question, _("The server has failed")):
            self._goOnHere(run)

    def _goOnHere(self, run: SegmentationRun) -> None:
        self._start(lambda: run.settings, lambda: self._goOnHere(run), workerHere)

    def _takeResult(self, run: SegmentationRun, summary: RunSummary) -> None:
        parameters, settings = self.parameters, run.settings
        isSameResult = (
            parameters.resultVolume is run.volumeNode
            and parameters.resultSegmentation is run.resultNode
        )
        before = RunSummary.from_text(parameters.summary)
        if isSameResult and before is not None and settings.mode == "update":
            summary = summary.added_to(before)
        with slicer.util.NodeModify(parameters.parameterNode):
            previous = parameters.instabilityMap if isSameResult else None
            parameters.resultVolume = run.volumeNode
            parameters.resultSegmentation = run.resultNode
            parameters.resultOptions = json.dumps(self._lastingOptions(run).to_json())
            parameters.instabilityMap = run.instabilityNode
            parameters.showInstability = run.instabilityNode is not None
            parameters.summary = summary.to_text()
        if previous is not None and previous is not run.instabilityNode:
            slicer.mrmlScene.RemoveNode(previous)
        self._ui.inputSection.collapsed = True  # so that the result is visible on small screens

    def _lastingOptions(self, run: SegmentationRun) -> RunOptions:
        """Options of a run with its model by name: folders differ between computers and updates."""
        model = self.model.installed(run.options.model or "")
        return run.options if model is None else replace(run.options, model=model.description.name)

    def _measure(self) -> None:
        """Segment the result's volume again with several samples, into the same segmentation.

        The settings for the next run, which may be for another patient's CT, are not used.
        """
        if self.parameters is not None and self.parameters.resultVolume is not None:
            self._start(self._settingsToMeasure, self._measure)

    def _settingsToMeasure(self) -> RunSettings:
        parameters = self.parameters
        options = RunOptions(model=parameters.model or None)
        if parameters.resultOptions:
            options = RunOptions.from_json(json.loads(parameters.resultOptions))
        summary = RunSummary.from_text(parameters.summary)
        structures = () if summary is None else tuple(item.name for item in summary.structures)
        model = self.model.installed(options.model or "")
        if model is not None:  # other structures may be another model's
            options = replace(options, model=str(model.folder))
            own = {item.name for item in model.description.structures}
            structures = tuple(name for name in structures if name in own)
        return RunSettings(
            volumeNode=parameters.resultVolume,
            options=replace(options, structures=structures or None, samples=MEASURE_SAMPLES),
            segmentationNode=parameters.resultSegmentation,
            mode=OutputMode.UPDATE.value,
            allFrames=False,
        )

    def _undo(self) -> None:
        text = _("There is nothing more to take back.")
        if self.editor.undo():
            text = _(
                "The last change was taken back. The table still shows what the last run found."
            )
        self.messages.show(text, "info")
        self.update()

    def _onSliceChosen(self, item: SliceToReview) -> None:
        """Select the segment of a slice; none if it was deleted, or another would be corrected."""
        node = self.parameters.resultSegmentation
        segmentId = segmentIdOf(node, item.structure_id, item.structure)
        self.editor.select(segmentId)
        if not segmentId:
            text = _("The segmentation has no segment {name} any more.")
            slicer.util.showStatusMessage(text.format(name=item.structure), _MESSAGE_MS)

    def _onModelsChanged(self) -> None:
        self._reloadModels()
        self.update()

    def _reloadModels(self) -> None:
        self.model.reload()
        self.teach.reload(self.model.models)

    def _useModel(self, name: str) -> None:
        """Choose a model that was just taught, and show the choice."""
        self._reloadModels()
        if self.parameters is not None:
            self.parameters.model = name
        self._ui.inputSection.collapsed = False
        self.update()
        self._ui.contentArea.ensureWidgetVisible(self._ui.modelComboBox)

    def addToCases(self, node: Any) -> None:
        """Show what would be added of a segmentation of the scene to the user's cases."""
        if self.parameters is not None:
            self.parameters.caseSegmentation = node
            self.addCase.open()
            self.update()
            self._ui.contentArea.ensureWidgetVisible(self._ui.addCaseFrame)

    def _drawStructure(self) -> None:
        """Open the section Edit with an empty segment on the chosen CT."""
        parameters = self.parameters
        if parameters is None or parameters.inputVolume is None or self.controller.isBusy:
            return
        self.messages.clear()
        node = newSegmentation(parameters.inputVolume)
        with slicer.util.NodeModify(parameters.parameterNode):
            parameters.resultVolume = parameters.inputVolume
            parameters.resultSegmentation = node
            parameters.resultOptions = parameters.summary = ""
            parameters.instabilityMap = None
            parameters.showInstability = False
        self._ui.inputSection.collapsed = True
        self._ui.teachSection.collapsed = True
        self._ui.editSection.collapsed = False
        self.update()
        self.editor.select(node.GetSegmentation().GetNthSegmentID(0))
        text = _(
            "Name the new segment as you want to find it in every case, and draw it on about "
            "every eighth slice, also on its first and last one. Then click Carry to the other "
            "slices."
        )
        self.messages.show(text, "info")
        self._ui.contentArea.ensureWidgetVisible(self._ui.editSection)

    def _showLog(self) -> None:
        self.advanced.showLog()
