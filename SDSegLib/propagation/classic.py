"""Slices between drawn ones by geometry alone: interpolated distances, and the nearest slice.

They take no notice of the image. They are what a network has to be better than, and a quick answer
where drawn slices are close. Morphological contour interpolation is `mrml.fill_between`.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from scipy.ndimage import distance_transform_edt, shift

from .crops import centroid


def copy_nearest(known: Mapping[int, np.ndarray], depth: int) -> np.ndarray:
    """The nearest drawn slice on every slice.

    Args:
        known: Drawn masks, bool (H, W), by slice number; at least one.
        depth: Number of slices.

    Returns:
        bool, (depth, H, W); of two slices that are equally near the lower one.
    """
    at = sorted(known)
    return np.stack([known[min(at, key=lambda number: abs(number - z))] for z in range(depth)])


def interpolate_distances(
    known: Mapping[int, np.ndarray], depth: int, spacing: tuple[float, float]
) -> np.ndarray:
    """Linear interpolation of signed distances, moved so that the centroids lie on each other.

    Beyond the drawn slices, and next to one that is empty, the nearest is copied.

    Args:
        known: Drawn masks, bool (H, W), by slice number; at least one.
        depth: Number of slices.
        spacing: Of rows and columns in mm.

    Returns:
        bool, (depth, H, W).
    """
    result = copy_nearest(known, depth)
    for before, after in pairwise(sorted(known)):
        pair = (known[before], known[after])
        if not (pair[0].any() and pair[1].any()):
            continue
        middle = (np.array(pair[0].shape) - 1) / 2
        centres = [centroid(mask) for mask in pair]
        first, second = (
            shift(_distance(mask, spacing), middle - centre, order=1, mode="nearest")
            for mask, centre in zip(pair, centres, strict=True)
        )
        for z in range(before + 1, after):
            share = (z - before) / (after - before)
            centre = (1 - share) * centres[0] + share * centres[1]
            mixed = (1 - share) * first + share * second
            result[z] = shift(mixed, centre - middle, order=1, mode="nearest") > 0
    return result


def _distance(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Distance from the border in mm, positive inside."""
    return distance_transform_edt(mask, spacing) - distance_transform_edt(~mask, spacing)
