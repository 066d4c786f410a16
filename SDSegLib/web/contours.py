"""Fill between slices: morphological interpolation of the drawn contours, as in 3D Slicer."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from ..errors import InputError
from ..language import tr
from ..mrml.fill_between import fill_between_slices
from ..propagation.mask_part import MaskPart


def fill_between(part: MaskPart, axis: int, drawn: Sequence[int]) -> np.ndarray:
    """A mask whose slices between the drawn ones are interpolated.

    The method needs contours that overlap from one drawn slice to the next.

    Args:
        part: The structure.
        axis: Array axis across the slices, 0 for k.
        drawn: Numbers of the drawn slices along `axis`; others between them are ignored.

    Returns:
        bool (k, j, i); the drawn slices, those before the first and those after the last are as
        they were.

    Raises:
        InputError: If there is nothing between the drawn slices to be filled.
    """
    numbers = sorted(set(drawn))
    if len(numbers) < 2:
        raise InputError(
            tr("Fill between slices needs two drawn slices or more; draw the structure on another.")
        )
    if numbers[-1] - numbers[0] + 1 == len(numbers):
        raise InputError(
            tr(
                "There is no slice between the drawn ones ({number} to {last_number}); draw the "
                "structure on a slice farther away."
            ).format(number=numbers[0] + 1, last_number=numbers[-1] + 1)
        )
    result = part.whole() != 0
    slices = np.moveaxis(result, axis, 0)
    known = np.zeros_like(slices)
    known[numbers] = slices[numbers]
    known = np.moveaxis(known, 0, axis)
    if not known.any():
        raise InputError(tr("The drawn slices are empty; draw the structure on two of them."))
    filled = fill_between_slices(known, axis) != 0
    between = np.setdiff1d(np.arange(numbers[0], numbers[-1]), numbers)
    slices[between] = np.moveaxis(filled, axis, 0)[between]
    return result


def apart(part: MaskPart, axis: int, drawn: Sequence[int]) -> list[tuple[int, int]]:
    """Neighbouring drawn slices whose contours do not overlap, which are not connected.

    Args:
        part: The structure.
        axis: Array axis across the slices.
        drawn: Numbers of the drawn slices along `axis`.
    """
    along = part.along(axis)
    return [
        (before, after)
        for before, after in pairwise(sorted(set(drawn) & set(along.used())))
        if not (along.cut(before) & along.cut(after)).any()
    ]
