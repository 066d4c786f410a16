"""The input volume and the region: their properties, and findings about the model's fit."""

import math
from collections.abc import Sequence
from typing import Any

import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLVolumeNode
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SDSegLib.errors import SDSegError
from SDSegLib.models.fit import Examination, examine
from SDSegLib.models.registry import InstalledModel
from SDSegLib.mrml.results import is_instability
from SDSegLib.mrml.sequences import frames_of
from SDSegLib.mrml.volumes import (
    box_from_roi,
    fit_roi,
    has_size,
    is_under_linear,
    region_from_roi,
    volume_from_node,
)
from SDSegLib.review.formatting import grid_text
from SDSegLib.volume.finding import of_severity
from SDSegLib.volume.volume import Volume

from .background import Background
from .libraryTexts import libraryText
from .widgets import boxStyle
from .wrappedLabels import showText


class InputPanel(VTKObservationMixin):
    """Facts and findings below the volume selector.

    Args:
        ui: The window's widgets.
        onChange: Called when the node or the findings have changed. It draws after a short delay,
            because a node is incomplete while it is being filled.

    Attributes:
        problem: Reason why the volume cannot be segmented, or "".
        examination: Ranking of the models for the volume, and the findings; None before they are
            known.
    """

    def __init__(self, ui: Any, onChange: Any) -> None:
        VTKObservationMixin.__init__(self)
        self.problem = ""
        self.examination: Examination | None = None
        self._ui = ui
        self._onChange = onChange
        self._node: vtkMRMLScalarVolumeNode | None = None
        self._volume: Volume | None = None
        self._error = ""
        self._checkedKey: tuple[Any, ...] | None = None
        self._check: Background | None = None
        self._asked: tuple[Any, ...] | None = None
        ui.inputFindings.setStyleSheet(
            boxStyle("warning", "inputFindings") + "#inputFindings { padding: 4px; }"
        )

    def update(self, parameters: Any, models: Sequence[InstalledModel]) -> None:
        """Follow the parameter node.

        Args:
            parameters: The module's parameters.
            models: The installed ones.
        """
        if parameters.inputVolume is not self._node:
            self._observe(parameters.inputVolume)
        self._read(parameters.model, models)
        self._forgetAnswer(parameters)
        self._show(parameters.segmentAnyway)

    def waitForFindings(self) -> None:
        """Wait for the end of the check; usually a fraction of a second."""
        if self._check is not None:
            self._takeFindings(self._check)

    def stop(self) -> None:
        """Release the node; no check is reported any more."""
        self._forgetCheck()
        self._observe(None)

    def _observe(self, node: vtkMRMLScalarVolumeNode | None) -> None:
        self.removeObservers()
        self._node = node
        if node is not None:
            for event in (vtk.vtkCommand.ModifiedEvent, vtkMRMLVolumeNode.ImageDataModifiedEvent):
                self.addObserver(node, event, self._onNodeModified)

    def _onNodeModified(self, caller: Any = None, event: Any = None) -> None:
        self._onChange()

    def _read(self, model: str, models: Sequence[InstalledModel]) -> None:
        """Read the grid now, and check the voxels in a thread, once for each change of them."""
        self._volume = None
        if self._node is None:
            self._forgetCheck()
            return
        try:
            self._volume = volume_from_node(self._node)
        except SDSegError as error:
            self._forgetCheck()
            self._error = str(error)
            return
        volume = self._volume
        image = (self._node.GetID(), self._node.GetImageData().GetMTime(), volume.modality)
        key = (image, model, [(item.folder, item.description.version) for item in models])
        if key != self._checkedKey:
            self._forgetCheck()
            self._checkedKey = key
            self._check = Background(
                lambda: examine(volume, models, model), _("The check of the volume")
            )
            self._check.whenDone(lambda check: self._onChange())
        elif self._check is not None and self._check.isDone:
            self._takeFindings(self._check)

    def _forgetCheck(self) -> None:
        if self._check is not None:
            self._check.forget()
        self._checkedKey, self._check = None, None
        self.examination, self._error = None, ""

    def _takeFindings(self, check: Background) -> None:
        self._check = None
        try:
            self.examination = check.take()
        except SDSegError as error:
            self._error = str(error)

    def _forgetAnswer(self, parameters: Any) -> None:
        """Untick "segment anyway" after a change of the volume or of its findings."""
        if self.examination is None:
            return
        texts = [item.message for item in of_severity(self.examination.findings, "ask")]
        asked = (self._checkedKey and self._checkedKey[0][0], texts)
        if self._asked is not None and asked != self._asked:
            parameters.segmentAnyway = False
        self._asked = asked

    @property
    def isCt(self) -> bool:
        """Whether the volume is a CT: it says so, or its values are those of one."""
        if self._volume is None or self.isChecking or self.examination is None:
            return False
        kinds = {finding.kind for finding in self.examination.findings}
        isUsable = not of_severity(self.examination.findings, "refuse")
        return (
            isUsable
            and self._volume.modality in (None, "CT")
            and not kinds & {"range", "hu-offset", "modality"}
        )

    @property
    def isChecking(self) -> bool:
        """Whether the voxels are being checked, or the findings are not shown yet."""
        return self._check is not None

    def _show(self, segmentAnyway: bool) -> None:
        findings = () if self.examination is None else self.examination.findings
        refused, asked = of_severity(findings, "refuse"), of_severity(findings, "ask")
        self._ui.segmentAnywayCheckBox.setVisible(bool(asked))
        frames = None if self._node is None else frames_of(self._node)
        self._ui.allFramesCheckBox.setVisible(frames is not None)
        if frames is not None:
            self._ui.allFramesCheckBox.setText(
                _("All {count} frames of the sequence").format(count=frames.count)
            )
        showText(self._ui.inputFacts, self._facts(bool(asked)))
        texts = [self._error] if self._error else [finding.message for finding in findings]
        showText(self._ui.inputFindings, "\n".join(texts))
        if self._node is None:
            self.problem = _("Choose a CT volume first.")
        elif self._error:
            self.problem = self._error
        elif is_instability(self._node):
            self.problem = _("This is a map of instability; choose the CT that it belongs to.")
        elif refused:
            self.problem = refused[0].message
        elif asked and not segmentAnyway:
            self.problem = _(
                "This volume may not suit the model; choose another, or tick the box below the "
                "warning."
            )
        else:
            self.problem = ""

    def _facts(self, isDoubtful: bool) -> str:
        if self._volume is None:
            return ""
        geometry = self._volume.geometry
        unknown = isDoubtful or self.isChecking
        likely = _("modality not stated") if unknown else _("values like a CT")
        facts = [
            grid_text(geometry.shape, geometry.spacing, libraryText),
            self._volume.modality or likely,
        ]
        if self._node is not None and self._node.GetParentTransformNode() is not None:
            facts.append(_("transformed"))
        if self.isChecking:
            facts.append(_("checking…"))
        return ", ".join(facts)


