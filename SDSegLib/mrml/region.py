"""A box drawn in 3D Slicer as a region of a volume's voxels."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..volume.region import Region, region_around
from .volume_node import volume_from_node

if TYPE_CHECKING:
    from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode

_POINTS_ALONG_A_SIDE = 5  # more than the corners, for boxes under a warp


def region_from_roi(
    roi_node: vtkMRMLMarkupsROINode, volume_node: vtkMRMLScalarVolumeNode
) -> Region:
    """The voxels of a volume that a box holds, with the parent transforms of both.

    Of a box that is turned against the volume, the smallest region that holds all of it.

    Raises:
        InputError: If the box has no size or lies outside the volume, or the volume has no voxels.
    """
    geometry = volume_from_node(volume_node).geometry
    points = []
    for corner in _points_in_node(roi_node):
        world, local = [0.0] * 3, [0.0] * 3
        roi_node.TransformPointToWorld(corner, world)
        volume_node.TransformPointFromWorld(world, local)
        points.append(local)
    return region_around(geometry, np.array(points))


def fit_roi(roi_node: vtkMRMLMarkupsROINode, volume_node: vtkMRMLScalarVolumeNode) -> None:
    """Lay a box around the middle of a volume, half as long along each world axis."""
    bounds = [0.0] * 6
    volume_node.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    roi_node.SetCenterWorld(*((low + high) / 2))
    roi_node.SetSizeWorld(*((high - low) / 2))


def has_size(roi_node: vtkMRMLMarkupsROINode) -> bool:
    """Whether a box has been drawn: a new one has no extent."""
    return bool(min(roi_node.GetSize()) > 0)


def _points_in_node(roi_node: vtkMRMLMarkupsROINode) -> list[list[float]]:
    """Points on a grid over the box, in the coordinates of the node."""
    if not has_size(roi_node):
        raise InputError(
            f'The region "{roi_node.GetName()}" has no size; draw it in a slice view, or choose '
            "the whole volume."
        )
    matrix = roi_node.GetObjectToNodeMatrix()
    sides = [np.linspace(-size / 2, size / 2, _POINTS_ALONG_A_SIDE) for size in roi_node.GetSize()]
    return [
        list(matrix.MultiplyPoint([x, y, z, 1.0])[:3])
        for x in sides[0]
        for y in sides[1]
        for z in sides[2]
    ]
