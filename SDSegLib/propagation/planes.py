"""In which planes a structure was drawn, if somebody drew on slices of several."""

from __future__ import annotations

import numpy as np

from .mask_part import MaskPart

_THIN_SHARE = 0.1
"""Share of the voxels that were drawn in one plane, from which on the plane counts."""
_MOSTLY = 0.5
"""Share of a slice's voxels that were drawn in its plane, from which on the slice counts."""


def several_planes(part: MaskPart) -> dict[int, tuple[int, ...]]:
    """The slices of a mask that was drawn slice by slice across more than one axis.

    Args:
        part: A mask that holds nothing but drawn slices, (k, j, i).

    Returns:
        For each array axis (0 = k) across which slices were drawn, the one with most voxels first:
        their numbers, ascending. Empty if there are fewer than two such axes.
    """
    thin = _thin_across_one(part.voxels)
    counts = [np.count_nonzero(voxels) for voxels in thin]
    least = _THIN_SHARE * max(int(np.count_nonzero(part.voxels)), 1)
    axes = sorted((axis for axis in range(3) if counts[axis] > least), key=lambda n: -counts[n])
    found = {axis: _mostly_thin(part, thin[axis], axis) for axis in axes}
    planes = {axis: numbers for axis, numbers in found.items() if numbers}
    return planes if len(planes) > 1 else {}


def _thin_across_one(voxels: np.ndarray) -> list[np.ndarray]:
    """For each axis: voxels with none before and behind them along this axis, but along others.

    Along an axis for which they are alone, such voxels were drawn on a single slice; a line, which
    is thin across two axes, does not show on which.
    """
    alone = [_alone(voxels, axis) for axis in range(3)]
    times = sum(one.astype(np.uint8) for one in alone)
    return [one & (times == 1) for one in alone]


def _alone(voxels: np.ndarray, axis: int) -> np.ndarray:
    """Voxels that have none of the structure before and behind them along an axis."""
    moved = np.moveaxis(voxels, axis, 0)
    alone = moved.copy()
    alone[1:] &= ~moved[:-1]
    alone[:-1] &= ~moved[1:]
    return np.moveaxis(alone, 0, axis)


def _mostly_thin(part: MaskPart, thin: np.ndarray, axis: int) -> tuple[int, ...]:
    """Slices most of whose voxels are alone across them: those drawn in this plane."""
    others = tuple(one for one in range(3) if one != axis)
    whole = np.count_nonzero(part.voxels, axis=others)
    alone = np.count_nonzero(thin, axis=others)
    return tuple((np.flatnonzero(alone > _MOSTLY * whole) + part.corner[axis]).tolist())
