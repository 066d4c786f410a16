"""What a propagation gives: the mask on all slices, and where it is unsure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..volume.geometry import Geometry
from .mask_part import MaskPart

_UNSURE_SHARE = 0.25
_MOST_UNSURE = 10


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
        uncertainty: Mean binary entropy of the mask's probability over the area of the structure in
            each slice, in bits from 0, float32 (Z,); 0 on slices that were not computed.
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
        return unsure_slices(self.uncertainty, self.changed)

    @property
    def next_slice(self) -> int | None:
        """The slice whose drawing would help most; None if none was computed."""
        return next_slice(self.uncertainty, self.changed)

    def volume_ml(self) -> float:
        """Volume of the mask in mL."""
        return float(np.count_nonzero(self.part.voxels)) * self.geometry.voxel_volume_ml


def unsure_slices(uncertainty: np.ndarray, changed: Sequence[int]) -> tuple[int, ...]:
    """Slices whose uncertainty is more than a quarter of a bit, the least certain first."""
    ranked = sorted(changed, key=lambda number: -float(uncertainty[number]))
    return tuple(n for n in ranked if uncertainty[n] > _UNSURE_SHARE)[:_MOST_UNSURE]


def next_slice(uncertainty: np.ndarray, changed: Sequence[int]) -> int | None:
    """The slice with the most uncertainty around it, which its drawing would take away.

    Uncertainty is summed with weights that fall to zero over five slices to each side, so that the
    middle of an unsure run is proposed and not a single noisy slice.
    """
    if not len(changed):
        return None
    weights = np.bartlett(11)
    spread = np.convolve(uncertainty, weights, mode="same")
    return max(changed, key=lambda number: float(spread[number]))
