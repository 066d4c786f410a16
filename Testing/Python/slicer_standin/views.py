"""The layout manager and slice widgets, on real slice, composite and layout nodes."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

from .strict import Strict

NAMES = ("Red", "Green", "Yellow")
_ORIENTATIONS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
_CONVENTIONAL = 2


class SliceWidget(Strict):
    """A slice view without pictures."""

    def __init__(self, name: str, logic: Any) -> None:
        self._name, self._logic = name, logic

    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    def sliceLogic(self) -> Any:
        return self._logic

    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qSlicerLayoutManager(Strict):
    """Finds the views, and switches layouts.

    Attributes:
        layout: Number of the layout; see `slicer.vtkMRMLLayoutNode`.
    """

    threeDViewCount = 1
    tableViewCount = plotViewCount = 0

    def __init__(self, scene: Any, application_logic: Any) -> None:
        self._scene = scene
        self._application_logic = application_logic
        self._logics: dict[str, Any] = {}
        self._make_nodes()

    @property
    def layout(self) -> int:
        return self._layout_node().GetViewArrangement()

    @layout.setter
    def layout(self, number: int) -> None:
        self._layout_node().SetViewArrangement(number)

    def setLayout(self, number: int) -> None:
        self.layout = number

    def sliceViewNames(self) -> tuple[str, ...]:
        return NAMES

    def sliceWidget(self, name: str) -> SliceWidget | None:
        logic = self._logics.get(name)
        return None if logic is None else SliceWidget(name, logic)

    def mrmlSliceLogics(self) -> Any:
        collection = vtk.vtkCollection()
        for logic in self._logics.values():
            collection.AddItem(logic)
        return collection

    def mrmlScene(self) -> Any:
        return self._scene

    def resetSliceViews(self) -> None:
        for logic in self._logics.values():
            logic.FitSliceToAll()

    def resetThreeDViews(self) -> None: ...

    def _end(self) -> None:
        """Let go of the scene; clearing it with its singletons crashes while logics hold them."""
        for logic in [*self._logics.values(), self._layout_logic]:
            logic.SetMRMLScene(None)

    def _layout_node(self) -> Any:
        return self._layout_logic.GetLayoutNode()

    def _make_nodes(self) -> None:
        """The nodes of the conventional layout; they outlive closing the scene."""
        self._layout_logic = slicer.vtkMRMLLayoutLogic()
        self._layout_logic.SetMRMLScene(self._scene)
        self._layout_node().SetViewArrangement(_CONVENTIONAL)
        slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(self._scene)
        for name in NAMES:
            logic = slicer.vtkMRMLSliceLogic()
            logic.SetMRMLApplicationLogic(self._application_logic)
            logic.SetMRMLScene(self._scene)
            node = self._scene.GetSingletonNode(name, "vtkMRMLSliceNode")  # of the layout logic
            logic.SetSliceNode(node)
            node.SetOrientation(_ORIENTATIONS[name])
            node.SetDimensions(300, 300, 1)
            self._logics[name] = logic
