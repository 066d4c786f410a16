"""The preview: masks that are shown over the CT and are no part of the segmentation yet."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from slicer import vtkMRMLScalarVolumeNode

from ..mrml.edit_grid import edit_grid, mask_image, write_segment
from ..propagation.mask_part import MaskPart

_NAME = "Preview"
_FILL_OPACITY = 0.22
_OUTLINE_PIXELS = 2
_COLORS = ((0.25, 0.95, 1.0), (1.0, 0.92, 0.2))  # cyan, yellow: neither skin-like nor grey


class Preview:
    """A segmentation node of its own, which is neither edited nor saved.

    Args:
        scene: The scene.
    """

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._node: Any = None

    @property
    def is_shown(self) -> bool:
        """Whether there is a preview."""
        return self._node is not None

    def show(
        self,
        masks: Mapping[str, MaskPart],
        colors: Mapping[str, tuple[float, float, float]],
        volume_node: vtkMRMLScalarVolumeNode,
    ) -> None:
        """Show masks in place of those that are shown.

        Args:
            masks: By segment ID, on the volume's grid.
            colors: Red, green, blue from 0 to 1 by segment ID.
            volume_node: The CT.
        """
        node = self._node_for(volume_node)
        segmentation = node.GetSegmentation()
        for segment_id in set(segmentation.GetSegmentIDs()) - set(masks):
            segmentation.RemoveSegment(segment_id)
        grid = edit_grid(node, volume_node)
        for segment_id, mask in masks.items():
            if segmentation.GetSegment(segment_id) is None:
                segmentation.AddEmptySegment(segment_id, _NAME, colors[segment_id])
            segmentation.GetSegment(segment_id).SetColor(*colors[segment_id])
            write_segment(node, segment_id, mask_image(mask, grid))

    def clear(self) -> None:
        """Remove the preview."""
        if self._node is not None and self._node.GetScene() is not None:
            self._scene.RemoveNode(self._node)
        self._node = None

    def _node_for(self, volume_node: vtkMRMLScalarVolumeNode) -> Any:
        if self._node is None or self._node.GetScene() is None:
            node = self._scene.AddNewNodeByClass("vtkMRMLSegmentationNode", _NAME)
            node.SetSaveWithScene(False)
            node.SetHideFromEditors(True)
            node.CreateDefaultDisplayNodes()
            node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
            display = node.GetDisplayNode()
            display.SetSaveWithScene(False)
            display.SetOpacity2DFill(_FILL_OPACITY)
            display.SetSliceIntersectionThickness(_OUTLINE_PIXELS)
            display.SetVisibility3D(False)
            self._node = node
        return self._node


def preview_color(color: tuple[float, float, float]) -> tuple[float, float, float]:
    """A colour for the preview of a segment that differs from the segment's own."""
    return max(_COLORS, key=lambda one: sum(abs(a - b) for a, b in zip(one, color, strict=True)))
