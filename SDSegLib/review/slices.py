"""Select the slices to review first."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume.geometry import Geometry
from ..volume.orientation import axis_letters
from ..volume.segmentation import Segmentation
from ..volume.structure import Structure

RIM_MM = 4.0
APART_MM = 6.0
NEIGHBOURS_MM = 3.0


@dataclass(frozen=True)
class ReviewSlice:
    """A slice of a structure that may be wrong.

    Attributes:
        structure: The structure.
        axis: Array axis (0 = k, 1 = j, 2 = i) along which slices are counted.
        index: Index of the slice along `axis`.
        score: 0 … 1, higher is less certain; see `slice_scores`.
        center_ras: Middle of the structure on that slice, RAS mm, in the volume's own frame. Where
            the structure is missing, interpolated between neighbouring slices.
    """

    structure: Structure
    axis: int
    index: int
    score: float
    center_ras: tuple[float, float, float]


def slices_to_review(
    segmentation: Segmentation, per_structure: int = 3, axis: int | None = None
) -> list[ReviewSlice]:
    """The least certain slices of each structure, the worst first.

    Of slices less than 6 mm apart only the worst is listed, since a reader also checks its
    neighbours. Without an instability map, as of a single sample, only missing slices are found.

    Args:
        segmentation: Result of several samples.
        per_structure: Maximum number of slices for each structure.
        axis: Array axis across the slices; None for the one closest to feet–head, along which
            models for CT take their slices.
    """
    if axis is None:
        axis = slice_axis(segmentation.geometry)
    apart = max(1, int(np.ceil(APART_MM / segmentation.geometry.spacing[2 - axis])))
    found = []
    for structure in segmentation.structures:
        mask = _slices_of(segmentation.label_map, axis) == structure.label
        scores = _scores(mask, segmentation, structure, axis)
        for index in _worst(scores, per_structure, apart):
            center = _center_ras(mask, segmentation.geometry, axis, index)
            found.append(ReviewSlice(structure, axis, index, float(scores[index]), center))
    return sorted(found, key=lambda item: -item.score)


def slice_axis(geometry: Geometry) -> int:
    """The array axis closest to feet–head."""
    letters = axis_letters(geometry)
    return next(2 - place for place, letter in enumerate(letters) if letter in "SI")


def slice_scores(segmentation: Segmentation, structure: Structure, axis: int) -> np.ndarray:
    """Uncertainty of a structure on each slice.

    With a model whose probabilities are calibrated the score is one minus the Dice that is expected
    of the slice, averaged over the slices up to 3 mm away. Otherwise it is s / (s + n): s is the
    sum of the instability (0 … 1) over the structure's voxels on the slice and a rim of 4 mm around
    them, n the number of its voxels, and without an instability map s is 0. A slice that lacks the
    structure between slices that have it scores 1.

    Returns:
        One score per slice along `axis`; NaN for slices without a score.
    """
    mask = _slices_of(segmentation.label_map, axis) == structure.label
    return _scores(mask, segmentation, structure, axis)


def _slices_of(array: np.ndarray, axis: int) -> np.ndarray:
    """View (slices, rows, columns) of an array (k, j, i)."""
    return np.moveaxis(array, axis, 0)


def _scores(
    mask: np.ndarray, segmentation: Segmentation, structure: Structure, axis: int
) -> np.ndarray:
    counts = np.count_nonzero(mask, axis=(1, 2))
    scores = np.full(len(counts), np.nan)
    used = np.flatnonzero(counts)
    if not len(used):
        return scores
    scores[used[0] : used[-1] + 1] = 1.0
    expected = _expected_dice(segmentation, structure, axis)
    if expected is not None:
        scores[used] = 1 - expected[used]
        return scores
    if segmentation.instability is None:
        scores[used] = 0.0
        return scores
    spacing = np.delete(np.array(segmentation.geometry.spacing[::-1]), axis)
    rim = [max(1, round(RIM_MM / size)) for size in spacing]
    rows, columns = (
        slice(max(0, side[0] - width), side[-1] + width + 1)
        for side, width in zip(
            (np.flatnonzero(mask.any(axis=(0, 2))), np.flatnonzero(mask.any(axis=(0, 1)))),
            rim,
            strict=True,
        )
    )
    unsure = _slices_of(segmentation.instability, axis)[:, rows, columns]
    for index in used:
        around = _grown(mask[index, rows, columns], rim)
        total = float(unsure[index][around].sum(dtype=np.int64)) / 255
        scores[index] = total / (total + counts[index])
    return scores


def _expected_dice(
    segmentation: Segmentation, structure: Structure, axis: int
) -> np.ndarray | None:
    """Expected Dice of each slice, averaged over near ones; None if not known for the axis."""
    doubt = segmentation.doubt
    if doubt is None or doubt.dice is None or doubt.axis != axis:
        return None
    dice = doubt.dice[segmentation.structures.index(structure)]
    reach = int(NEIGHBOURS_MM / segmentation.geometry.spacing[2 - axis])
    sums = np.concatenate([[0.0], np.cumsum(np.pad(dice, reach, "edge"), dtype=float)])
    width = 2 * reach + 1
    return np.clip((sums[width:] - sums[:-width]) / width, 0.0, 1.0)


def _grown(mask: np.ndarray, rim: list[int]) -> np.ndarray:
    """A mask (rows, columns) dilated by a rectangle of `rim` pixels to each side."""
    for axis, width in enumerate(rim):
        grown = mask.copy()
        for step in range(1, width + 1):
            ahead = [slice(None)] * 2
            behind = [slice(None)] * 2
            ahead[axis], behind[axis] = slice(step, None), slice(None, -step)
            grown[tuple(ahead)] |= mask[tuple(behind)]
            grown[tuple(behind)] |= mask[tuple(ahead)]
        mask = grown
    return mask


def _worst(scores: np.ndarray, count: int, apart: int) -> list[int]:
    """Indices of the highest scores above 0, at least `apart` slices from each other."""
    chosen: list[int] = []
    for index in np.argsort(-np.nan_to_num(scores), kind="stable"):
        if len(chosen) == count or not scores[index] > 0:
            break
        if all(abs(int(index) - other) >= apart for other in chosen):
            chosen.append(int(index))
    return chosen


def _center_ras(
    mask: np.ndarray, geometry: Geometry, axis: int, index: int
) -> tuple[float, float, float]:
    """Mean position of the voxels of a mask (slices, rows, columns) on a slice, RAS mm."""
    used = np.flatnonzero(mask.any(axis=(1, 2)))
    before, after = int(used[used <= index][-1]), int(used[used >= index][0])
    share = 0.0 if before == after else (index - before) / (after - before)
    middles = [np.argwhere(mask[n]).mean(axis=0) for n in (before, after)]
    in_plane = (1 - share) * middles[0] + share * middles[1]
    k, j, i = np.insert(in_plane, axis, index)
    x, y, z, _ = geometry.affine_ras @ (i, j, k, 1.0)
    return float(x), float(y), float(z)
