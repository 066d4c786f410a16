"""What 3D Slicer does not survive or complains about in its log, although MRML accepts it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import vtk


class SceneGuard:
    """Watches a scene from now until `stop`.

    Args:
        scene: The application's scene.
        report: Called with a sentence about each offence.
    """

    def __init__(self, scene: Any, report: Callable[[str], None]) -> None:
        self._scene, self._report = scene, report
        self._tags = [
            scene.AddObserver(scene.NodeAddedEvent, self._added),
            scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._removed),
        ]
        self._watched: list[tuple[Any, int, Any]] = []  # with the node, which has to outlive it

    def stop(self) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)
        for subject, tag, _node in self._watched:
            subject.RemoveObserver(tag)
        self._watched.clear()

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _added(self, scene: Any, event: Any, node: Any) -> None:
        """Segments of a node that was in the scene have rows in its subject hierarchy."""
        if not node.IsA("vtkMRMLSegmentationNode") or node.GetHideFromEditors():
            return
        segmentation = node.GetSegmentation()

        def changed(*_: Any) -> None:
            if node.GetScene() is None:
                self._report(f'"{node.GetName()}": Failed to access subject hierarchy node')

        for name in ("SegmentAdded", "SegmentRemoved", "SegmentModified"):
            tag = segmentation.AddObserver(getattr(segmentation, name), changed)
            self._watched.append((segmentation, tag, node))

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _removed(self, scene: Any, event: Any, node: Any) -> None:
        """The 3-D views follow the display node of a segmentation until that is gone."""
        if scene.IsClosing() or not node.IsA("vtkMRMLSegmentationDisplayNode"):
            return
        for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
            owner = scene.GetNthNodeByClass(number, "vtkMRMLSegmentationNode")
            if owner.GetDisplayNode() is node:
                self._report(
                    f'3D Slicer crashes: the display node of "{owner.GetName()}" was removed '
                    "before the segmentation"
                )
