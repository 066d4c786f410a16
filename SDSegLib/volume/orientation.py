"""Lossless reorientation: bring a grid's axes to the order and direction that a model expects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Geometry

_AXIS_OF_LETTER = {"L": (0, 1), "R": (0, -1), "P": (1, 1), "A": (1, -1), "S": (2, 1), "I": (2, -1)}


def axis_letters(geometry: Geometry) -> str:
    """The patient direction in which i, j and k mostly grow, for example "LPS"."""
    letters = [""] * 3
    for index_axis, (patient_axis, sign) in enumerate(_closest_axes(geometry.direction)):
        letters[index_axis] = next(
            letter for letter, axis in _AXIS_OF_LETTER.items() if axis == (patient_axis, sign)
        )
    return "".join(letters)


@dataclass(frozen=True)
class Reorientation:
    """A permutation and flips of array axes; `apply` and `undo` do not interpolate.

    Attributes:
        order: For each axis of the reoriented (k, j, i) array, the original array axis.
        flips: Axes of the reoriented array whose direction is opposite to the original's.
    """

    order: tuple[int, int, int]
    flips: tuple[int, ...]

    def apply(self, array: np.ndarray) -> np.ndarray:
        """View of `array` (k, j, i) in the target axes."""
        return np.flip(array.transpose(self.order), self.flips)

    def undo(self, array: np.ndarray) -> np.ndarray:
        """View of an array in the target axes, back in the original ones."""
        return np.flip(array, self.flips).transpose(np.argsort(self.order))

    def spacing(self, geometry: Geometry) -> tuple[float, float, float]:
        """Spacing in mm along (k, j, i) of the reoriented array."""
        original = geometry.spacing[::-1]
        return (original[self.order[0]], original[self.order[1]], original[self.order[2]])


def reorientation_to(geometry: Geometry, axes: str) -> Reorientation:
    """How to bring a (k, j, i) array on `geometry` to `axes`.

    Args:
        geometry: The grid the array lies on; it may be oblique or left-handed.
        axes: Direction in which i, j and k shall grow, for example "LPS" or "PLS".
    """
    have = _closest_axes(geometry.direction)
    order, flips = [], []
    for target_axis, letter in enumerate(reversed(axes)):
        wanted_patient_axis, wanted_sign = _AXIS_OF_LETTER[letter]
        index_axis = next(n for n, (axis, _) in enumerate(have) if axis == wanted_patient_axis)
        order.append(2 - index_axis)
        if have[index_axis][1] != wanted_sign:
            flips.append(target_axis)
    return Reorientation((order[0], order[1], order[2]), tuple(flips))


def is_axes(text: str) -> bool:
    """Whether `text` names three different patient axes, like "LPS"."""
    return len(text) == 3 and {_AXIS_OF_LETTER.get(c, (None,))[0] for c in text} == {0, 1, 2}


def _closest_axes(direction: np.ndarray) -> list[tuple[int, int]]:
    """For i, j, k: the patient axis (0 = L, 1 = P, 2 = S) each is assigned to, and its sign."""
    from itertools import permutations

    best = max(
        permutations(range(3)),
        key=lambda axes: sum(abs(direction[axes[n], n]) for n in range(3)),
    )
    return [(axis, 1 if direction[axis, n] >= 0 else -1) for n, axis in enumerate(best)]
