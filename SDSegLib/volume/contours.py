"""Closed contours in slices as masks: a voxel belongs to a structure if its centre lies inside.

Centres are tested exactly. `PIL.ImageDraw.polygon` also paints the outline, which makes structures
half a voxel larger on each side, and `matplotlib.path` tests points one by one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_CROSSINGS_AT_ONCE = 1 << 22


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed contour in a slice.

    Attributes:
        points: (N, 2), column and row in voxels; the last point is joined to the first. A keyhole,
            which runs in and out along the same line, leaves its inside out.
        is_exclusive: Whether it is combined with the slice's other contours by "exclusive or"
            wherever they overlap, as DICOM's CLOSEDPLANAR_XOR says.
    """

    points: np.ndarray
    is_exclusive: bool = False


def filled(points: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """The pixels whose centres lie inside a closed contour, by the even-odd rule.

    Args:
        points: (N, 2), column and row; they may lie outside the picture.
        shape: Rows and columns.

    Returns:
        bool, of that shape.
    """
    result = np.zeros(shape, bool)
    part, mask = _filled_part(points, shape)
    result[part] = mask
    return result


def slice_mask(contours: Sequence[Contour], shape: tuple[int, int]) -> np.ndarray:
    """The pixels of a structure that one or several contours of a slice enclose.

    A contour inside another one is a hole, and one inside a hole is an island. Contours that
    overlap in part are joined, and a repeated one counts once, unless they are exclusive.

    Args:
        contours: All contours of the structure in the slice.
        shape: Rows and columns.
    """
    masks = [_PackedMask.of(contour, shape) for contour in contours]
    masks.sort(key=lambda item: -item.count)
    result = np.zeros(shape, bool)
    joined: set[tuple[int, int, int, int, bytes]] = set()
    for item in masks:
        if not item.count:
            continue
        part, mask = item.unpacked()
        inside = result[part]
        if item.is_exclusive:
            inside ^= mask
            continue
        if item.key in joined:
            continue
        joined.add(item.key)
        if inside[mask].all():
            inside[mask] = False
        else:
            inside |= mask
    return result


@dataclass(frozen=True)
class _PackedMask:
    """The pixels inside a contour, as bits of the box that holds them.

    Attributes:
        key: First and last row and column (exclusive), and the bits: equal for equal masks.
        count: Number of pixels.
        is_exclusive: As of the contour.
    """

    key: tuple[int, int, int, int, bytes]
    count: int
    is_exclusive: bool

    @classmethod
    def of(cls, contour: Contour, shape: tuple[int, int]) -> _PackedMask:
        (rows, columns), mask = _filled_part(contour.points, shape)
        count = int(np.count_nonzero(mask))
        if not count:
            return cls((0, 0, 0, 0, b""), 0, contour.is_exclusive)
        some_rows, some_columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        top, bottom = int(some_rows[0]), int(some_rows[-1]) + 1
        left, right = int(some_columns[0]), int(some_columns[-1]) + 1
        bits = np.packbits(mask[top:bottom, left:right]).tobytes()
        box = (rows.start + top, rows.start + bottom, columns.start + left, columns.start + right)
        return cls((*box, bits), count, contour.is_exclusive)

    def unpacked(self) -> tuple[tuple[slice, slice], np.ndarray]:
        """The box, and the mask in it."""
        top, bottom, left, right, packed = self.key
        bits = np.frombuffer(packed, np.uint8)
        size = (bottom - top) * (right - left)
        mask = np.unpackbits(bits, count=size).reshape(bottom - top, right - left)
        return (slice(top, bottom), slice(left, right)), mask.astype(bool)


def _filled_part(
    points: np.ndarray, shape: tuple[int, int]
) -> tuple[tuple[slice, slice], np.ndarray]:
    """The box around a contour within the picture, and the pixels inside it; see `filled`."""
    rows, columns = shape
    x, y = points.T
    next_x, next_y = np.roll(x, -1), np.roll(y, -1)
    first = np.ceil(np.clip(np.minimum(y, next_y), 0, rows)).astype(int)
    last = np.ceil(np.clip(np.maximum(y, next_y), 0, rows)).astype(int)
    top, bottom = int(first.min()), int(last.max())
    left, right = (int(np.ceil(np.clip(edge, 0, columns))) for edge in (x.min(), x.max()))
    height, width = bottom - top, right - left
    flips = np.zeros(height * (width + 1), np.int64)
    ends = np.cumsum(last - first)
    start = 0
    while start < len(points):  # bounded memory: a contour may cross every row very often
        crossed = ends[start - 1] if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, crossed + _CROSSINGS_AT_ONCE, "right")))
        some = slice(start, stop)
        counts = last[some] - first[some]
        edge = start + np.repeat(np.arange(len(counts)), counts)
        row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
        share = (row - y[edge]) / (next_y - y)[edge]
        crossing = x[edge] + share * (next_x - x)[edge]
        column = np.ceil(np.clip(crossing, left, right)).astype(int)
        place = (row - top) * (width + 1) + (column - left)
        flips += np.bincount(place, minlength=len(flips))
        start = stop
    inside = np.cumsum(flips.reshape(height, width + 1)[:, :width], axis=1) & 1
    return (slice(top, bottom), slice(left, right)), inside.astype(bool)
