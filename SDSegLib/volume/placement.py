"""Label maps on another part of their image's grid, or on the same voxels with other axes."""

from __future__ import annotations

import numpy as np

from .geometry import Geometry


def placed_on(
    labels: np.ndarray,
    source: Geometry,
    target: Geometry,
    tolerance_mm: float,
    partly: bool = False,
) -> np.ndarray | None:
    """Labels on a grid with the same voxel centres, without interpolation.

    Axes may be flipped or permuted.

    Args:
        labels: (k, j, i) on `source`.
        source: The labels' grid.
        target: The image's grid.
        tolerance_mm: Largest distance of voxel centres that count as the same.
        partly: Whether the grids may cover different parts of the patient, as of a segmentation
            that is stored only as far as it reaches.

    Returns:
        Labels on `target`, 0 where `source` does not reach; None if they are not on its voxels.
    """
    to_target = np.linalg.inv(target.affine_lps) @ source.affine_lps
    turn, shift = np.rint(to_target[:3, :3]), np.rint(to_target[:3, 3])
    is_permutation = (np.abs(turn).sum(axis=0) == 1).all() and (np.abs(turn).sum(axis=1) == 1).all()
    if not is_permutation:
        return None
    rounded = np.eye(4)
    rounded[:3, :3], rounded[:3, 3] = turn, shift
    size = np.array(source.shape[::-1])
    corners = np.array(
        [[a, b, c, 1] for a in (0, 1) for b in (0, 1) for c in (0, 1)], dtype=float
    ).T
    corners[:3] *= (size - 1)[:, None]
    distance = (target.affine_lps @ rounded - source.affine_lps) @ corners
    if np.abs(distance).max() > tolerance_mm:
        return None
    order = np.abs(turn).argmax(axis=1)  # the source's index axis along each of the target's
    is_flipped = turn.sum(axis=1) < 0
    turned = np.flip(labels.T.transpose(order), tuple(np.flatnonzero(is_flipped).tolist()))
    start = shift.astype(int) - np.where(is_flipped, size[order] - 1, 0)
    if not partly and (start.any() or turned.shape != target.shape[::-1]):
        return None
    placed = np.zeros(target.shape, labels.dtype)
    here, there = [], []
    for first, count, limit in zip(start, turned.shape, target.shape[::-1], strict=True):
        begin, end = max(0, first), min(limit, first + count)
        if begin >= end:
            return placed
        here.append(slice(begin, end))
        there.append(slice(begin - first, end - first))
    placed.T[tuple(here)] = turned[tuple(there)]
    return placed
