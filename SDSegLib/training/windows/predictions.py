"""Predictions to be corrected, made from the true structure of a training window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import zoom

from ...propagation.priors import signed_distance


def a_prediction(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A structure, bool (D, S, S), as a model or an earlier propagation might have left it."""
    return _drifted(truth, random) if random.random() < 0.5 else _worsened(truth, random)


def _worsened(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """With borders that are wrong over large areas; now and then shifted, or without slices."""
    depth = len(truth)
    noise = _smooth_noise((max(depth // 5, 2), 6, 6), truth.shape, random)
    strength = random.uniform(0.5, 6) * random.uniform(0.3, 1)
    worse = _distances(truth) + noise * strength + random.normal() * 0.7 > 0
    if random.random() < 0.3:
        worse[random.integers(0, depth, int(random.integers(1, max(depth // 3, 2))))] = False
    if random.random() < 0.3:
        worse = np.roll(worse, tuple(random.integers(-3, 4, 2)), (1, 2))
    return worse


def _drifted(truth: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Right in one to three slices and interpolated between them; begins or ends elsewhere."""
    holding = np.flatnonzero(truth.sum((1, 2)) >= 3)
    if len(holding) < 3:
        return _worsened(truth, random)
    anchors = np.sort(random.choice(holding, int(random.integers(1, 4)), replace=False))
    maps = _distances(truth[anchors])
    noise = _smooth_noise((max(len(truth) // 6, 2), 5, 5), truth.shape, random)
    noise = noise * random.uniform(0.2, 3) + random.normal() * 0.7
    first = max(holding[0] + int(random.integers(-3, 4)), 0)
    last = min(holding[-1] + int(random.integers(-3, 4)), len(truth) - 1)
    result = np.zeros(truth.shape, bool)
    for z in range(first, last + 1):
        place = float(np.interp(z, anchors, np.arange(len(anchors))))
        low, high = int(np.floor(place)), int(np.ceil(place))
        between = (high - place) * maps[low] + (place - low) * maps[high]
        result[z] = (maps[low] if low == high else between) + noise[z] > 0
    return result


def _distances(masks: np.ndarray) -> np.ndarray:
    return np.stack([signed_distance(mask) for mask in masks])


def _smooth_noise(
    points: Sequence[int], shape: Sequence[int], random: np.random.Generator
) -> np.ndarray:
    coarse = random.normal(size=tuple(points))
    factors = [want / have for want, have in zip(shape, points, strict=True)]
    return zoom(coarse, factors, order=1)
