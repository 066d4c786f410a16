"""A slice view as pixels: background, foreground and segments, by the nearest voxel."""

from __future__ import annotations

from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util.numpy_support import vtk_to_numpy

_FILL = 0.5
_STEP = 2  # every second pixel, so that painting does not count among the pauses of the window


def slice_picture(scene: Any, logic: Any) -> np.ndarray:
    """What a slice view shows, uint8 (rows, columns, 3), at half of its resolution, top first."""
    node, composite = logic.GetSliceNode(), logic.GetSliceCompositeNode()
    width, height = node.GetDimensions()[:2]
    plane = _Plane(_matrix(node.GetXYToRAS()), width, height)
    background = scene.GetNodeByID(composite.GetBackgroundVolumeID() or "")
    foreground = scene.GetNodeByID(composite.GetForegroundVolumeID() or "")
    _add_volume(plane, background, 1.0)
    _add_volume(plane, foreground, composite.GetForegroundOpacity())
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode")):
        _add_segments(plane, scene.GetNthNodeByClass(number, "vtkMRMLSegmentationNode"))
    return plane.pixels.astype(np.uint8)


class _Plane:
    """The pixels of a view, and where they lie in the world."""

    def __init__(self, to_world: np.ndarray, width: int, height: int) -> None:
        self.to_world = to_world
        self.x = np.arange(0, width, _STEP, dtype=np.float32)
        self.y = np.arange(height - 1, -1, -_STEP, dtype=np.float32)
        self.pixels = np.zeros((len(self.y), len(self.x), 3), np.float32)

    def sample(self, image: Any, from_world: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Values (rows, columns) of an image, and which pixels are inside of it."""
        shape = self.pixels.shape[:2]
        scalars = image.GetPointData().GetScalars() if image is not None else None
        if scalars is None:
            return np.zeros(shape), np.zeros(shape, bool)
        size = image.GetDimensions()
        values = vtk_to_numpy(scalars).reshape(*size[::-1], -1)[..., 0]
        matrix = (from_world @ self.to_world).astype(np.float32)
        inside, index = np.ones(shape, bool), []
        for row, count, first in zip(matrix, size, image.GetExtent()[::2], strict=False):
            place = (row[0] * self.x)[None] + (row[1] * self.y + row[3] - first)[:, None]
            number = np.rint(place).astype(np.int32)
            inside &= (number >= 0) & (number < count)
            index.append(number.clip(0, count - 1))
        i, j, k = index
        return values[k, j, i], inside

    def blend(self, where: np.ndarray, colors: np.ndarray, opacity: float) -> None:
        self.pixels[where] += opacity * (colors[where] - self.pixels[where])


def _matrix(matrix: Any) -> np.ndarray:
    return slicer.util.arrayFromVTKMatrix(matrix)


def _from_world(node: Any) -> np.ndarray:
    """World to the node's own coordinates; transforms that are not linear are left out."""
    parent, matrix = node.GetParentTransformNode(), vtk.vtkMatrix4x4()
    if parent is not None and parent.IsTransformToWorldLinear():
        parent.GetMatrixTransformFromWorld(matrix)
    return _matrix(matrix)


def _add_volume(plane: _Plane, node: Any, opacity: float) -> None:
    display = node.GetDisplayNode() if node is not None else None
    if display is None or opacity <= 0:
        return
    to_ijk = vtk.vtkMatrix4x4()
    node.GetRASToIJKMatrix(to_ijk)
    values, shown = plane.sample(node.GetImageData(), _matrix(to_ijk) @ _from_world(node))
    if display.GetApplyThreshold():
        shown &= (values >= display.GetLowerThreshold()) & (values <= display.GetUpperThreshold())
    low, high = display.GetWindowLevelMin(), display.GetWindowLevelMax()
    level = ((values.astype(np.float32) - low) / max(high - low, 1e-9)).clip(0, 1)
    table = display.GetColorNode().GetLookupTable() if display.GetColorNode() else None
    if table is None:
        ramp = np.repeat(np.arange(256, dtype=np.float32)[:, None], 3, axis=1)
    else:
        ramp = vtk_to_numpy(table.GetTable())[:, :3].astype(np.float32)
    plane.blend(shown, ramp[np.rint(level * (len(ramp) - 1)).astype(np.int32)], opacity)


def _add_segments(plane: _Plane, node: Any) -> None:
    display, segmentation = node.GetDisplayNode(), node.GetSegmentation()
    if display is None or not display.GetVisibility():
        return
    own = _from_world(node)
    layers: dict[Any, np.ndarray] = {}  # colour of each label; below 0 for none
    for segment_id in segmentation.GetSegmentIDs():
        segment = segmentation.GetSegment(segment_id)
        image = segment.GetRepresentation("Binary labelmap")
        is_empty = image is None or not image.GetNumberOfPoints()
        if not is_empty and display.GetSegmentVisibility(segment_id):
            ramp = layers.setdefault(image, np.full((256, 3), -1, np.float32))
            ramp[int(segment.GetLabelValue())] = np.array(segment.GetColor()) * 255
    for image, ramp in layers.items():
        to_image = vtk.vtkMatrix4x4()
        image.GetWorldToImageMatrix(to_image)
        labels, inside = plane.sample(image, _matrix(to_image) @ own)
        labels = np.where(inside, labels.astype(np.int32).clip(0, 255), 0)
        colors = ramp[labels]
        shown = inside & (colors[..., 0] >= 0)
        if display.GetVisibility2DFill():
            plane.blend(shown, colors, _FILL)
        else:
            plane.blend(shown & _border(labels), colors, 1.0)


def _border(labels: np.ndarray) -> np.ndarray:
    """Pixels with another label beside them."""
    border = np.zeros(labels.shape, bool)
    border[1:] |= labels[1:] != labels[:-1]
    border[:-1] |= labels[1:] != labels[:-1]
    border[:, 1:] |= labels[:, 1:] != labels[:, :-1]
    border[:, :-1] |= labels[:, 1:] != labels[:, :-1]
    return border
