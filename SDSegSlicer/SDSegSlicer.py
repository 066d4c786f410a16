"""The module SDSeg of 3D Slicer: segments a CT with a single-step latent diffusion model."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import slicer
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from SDSegSlicerLib.segmentationRun import SegmentationRun
    from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

_HERE = Path(__file__).resolve().parent
if not (_HERE / "SDSegLib").is_dir():  # a source checkout; an installed module has it beside it
    sys.path.append(str(_HERE.parent))

# 3D Slicer imports this file when it starts; the module's parts are imported at first use.

_LANGUAGE_VARIABLE = "SDSEG_LANGUAGE"
"""`SDSegLib.language.LANGUAGE_VARIABLE`, which child processes inherit."""


class SDSegSlicer(ScriptedLoadableModule):
    """What 3D Slicer shows of the module before it is opened."""

    def __init__(self, parent: Any) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = "SDSeg"
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = ["Segmentations", "Volumes", "Markups", "Sequences"]
        self.parent.contributors = ["SDSeg contributors"]
        self.parent.helpText = _(
            "Segments structures in CT: choose a volume and a model, click Segment, review where "
            "the result is unsure, correct it, export it. The Segment Editor's effect SDSeg "
            "Propagate carries drawn or corrected slices to the others. A model of your own: "
            "section Teach, Draw a structure; after three corrected cases, Teach; the tutorial in "
            "docs/tutorials/own-model.md shows each step. Not a medical device."
        )
        self.parent.acknowledgementText = _(
            "SDSeg is the method of Lin et al., Stable Diffusion Segmentation for Biomedical "
            "Images with Single-step Reverse Process, MICCAI 2024 (arXiv 2406.18361). Licence: "
            "Apache-2.0."
        )
        _useLanguageOfApplication()
        slicer.app.connect("startupCompleted()", _registerSampleData)
        slicer.app.connect("startupCompleted()", _registerEffect)


class SDSegSlicerWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """Loads the window and passes events to it; the parts are in SDSegSlicerLib."""

    def __init__(self, parent: Any = None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic: SDSegSlicerLogic | None = None
        self.window: Any = None

    def setup(self) -> None:
        """Called once, when the user first opens the module."""
        from SDSegSlicerLib.window import Window

        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SDSegSlicer.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = SDSegSlicerLogic()
        self.window = Window(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self._onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self._onSceneChanged)
        self.addObserver(scene, scene.EndImportEvent, self._onSceneChanged)
        slicer.app.connect("aboutToQuit()", _closeWorker)
        slicer.app.connect("aboutToQuit()", _stopTeaching)
        self.window.connectParameters()
        if getattr(self.parent, "isEntered", False):  # a reload does not call `enter`
            self.enter()

    def enter(self) -> None:
        """Called each time the user opens the module."""
        if self.window is not None:
            self.window.enter()

    def exit(self) -> None:
        """Called each time the user opens another module; a run continues."""
        if self.window is not None:
            self.window.leave()

    def cleanup(self) -> None:
        """Called when the module is reloaded and when the application ends."""
        self.removeObservers()
        if self.window is not None:
            slicer.app.disconnect("aboutToQuit()", _closeWorker)
            slicer.app.disconnect("aboutToQuit()", _stopTeaching)  # a reload lets it go on
            self.window.stop()
            self.window = None
        _closeWorker()

    def _onSceneStartClose(self, caller: Any, event: Any) -> None:
        if self.window is not None:
            self.window.releaseScene()

    def _onSceneChanged(self, caller: Any, event: Any) -> None:
        if self.window is not None:
            self.window.connectParameters()


class SDSegSlicerLogic(ScriptedLoadableModuleLogic):
    """The module's functions for scripts; no dialogs, no window."""

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)

    def getParameterNode(self) -> Any:
        """The parameters of the module's window, in the scene."""
        from SDSegSlicerLib.parameters import SDSegParameters

        return SDSegParameters(super().getParameterNode())

    def process(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        segmentationNode: vtkMRMLSegmentationNode | None = None,
        model: str | None = None,
        classes: list[str] | None = None,
        roi: vtkMRMLMarkupsROINode | None = None,
        device: str = "auto",
        waitForCompletion: bool = True,
        mode: str = "update",
        overwriteEdited: bool = False,
        precision: str = "auto",
        samples: int = 1,
        mirror: bool = False,
        steps: int = 1,
        batch: int | None = None,
    ) -> vtkMRMLSegmentationNode | SegmentationRun:
        """Segment a volume; a sequence's volume frame by frame.

        Args:
            volumeNode: A CT, in any orientation and under any transform.
            segmentationNode: An existing segmentation to write into; by default a new one is made.
            model: Name of an installed model, or its folder; by default the one that suits the
                volume best.
            classes: Names or ids of the structures wanted; all by default.
            roi: Segment inside this box only.
            device: "auto", "cuda", "mps" or "cpu".
            waitForCompletion: If False, return at once; the run continues while the application is
                idle, and its outcome is in its `state`, `error` and `resultNode`.
            mode: For an existing segmentation: "update" these structures, or "replace" all.
            overwriteEdited: Whether edited segments may be overwritten.
            precision: "auto", "float32", "float16" or "bfloat16".
            samples: Noise samples to average, 1 to 64; two or more also give a map of the
                instability.
            mirror: Average with the result of mirrored slices; twice the time.
            steps: Reverse steps (DDIM); 1 is SDSeg's single step.
            batch: Slices computed together; by default chosen by device.

        Returns:
            The segmentation node; the run if `waitForCompletion` is False.

        Raises:
            SDSegError: If packages are missing, the input cannot be used or the run fails, with the
                reason and the remedy.
        """
        from SDSegSlicerLib.background import sharedWorker
        from SDSegSlicerLib.scripting import keepPolling, resultOf, startedRun
        from SDSegSlicerLib.segmentationRun import RunSettings

        from SDSegLib.options import RunOptions

        run = startedRun(
            sharedWorker(),
            RunSettings(
                volumeNode=volumeNode,
                segmentationNode=segmentationNode,
                options=RunOptions(
                    model=model,
                    structures=tuple(classes or ()),
                    samples=samples,
                    steps=steps,
                    mirror=mirror,
                    device=device,
                    precision=precision,
                    batch=batch,
                ),
                roiNode=roi,
                mode=mode,
                overwriteEdited=overwriteEdited,
            ),
        )
        if waitForCompletion:
            return resultOf(run)
        keepPolling(run)
        return run

    def propagate(
        self,
        segmentationNode: vtkMRMLSegmentationNode,
        segmentId: str,
        volumeNode: vtkMRMLScalarVolumeNode,
        slices: list[int] | None = None,
        axis: str | None = None,
        carry: str = "all",
        correct: bool | None = None,
        device: str = "auto",
    ) -> tuple[int, ...]:
        """Carry a segment from drawn slices to the others; other segments stay as they are.

        Args:
            segmentationNode: Holds the segment; it may have a geometry or transform of its own.
            segmentId: ID of the segment, for example from `GetSegmentIdBySegmentName`.
            volumeNode: The CT.
            slices: Numbers of the drawn slices, from 0 along `axis`; by default those that were
                drawn since the last prediction, or else all that hold something.
            axis: Array axis across the slices, "k", "j" or "i"; found by default.
            carry: "between", "up", "down" (by slice number) or "all".
            correct: Whether the segment is a prediction of which only the drawn slices are right;
                by default it is if SDSeg predicted it.
            device: "auto", "cuda", "mps" or "cpu".

        Returns:
            Numbers of the slices to look at, the least certain first.

        Raises:
            SDSegError: If packages are missing, the input cannot be used or the run fails, with the
                reason and the remedy.
        """
        from SDSegPropagateLib.scripting import propagateSegment
        from SDSegSlicerLib.background import workerHere

        return propagateSegment(
            workerHere(),
            (segmentationNode, segmentId, volumeNode),
            slices=slices,
            axis=axis,
            carry=carry,
            correct=correct,
            device=device,
        )


