"""Items of the subject hierarchy for nodes that come and go, as the application makes them."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

_SHOWN = (
    "vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode",
    "vtkMRMLTransformNode", "vtkMRMLTableNode", "vtkMRMLTextNode",
)  # fmt: skip


class SubjectHierarchyItems:
    """Follows a scene from now until `stop`."""

    def __init__(self, scene: Any) -> None:
        self._scene = scene
        self._tags = [
            scene.AddObserver(scene.NodeAddedEvent, self._added),
            scene.AddObserver(scene.NodeAboutToBeRemovedEvent, self._removed),
            scene.AddObserver(scene.EndCloseEvent, self._closed),
            scene.AddObserver(scene.EndImportEvent, self._imported),
        ]
        self._node()

    def stop(self) -> None:
        for tag in self._tags:
            self._scene.RemoveObserver(tag)

    def _node(self) -> Any:
        return slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._scene)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _added(self, scene: Any, event: Any, node: Any) -> None:
        if not scene.IsImporting():  # a scene file has items of its own
            self._ensure_item(node)

    def _closed(self, scene: Any, event: Any) -> None:
        for item in self._items(recursive=False):
            self._node().RemoveItem(item, False, True)

    def _imported(self, scene: Any, event: Any) -> None:
        slicer.vtkMRMLSubjectHierarchyNode.ResolveSubjectHierarchy(scene)
        known = [self._node().GetItemDataNode(item) for item in self._items()]
        for number in range(scene.GetNumberOfNodes()):
            if scene.GetNthNode(number) not in known:
                self._ensure_item(scene.GetNthNode(number))

    def _ensure_item(self, node: Any) -> None:
        if not any(node.IsA(kind) for kind in _SHOWN) or node.GetHideFromEditors():
            return
        hierarchy = self._node()
        if not hierarchy.GetItemByDataNode(node):
            hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    def _items(self, recursive: bool = True) -> list[int]:
        items = vtk.vtkIdList()
        self._node().GetItemChildren(self._node().GetSceneItemID(), items, recursive)
        return [items.GetId(number) for number in range(items.GetNumberOfIds())]

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def _removed(self, scene: Any, event: Any, node: Any) -> None:
        if scene.IsClosing() or not any(node.IsA(kind) for kind in _SHOWN):
            return
        hierarchy = self._node()
        item = hierarchy.GetItemByDataNode(node)
        if item:
            hierarchy.RemoveItem(item, False, False)
