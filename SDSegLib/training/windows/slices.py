"""Which slices a training window shows: along which axis, how far apart, how coarse."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...datasets.shaped_volume import ShapedVolume
from ...datasets.shapes import Shape

LEAST_AREA = 3  # pixels of a slice that counts as holding the structure
BORDER = 6  # pixels of background around `SliceRun.truth`
_OTHER_AXIS = 0.25
_OTHER_AXIS_MM = 3.6  # only volumes with thinner slices are cut along other axes
_STRIDE_WEIGHTS = (4, 2, 1, 1)
_MOST_STRIDE_MM = 6.0
_THICK = 0.3
_COARSER = 0.45
_MOST_PIXEL_MM = 4.5
_MOST_COARSER = 5
_AROUND = 0.9
_AROUND_VOXELS, _AROUND_MM = 24, 40.0


@dataclass(frozen=True, eq=False)
class SliceRun:
    """Parallel slices of a volume around a structure, not read yet.

    Attributes:
        volume: The CT.
        axis: Array axis across the slices.
        numbers: Slice numbers along it, (D,).
        thickness: How many slices from each number on are averaged.
        rows: Voxels that the image spans.
        columns: The same for columns.
        coarser: How many voxels are averaged along rows and along columns.
        truth: The structure on the averaged pixels, bool (D, h, w), with a border of background.
        corner: Row and column of its first pixel on the image.
        spacing: In mm across slices, rows and columns, of the averaged pixels.
        prediction: What a model gave of the structure, like `truth`; None if there is none.
    """

    volume: ShapedVolume
    axis: int
    numbers: np.ndarray
    thickness: int
    rows: slice
    columns: slice
    coarser: int
    truth: np.ndarray
    corner: tuple[int, int]
    spacing: tuple[float, float, float]
    prediction: np.ndarray | None = None

    @property
    def holding(self) -> np.ndarray:
        """Positions of the slices that hold the structure."""
        return np.flatnonzero(self.truth.sum((1, 2)) >= LEAST_AREA)

    def image(self) -> np.ndarray:
        """HU of the slices, float32 (D, H, W)."""
        hu = np.moveaxis(self.volume.hu, self.axis, 0)
        last = len(hu) - 1
        total = np.zeros((), np.float32)
        for step in range(self.thickness):
            chosen = np.minimum(self.numbers + step, last)
            total = total + np.asarray(hu[chosen, self.rows, self.columns], np.float32)
        return _averaged(total / self.thickness, self.coarser)


def draw_slices(
    volume: ShapedVolume,
    shape: Shape,
    depth: int,
    random: np.random.Generator,
    prediction: Shape | None = None,
) -> SliceRun | None:
    """Slices of which at least three hold the structure; None if this draw has none.

    Args:
        volume: The CT.
        shape: The structure.
        depth: How many slices.
        random: Source of the draw.
        prediction: What a model gave of the structure.
    """
    axis = 0
    if random.random() < _OTHER_AXIS and volume.spacing[0] < _OTHER_AXIS_MM:
        axis = int(random.integers(1, 3))
    order = (axis, *(other for other in range(3) if other != axis))
    counts = [volume.hu.shape[side] for side in order]
    spacing = [volume.spacing[side] for side in order]
    low, high = shape.start[axis], shape.start[axis] + shape.size[axis]

    stride = _stride(spacing[0], counts[0], depth, random)
    if stride is None:
        return None
    reach = depth * stride
    first = max(low - reach * 2 // 3, 0)
    last = min(high - reach // 3, counts[0] - reach)
    if last < first:
        first = last = int(np.clip((first + last) // 2, 0, counts[0] - reach))
    first = int(random.integers(first, last + 1))
    numbers = np.arange(first, first + reach, stride)
    if np.count_nonzero((numbers >= low) & (numbers < high)) < LEAST_AREA:
        return None
    found = _Part.of(shape, order, numbers)
    if found is None:
        return None
    thickness = stride if stride > 1 and random.random() < _THICK else 1
    coarser = _coarser(max(spacing[1:]), random)
    spans = [
        _span(line, count, step, coarser)
        for line, count, step in zip(found.lines, counts[1:], spacing[1:], strict=True)
    ]
    parts = [found]
    if prediction is not None:
        guessed = _Part.of(prediction, order, numbers)
        parts += [] if guessed is None else [guessed]
    boxes = []
    for side, span in enumerate(spans):
        begin = min(part.lines[side].start for part in parts)
        stop = max(part.lines[side].stop for part in parts)
        whole = (span.stop - span.start) // coarser
        top = max(begin - span.start, 0) // coarser
        boxes.append(slice(top, min(-(-(stop - span.start) // coarser), whole)))
    if any(box.stop <= box.start for box in boxes):
        return None
    masks = [_on_pixels(part, depth, spans, boxes, coarser) for part in parts]
    guess = None if prediction is None else np.zeros_like(masks[0])
    return SliceRun(
        volume=volume,
        axis=axis,
        numbers=numbers,
        thickness=thickness,
        rows=spans[0],
        columns=spans[1],
        coarser=coarser,
        truth=masks[0],
        corner=(boxes[0].start - BORDER, boxes[1].start - BORDER),
        spacing=(spacing[0] * stride, spacing[1] * coarser, spacing[2] * coarser),
        prediction=masks[1] if len(masks) > 1 else guess,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """The slices of a run that lie in a shape's box.

    Attributes:
        positions: Which slices of the run these are.
        voxels: Their masks in the box, bool (n, h, w).
        start: Row and column of the box's first voxel.
        lines: Rows and columns of the volume that the masks use.
    """

    positions: np.ndarray
    voxels: np.ndarray
    start: tuple[int, int]
    lines: tuple[slice, slice]

    @classmethod
    def of(cls, shape: Shape, order: tuple[int, ...], numbers: np.ndarray) -> _Part | None:
        """None if the slices hold nothing of the shape."""
        first, *start = (shape.start[side] for side in order)
        mask = shape.mask().transpose(order)
        positions = np.flatnonzero((numbers >= first) & (numbers < first + len(mask)))
        voxels = mask[numbers[positions] - first]
        if not voxels.any():
            return None
        used = (np.flatnonzero(voxels.any((0, 2))), np.flatnonzero(voxels.any((0, 1))))
        rows, columns = (
            slice(offset + int(line[0]), offset + int(line[-1]) + 1)
            for offset, line in zip(start, used, strict=True)
        )
        return cls(positions, voxels, (start[0], start[1]), (rows, columns))


def _span(line: slice, count: int, step: float, coarser: int) -> slice:
    """Rows or columns of the image around those that the structure uses."""
    around = int(_AROUND * (line.stop - line.start)) + max(_AROUND_VOXELS, int(_AROUND_MM / step))
    start, stop = max(line.start - around, 0), min(line.stop + around, count)
    return slice(start, start + (stop - start) // coarser * coarser)


def _on_pixels(
    part: _Part, depth: int, spans: list[slice], boxes: list[slice], coarser: int
) -> np.ndarray:
    """A mask on the averaged pixels of a box, with a border, bool (depth, h, w)."""
    shape = (boxes[0].stop - boxes[0].start, boxes[1].stop - boxes[1].start)
    first = [
        box.start * coarser + span.start - start
        for box, span, start in zip(boxes, spans, part.start, strict=True)
    ]
    mask = np.zeros((depth, shape[0] + 2 * BORDER, shape[1] + 2 * BORDER), bool)
    inner = _coarse_mask(part.voxels, (first[0], first[1]), shape, coarser)
    mask[part.positions, BORDER:-BORDER, BORDER:-BORDER] = inner
    return mask


def _stride(step: float, count: int, depth: int, random: np.random.Generator) -> int | None:
    """Distance of the slices in voxels; None if the volume has too few of them."""
    allowed = [n for n in (1, 2, 3, 4) if n * step <= _MOST_STRIDE_MM or n == 1]
    weights = np.array(_STRIDE_WEIGHTS[: len(allowed)], float)
    stride = int(random.choice(allowed, p=weights / weights.sum()))
    if count < depth * stride:
        stride = max(count // depth, 1)
    return stride if count >= depth * stride else None


def _coarser(pixel: float, random: np.random.Generator) -> int:
    most = int(min(_MOST_PIXEL_MM / pixel, _MOST_COARSER))
    if most >= 2 and random.random() < _COARSER:
        return int(random.integers(2, most + 1))
    return 1


def _coarse_mask(
    mask: np.ndarray, first: tuple[int, int], shape: tuple[int, int], coarser: int
) -> np.ndarray:
    """Pixels of which more than half lie in a mask (D, h, w).

    Args:
        mask: On the voxels.
        first: Row and column of the voxel at which the first pixel begins; may be negative.
        shape: Rows and columns of pixels.
        coarser: Voxels along a side of a pixel.
    """
    voxels = np.zeros((len(mask), shape[0] * coarser, shape[1] * coarser), bool)
    here, there = [], []
    for begin, count, wanted in zip(first, mask.shape[1:], voxels.shape[1:], strict=True):
        low = min(max(begin, 0), count)
        high = max(min(begin + wanted, count), low)
        there.append(slice(low, high))
        here.append(slice(low - begin, high - begin))
    voxels[:, here[0], here[1]] = mask[:, there[0], there[1]]
    return voxels if coarser == 1 else _averaged(voxels, coarser) > 0.5


def _averaged(values: np.ndarray, coarser: int) -> np.ndarray:
    """Mean over blocks of rows and columns; rest rows and columns are left out."""
    if coarser == 1:
        return values
    rows, columns = (count // coarser for count in values.shape[1:])
    whole = values[:, : rows * coarser, : columns * coarser]
    return whole.reshape(len(values), rows, coarser, columns, coarser).mean((2, 4))
