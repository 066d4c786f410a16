"""What is known of a window's slices, on the slices' own voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import expit
from torch import Tensor

from .crops import Crops
from .mask_part import SliceMask

OUTSIDE = -20.0
"""Logit of a voxel beyond its crop."""
_LEAST_CHANCE = 0.05


@dataclass(frozen=True, eq=False)
class SliceEstimate:
    """What is known of one slice.

    Attributes:
        corner: Row and column of the first voxel of `chance`.
        chance: Probability of each voxel, (h, w) float32, given that the structure is in the slice;
            everything around them is outside.
        presence: Probability that the structure is in the slice.
    """

    corner: tuple[int, int]
    chance: np.ndarray
    presence: float

    def best_mask(self) -> tuple[np.ndarray, float]:
        """The mask (h, w) of greatest expected Dice, and that Dice.

        Both are those in case that the structure is in the slice. Of all thresholds up to one half
        it is that with the greatest 2·Σp / (n + Σp), where the upper sum is over the n chosen
        voxels and the lower one over all.
        """
        values = np.sort(self.chance[self.chance > _LEAST_CHANCE])[::-1]
        if not len(values):
            return np.zeros(self.chance.shape, bool), 0.0
        sums = values.cumsum()
        expected = 2 * sums / (np.arange(1, len(values) + 1) + sums[-1])
        best = int(expected.argmax())
        return self.chance >= min(values[best], 0.5), float(expected[best])

    def averaged(self, votes: Sequence[tuple[SliceMask, float]]) -> SliceEstimate:
        """The weighted mean with masks.

        Args:
            votes: Masks of the slice, and their weights; the rest of 1 is the estimate's own.
        """
        own = 1 - sum(weight for _, weight in votes)
        parts = [(self.corner, own * self.chance)]
        parts += [(mask.corner, weight * mask.voxels) for mask, weight in votes if mask.voxels.size]
        low = np.min([corner for corner, _ in parts], axis=0)
        high = np.max([np.add(corner, part.shape) for corner, part in parts], axis=0)
        mean = np.zeros(high - low, np.float32)
        for corner, part in parts:
            row, column = np.subtract(corner, low)
            mean[row : row + part.shape[0], column : column + part.shape[1]] += part
        return SliceEstimate((int(low[0]), int(low[1])), mean, self.presence)


@dataclass(frozen=True, eq=False)
class WindowEstimate:
    """What the network says of a window.

    Attributes:
        slices: Numbers of the slices it saw.
        crops: Where their crops lie.
        logits: On the crops, (D, S, S).
        presence: Probability that the structure is in each of them, (D,).
    """

    slices: tuple[int, ...]
    crops: Crops
    logits: Tensor
    presence: np.ndarray

    def of(self, number: int, shape: tuple[int, int]) -> SliceEstimate:
        """The estimate of a slice; between two slices that the network saw it is interpolated.

        Args:
            number: A slice from the first to the last of the window.
            shape: Rows and columns of the slices.
        """
        place = float(np.interp(number, self.slices, np.arange(len(self.slices))))
        low, high = int(np.floor(place)), int(np.ceil(place))
        share = place - low
        regions = [self.crops.covered(position, shape) for position in (low, high)]
        rows, columns = (
            slice(min(a.start, b.start), max(a.stop, b.stop)) for a, b in zip(*regions, strict=True)
        )
        logits = self._placed(low, regions[0], rows, columns)
        if share:
            other = self._placed(high, regions[1], rows, columns)
            logits = (1 - share) * logits + share * other
        presence = float((1 - share) * self.presence[low] + share * self.presence[high])
        return SliceEstimate((rows.start, columns.start), expit(logits), presence)

    def _placed(
        self, position: int, region: tuple[slice, slice], rows: slice, columns: slice
    ) -> np.ndarray:
        """The logits of one crop on the voxels of a larger region."""
        placed = np.full(
            (rows.stop - rows.start, columns.stop - columns.start), OUTSIDE, np.float32
        )
        if all(part.stop > part.start for part in region):
            inner = tuple(
                slice(part.start - whole.start, part.stop - whole.start)
                for part, whole in zip(region, (rows, columns), strict=True)
            )
            restored = self.crops.restored(self.logits[position], position, region)
            placed[inner] = restored.numpy()
        return placed
