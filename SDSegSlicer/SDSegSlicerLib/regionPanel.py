"""The box to segment in: what it holds of the volume."""

import math
from typing import Any

import vtk
from slicer.i18n import tr as _
from slicer.util import VTKObservationMixin

from SDSegLib.errors import SDSegError
from SDSegLib.mrml.region import fit_roi, has_size, region_from_roi
from SDSegLib.mrml.volume_node import volume_from_node


class RegionPanel(VTKObservationMixin):
    """The line below the region selector; lays new boxes over the volume.

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
        """Let go of the box."""
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
