"""Overlap and surface distances of two masks, by MONAI, on the box that holds both."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

PERCENTILE = 95.0


def overlap(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Dice and intersection over union of two masks (k, j, i), of which one is not empty."""
    from monai.metrics import compute_dice, compute_iou

    masks = _one_hot(prediction), _one_hot(reference)
    dice = compute_dice(*masks, include_background=True, ignore_empty=False)
    iou = compute_iou(*masks, include_background=True, ignore_empty=False)
    return float(dice), float(iou)


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[float, float]:
    """95 % Hausdorff distance and average symmetric surface distance of two masks, in mm.

    A mask's surface is its voxels with a face neighbour outside it. The 95 % Hausdorff distance is
    the larger of the two directed 95th percentiles; the average is over the voxels of both
    surfaces together.

    Args:
        prediction: Mask (k, j, i), not empty.
        reference: Mask of the same shape, not empty.
        spacing: Voxel spacing in mm along (k, j, i).
    """
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    masks = _one_hot(prediction), _one_hot(reference)
    millimetres = [float(value) for value in spacing]
    with warnings.catch_warnings():
        # MONAI 1.5 and 1.6 warn of an argument that they themselves pass.
        warnings.simplefilter("ignore", FutureWarning)
        hausdorff = compute_hausdorff_distance(
            *masks, include_background=True, percentile=PERCENTILE, spacing=millimetres
        )
        average = compute_average_surface_distance(
            *masks, include_background=True, symmetric=True, spacing=millimetres
        )
    return float(hausdorff), float(average)


def box_of(mask: np.ndarray) -> tuple[slice, ...] | None:
    """The smallest box that holds a mask; None if it is empty."""
    box = []
    for axis in range(mask.ndim):
        others = tuple(n for n in range(mask.ndim) if n != axis)
        used = np.flatnonzero(mask.any(axis=others))
        if not len(used):
            return None
        box.append(slice(int(used[0]), int(used[-1]) + 1))
    return tuple(box)


def _one_hot(mask: np.ndarray) -> Tensor:
    """One case, one class: (1, 1, k, j, i)."""
    from torch import from_numpy

    return from_numpy(np.ascontiguousarray(mask))[None, None]
