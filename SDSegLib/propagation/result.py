"""What a propagation gives: the mask on all slices, and where it is unsure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..volume.geometry import Geometry
from .mask_part import MaskPart

_UNSURE = 0.2
_MOST_UNSURE = 10
_NEIGHBOURS = 11


@dataclass(frozen=True, eq=False)
class Propagation:
    """A mask that was carried to other slices.

    Attributes:
        part: The mask on the CT's grid, (k, j, i), cut to the box that holds something. The drawn
            slices, and all others that were not computed, hold exactly what was given.
        geometry: The CT's grid.
        axis: Array axis across the slices, 0 for k.
        drawn: Numbers of the drawn slices.
        changed: Numbers of the slices that were computed.
        presence: Probability that the structure is in each slice along `axis`, float32 (Z,); 0 or 1
            on slices that were not computed.
        uncertainty: How far the mask of each slice is likely to be wrong, as one minus the Dice to
            be expected, float32 (Z,); 0 on slices that were not computed.
        model: Name and version of the model.
    """

    part: MaskPart
    geometry: Geometry
    axis: int
    drawn: tuple[int, ...]
    changed: tuple[int, ...]
    presence: np.ndarray
    uncertainty: np.ndarray
    model: str = ""

    @property
    def mask(self) -> np.ndarray:
        """The whole mask, uint8 of 0 and 1, (k, j, i)."""
        return self.part.whole()

    @property
    def unsure(self) -> tuple[int, ...]:
        """Numbers of the slices to look at, the least certain first; at most ten."""
        ranked = sorted(self.changed, key=lambda number: -float(self.uncertainty[number]))
        return tuple(n for n in ranked if self.uncertainty[n] > _UNSURE)[:_MOST_UNSURE]

    @property
    def next_slice(self) -> int | None:
        """The slice whose drawing would help most; None if none is likely to be wrong.

        It is the one with the most voxels that are likely to be wrong in it and around it, since
        drawing it also helps its neighbours. They count less with distance, up to five slices.
        """
        if not self.changed:
            return None
        wrong = self.uncertainty * self._areas()
        if not wrong.any():
            return None
        around = np.convolve(wrong, np.bartlett(_NEIGHBOURS), mode="full")
        around = around[_NEIGHBOURS // 2 :]
        return max(self.changed, key=lambda number: float(around[number]))

    def volume_ml(self) -> float:
        """Volume of the mask in mL."""
        return float(np.count_nonzero(self.part.voxels)) * self.geometry.voxel_volume_ml

    def _areas(self) -> np.ndarray:
        """Voxels of the structure in each slice, at least what the drawn slices suggest."""
        along = self.part.along(self.axis)
        areas = np.zeros(len(self.uncertainty))
        first = along.corner[0]
        areas[first : first + len(along.voxels)] = along.voxels.sum((1, 2))
        return np.maximum(areas, np.interp(np.arange(len(areas)), self.drawn, areas[[*self.drawn]]))
