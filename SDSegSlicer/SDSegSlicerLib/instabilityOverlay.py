"""The instability map over the CT in the slice views, and what was there before."""

from typing import Any

import slicer
from slicer import vtkMRMLSegmentationDisplayNode, vtkMRMLSegmentationNode


class InstabilityOverlay:
    """Puts the map into the foreground and the segments' outlines over it, and all back."""

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
        """Bring back what the slice views showed."""
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
