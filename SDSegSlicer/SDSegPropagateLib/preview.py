"""Shows the carried mask over the views, in a segmentation node of its own that is never saved."""

from typing import Any

import slicer

from SDSegLib.mrml.edit_grid import mask_image
from SDSegLib.propagation.mask_part import MaskPart

from .target import Target

_FILL_OPACITY = 0.35
_SEGMENT = "preview"


class Preview:
    """The preview of one segment; its node exists while something is shown."""

    def __init__(self) -> None:
        self.node: Any = None

    @property
    def isShown(self) -> bool:
        return self.node is not None and self.node.GetScene() is not None

    def show(self, target: Target, mask: MaskPart) -> None:
        """Show a mask in place of the last one.

        Args:
            target: Its segment; the preview has a lighter tone of its colour.
            mask: On the target's grid.
        """
        if not self.isShown:
            self._make(target)
        self.follow(target)
        segment = self.node.GetSegmentation().GetSegment(_SEGMENT)
        segment.SetColor(*(_lighter(value) for value in target.segment.GetColor()))
        segment.SetName(target.segment.GetName())
        segment.AddRepresentation("Binary labelmap", mask_image(mask, target.grid))
        segment.SetLabelValue(1)
        segment.Modified()

    def follow(self, target: Target) -> None:
        """Lie under the transform of the segment."""
        if self.isShown:
            self.node.SetAndObserveTransformNodeID(target.segmentationNode.GetTransformNodeID())

    def hide(self) -> None:
        """Remove the node, and with it its display node."""
        if self.isShown:
            self.node.GetScene().RemoveNode(self.node)
        self.node = None

    def _make(self, target: Target) -> None:
        scene = target.segmentationNode.GetScene()
        node = scene.CreateNodeByClass("vtkMRMLSegmentationNode")
        node.UnRegister(None)
        node.SetName("SDSeg preview")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        self.node = scene.AddNode(node)
        self.node.CreateDefaultDisplayNodes()
        display = self.node.GetDisplayNode()
        display.SetSaveWithScene(False)
        display.SetVisibility3D(False)
        display.SetOpacity2DFill(_FILL_OPACITY)
        self._addToHierarchy(scene)
        self.node.GetSegmentation().AddEmptySegment(_SEGMENT)

    def _addToHierarchy(self, scene: Any) -> None:
        """Views look for each segmentation's item; this one is not listed, also if it is saved."""
        hierarchy = scene.GetSubjectHierarchyNode()
        if hierarchy is None:
            return
        item = hierarchy.GetItemByDataNode(self.node)
        if not item:
            item = hierarchy.CreateItem(hierarchy.GetSceneItemID(), self.node)
        constants = slicer.vtkMRMLSubjectHierarchyConstants
        hierarchy.SetItemAttribute(
            item, constants.GetSubjectHierarchyExcludeFromTreeAttributeName(), "1"
        )


def _lighter(value: float) -> float:
    return (value + 1.0) / 2
