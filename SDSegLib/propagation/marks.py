"""Checksums of the slices of a mask, to find the slices that a person changed afterwards."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..language import tr
from .mask_part import MaskPart
from .options import AXES
from .stack import drawn_axis

_VERSION = "1"


@dataclass(frozen=True)
class SliceMarks:
    """A checksum of each slice that holds something, along each array axis.

    Attributes:
        shape: Of the mask, (k, j, i).
        checksums: For each axis, checksums by slice number.
    """

    shape: tuple[int, int, int]
    checksums: tuple[Mapping[int, int], Mapping[int, int], Mapping[int, int]]

    @classmethod
    def of(cls, mask: np.ndarray | MaskPart) -> SliceMarks:
        """The marks of a mask (k, j, i); other than 0 is the structure."""
        part = mask if isinstance(mask, MaskPart) else MaskPart.of(mask)
        return cls(part.shape, (_checksums(part, 0), _checksums(part, 1), _checksums(part, 2)))

    def changed(
        self, mask: np.ndarray | MaskPart
    ) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
        """Numbers of the slices that differ from the marks, along each axis.

        Raises:
            InputError: If the mask has another shape.
        """
        now = SliceMarks.of(mask)
        if now.shape != self.shape:
            raise InputError(
                tr(
                    "The marks are those of a mask of {shape} voxels (k, j, i), not of "
                    "{now_shape}; propagate once to renew them."
                ).format(shape=self.shape, now_shape=now.shape)
            )
        first, second, third = (
            tuple(sorted(z for z in {*before, *after} if before.get(z) != after.get(z)))
            for before, after in zip(self.checksums, now.checksums, strict=True)
        )
        return first, second, third

    def differ(self, part: MaskPart) -> bool:
        """Whether any slice differs from the marks; faster than `changed`, as one axis shows it."""
        return part.shape != self.shape or _checksums(part, 0) != dict(self.checksums[0])

    def to_text(self) -> str:
        """One line for a segment's tag; `from_text` reads it back."""
        axes = ",".join(
            " ".join(f"{number}:{value:x}" for number, value in sorted(marks.items()))
            for marks in self.checksums
        )
        return f"{_VERSION};{' '.join(map(str, self.shape))};{axes}"

    @classmethod
    def from_text(cls, text: str) -> SliceMarks | None:
        """What `to_text` gave; None if it is of another version or damaged."""
        version, _, rest = text.partition(";")
        if version != _VERSION:
            return None
        shape, _, axes = rest.partition(";")
        try:
            k, j, i = (int(number) for number in shape.split())
            first, second, third = (_read(part) for part in axes.split(","))
        except ValueError:
            return None
        return cls((k, j, i), (first, second, third))


def drawn_slices(
    mask: np.ndarray | MaskPart, marks: SliceMarks | None
) -> tuple[int | None, tuple[int, ...]]:
    """The slices that a person drew or changed: array axis across them, and their numbers.

    Without marks these are all slices that hold something, along the axis across which they look
    drawn. With marks they are the slices that differ from them, along the axis with the fewest:
    drawing on one axial slice changes many sagittal ones a little.

    Args:
        mask: (k, j, i); other than 0 is the structure.
        marks: Of the mask after the last prediction; None if there was none, or if they are of a
            mask of another shape.

    Returns:
        The axis, 0 for k, or None if it cannot be told; the numbers along it, ascending. Without
        an axis, the numbers are none.
    """
    part = mask if isinstance(mask, MaskPart) else MaskPart.of(mask)
    if marks is None or marks.shape != part.shape:
        axis = drawn_axis(part)
        return axis, () if axis is None else part.along(axis).used()
    changed = marks.changed(part)
    if not any(changed):
        return None, ()
    fewest = min(len(numbers) for numbers in changed)
    axes = [axis for axis in range(len(AXES)) if len(changed[axis]) == fewest]
    if len(axes) > 1:
        return None, ()
    return axes[0], changed[axes[0]]


def _checksums(part: MaskPart, axis: int) -> dict[int, int]:
    """Checksums of voxels and place of each slice that holds something."""
    along = part.along(axis)
    found = {}
    for number in along.used():
        mask = along.of_slice(number)
        place = np.array([*mask.corner, *mask.voxels.shape], "<i4").tobytes()
        found[number] = zlib.crc32(place + np.packbits(mask.voxels).tobytes())
    return found


def _read(text: str) -> dict[int, int]:
    """ "12:1f 13:2c" → numbers and checksums."""
    pairs = (item.split(":") for item in text.split())
    return {int(number): int(value, 16) for number, value in pairs}
