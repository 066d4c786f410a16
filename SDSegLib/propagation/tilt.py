"""Whether a mask was drawn in a plane that is tilted against the slices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .mask_part import MaskPart

_FEWEST_VOXELS = 10
_MOST_VOXELS = 20_000
_SMALLEST_DEGREES = 3.0
_FLATTER = 4.0  # times as long as thick


@dataclass(frozen=True)
class Tilt:
    """A drawing in an oblique plane.

    Attributes:
        axis: Array axis (0 = k) across the slices that are nearest to the plane.
        degrees: Angle between the plane and these slices.
    """

    axis: int
    degrees: float


def tilt_of(mask: MaskPart, spacing: tuple[float, float, float]) -> Tilt | None:
    """The tilt of a mask that is a single thin sheet without gaps; None for any other mask.

    Args:
        mask: (k, j, i).
        spacing: In mm along (k, j, i).
    """
    if any(len(mask.along(axis).used()) < mask.voxels.shape[axis] for axis in range(3)):
        return None
    points = np.argwhere(mask.voxels)
    if len(points) < _FEWEST_VOXELS:
        return None
    step = -(-len(points) // _MOST_VOXELS)
    places = points[::step] * np.asarray(spacing)
    variances, directions = np.linalg.eigh(np.cov(places.T))
    thickness, width = np.sqrt(np.maximum(variances[:2], 0.0))
    if thickness > max(spacing) or width < _FLATTER * max(thickness, min(spacing) / 2):
        return None
    along = np.abs(directions[:, 0])
    axis = int(np.argmax(along))
    degrees = float(np.degrees(np.arccos(min(1.0, float(along[axis])))))
    return Tilt(axis, degrees) if degrees > _SMALLEST_DEGREES else None
