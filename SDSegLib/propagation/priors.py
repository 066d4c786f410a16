"""Masks between and beyond known ones by geometry alone: interpolated signed distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from scipy.ndimage import distance_transform_edt
from torch.nn import functional

_FADE = 3
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


def corrected_distance(
    prediction: np.ndarray, known: Mapping[int, np.ndarray], fade: int = _FADE
) -> np.ndarray:
    """Signed distances of a prediction, moved near each known slice as it was moved there.

    What a known slice changed is taken against the mean of the prediction beside it, because the
    prediction's own mask in that slice may have been replaced by the known one.

    Args:
        prediction: The mask that is corrected, bool (D, S, S).
        known: Signed distances of the known masks, (S, S), by position.
        fade: Slices over which a change fades.

    Returns:
        (D, S, S) float32 in pixels; those of `known` at the known positions.
    """
    others = [z for z in range(len(prediction)) if z not in known]
    result = np.stack([signed_distance(mask) for mask in prediction])
    held = [z for z in others if prediction[z].any()]
    for z in set(others) - set(held) if held else ():
        nearest = result[min(held, key=lambda other: abs(other - z))]
        result[z] = nearest - nearest.max() - 0.5
    changes = {}
    for position, distance in known.items():
        beside = _beside(position, others)
        beside = [z for z in beside if z in held] or beside
        if beside:
            change = distance - np.mean([result[z] for z in beside], axis=0)
            changes[position] = np.clip(change, -_MOST_CHANGE, _MOST_CHANGE)
    for z in others:
        weights = {position: 1 - abs(z - position) / (fade + 1) for position in changes}
        weights = {position: weight for position, weight in weights.items() if weight > 0}
        total = max(1.0, sum(weights.values()))
        for position, weight in weights.items():
            result[z] += weight / total * changes[position]
    for position, distance in known.items():
        result[position] = distance
    return result


def _beside(position: int, others: Sequence[int]) -> list[int]:
    """The nearest of the other slices on each side, at most two slices away."""
    below = [z for z in others if position - 2 <= z < position]
    above = [z for z in others if position < z <= position + 2]
    return below[-1:] + above[:1]


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
