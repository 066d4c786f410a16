"""The three slice views and the 3-D view."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSliceNode
from trame_slicer.core import SlicerApp
from trame_slicer.views import ViewLayoutDefinition
from vtk import vtkMatrix4x4

from . import trame_private

SLICE_VIEWS = ("Red", "Green", "Yellow")
THREE_D = "ThreeD"


@dataclass(frozen=True)
class SlicePosition:
    """Which slice a view shows, counted along the volume's own axis.

    Attributes:
        number: From 1; 0 outside the volume.
        count: Slices along that axis.
        letters: Patient directions at the left, right, top and bottom edge.
    """

    number: int
    count: int
    letters: tuple[str, str, str, str]


class Views:
    """Creates and moves the views. Used on the event loop's thread only.

    Args:
        app: Scene and logics.
        server: The trame server that shows them.
        on_move: Called when a slice view has changed.
    """

    def __init__(self, app: SlicerApp, server: Any, on_move: Callable[[], None]) -> None:
        self._app = app
        self._volume: vtkMRMLScalarVolumeNode | None = None
        self._sized: set[str] = set()  # views whose size the page has sent
        self._unfitted: set[str] = set()  # views that show a CT and wait for their size
        trame_private.register_views(app, server)
        definitions = (
            ViewLayoutDefinition.axial_view(),
            ViewLayoutDefinition.coronal_view(),
            ViewLayoutDefinition.sagittal_view(),
            ViewLayoutDefinition.threed_view(background_color=("#0b0e12", "#1a2029")),
        )
        self._views = {
            item.singleton_tag: app.view_manager.create_view(item) for item in definitions
        }
        for tag in SLICE_VIEWS:
            view = self._views[tag]
            view.modified.connect(lambda *_: on_move())
            trame_private.on_resize(view, partial(self._fit_if_new, tag))
        for view in self._views.values():
            view.render_window().SetMultiSamples(0)  # antialiasing is too slow on a CPU
        self.show_only((*SLICE_VIEWS,))

    def show(self, volume: vtkMRMLScalarVolumeNode) -> None:
        """Put a CT into all slice views."""
        self._volume = volume
        self._app.display_manager.show_volume_in_slice_background(volume)
        self._app.display_manager.show_volume_in_slice_foreground(None)
        self._unfitted = set(SLICE_VIEWS) - self._sized
        for tag in SLICE_VIEWS:
            self._views[tag].reset_view()

    def fit(self) -> None:
        """Fit the CT into all views; each goes on showing its slice."""
        for tag, view in self._views.items():
            if tag == THREE_D:
                view.reset_view()
            else:
                place = view.get_slice_value()
                view.reset_view()
                view.set_slice_value(place)

    def set_window(self, window: float, level: float) -> None:
        """Set window and level in HU."""
        if self._volume is None:
            return
        display = self._volume.GetDisplayNode()
        display.AutoWindowLevelOff()
        display.SetWindowLevel(window, level)

    def window(self) -> tuple[float, float]:
        """Current window and level in HU."""
        display = None if self._volume is None else self._volume.GetDisplayNode()
        return (0.0, 0.0) if display is None else (display.GetWindow(), display.GetLevel())

    def jump(self, center_ras: tuple[float, float, float]) -> None:
        """Move all slice views to a point, RAS mm."""
        vtkMRMLSliceNode.JumpAllSlices(self._app.scene, *center_ras)
        for tag in SLICE_VIEWS:
            trame_private.slice_logic(self._views[tag]).SnapSliceOffsetToIJK()

    def step(self, tag: str, steps: int) -> None:
        """Move one view by some slices."""
        position = self.position(tag)
        if position.count:
            self.go_to(tag, position.number + steps)

    def go_to(self, tag: str, number: int) -> None:
        """Show a slice by its number, from 1, limited to the volume's slices."""
        view, geometry = self._views[tag], self._axes(tag)
        if geometry is None:
            return
        axis, normal, matrix, count = geometry
        index = min(max(number, 1), count) - 1
        here = self._index_of_view(tag, matrix)
        place = here.copy()
        place[axis] = index
        shift = float(normal @ (matrix[:3, :3] @ (place - here)))
        view.set_slice_value(view.get_slice_value() + shift)

    def position(self, tag: str) -> SlicePosition:
        """Which slice a view shows."""
        geometry = self._axes(tag)
        if geometry is None:
            return SlicePosition(0, 0, ("", "", "", ""))
        axis, _, matrix, count = geometry
        index = round(float(self._index_of_view(tag, matrix)[axis]))
        number = index + 1 if 0 <= index < count else 0
        return SlicePosition(number, count, self._letters(tag))

    def positions(self) -> dict[str, dict[str, Any]]:
        """Positions of all slice views, for the page."""
        return {tag: asdict(self.position(tag)) for tag in SLICE_VIEWS}

    def overlay(self, node: vtkMRMLScalarVolumeNode | None, opacity: float) -> None:
        """Show a volume over the CT, or none."""
        for tag in SLICE_VIEWS:
            view = self._views[tag]
            view.set_foreground_volume_id(None if node is None else node.GetID())
            view.set_foreground_opacity(0.0 if node is None else opacity)

    def show_only(self, tags: tuple[str, ...]) -> None:
        """Draw these views and no others."""
        for tag, view in self._views.items():
            view.set_render_blocked(tag not in tags)

    def redraw(self) -> None:
        """Draw all views again, for a page that has just connected."""
        for view in self._views.values():
            view.schedule_render()

    def reset_three_d(self) -> None:
        """Fit the 3-D view to everything shown in it."""
        self._views[THREE_D].reset_view()

    def _fit_if_new(self, tag: str) -> None:
        """Fit the CT if it was opened before the size of the view was known."""
        self._sized.add(tag)
        if tag in self._unfitted and self._volume is not None:
            self._unfitted.discard(tag)
            self._views[tag].reset_view()

    def _axes(self, tag: str) -> tuple[int, np.ndarray, np.ndarray, int] | None:
        """The volume's axis across a view, the view's normal, index to RAS, and slices."""
        image = None if self._volume is None else self._volume.GetImageData()
        if self._volume is None or image is None:
            return None
        matrix = _array(self._volume.GetIJKToRASMatrix)
        normal = self._slice_to_ras(tag)[:3, 2]
        columns = matrix[:3, :3] / np.linalg.norm(matrix[:3, :3], axis=0)
        axis = int(np.argmax(np.abs(normal @ columns)))
        return axis, normal, matrix, image.GetDimensions()[axis]

    def _slice_to_ras(self, tag: str) -> np.ndarray:
        matrix = self._views[tag].get_view_node().GetSliceToRAS()
        return np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])

    def _index_of_view(self, tag: str, matrix: np.ndarray) -> np.ndarray:
        """Voxel index (i, j, k) at the centre of a view."""
        center = self._slice_to_ras(tag)[:, 3]
        return (np.linalg.inv(matrix) @ center)[:3]

    def _letters(self, tag: str) -> tuple[str, str, str, str]:
        axes = self._slice_to_ras(tag)
        right, top = _letter(axes[:3, 0]), _letter(axes[:3, 1])
        return _letter(-axes[:3, 0]), right, top, _letter(-axes[:3, 1])


def _array(fill: Callable[[Any], None]) -> np.ndarray:
    matrix = vtkMatrix4x4()
    fill(matrix)
    return np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])


def _letter(direction: np.ndarray) -> str:
    """The patient direction (R, A, S, L, P or I) closest to a vector."""
    axis = int(np.argmax(np.abs(direction)))
    return "RAS"[axis] if direction[axis] > 0 else "LPI"[axis]
