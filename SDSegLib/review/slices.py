"""Select the slices to review first."""

from __future__ import annotations

from collections.abc import Sequence
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
    neighbours. Where nothing tells how sure the result is (`Segmentation.is_scored`), only missing
    slices are found.

    Args:
        segmentation: Result of a model.
        per_structure: Maximum number of slices for each structure.
        axis: Array axis across the slices; None for the one closest to feet–head, along which
            models for CT take their slices.
    """
    if axis is None:
        axis = slice_axis(segmentation.geometry)
    apart = max(1, int(np.ceil(APART_MM / segmentation.geometry.spacing[2 - axis])))
    found = []
    for structure, part in _parts_of(segmentation, segmentation.structures, axis).items():
        scores = _scores(part, segmentation, structure, axis)
        for index in _worst(scores, per_structure, apart):
            center = _center_ras(part, segmentation.geometry, axis, index)
            found.append(ReviewSlice(structure, axis, index, float(scores[index]), center))
    return sorted(found, key=lambda item: -item.score)


def slice_axis(geometry: Geometry) -> int:
    """The array axis closest to feet–head."""
    letters = axis_letters(geometry)
    return next(2 - place for place, letter in enumerate(letters) if letter in "SI")


def slice_scores(segmentation: Segmentation, structure: Structure, axis: int) -> np.ndarray:
    """Uncertainty of a structure on each slice.

    The score is one minus the Dice that is expected of the slice, averaged over the slices up to
    3 mm away. For several samples of a model whose probabilities are not calibrated it is
    s / (s + n): s is the sum of the instability (0 … 1) over the structure's voxels on the slice
    and a rim of 4 mm around them, n the number of its voxels. A slice that lacks the structure
    between slices that have it scores 1.

    Returns:
        One score per slice along `axis`; NaN for slices without a score.
    """
    part = _parts_of(segmentation, (structure,), axis).get(structure)
    if part is None:
        return np.full(segmentation.label_map.shape[axis], np.nan)
    return _scores(part, segmentation, structure, axis)


@dataclass(frozen=True, eq=False)
class _Part:
    """The voxels of a structure in the smallest box that holds them.

    Attributes:
        mask: (slices, rows, columns) of the box.
        box: Where it lies, in the same order.
    """

    mask: np.ndarray
    box: tuple[slice, slice, slice]

    @property
    def first(self) -> int:
        """Index of the first slice."""
        return self.box[0].start


def _parts_of(
    segmentation: Segmentation, structures: Sequence[Structure], axis: int
) -> dict[Structure, _Part]:
    """Those of the structures that were found."""
    from scipy.ndimage import find_objects

    labels = _slices_of(segmentation.label_map, axis)
    boxes = find_objects(segmentation.label_map, max((s.label for s in structures), default=1))
    found = {}
    for structure in structures:
        box = boxes[structure.label - 1]
        if box is not None:
            rows, columns = (other for other in range(3) if other != axis)
            moved = (box[axis], box[rows], box[columns])
            found[structure] = _Part(labels[moved] == structure.label, moved)
    return found


def _slices_of(array: np.ndarray, axis: int) -> np.ndarray:
    """View (slices, rows, columns) of an array (k, j, i)."""
    return np.moveaxis(array, axis, 0)


def _scores(part: _Part, segmentation: Segmentation, structure: Structure, axis: int) -> np.ndarray:
    counts = np.zeros(segmentation.label_map.shape[axis], int)
    counts[part.box[0]] = np.count_nonzero(part.mask, axis=(1, 2))
    scores = np.full(len(counts), np.nan)
    used = np.flatnonzero(counts)
    scores[part.box[0]] = 1.0
    expected = _expected_dice(segmentation, structure, axis)
    if expected is not None:
        scores[used] = 1 - expected[used]
        return scores
    if segmentation.instability is None:
        scores[used] = 0.0
        return scores
    spacing = np.delete(np.array(segmentation.geometry.spacing[::-1]), axis)
    rim = [max(1, round(RIM_MM / size)) for size in spacing]
    unsure = _slices_of(segmentation.instability, axis)
    before = [min(side.start, width) for side, width in zip(part.box[1:], rim, strict=True)]
    after = [
        min(size - side.stop, width)
        for size, side, width in zip(unsure.shape[1:], part.box[1:], rim, strict=True)
    ]
    mask = np.pad(part.mask, ((0, 0), *zip(before, after, strict=True)))
    rows, columns = (
        slice(side.start - low, side.stop + high)
        for side, low, high in zip(part.box[1:], before, after, strict=True)
    )
    for index in used:
        around = _grown(mask[index - part.first], rim)
        total = float(unsure[index, rows, columns][around].sum(dtype=np.int64)) / 255
        scores[index] = total / (total + counts[index])
    return scores


def _expected_dice(
    segmentation: Segmentation, structure: Structure, axis: int
) -> np.ndarray | None:
    """Expected Dice of each slice, averaged over near ones; None if another score is better."""
    doubt = segmentation.doubt
    if doubt is None or doubt.dice is None or doubt.axis != axis:
        return None
    if not doubt.is_calibrated and segmentation.instability is not None:
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
    part: _Part, geometry: Geometry, axis: int, index: int
) -> tuple[float, float, float]:
    """Mean position of a structure's voxels on a slice, RAS mm."""
    used = np.flatnonzero(part.mask.any(axis=(1, 2))) + part.first
    before, after = int(used[used <= index][-1]), int(used[used >= index][0])
    share = 0.0 if before == after else (index - before) / (after - before)
    middles = [np.argwhere(part.mask[n - part.first]).mean(axis=0) for n in (before, after)]
    in_plane = (1 - share) * middles[0] + share * middles[1]
    in_plane += [side.start for side in part.box[1:]]
    k, j, i = np.insert(in_plane, axis, index)
    x, y, z, _ = geometry.affine_ras @ (i, j, k, 1.0)
    return float(x), float(y), float(z)
