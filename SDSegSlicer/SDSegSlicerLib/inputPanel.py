"""The input volume and the region: their facts, and what does not fit the model."""

import math
from collections.abc import Mapping
from typing import Any

import vtk
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLVolumeNode
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SDSegLib.errors import SDSegError
from SDSegLib.mrml.results import is_instability
from SDSegLib.mrml.sequences import frames_of
from SDSegLib.mrml.volumes import fit_roi, has_size, region_from_roi, volume_from_node
from SDSegLib.review.formatting import grid_text
from SDSegLib.volume.checks import check_volume
from SDSegLib.volume.coverage import check_coverage
from SDSegLib.volume.finding import Finding
from SDSegLib.volume.volume import Volume

from .background import Background
from .widgets import boxStyle


class InputPanel(VTKObservationMixin):
    """Facts and findings below the volume selector.

    Args:
        ui: The window's widgets.
        onChange: Called when the node or the findings have changed. It draws a moment later,
            because a node that is being filled is incomplete in between.

    Attributes:
        problem: Why the volume cannot be segmented, or "".
        findings: What the user should know of it.
    """

    def __init__(self, ui: Any, onChange: Any) -> None:
        VTKObservationMixin.__init__(self)
        self.problem = ""
        self.findings: list[Finding] = []
        self._ui = ui
        self._onChange = onChange
        self._node: vtkMRMLScalarVolumeNode | None = None
        self._expects: Mapping[str, Any] = {}
        self._volume: Volume | None = None
        self._error = ""
        self._checkError = ""
        self._checkedKey: tuple[Any, ...] | None = None
        self._check: Background | None = None
        ui.inputFindings.setStyleSheet(
            boxStyle("warning", "inputFindings") + "#inputFindings { padding: 4px; }"
        )

    def update(self, parameters: Any, expects: Mapping[str, Any]) -> None:
        """Follow the parameter node.

        Args:
            parameters: The module's parameters.
            expects: What the model is for, as `ModelDescription.expects`.
        """
        self._expects = expects
        if parameters.inputVolume is not self._node:
            self._observe(parameters.inputVolume)
        self._read()
        self._show(parameters.anyModality)

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

    def _read(self) -> None:
        """Read the grid now, and check the voxels in a thread, once for each change of them."""
        self._volume, self._error = None, ""
        if self._node is None:
            self._forgetCheck()
            return
        try:
            self._volume = volume_from_node(self._node)
        except SDSegError as error:
            self._forgetCheck()
            self._error = str(error)
            return
        expects = self._expects
        key = (self._node.GetID(), self._node.GetImageData().GetMTime(), tuple(expects.items()))
        if key != self._checkedKey:
            volume = self._volume
            self._forgetCheck()
            self._checkedKey = key
            self._check = Background(
                lambda: check_volume(volume) + check_coverage(volume, expects),
                _("The check of the volume"),
            )
            self._check.whenDone(lambda check: self._onChange())
        elif self._check is not None and self._check.isDone:
            self._takeFindings(self._check)
        self._error = self._checkError

    def _forgetCheck(self) -> None:
        if self._check is not None:
            self._check.forget()
        self._checkedKey, self._check = None, None
        self.findings, self._checkError = [], ""

    def _takeFindings(self, check: Background) -> None:
        self._check = None
        try:
            self.findings = check.take()
        except SDSegError as error:
            self._checkError = str(error)

    @property
    def isChecking(self) -> bool:
        """Whether the voxels are being checked, or the findings are not shown yet."""
        return self._check is not None

    def _show(self, anyModality: bool) -> None:
        modality = None if self._volume is None else self._volume.modality
        expected = self._expects.get("modality", "CT")
        isOther = modality not in (None, expected)
        self._ui.anyModalityCheckBox.setVisible(isOther)
        frames = None if self._node is None else frames_of(self._node)
        self._ui.allFramesCheckBox.setVisible(frames is not None)
        if frames is not None:
            self._ui.allFramesCheckBox.setText(
                _("All {count} frames of the sequence").format(count=frames.count)
            )
        self._ui.inputFacts.setText(self._facts(modality))
        self._ui.inputFacts.setVisible(self._volume is not None)
        texts = [finding.message for finding in self.findings]
        if isOther and not any(finding.kind == "modality" for finding in self.findings):
            texts.append(
                _("The image's modality is {found}; the model is for {expected}.").format(
                    found=modality, expected=expected
                )
            )
        if self._error:
            texts = [self._error]
        self._ui.inputFindings.setText("\n".join(texts))
        self._ui.inputFindings.setVisible(bool(texts))
        if self._node is None:
            self.problem = _("Choose a CT volume first.")
        elif self._error:
            self.problem = self._error
        elif is_instability(self._node):
            self.problem = _("This is a map of instability; choose the CT that it belongs to.")
        elif isOther and not anyModality:
            self.problem = _(
                "The image is no {expected}; choose another, or tick the box below it."
            )
            self.problem = self.problem.format(expected=expected)
        else:
            self.problem = ""

    def _likely(self) -> str:
        """What the values look like if the source does not name a modality."""
        doubts = {"range", "hu-offset"} & {finding.kind for finding in self.findings}
        return _("modality not stated") if doubts or self.isChecking else _("values like a CT")

    def _facts(self, modality: str | None) -> str:
        if self._volume is None:
            return ""
        geometry = self._volume.geometry
        facts = [grid_text(geometry.shape, geometry.spacing, _), modality or self._likely()]
        if self._node is not None and self._node.GetParentTransformNode() is not None:
            facts.append(_("transformed"))
        if self.isChecking:
            facts.append(_("checking…"))
        return ", ".join(facts)


class RegionPanel(VTKObservationMixin):
    """Facts below the region selector; gives new boxes a position and a size.

    Args:
        ui: The window's widgets.
        onChange: Called when the box was moved; it draws a moment later.

    Attributes:
        problem: Why the box cannot be used, or "".
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
        self._ui.regionFacts.setText(text)
        self._ui.regionFacts.setVisible(bool(text))

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
        except SDSegError as error:
            self.problem = str(error)
            return self.problem
        share = math.prod(region.shape) / volume.array.size
        voxels = " × ".join(str(count) for count in region.shape[::-1])
        return _("{voxels} voxels, {percent:.0f} % of the volume").format(
            voxels=voxels, percent=100 * share
        )
