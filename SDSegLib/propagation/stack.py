"""Parallel slices of a volume with a mask: along which axis, and on which of them it is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..volume.checks import finite_values
from ..volume.geometry import Geometry
from ..volume.orientation import axis_letters
from ..volume.volume import Volume
from .options import AXES, PropagateOptions, listed


@dataclass(frozen=True, eq=False)
class Stack:
    """A volume and a mask as slices along one array axis.

    Attributes:
        ct: HU, (Z, H, W); a view of the volume's array.
        mask: bool, (Z, H, W).
        axis: Array axis of the volume, 0 for k, that Z runs along.
        spacing: In mm along (Z, H, W).
        right: Numbers of the slices on which the mask is right, in order; at least one of them
            holds something.
    """

    ct: np.ndarray
    mask: np.ndarray
    axis: int
    spacing: tuple[float, float, float]
    right: tuple[int, ...]

    @classmethod
    def of(cls, volume: Volume, mask: np.ndarray, options: PropagateOptions) -> Stack:
        """Look along the axis that is asked for, or along the body.

        Args:
            volume: A CT.
            mask: On the volume's grid, (k, j, i); other than 0 is the structure.
            options: Axis and slices.

        Raises:
            InputError: If the mask is empty or of another shape, a slice lies outside the volume,
                or no slice that is right holds anything.
        """
        if mask.shape != volume.array.shape:
            raise InputError(
                f"The mask has {_size(mask.shape)} voxels and the CT {_size(volume.array.shape)}; "
                "give a mask on the grid of the CT."
            )
        name = options.axis
        axis = body_axis(volume.geometry) if name is None else AXES.index(name)
        shown = np.moveaxis(mask, axis, 0) != 0
        drawn = np.flatnonzero(shown.any(axis=(1, 2)))
        if not len(drawn):
            raise InputError("The mask is empty; draw the structure on at least one slice.")
        right = tuple(drawn.tolist()) if options.slices is None else options.slices
        outside = [number for number in right if number >= len(shown)]
        if outside:
            raise InputError(
                f"There is no slice {outside[0]} along {AXES[axis]}; the volume has slices 0 to "
                f"{len(shown) - 1}."
            )
        if not set(right) & set(drawn.tolist()):
            raise InputError(
                f"The mask is empty on all slices that are named ({listed(right)}); it holds "
                f"something on {listed(drawn.tolist())} along {AXES[axis]}."
            )
        spacing = volume.geometry.spacing[::-1]
        order = (axis, *(other for other in range(3) if other != axis))
        return cls(
            ct=np.moveaxis(volume.array, axis, 0),
            mask=shown,
            axis=axis,
            spacing=(spacing[order[0]], spacing[order[1]], spacing[order[2]]),
            right=tuple(sorted(set(right))),
        )

    def known(self) -> dict[int, np.ndarray]:
        """The right slices by number, bool (H, W)."""
        return {number: self.mask[number] for number in self.right}

    def hounsfield(self, first: int, stop: int) -> np.ndarray:
        """HU of the slices `first` … `stop` − 1, without NaN and infinity; (stop − first, H, W)."""
        return finite_values(np.ascontiguousarray(self.ct[first:stop]))

    def targets(self, carry: str) -> range:
        """The slices that may change: those asked for by `PropagateOptions.carry`."""
        first, last = self.right[0], self.right[-1]
        return {
            "between": range(first, last + 1),
            "up": range(last, len(self.ct)),
            "down": range(first + 1),
            "all": range(len(self.ct)),
        }[carry]

    def on_volume(self, slices: np.ndarray) -> np.ndarray:
        """An array (Z, H, W) in the volume's own order (k, j, i)."""
        return np.ascontiguousarray(np.moveaxis(slices, 0, self.axis))


def body_axis(geometry: Geometry) -> int:
    """The array axis, 0 for k, that is closest to the body's axis from feet to head."""
    return next(2 - n for n, letter in enumerate(axis_letters(geometry)) if letter in "SI")


def drawn_axis(mask: np.ndarray) -> int | None:
    """The array axis across the slices that somebody drew on; None if that cannot be told.

    A structure that was drawn on a few parallel slices holds something on few slices along one
    axis, with gaps between them or with one slice alone, and on most slices along the others.
    """
    counts = [int(np.count_nonzero(mask.any(axis=_others(axis)))) for axis in range(3)]
    extents = [_extent(mask.any(axis=_others(axis))) for axis in range(3)]
    gaps = [extent - count for extent, count in zip(extents, counts, strict=True)]
    singles = [axis for axis in range(3) if counts[axis] == 1]
    if len(singles) == 1:
        return singles[0]
    with_gaps = [axis for axis in range(3) if gaps[axis] > 0]
    return with_gaps[0] if len(with_gaps) == 1 else None


def _others(axis: int) -> tuple[int, int]:
    first, second = (other for other in range(3) if other != axis)
    return first, second


def _extent(is_used: np.ndarray) -> int:
    used = np.flatnonzero(is_used)
    return int(used[-1] - used[0] + 1) if len(used) else 0


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in reversed(shape))