class SDSegSlicerTest(ScriptedLoadableModuleTest):
    """Clicks through the whole path with a tiny model of random weights, in seconds."""

    def runTest(self, **kwargs: Any) -> None:
        """Called by "Reload and Test" and by the application's test driver."""
        from SDSegSlicerLib.selfTest import clickThrough

        slicer.mrmlScene.Clear(0)
        self.delayDisplay(_("Segmenting a small volume with a tiny model"))
        clickThrough()
        self.delayDisplay(_("Test passed"))


def _closeWorker() -> None:
    from SDSegSlicerLib.background import closeWorker

    closeWorker()


def _stopTeaching() -> None:
    from SDSegSlicerLib.teachRun import stopTeaching

    stopTeaching()


def _registerEffect() -> None:
    from SDSegPropagateLib.register import registerEffect

    registerEffect()


def _useLanguageOfApplication() -> None:
    """Let texts of the library come in 3D Slicer's language, unless the user chose another one."""
    name = getattr(slicer.app, "applicationLocaleName", "")  # like fr_FR; fr-FR in some versions
    if name:
        os.environ.setdefault(_LANGUAGE_VARIABLE, str(name).replace("-", "_"))


def _registerSampleData() -> None:
    from SDSegSlicerLib.sampleData import registerSampleData

    registerSampleData(_HERE / "Resources" / "Icons")
