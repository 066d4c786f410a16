"""Slice views and slice numbers: which slice is shown, how it is called, and going to another."""

from typing import Any

import numpy as np
import slicer
from slicer.i18n import tr as _

from SDSegLib.mrml.edit_grid import grid_index, world_position
from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.volume.orientation import axis_letters

from .target import Target

_PARALLEL = 0.9998  # cosine of 1.1 degrees
_BODY_PLANES = {"S": "Axial", "I": "Axial", "A": "Coronal", "P": "Coronal"}


def jumpTo(target: Target, axis: int, number: int, mask: MaskPart) -> None:
    """Move all slice views to the structure on a slice.

    Args:
        target: The segment.
        axis: Array axis across the slices.
        number: Of the slice, from 0.
        mask: The structure, for its middle on the slice.
    """
    point = world_position(target.segmentationNode, target.grid, _middle(mask, axis, number))
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *point)


def shownSlice(target: Target, axis: int) -> int | None:
    """The slice that a view shows; None if no view is parallel to the slices, or shows none."""
    node = parallelView(target, axis)
    if node is None:
        return None
    position = [node.GetSliceToRAS().GetElement(row, 3) for row in range(3)]
    number = round(grid_index(target.segmentationNode, target.grid, position)[axis])
    return number if 0 <= number < target.grid.geometry.shape[axis] else None


def parallelView(target: Target, axis: int) -> Any:
    """The slice node of the first view that is parallel to the slices; None if there is none."""
    middle = [(count - 1) / 2 for count in target.grid.geometry.shape]
    ahead = [value + (n == axis) for n, value in enumerate(middle)]
    ends = [
        np.asarray(world_position(target.segmentationNode, target.grid, index))
        for index in (middle, ahead)
    ]
    direction = (ends[1] - ends[0]) / np.linalg.norm(ends[1] - ends[0])
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        normal = [node.GetSliceToRAS().GetElement(row, 2) for row in range(3)]
        if abs(float(direction @ normal)) > _PARALLEL:
            return node
    return None


def turnToVolume(target: Target) -> None:
    """Turn all slice views so that they show the volume's own slices."""
    for node in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        node.RotateToVolumePlane(target.volumeNode)


def planeName(target: Target, axis: int) -> str:
    """Name of the plane of the slices across an axis, in the body."""
    letter = axis_letters(target.grid.geometry)[2 - axis]
    names = {"Axial": _("Axial"), "Coronal": _("Coronal"), "Sagittal": _("Sagittal")}
    return names[_BODY_PLANES.get(letter, "Sagittal")]


def carryDirection(target: Target, axis: int, direction: str) -> str:
    """A button's direction by slice number: Up is towards the head, the front or the right."""
    letter = axis_letters(target.grid.geometry)[2 - axis]
    if letter in "SAR":
        return direction
    return {"up": "down", "down": "up"}.get(direction, direction)


def towards(target: Target, axis: int, isUp: bool) -> str:
    """Where in the body the button Up or Down leads."""
    letter = axis_letters(target.grid.geometry)[2 - axis]
    if letter in "SI":
        return _("towards the head") if isUp else _("towards the feet")
    if letter in "AP":
        return _("towards the front") if isUp else _("towards the back")
    return _("towards the patient's right") if isUp else _("towards the patient's left")


def sliceText(target: Target, axis: int, number: int) -> str:
    """Number of a slice from 1, and its position in mm as the slice views show it."""
    position = [(count - 1) / 2 for count in target.grid.geometry.shape]
    position[axis] = number
    world = world_position(target.segmentationNode, target.grid, position)
    letter = axis_letters(target.grid.geometry)[2 - axis]
    row, name = {"S": (2, "S"), "I": (2, "S"), "A": (1, "A"), "P": (1, "A")}.get(letter, (0, "R"))
    return _("{number}  ({name} {mm:.1f} mm)").format(number=number + 1, name=name, mm=world[row])


def _middle(mask: MaskPart, axis: int, number: int) -> list[float]:
    """Index (k, j, i) of the middle of a structure on a slice, or of the whole structure."""
    along = mask.along(axis)
    inside = along.of_slice(number)
    if not inside.is_empty:
        corner, size = inside.corner, inside.voxels.shape
    elif not along.is_empty:
        corner, size = along.corner[1:], along.voxels.shape[1:]
    else:
        corner, size = (0, 0), along.shape[1:]
    index = [first + (count - 1) / 2 for first, count in zip(corner, size, strict=True)]
    index.insert(axis, float(number))
    return index
