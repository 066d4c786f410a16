"""What the networks see of a window: channels of each pixel and numbers of each slice.

The HU are shown in two fixed windows, in one that suits what was drawn, and as the log ratio of
their frequencies inside and around the known masks. Beside them stand the known masks, priors from
the known masks' signed distances, the nearest known slice before and after, and the prediction that
is to be corrected, if there is one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..networks.propagation import CHANNELS, NUMBERS
from .crops import Crops
from .priors import (
    corrected_distances,
    cubic_weights,
    linear_weights,
    shifted,
    signed_distance,
)

AIR = -1024.0
_BINS = np.concatenate(
    [np.arange(-1000, -200, 100), np.arange(-200, 320, 20), np.arange(320, 1600, 100)]
).astype(np.float32)
_GROUPS = 12
_SMOOTHING = (0.1, 0.2, 0.4, 0.2, 0.1)
_DISTANCE_SCALE = 6.0
_MOST_DISTANCE = 1.5
_RING = (-0.5, -10.0)
_FAR = 99


@dataclass(frozen=True, eq=False)
class Appearance:
    """The HU inside and around the known masks.

    Attributes:
        numbers: Medians and widths of both, and their coarse histograms, float32.
        own: The HU in a window that suits what was drawn, (D, S, S).
        likelihood: Log ratio of the frequencies of each pixel's HU, (D, S, S).
    """

    numbers: np.ndarray
    own: np.ndarray
    likelihood: np.ndarray


def features(
    hu: np.ndarray,
    known: Mapping[int, np.ndarray],
    crops: Crops,
    step: float,
    windows: Sequence[tuple[float, float]],
    prediction: np.ndarray | None = None,
) -> tuple[Tensor, Tensor]:
    """Channels (D, C, S, S) and numbers (D, F) of a window.

    Args:
        hu: Crops of the CT, (D, S, S).
        known: Crops of the known masks, bool (S, S), by position.
        crops: Where the crops lie.
        step: Distance of the slices in mm.
        windows: Two HU windows (low, high).
        prediction: Crops of the mask to be corrected, bool (D, S, S).
    """
    depth, size = hu.shape[0], hu.shape[-1]
    at = sorted(known)
    drawn = [position for position in at if known[position].any()] or at
    maps = _distances(known, at, drawn)
    seen = _appearance(hu, known, maps, at, drawn)
    before, after = _around(at, depth)
    masks = np.zeros((depth, size, size), np.float32)
    for position in at:
        masks[position] = np.where(known[position], 1, -1)
    is_known = np.zeros(depth, np.float32)
    is_known[at] = 1

    channels = np.zeros((depth, len(CHANNELS), size, size), np.float32)
    wide, soft = windows
    layers = {
        "wide_window": _windowed(hu, *wide),
        "soft_window": _windowed(hu, *soft),
        "own_window": seen.own,
        "likelihood": seen.likelihood,
        "known": is_known[:, None, None],
        "known_mask": masks,
        "linear_prior": _scaled(np.tensordot(linear_weights(at, depth), maps, 1)),
        "best_prior": _scaled(_best_prior(maps, at, prediction, depth)),
        "unmoved_prior": _scaled(_unmoved(maps, at, before, after, crops)),
        "image_before": seen.own[before],
        "mask_before": masks[before],
        "image_after": seen.own[after],
        "mask_after": masks[after],
    }
    if prediction is not None:
        layers["has_prediction"] = np.float32(1)
        layers["prediction"] = np.where(prediction, 1, -1)
    for number, name in enumerate(CHANNELS):
        if name in layers:
            channels[:, number] = layers[name]
    numbers = _numbers(known, at, crops, step, before, after)
    numbers[:, 14] = len(drawn) / 4
    numbers[:, 15] = prediction is not None
    numbers[:, 16:] = seen.numbers
    return torch.from_numpy(channels), torch.from_numpy(numbers)


def _best_prior(
    maps: np.ndarray, at: list[int], prediction: np.ndarray | None, depth: int
) -> np.ndarray:
    """The prior that the network corrects, (D, S, S): a spline, or the corrected prediction."""
    if prediction is None:
        return np.tensordot(cubic_weights(at, depth), maps, 1)
    return corrected_distances(prediction, maps, at)


def _distances(known: Mapping[int, np.ndarray], at: list[int], drawn: list[int]) -> np.ndarray:
    """Signed distances of the known masks, (K, S, S).

    In a known slice that is empty, the nearest mask shrinks to nothing.
    """
    maps = np.stack([signed_distance(known[position]) for position in at])
    for number, position in enumerate(at):
        if not known[position].any():
            nearest = min(drawn, key=lambda other: abs(other - position))
            source = maps[at.index(nearest)]
            maps[number] = source - source.max() - 0.5
    return maps


def _unmoved(
    maps: np.ndarray, at: list[int], before: np.ndarray, after: np.ndarray, crops: Crops
) -> np.ndarray:
    """The linear prior without the crops' movement, (D, S, S)."""
    slices = np.arange(len(before))
    move = crops.centres / crops.pixel
    if crops.turn is not None:
        move = move @ crops.turn
    gap = np.maximum(after - before, 1)
    share = np.where(after == before, 0, (slices - before) / gap)[:, None, None]
    share = share.astype(np.float32)
    first, last = np.searchsorted(at, before), np.searchsorted(at, after)
    earlier = shifted(maps[first], move - move[before])
    later = shifted(maps[last], move - move[after])
    return earlier * (1 - share) + later * share


