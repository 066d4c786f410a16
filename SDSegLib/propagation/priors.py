"""Masks between and beyond known ones by geometry alone: interpolated signed distances."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional

CORRECTION_REACH = 3
"""Slices over which a correction counts in a prior."""
_MOST_CHANGE = 12.0


def signed_distance(mask: np.ndarray) -> np.ndarray:
    """Distance of each pixel (S, S) from the mask's border in pixels, positive inside, float32."""
    if not mask.any():
        return np.full(mask.shape, -float(mask.shape[0]), np.float32)
    if mask.all():
        return np.full(mask.shape, float(mask.shape[0]), np.float32)
    inside, outside = distance_transform_edt(mask), distance_transform_edt(~mask)
    return np.where(mask, inside - 0.5, 0.5 - outside).astype(np.float32)


def linear_weights(at: Sequence[int], depth: int) -> np.ndarray:
    """Weight of each known slice in each slice, (D, K), for linear interpolation between them.

    Beyond the known slices the nearest counts alone.

    Args:
        at: Positions of the known slices, ascending.
        depth: Slices of the window.
    """
    z = np.arange(depth)
    return np.stack([np.interp(z, at, row) for row in np.eye(len(at))], 1).astype(np.float32)


def cubic_weights(at: Sequence[int], depth: int) -> np.ndarray:
    """As `linear_weights`, for a cubic Hermite spline through the known slices.

    Its slope at a known slice is that of the line between its two neighbours. Fewer than three
    known slices are interpolated linearly.
    """
    weights = linear_weights(at, depth)
    count = len(at)
    if count < 3:
        return weights
    position = np.asarray(at, np.float32)
    values, slopes = np.eye(count, dtype=np.float32), np.zeros((count, count), np.float32)
    for number in range(count):
        low, high = max(number - 1, 0), min(number + 1, count - 1)
        slopes[number, high] += 1 / (position[high] - position[low])
        slopes[number, low] -= 1 / (position[high] - position[low])
    for number in range(count - 1):
        gap = position[number + 1] - position[number]
        for z in range(at[number] + 1, at[number + 1]):
            t = (z - position[number]) / gap
            weights[z] = (
                (2 * t**3 - 3 * t**2 + 1) * values[number]
                + (t**3 - 2 * t**2 + t) * gap * slopes[number]
                + (3 * t**2 - 2 * t**3) * values[number + 1]
                + (t**3 - t**2) * gap * slopes[number + 1]
            )
    return weights


def corrected_distances(prediction: np.ndarray, maps: np.ndarray, at: Sequence[int]) -> np.ndarray:
    """Signed distances (D, S, S) of a prediction, moved by what was corrected near each slice.

    A correction is the difference between the signed distances of a known mask and those of the
    prediction on the slices beside it: the prediction of the known slice itself may have been
    replaced already. It counts less with distance, down to nothing past `CORRECTION_REACH` slices.

    Args:
        prediction: bool, (D, S, S).
        maps: Signed distances of the known masks, (K, S, S).
        at: Positions of the known slices, ascending.
    """
    others = [z for z in range(len(prediction)) if z not in at]
    result = _distances_of(prediction, others)
    changes = []
    for position, known in zip(at, maps, strict=True):
        beside = _beside(position, others)
        beside = [z for z in beside if prediction[z].any()] or beside
        if beside:
            change = known - np.mean([result[z] for z in beside], axis=0)
            changes.append((position, np.clip(change, -_MOST_CHANGE, _MOST_CHANGE)))
    moved = result.copy()
    moved[list(at)] = maps
    for z in others:
        weights = [max(0.0, 1 - abs(z - k) / (CORRECTION_REACH + 1)) for k, _ in changes]
        total = max(1.0, sum(weights))
        for weight, (_, change) in zip(weights, changes, strict=True):
            if weight:
                moved[z] += weight / total * change
    return moved


def _distances_of(masks: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """Signed distances of some masks; in an empty one the nearest mask shrinks to nothing."""
    result = np.zeros(masks.shape, np.float32)
    holding = [z for z in numbers if masks[z].any()]
    for z in numbers:
        if z in holding or not holding:
            result[z] = signed_distance(masks[z])
    for z in numbers:
        if holding and z not in holding:
            source = result[min(holding, key=lambda other: abs(other - z))]
            result[z] = source - source.max() - 0.5
    return result


def _beside(position: int, others: Sequence[int]) -> list[int]:
    """The nearest of the other slices on each side, at most two slices away."""
    before = [z for z in others if position - 2 <= z < position]
    after = [z for z in others if position < z <= position + 2]
    return before[-1:] + after[:1]


def shifted(maps: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Maps (N, S, S), each read at positions moved by its offset (N, 2) of rows and columns."""
    count, size, _ = maps.shape
    theta = torch.zeros(count, 2, 3)
    theta[:, 0, 0] = theta[:, 1, 1] = 1
    theta[:, :, 2] = torch.from_numpy(offsets[:, ::-1].astype(np.float32)) * 2 / (size - 1)
    grid = functional.affine_grid(theta, [count, 1, size, size], align_corners=True)
    moved = functional.grid_sample(
        torch.from_numpy(maps)[:, None], grid, align_corners=True, padding_mode="border"
    )
    return moved[:, 0].numpy()
