"""A volume on another grid that has its voxels at the same places; nothing is resampled."""

from __future__ import annotations

import numpy as np

from .geometry import Geometry
from .volume import Volume

TOLERANCE_MM = 0.01


def on_same_voxels(
    volume: Volume, geometry: Geometry, tolerance_mm: float = TOLERANCE_MM
) -> np.ndarray | None:
    """A volume's values at the voxels of another grid, as far as it reaches.

    Axes may be flipped or permuted, and the grid may be larger or smaller, as that of a DICOM
    Segmentation, which ends with its first and last slice that holds something.

    Args:
        volume: Values on a grid of its own.
        geometry: The other grid.
        tolerance_mm: How far apart the same voxel may be on both grids.

    Returns:
        Array of `geometry.shape`, 0 where the volume does not reach; None if the voxels of both
        grids are not at the same places.
    """
    to_index = np.linalg.inv(geometry.affine_lps) @ volume.geometry.affine_lps
    whole = np.rint(to_index)
    turn, start = whole[:3, :3].astype(int), whole[:3, 3].astype(int)
    if (np.abs(turn).sum(axis=0) != 1).any() or (np.abs(turn).sum(axis=1) != 1).any():
        return None
    last = np.array(volume.array.shape[::-1]) - 1
    corners = [[a, b, c, 1] for a in (0, last[0]) for b in (0, last[1]) for c in (0, last[2])]
    strays = geometry.affine_lps @ (whole - to_index) @ np.transpose(corners)
    if np.abs(strays).max() > tolerance_mm:
        return None
    # Array axes are (k, j, i), those of matrices (i, j, k).
    order = [2 - int(np.abs(row).argmax()) for row in turn[::-1]]
    flips = tuple(n for n, row in enumerate(turn[::-1]) if row.sum() < 0)
    values = np.flip(volume.array.transpose(order), flips)
    first = np.minimum(start, start + turn @ last)[::-1]
    low = np.maximum(first, 0)
    high = np.minimum(first + values.shape, geometry.shape)
    if values.shape == geometry.shape and not first.any():
        return values
    result = np.zeros(geometry.shape, values.dtype)
    if (low < high).all():
        inside = values[tuple(map(slice, low - first, high - first))]
        result[tuple(map(slice, low, high))] = inside
    return result
