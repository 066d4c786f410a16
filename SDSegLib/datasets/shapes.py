"""A structure's mask in its bounding box, one bit a voxel: thousands of them fit into memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Point = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Shape:
    """A mask on a volume's grid.

    Attributes:
        kind: What it is, for example "organ", "supervoxel".
        start: First voxel of the bounding box along (k, j, i).
        size: Voxels of the box along (k, j, i).
        bits: uint8; the box's voxels in order, each row along i padded to whole bytes.
    """

    kind: str
    start: Point
    size: Point
    bits: np.ndarray

    @classmethod
    def of(cls, kind: str, mask: np.ndarray, offset: Sequence[int] = (0, 0, 0)) -> Shape | None:
        """The shape of a mask, bool (k, j, i), whose first voxel is voxel `offset` of the volume.

        Returns:
            None if the mask is empty.
        """
        box = box_of(mask)
        if box is None:
            return None
        part = mask[box]
        start = tuple(side.start + first for side, first in zip(box, offset, strict=True))
        return cls(kind, _point(start), _point(part.shape), np.packbits(part, axis=-1).ravel())

    def mask(self) -> np.ndarray:
        """The voxels of the box, bool."""
        rows = self.bits.reshape(*self.size[:2], -1)
        return np.unpackbits(rows, axis=-1, count=self.size[2]).view(bool)

    def on_grid(self, shape: Sequence[int]) -> np.ndarray:
        """The mask of a whole volume of `shape`, bool."""
        whole = np.zeros(shape, bool)
        box = tuple(slice(a, a + n) for a, n in zip(self.start, self.size, strict=True))
        whole[box] = self.mask()
        return whole

    @property
    def voxels(self) -> int:
        """How many voxels the mask has."""
        return int(np.bitwise_count(self.bits).sum())


def box_of(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    """Bounding box of a mask (k, j, i); None if it is empty."""
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    if not len(planes):
        return None
    part = mask[planes[0] : planes[-1] + 1]
    rows, columns = np.flatnonzero(part.any(axis=(0, 2))), np.flatnonzero(part.any(axis=(0, 1)))
    return (
        slice(int(planes[0]), int(planes[-1]) + 1),
        slice(int(rows[0]), int(rows[-1]) + 1),
        slice(int(columns[0]), int(columns[-1]) + 1),
    )


def packed(shapes: Sequence[Shape]) -> tuple[list[list[Any]], np.ndarray]:
    """Shapes as rows of JSON types, and their bits one after another, uint8."""
    rows = [[shape.kind, *shape.start, *shape.size] for shape in shapes]
    return rows, np.concatenate([np.zeros(0, np.uint8), *(shape.bits for shape in shapes)])


def unpacked(rows: Sequence[Sequence[Any]], bits: np.ndarray) -> list[Shape]:
    """Shapes from `packed`; their bits are views.

    Raises:
        ValueError: If rows and bits do not belong together.
    """
    shapes, first = [], 0
    for kind, *numbers in rows:
        start, size = _point(numbers[:3]), _point(numbers[3:])
        stop = first + size[0] * size[1] * _bytes(size[2])
        shapes.append(Shape(str(kind), start, size, bits[first:stop]))
        first = stop
    if first != len(bits):
        raise ValueError(f"{len(bits)} bytes of masks instead of {first}")
    return shapes


def _bytes(voxels: int) -> int:
    return -(-voxels // 8)


def _point(values: Iterable[int]) -> Point:
    k, j, i = (int(value) for value in values)
    return k, j, i
