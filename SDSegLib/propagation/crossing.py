"""Slices that were drawn across one axis, with others that were drawn across another one."""

from __future__ import annotations

import numpy as np

from .mask_part import MaskPart

_THIN = 1.5  # mean length of runs of voxels across a slice's line
_FEWEST_LINES = 3  # neighbouring slices that hold nothing but a line


def crossing_slices(
    mask: MaskPart, axis: int
) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...]]:
    """Tell slices that were drawn across an axis from those that only others cross.

    A sagittal slice crosses many axial ones, in each of which it is a line of one voxel's width.

    Args:
        mask: (k, j, i).
        axis: Array axis, 0 for k, across the slices that were drawn.

    Returns:
        Numbers of the slices across `axis` that were drawn; the slices that cross them, as pairs
        of axis and number, mostly none.
    """
    along = mask.along(axis)
    used = along.used()
    others = [other for other in range(3) if other != axis]
    for place, other in enumerate(others):
        lines = [n for n in used if mean_run(along.cut(n), place) < _THIN]
        if len(lines) == len(used) or _longest_run(lines) < _FEWEST_LINES:
            continue
        first = along.corner[1 + place]
        counts = sum(along.cut(n).any(1 - place).astype(int) for n in lines)
        if np.all((counts == 0) | (counts >= _FEWEST_LINES)):
            numbers = tuple(n for n in used if n not in set(lines))
            found = np.flatnonzero(counts) + first
            return numbers, tuple((other, int(number)) for number in found)
    return used, ()


def mean_run(voxels: np.ndarray, axis: int) -> float:
    """Mean length of the runs of inside voxels along an axis."""
    moved = np.moveaxis(voxels, axis, 0)
    starts = np.count_nonzero(moved[0]) + np.count_nonzero(moved[1:] & ~moved[:-1])
    return float(np.count_nonzero(moved)) / max(int(starts), 1)


def _longest_run(numbers: list[int]) -> int:
    """How many of some ascending numbers follow each other without a gap."""
    longest = length = 0
    for n, number in enumerate(numbers):
        length = length + 1 if n and number == numbers[n - 1] + 1 else 1
        longest = max(longest, length)
    return longest