class RegionPanel(VTKObservationMixin):
    """Facts below the region selector; gives new boxes a position and a size.

    Args:
        ui: The window's widgets.
        onChange: Called when the box was moved; it draws after a short delay.

    Attributes:
        problem: Reason why the box cannot be used, or "".
    """

    def __init__(self, ui: Any, onChange: Any) -> None:
        VTKObservationMixin.__init__(self)
        self.problem = ""
        self._ui = ui
        self._onChange = onChange
        self._parameters: Any = None
        self._node: Any = None
        ui.regionSelector.connect("nodeAddedByUser(vtkMRMLNode*)", self._onNodeAdded)

    def update(self, parameters: Any) -> None:
        """Follow the parameter node."""
        self._parameters = parameters
        if parameters.region is not self._node:
            self._observe(parameters.region)
        self.problem = ""
        text = self._facts(parameters)
        showText(self._ui.regionFacts, text)

    def stop(self) -> None:
        """Release the box."""
        self._observe(None)

    def _observe(self, node: Any) -> None:
        self.removeObservers()
        self._node = node
        if node is not None:
            self.addObserver(node, vtk.vtkCommand.ModifiedEvent, self._onNodeModified)

    def _onNodeModified(self, caller: Any = None, event: Any = None) -> None:
        self._onChange()

    def _onNodeAdded(self, node: Any) -> None:
        if node is not None and self._parameters.inputVolume is not None and not has_size(node):
            fit_roi(node, self._parameters.inputVolume)
            node.CreateDefaultDisplayNodes()

    def _facts(self, parameters: Any) -> str:
        if parameters.region is None or parameters.inputVolume is None:
            return ""
        try:
            volume = volume_from_node(parameters.inputVolume)
            region = region_from_roi(parameters.region, parameters.inputVolume)
            box = box_from_roi(parameters.region, parameters.inputVolume)
        except SDSegError as error:
            self.problem = str(error)
            return self.problem
        count = math.prod(region.shape)
        if box is not None:
            percent = 100 * min(box.voxels, count) / volume.array.size
            return _("A turned box, {percent:.0f} % of the volume").format(percent=percent)
        share = count / volume.array.size
        if not is_under_linear(parameters.region, parameters.inputVolume):
            return _(
                "The smallest box of voxels around it, {percent:.0f} % of the volume, because a "
                "transform is not linear"
            ).format(percent=100 * share)
        voxels = " × ".join(str(count) for count in region.shape[::-1])
        return _("{voxels} voxels, {percent:.0f} % of the volume").format(
            voxels=voxels, percent=100 * share
        )
