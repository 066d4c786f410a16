"""How much of each slice of a result is expected to be wrong, and which slices to correct first."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_LEAST = 0.5
"""Slices with fewer voxels that are expected to be wrong are not proposed."""


@dataclass(frozen=True, eq=False)
class SliceDoubt:
    """Voxels that are expected to be wrong.

    A model's probability p of a voxel that it gives to a structure says that the voxel is wrong
    with probability 1 − p; that of a voxel that it does not give to it, that it is missing with p.
    Errors of which the model is certain do not show.

    Attributes:
        axis: Array axis (0 = k) of the volume across the model's slices.
        voxels: Their number, float32 (structures, slices).
        dice: Dice that a structure is expected to have on a slice, the same shape; 0 where it is
            not found. None if it was not measured.
        is_calibrated: Whether the model says how its probabilities are calibrated. If not, the
            expected Dice is too high, and tells only which slices are less sure than others.
    """

    axis: int
    voxels: np.ndarray
    dice: np.ndarray | None = None
    is_calibrated: bool = True

    def of(self, places: list[int]) -> SliceDoubt:
        """That of some structures."""
        dice = None if self.dice is None else self.dice[places]
        return SliceDoubt(self.axis, self.voxels[places], dice, self.is_calibrated)

    def ranked(self, place: int, count: int = 10, apart: int = 3) -> tuple[int, ...]:
        """The slices of a structure to correct first, the most doubtful one first.

        A correction is carried to the neighbours of a slice, so the slices are some way apart.

        Args:
            place: The structure's row in `voxels`.
            count: At most so many.
            apart: At least so many slices from each other.
        """
        doubt = self.voxels[place]
        chosen: list[int] = []
        for number in np.argsort(-doubt, kind="stable").tolist():
            if len(chosen) == count or doubt[number] < _LEAST:
                break
            if all(abs(number - other) >= apart for other in chosen):
                chosen.append(number)
        return tuple(chosen)

    def to_json(self) -> dict[str, Any]:
        """JSON types; voxels are rounded to tenths, Dice to ten-thousandths."""
        data: dict[str, Any] = {"axis": self.axis, "voxels": _rounded(self.voxels, 1)}
        if self.dice is not None:
            data["dice"] = _rounded(self.dice, 4)
            data["calibrated"] = self.is_calibrated
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> SliceDoubt:
        """What `to_json` gave."""
        dice = data.get("dice")
        return cls(
            int(data["axis"]),
            np.asarray(data["voxels"], np.float32),
            None if dice is None else np.asarray(dice, np.float32),
            bool(data.get("calibrated", True)),  # earlier versions sent it only then
        )


def _rounded(values: np.ndarray, places: int) -> list[list[float]]:
    return [[round(float(value), places) for value in row] for row in values]
