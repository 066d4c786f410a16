"""The mask of a slice between a correction and the prediction that is corrected."""

from __future__ import annotations

import numpy as np

from .estimate import OUTSIDE, SliceEstimate
from .mask_part import SliceMask


def faded(
    found: SliceEstimate, prediction: SliceMask, weight: float, is_absent: bool = False
) -> SliceMask:
    """The voxels where estimate and prediction together are more likely inside than outside.

    Args:
        found: The network's estimate.
        prediction: The mask that is corrected; certain, as far as it counts.
        weight: Of the estimate, 0 … 1; the rest is that of the prediction.
        is_absent: Whether the estimate is that the structure is not in this slice.
    """
    chance = found.chance()
    if is_absent:
        chance = np.zeros_like(chance)
    corners = np.array(
        [found.corner, prediction.corner if prediction.voxels.size else found.corner]
    )
    stops = np.array([np.add(found.corner, chance.shape), corners[1] + prediction.voxels.shape])
    low, high = corners.min(0), stops.max(0)
    together = np.zeros(high - low, np.float32)
    for corner, part in (
        (found.corner, weight * chance),
        (corners[1], (1 - weight) * prediction.voxels),
    ):
        row, column = np.subtract(corner, low)
        together[row : row + part.shape[0], column : column + part.shape[1]] += part
    return SliceMask.of((int(low[0]), int(low[1])), together > 0.5)


def nothing_at(mask: SliceMask) -> SliceEstimate:
    """The estimate that the structure is not in a slice, on the voxels of a mask."""
    return SliceEstimate(mask.corner, np.full(mask.voxels.shape, OUTSIDE, np.float32), 0.0)
