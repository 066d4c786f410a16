"""Parallel slices of a volume with a mask: along which axis, and which of them are drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.checks import finite_values
from ..volume.geometry import Geometry
from ..volume.orientation import axis_letters
from ..volume.volume import Volume
from .mask_part import MaskPart
from .options import AXES, PropagateOptions, listed
from .planes import several_planes
from .tilt import tilt_of

_THIN = 1.5
"""Mean length in voxels of runs across drawn slices, below which they were drawn one by one."""


@dataclass(frozen=True, eq=False)
class Stack:
    """A volume and a mask as slices along one array axis.

    Attributes:
        ct: Values in HU, (Z, H, W); a view of the volume's array.
        mask: On the same slices.
        axis: Array axis of the volume, 0 for k, that Z runs along.
        spacing: In mm along (Z, H, W).
        drawn: Numbers of the slices whose mask is right, in order; at least one of them holds
            something, unless a prediction is corrected.
    """

    ct: np.ndarray
    mask: MaskPart
    axis: int
    spacing: tuple[float, float, float]
    drawn: tuple[int, ...]

    @classmethod
    def of(cls, volume: Volume, mask: np.ndarray | MaskPart, options: PropagateOptions) -> Stack:
        """Look along the axis that is asked for, or along the body.

        Args:
            volume: A CT.
            mask: On the volume's grid, (k, j, i); other than 0 is the structure.
            options: Axis and slices.

        Raises:
            InputError: If the mask is empty or of another shape, looks drawn in other planes than
                those of the axis that was not named or in several, a slice lies outside the
                volume, or no drawn slice holds anything.
        """
        if mask.shape != volume.array.shape:
            raise InputError(
                tr(
                    "The mask has {shape} voxels and the CT {other}; give a mask on the "
                    "grid of the CT."
                ).format(shape=_size(mask.shape), other=_size(volume.array.shape))
            )
        part = mask if isinstance(mask, MaskPart) else MaskPart.of(mask)
        spacing = volume.geometry.spacing[::-1]
        planes = several_planes(part) if options.slices is None else {}
        if options.axis is None:
            axis = body_axis(volume.geometry)
            _check_plane(part, spacing, axis, planes)
        else:
            axis = AXES.index(options.axis)
        part = part.along(axis)
        used = part.used()
        if not used:
            raise InputError(tr("The mask is empty; draw the structure on at least one slice."))
        count = part.shape[0]
        drawn = tuple(sorted(set(options.slices or planes.get(axis) or used)))
        outside = [number for number in drawn if number >= count]
        if outside:
            raise InputError(
                tr(
                    "There is no slice {outside} along {axis}; the volume has slices 0 to {count}."
                ).format(outside=outside[0], axis=AXES[axis], count=count - 1)
            )
        if not (options.correct or set(drawn) & set(used)):
            raise InputError(
                tr(
                    "The mask is empty on all slices that are named ({drawn}); it holds "
                    "something on {used} along {axis}."
                ).format(drawn=listed(drawn), used=listed(used), axis=AXES[axis])
            )
        order = (axis, *(other for other in range(3) if other != axis))
        return cls(
            ct=volume.array.transpose(order),
            mask=part,
            axis=axis,
            spacing=(spacing[order[0]], spacing[order[1]], spacing[order[2]]),
            drawn=drawn,
        )

    def hounsfield(self, numbers: Sequence[int], rows: slice, columns: slice) -> np.ndarray:
        """HU of some slices' rows and columns, without NaN and infinity; (n, h, w)."""
        return np.stack([finite_values(self.ct[number, rows, columns]) for number in numbers])

    def targets(self, carry: str) -> range:
        """The slices that may change: those asked for by `PropagateOptions.carry`."""
        first, last = self.drawn[0], self.drawn[-1]
        return {
            "between": range(first, last + 1),
            "up": range(last, len(self.ct)),
            "down": range(first + 1),
            "all": range(len(self.ct)),
        }[carry]


def _check_plane(
    mask: MaskPart,
    spacing: tuple[float, float, float],
    axis: int,
    planes: Mapping[int, tuple[int, ...]],
) -> None:
    """Raise `InputError` if a mask (k, j, i) looks drawn in other planes than across this axis.

    `planes` is that of `several_planes`.
    """
    if mask.is_empty:
        return
    if planes:
        parts = (f"{AXES[one]} ({listed(numbers)})" for one, numbers in sorted(planes.items()))
        raise InputError(
            tr(
                "The mask is drawn in several planes, on slices across {parts}; choose the axis "
                "whose slices count, the others do not."
            ).format(parts=tr(" and ").join(parts))
        )
    tilt = tilt_of(mask, spacing)
    if tilt is not None:
        raise InputError(
            tr(
                "The mask is one slice at an angle of {degrees:.0f}° to the voxels' nearest "
                "planes, those across {axis}; draw it in such a plane, or name the axis if the "
                "structure is as flat as that."
            ).format(degrees=tilt.degrees, axis=AXES[tilt.axis])
        )
    drawn = drawn_axis(mask)
    if drawn is not None and drawn != axis and len(mask.along(axis).used()) > 1:
        used = mask.along(drawn).used()
        raise InputError(
            tr(
                "The mask is drawn on slices across {drawn_axis} ({used}), not across {axis}; "
                "choose the axis {drawn_axis}, or {axis} if it is meant so."
            ).format(drawn_axis=AXES[drawn], used=listed(used), axis=AXES[axis])
        )


def body_axis(geometry: Geometry) -> int:
    """The array axis, 0 for k, that is closest to the body's axis from feet to head."""
    return next(2 - n for n, letter in enumerate(axis_letters(geometry)) if letter in "SI")


def drawn_axis(mask: np.ndarray | MaskPart) -> int | None:
    """The array axis across the slices that somebody drew on; None if that cannot be told.

    Slices that were drawn one by one are one voxel thick across them. Where a structure is as thin
    along another axis too, the slices have gaps between them, or there is one alone. Neighbouring
    slices that were drawn without gaps cannot be told from a whole structure.

    Args:
        mask: (k, j, i); other than 0 is the structure.
    """
    part = mask if isinstance(mask, MaskPart) else MaskPart.of(mask)
    if part.is_empty:
        return None
    thin = [axis for axis in range(3) if _mean_run(part.voxels, axis) < _THIN]
    size = part.voxels.shape
    with_gaps = [axis for axis in thin if len(part.along(axis).used()) < size[axis]]
    alone = [axis for axis in thin if size[axis] == 1]
    for likely in (thin, with_gaps, alone):
        if len(likely) == 1:
            return likely[0]
    return None


def _mean_run(voxels: np.ndarray, axis: int) -> float:
    """Mean length of the runs of inside voxels along an axis."""
    moved = np.moveaxis(voxels, axis, 0)
    starts = np.count_nonzero(moved[0]) + np.count_nonzero(moved[1:] & ~moved[:-1])
    return float(np.count_nonzero(moved)) / max(int(starts), 1)


def _size(shape: tuple[int, ...]) -> str:
    return " × ".join(str(n) for n in reversed(shape))