def _numbers(
    known: Mapping[int, np.ndarray],
    at: list[int],
    crops: Crops,
    step: float,
    before: np.ndarray,
    after: np.ndarray,
) -> np.ndarray:
    """Distances to known slices, scales and areas of each slice, (D, F); the rest is zero."""
    slices = np.arange(len(before))
    to_before, to_after = np.abs(slices - before), np.abs(after - slices)
    has_before, has_after = slices >= at[0], slices <= at[-1]
    nearest = np.minimum(np.where(has_before, to_before, _FAR), np.where(has_after, to_after, _FAR))
    unit = step / crops.pixel
    sides = {position: np.sqrt(known[position].mean()) for position in at}
    numbers = np.zeros((len(slices), NUMBERS), np.float32)
    columns = (
        to_before / 8,
        to_after / 8,
        has_before,
        has_after,
        nearest / 8,
        np.minimum(to_before * unit / 16, 4),
        np.minimum(to_after * unit / 16, 4),
        np.isin(slices, at),
        np.log(crops.pixel / 2),
        np.log(step / 2.5),
        np.log(max(crops.spacing) / crops.pixel),
        np.log(unit),
        2 * np.array([sides[position] for position in before]),
        2 * np.array([sides[position] for position in after]),
    )
    for number, column in enumerate(columns):
        numbers[:, number] = column
    return numbers


def _around(at: Sequence[int], depth: int) -> tuple[np.ndarray, np.ndarray]:
    """Position of the known slice at or before and at or after each slice, else of the nearest."""
    position, z = np.asarray(at), np.arange(depth)
    before = position[np.maximum(np.searchsorted(position, z, side="right") - 1, 0)]
    after = position[np.minimum(np.searchsorted(position, z), len(at) - 1)]
    return before, after


def _appearance(
    hu: np.ndarray,
    known: Mapping[int, np.ndarray],
    maps: np.ndarray,
    at: list[int],
    drawn: list[int],
) -> Appearance:
    inside, around = [], []
    for position in drawn:
        distance = maps[at.index(position)]
        inside.append(hu[position][distance > 0])
        around.append(hu[position][(distance < _RING[0]) & (distance > _RING[1])])
    values_in = _or_one(np.concatenate(inside), 0.0)
    values_out = _or_one(np.concatenate(around), AIR)
    middle_in, width_in = _middle_and_width(values_in)
    middle_out, width_out = _middle_and_width(values_out)
    own = np.tanh((hu - middle_in) / (3 * max(width_in, 15))).astype(np.float32)
    frequency_in, frequency_out = _histogram(values_in), _histogram(values_out)
    ratio = np.log((frequency_in + 2e-3) / (frequency_out + 2e-3)) / 3
    ratio = np.clip(ratio, -1.5, 1.5).astype(np.float32)
    scales = (
        middle_in / 200,
        np.log(width_in / 40),
        middle_out / 200,
        np.log(width_out / 40),
    )
    starts = np.linspace(0, len(ratio), _GROUPS, endpoint=False).astype(int)
    groups = [np.add.reduceat(values, starts) * 3 for values in (frequency_in, frequency_out)]
    return Appearance(
        numbers=np.concatenate([scales, *groups]).astype(np.float32),
        own=own,
        likelihood=ratio[np.searchsorted(_BINS, hu)],
    )


def _or_one(values: np.ndarray, otherwise: float) -> np.ndarray:
    return values if len(values) else np.array([otherwise], np.float32)


def _middle_and_width(values: np.ndarray) -> tuple[float, float]:
    low, middle, high = np.percentile(values, (16, 50, 84))
    return float(middle), max(float(high - low) / 2, 8.0)


def _histogram(values: np.ndarray) -> np.ndarray:
    """Smoothed frequencies of HU in `_BINS`, which sum to 1."""
    counts = np.bincount(np.searchsorted(_BINS, values), minlength=len(_BINS) + 1)
    smooth = np.convolve(counts.astype(np.float32), _SMOOTHING, mode="same")
    return smooth / max(smooth.sum(), 1)


def _windowed(hu: np.ndarray, low: float, high: float) -> np.ndarray:
    return np.clip((hu - (low + high) / 2) / ((high - low) / 2), -1, 1)


def _scaled(distance: np.ndarray) -> np.ndarray:
    return np.clip(distance / _DISTANCE_SCALE, -_MOST_DISTANCE, _MOST_DISTANCE)
