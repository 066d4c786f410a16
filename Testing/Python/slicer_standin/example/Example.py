"""A scripted module in miniature, on which the stand-in is tested."""

from enum import Enum
from pathlib import Path
from typing import Annotated, Optional

import qt
import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import Decimals, WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Mode(Enum):
    FAST = "fast"
    FULL = "full"

    def label(self) -> str:
        return self.value.title()


@parameterNodeWrapper
class ExampleParameters:
    """One parameter of each kind."""

    volume: vtkMRMLScalarVolumeNode
    segmentation: vtkMRMLSegmentationNode
    samples: Annotated[int, WithinRange(1, 32)] = 3
    threshold: Annotated[float, WithinRange(0, 1), Decimals(2)] = 0.5
    names: list[str]
    mode: Mode = Mode.FULL
    smooth: bool = True
    folder: Path
    limit: Optional[int]  # noqa: UP045  Slicer does not know `int | None`


class Example(ScriptedLoadableModule):
    def __init__(self, parent) -> None:
        super().__init__(parent)
        parent.title = _("Example")
        parent.categories = ["Segmentation"]


class ExampleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.calls: list[str] = []

    def setup(self) -> None:
        super().setup()
        widget = slicer.util.loadUI(self.resourcePath("UI/Example.ui"))
        self.layout.addWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        self.logic = ExampleLogic()
        self.ui.applyButton.connect("clicked(bool)", self.onApply)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.EndCloseEvent, self.onEndClose)
        self.bind()

    def bind(self) -> None:
        self.parameters = ExampleParameters(self.logic.getParameterNode())
        self.parameters.connectGui(self.ui)

    def enter(self) -> None:
        self.calls.append("enter")

    def exit(self) -> None:
        self.calls.append("exit")

    def cleanup(self) -> None:
        self.calls.append("cleanup")
        self.removeObservers()

    def onEndClose(self, caller, event) -> None:
        self.parameters.disconnectGui(0)
        self.bind()

    def onApply(self) -> None:
        if slicer.util.confirmYesNoDisplay(_("Replace the segmentation?")):
            self.ui.statusLabel.text = _("Replaced")
        qt.QTimer.singleShot(0, lambda: slicer.util.showStatusMessage("done"))


class ExampleLogic(ScriptedLoadableModuleLogic):
    pass


class ExampleTest(ScriptedLoadableModuleTest):
    def runTest(self) -> None:
        self.delayDisplay("Nothing to test")
