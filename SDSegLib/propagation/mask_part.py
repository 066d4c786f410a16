"""A mask of which only the box that holds something is kept."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True, eq=False)
class SliceMask:
    """The mask of one slice.

    Attributes:
        corner: Row and column of its first voxel.
        voxels: bool (h, w); everything around them is outside.
    """

    corner: tuple[int, int]
    voxels: np.ndarray

    @classmethod
    def of(cls, corner: tuple[int, int], voxels: np.ndarray) -> SliceMask:
        """Cut to what it holds."""
        rows = np.flatnonzero(voxels.any(1))
        if not len(rows):
            return NOTHING
        columns = np.flatnonzero(voxels.any(0))
        part = voxels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        return cls((int(corner[0] + rows[0]), int(corner[1] + columns[0])), part)

    @cached_property
    def is_empty(self) -> bool:
        return not self.voxels.any()

    @cached_property
    def digest(self) -> bytes:
        """A short value that differs for different masks; equal ones must be cut alike."""
        place = np.array([*self.corner, *self.voxels.shape], "<i8").tobytes()
        bits = np.packbits(self.voxels).tobytes()
        return hashlib.blake2b(place + bits, digest_size=16).digest()


NOTHING = SliceMask((0, 0), np.zeros((0, 0), bool))


@dataclass(frozen=True, eq=False)
class MaskPart:
    """The part of a mask that holds something, and where it lies.

    Attributes:
        shape: Of the whole mask.
        corner: Position of the part's first voxel.
        voxels: The part, bool; without voxels if the mask is empty.
    """

    shape: tuple[int, int, int]
    corner: tuple[int, int, int]
    voxels: np.ndarray

    @classmethod
    def of(cls, mask: np.ndarray) -> MaskPart:
        """Cut a mask (k, j, i) to what it holds; other than 0 is the structure."""
        shape = (mask.shape[0], mask.shape[1], mask.shape[2])
        if mask.dtype.kind not in "bu":
            mask = mask != 0
        plain = mask.view(np.uint8) if mask.dtype == bool else mask
        corner, stop = [], []
        part = plain
        for axis in range(3):
            used = np.flatnonzero(_largest(part, axis))
            if not len(used):
                return cls(shape, (0, 0, 0), np.zeros((0, 0, 0), bool))
            corner.append(int(used[0]))
            stop.append(int(used[-1]) + 1)
            part = part[(slice(None),) * axis + (slice(corner[-1], stop[-1]),)]
        return cls(shape, (corner[0], corner[1], corner[2]), part != 0)

    @classmethod
    def joined(cls, shape: tuple[int, int, int], slices: Mapping[int, SliceMask]) -> MaskPart:
        """The mask of these slices along the first axis; the others are empty."""
        used = {number: mask for number, mask in slices.items() if not mask.is_empty}
        if not used:
            return cls(shape, (0, 0, 0), np.zeros((0, 0, 0), bool))
        corner = np.min([mask.corner for mask in used.values()], axis=0)
        stop = np.max([np.add(mask.corner, mask.voxels.shape) for mask in used.values()], axis=0)
        first, last = min(used), max(used)
        voxels = np.zeros((last - first + 1, *(stop - corner)), bool)
        for number, mask in used.items():
            (row, column), (rows, columns) = np.subtract(mask.corner, corner), mask.voxels.shape
            voxels[number - first, row : row + rows, column : column + columns] = mask.voxels
        return cls(shape, (first, int(corner[0]), int(corner[1])), voxels)

    @classmethod
    def from_bits(
        cls, shape: Sequence[int], corner: Sequence[int], size: Sequence[int], bits: np.ndarray
    ) -> MaskPart:
        """What `write_bits` wrote.

        Args:
            shape: Of the whole mask.
            corner: Position of the part's first voxel.
            size: Of the part.
            bits: uint8; what follows the part's bits is ignored.
        """
        count = math.prod(size)
        voxels = np.unpackbits(bits[: math.ceil(count / 8)], count=count).view(bool).reshape(size)
        i, j, k = shape
        first, second, third = corner
        return cls((i, j, k), (first, second, third), voxels)

    @property
    def is_empty(self) -> bool:
        return not self.voxels.size

    def write_bits(self, bits: np.ndarray) -> None:
        """Write the part to the beginning of `bits` (uint8), eight voxels in each."""
        packed = np.packbits(self.voxels)
        bits[: len(packed)] = packed

    def with_slices(self, slices: Mapping[int, SliceMask]) -> MaskPart:
        """The mask with these slices along the first axis in place of its own."""
        kept = {z: self.of_slice(z) for z in self.used() if z not in slices}
        return MaskPart.joined(self.shape, {**kept, **slices})

    def whole(self) -> np.ndarray:
        """The whole mask, uint8 of 0 and 1."""
        mask = np.zeros(self.shape, np.uint8)
        mask[self.box()] = self.voxels
        return mask

    def box(self) -> tuple[slice, slice, slice]:
        """Where the part lies in the whole mask."""
        i, j, k = (
            slice(first, first + count)
            for first, count in zip(self.corner, self.voxels.shape, strict=True)
        )
        return i, j, k

    def of_slice(self, number: int) -> SliceMask:
        """The mask of one slice along the first axis, cut to what it holds."""
        return SliceMask.of((self.corner[1], self.corner[2]), self.cut(number))

    def along(self, axis: int) -> MaskPart:
        """The same mask with this axis first and the others in order."""
        return self._transposed((axis, *(other for other in range(3) if other != axis)))

    def back_from(self, axis: int) -> MaskPart:
        """The mask of which this one is `along(axis)`."""
        others = iter((1, 2))
        return self._transposed(tuple(0 if n == axis else next(others) for n in range(3)))

    def _transposed(self, order: tuple[int, ...]) -> MaskPart:
        return MaskPart(
            (self.shape[order[0]], self.shape[order[1]], self.shape[order[2]]),
            (self.corner[order[0]], self.corner[order[1]], self.corner[order[2]]),
            self.voxels.transpose(order),
        )

    def used(self) -> tuple[int, ...]:
        """Numbers of the slices along the first axis that hold something."""
        if self.is_empty:
            return ()
        return tuple((np.flatnonzero(self.voxels.any(axis=(1, 2))) + self.corner[0]).tolist())

    def cut(self, number: int) -> np.ndarray:
        """The part's rows and columns of one slice, bool (h, w)."""
        position = number - self.corner[0]
        if 0 <= position < len(self.voxels):
            return self.voxels[position]
        return np.zeros(self.voxels.shape[1:], bool)

    def region(self, numbers: Sequence[int], rows: slice, columns: slice) -> np.ndarray:
        """Rows and columns of some slices, bool (n, h, w)."""
        result = np.zeros(
            (len(numbers), rows.stop - rows.start, columns.stop - columns.start), bool
        )
        low = [
            max(part.start, first)
            for part, first in zip((rows, columns), self.corner[1:], strict=True)
        ]
        high = [
            min(part.stop, first + count)
            for part, first, count in zip(
                (rows, columns), self.corner[1:], self.voxels.shape[1:], strict=True
            )
        ]
        if low[0] >= high[0] or low[1] >= high[1]:
            return result
        there = (
            slice(low[0] - rows.start, high[0] - rows.start),
            slice(low[1] - columns.start, high[1] - columns.start),
        )
        here = (
            slice(low[0] - self.corner[1], high[0] - self.corner[1]),
            slice(low[1] - self.corner[2], high[1] - self.corner[2]),
        )
        for place, number in enumerate(numbers):
            position = number - self.corner[0]
            if 0 <= position < len(self.voxels):
                result[place][there] = self.voxels[position][here]
        return result


def _largest(part: np.ndarray, axis: int) -> np.ndarray:
    others = tuple(other for other in range(3) if other != axis)
    return np.maximum.reduce(part, axis=others)
