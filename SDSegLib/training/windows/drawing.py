"""Which slices of a training window are drawn, and how well."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter

from ...propagation.priors import signed_distance

_ONE_SLICE, _ONE_SIDE, _EVERY = 0.25, 0.45, 0.85
_GAPS = (2, 3, 4, 5, 6, 8, 10, 12, 16, 19)
_GAP_WEIGHTS = (0.07, 0.08, 0.16, 0.1, 0.1, 0.15, 0.1, 0.1, 0.1, 0.04)
_EMPTY_DRAWN = 0.04
_ERASED_REACH, _ERASED_WEIGHT = 3, 0.3
_CUT = 0.12
_LEAST_SMOOTH = 0.75


def draw_known(
    holding: np.ndarray, depth: int, random: np.random.Generator
) -> tuple[int, ...] | None:
    """Positions of the drawn slices: one, a few at one side, every n-th, or some at random.

    Args:
        holding: Positions of the slices that hold the structure.
        depth: Slices of the window.
        random: Source of the draw.

    Returns:
        In order; None if this draw gives none.
    """
    if len(holding) < 3:
        return None
    way = random.random()
    if way < _ONE_SLICE:
        return (int(random.choice(holding)),)
    if way < _ONE_SIDE:
        return _at_one_side(holding, depth, random)
    gap = int(random.choice(_GAPS, p=_GAP_WEIGHTS))
    gap = min(gap, depth - 1, int(holding[-1] - holding[0]))
    if gap < 2:
        return None
    if way < _EVERY:
        chosen = _every(holding, gap, random)
    else:
        count = min(int(random.integers(2, 5)), len(holding) - 1)
        chosen = [int(one) for one in random.choice(holding, count, replace=False)]
    if random.random() < _EMPTY_DRAWN:
        empty = np.setdiff1d(np.arange(depth), holding)
        if len(empty):
            chosen.append(int(random.choice(empty)))
    return tuple(sorted(set(chosen))) or None


def draw_corrected(
    holding: np.ndarray, depth: int, wrong: np.ndarray | None, random: np.random.Generator
) -> tuple[int, ...] | None:
    """Positions of one to three slices of a prediction that a person corrected.

    Slices without the structure come up too: a person erases the prediction there.

    Args:
        holding: Positions of the slices that hold the structure.
        depth: Slices of the window.
        wrong: For each slice the wrong pixels of the prediction, which are drawn more often; None
            if all slices near the structure are alike.
        random: Source of the draw.

    Returns:
        In order; None if the structure is in fewer than three slices.
    """
    if len(holding) < 3:
        return None
    weights = np.zeros(depth)
    weights[max(holding[0] - _ERASED_REACH, 0) : holding[-1] + 1 + _ERASED_REACH] = _ERASED_WEIGHT
    weights[holding] = 1
    if wrong is not None:
        power = random.uniform(0, 2)
        weights = np.where(wrong > 0, wrong.astype(float) ** power, 0.0)
        weights[holding] += 0.1
    count = int(random.choice([1, 1, 2, 3]))
    count = min(count, len(holding) - 1, int(np.count_nonzero(weights)))
    chosen = random.choice(depth, count, replace=False, p=weights / weights.sum())
    return tuple(sorted(int(one) for one in chosen))


def _at_one_side(holding: np.ndarray, depth: int, random: np.random.Generator) -> tuple[int, ...]:
    """A slice in one half of the structure, and up to two before it at equal distances."""
    gap = int(random.integers(1, depth // 2))
    half = len(holding) // 2
    side = holding[: max(half, 1)] if random.random() < 0.5 else holding[half:]
    middle = int(random.choice(side))
    before = [one for one in (middle - gap, middle - 2 * gap) if one in holding]
    return tuple(sorted([middle, *before[: int(random.integers(0, 3))]]))


def _every(holding: np.ndarray, gap: int, random: np.random.Generator) -> list[int]:
    offset = int(random.integers(gap))
    chosen = [int(one) for one in holding if one % gap == offset]
    if not chosen or (len(chosen) < 2 and random.random() < 0.7):
        first = int(random.integers(holding[0], holding[-1] - gap + 1))
        chosen = [one for one in (first, first + gap) if one in holding]
    return chosen


def is_drawable(truth: np.ndarray) -> bool:
    """Whether a person could have drawn a structure (D, h, w): it is not a cloud of pixels."""
    smooth = gaussian_filter(truth.astype(np.float32), (0, 0.7, 0.7)) > 0.5
    both = np.count_nonzero(smooth & truth)
    return bool(2 * both >= _LEAST_SMOOTH * (np.count_nonzero(smooth) + np.count_nonzero(truth)))


def cut_by_plane(
    truth: np.ndarray, known: tuple[int, ...], random: np.random.Generator
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Now and then only the part at one side of a plane, a border without an edge in the image.

    Args:
        truth: The structure, bool (D, h, w).
        known: Positions of the drawn slices.
        random: Source of the draw.

    Returns:
        The structure, and the drawn slices that still hold it.
    """
    if random.random() > _CUT:
        return truth, known
    points = np.argwhere(truth)
    normal = random.normal(size=3) * [0.5, 1, 1]
    middle = points.mean(0)
    distance = sum(
        (np.arange(count) - at).reshape([-1 if n == axis else 1 for n in range(3)]) * direction
        for axis, (count, at, direction) in enumerate(zip(truth.shape, middle, normal, strict=True))
    )
    cut = truth & (distance > random.normal() * 0.3 * points.std())
    holds = cut.sum((1, 2)) >= 3
    kept = tuple(one for one in known if holds[one])
    if not kept or np.count_nonzero(holds) < 3:
        return truth, known
    return cut, kept


def unsteady(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A mask (h, w) as a less steady hand draws it: shifted, ragged, a little large or small."""
    drawn = mask
    if random.random() < 0.6:
        drawn = np.roll(drawn, tuple(random.integers(-2, 3, 2)), (0, 1))
    if random.random() < 0.5:
        noise = gaussian_filter(random.normal(size=mask.shape), random.uniform(1, 2.5))
        noise *= random.uniform(0.3, 1.2) / noise.std()
        drawn = signed_distance(drawn) + noise > 0
    if random.random() < 0.25:
        drawn = binary_dilation(drawn) if random.random() < 0.5 else binary_erosion(drawn)
    return drawn if drawn.any() else mask
