"""Sheared grids, as a tilted gantry makes them: planes that are shifted are straightened.

Each plane is moved within itself only, so nothing is interpolated between slices, and a label map
on the straight grid can be taken back to the acquired one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from ..language import tr
from .checks import AIR_HU
from .geometry import LARGEST_SHEAR_DEGREES, Geometry
from .volume import Volume

LARGEST_SHIFT = 0.5  # voxels from the first to the last plane; below it a grid counts as straight
LARGEST_TILT_DEGREES = 45.0
_RIGHT_ANGLE = 0.002  # cosine between the axes of a plane
_SMALLEST_PART = 1e-4  # of a voxel
_PREFERENCE_OF_K = 1.5


@dataclass(frozen=True, eq=False)
class Straightening:
    """How the planes of a sheared grid are moved onto a straight one.

    Attributes:
        acquired: The sheared grid.
        straight: The grid with the same planes above one another. It is larger within the planes,
            so that it holds all of them.
        axis: Array axis (0 = k, 1 = j, 2 = i) across the planes.
        shifts: Of each plane in voxels along its first and second array axis, (planes, 2), at least
            0.
    """

    acquired: Geometry
    straight: Geometry
    axis: int
    shifts: np.ndarray

    @property
    def tilt_degrees(self) -> float:
        """Angle between the acquired grid's axis across the planes and their normal."""
        i = 2 - self.axis
        cosine = float(self.acquired.direction[:, i] @ self.straight.direction[:, i])
        return float(np.degrees(np.arccos(np.clip(cosine, -1.0, 1.0))))

    @property
    def shift_mm(self) -> float:
        """Distance by which the last plane is shifted against the first."""
        sizes = np.delete(np.array(self.acquired.spacing[::-1]), self.axis)
        return float(np.linalg.norm((self.shifts[-1] - self.shifts[0]) * sizes))

    def apply(self, array: np.ndarray, outside: float, labels: bool = False) -> np.ndarray:
        """Values of the acquired grid on the straight one.

        Args:
            array: On the acquired grid, (k, j, i).
            outside: Value of voxels that no plane covers.
            labels: Whether to take the nearest voxel; otherwise values are interpolated linearly
                within the planes.

        Returns:
            The same number type, on the straight grid.
        """
        result = np.full(self.straight.shape, outside, array.dtype)
        planes, targets = np.moveaxis(array, self.axis, 0), np.moveaxis(result, self.axis, 0)
        for plane, target, shift in zip(planes, targets, self.shifts, strict=True):
            whole = np.floor(shift + (0.5 if labels else _SMALLEST_PART)).astype(int)
            part = np.zeros(2) if labels else np.maximum(shift - whole, 0.0)
            self._place(plane, target, whole)
            if part.max() > _SMALLEST_PART:
                target[:] = _with_type(_blended(target, part), array.dtype)
        return result

    def undo(self, array: np.ndarray) -> np.ndarray:
        """Labels of the straight grid on the acquired one: for each voxel, the nearest."""
        result = np.empty(self.acquired.shape, array.dtype)
        planes, targets = np.moveaxis(array, self.axis, 0), np.moveaxis(result, self.axis, 0)
        for plane, target, shift in zip(planes, targets, self.shifts, strict=True):
            rows, columns = np.floor(shift + 0.5).astype(int)
            height, width = target.shape
            target[:] = plane[rows : rows + height, columns : columns + width]
        return result

    @staticmethod
    def _place(plane: np.ndarray, target: np.ndarray, start: np.ndarray) -> None:
        height, width = plane.shape
        target[start[0] : start[0] + height, start[1] : start[1] + width] = plane


def straightening_of(geometry: Geometry) -> Straightening | None:
    """How to straighten a grid, None if its axes are at right angles or it is not one of planes.

    A grid counts as straight if its last plane is shifted by less than half a voxel against the
    first. Grids without two axes at a right angle, or tilted by more than 45°, are not those of a
    tilted gantry.
    """
    columns = geometry.affine_lps[:3, :3]
    extents = geometry.shape[::-1]
    if not np.isfinite(columns).all() or not np.all(geometry.spacing) or not min(extents):
        return None
    across = _axis_across(geometry)
    if across is None:
        return None
    one, other = (n for n in range(3) if n != across)
    normal = np.cross(columns[:, one], columns[:, other])
    normal /= np.linalg.norm(normal)
    height = float(columns[:, across] @ normal)
    steps = {n: _along(columns[:, across], columns[:, n]) for n in (one, other)}
    whole = max(abs(step) for step in steps.values()) * (extents[across] - 1)
    if whole <= LARGEST_SHIFT and geometry.shear_degrees <= LARGEST_SHEAR_DEGREES:
        return None
    return _straightening(geometry, across, normal * np.sign(height), abs(height), steps)


def straightened(volume: Volume, labels: bool = False) -> Volume:
    """A volume on straight axes; the volume itself if its grid is straight already.

    Args:
        volume: A volume on any grid.
        labels: Whether its values are labels, which are not interpolated.

    Returns:
        With the acquired grid in `acquired`, and a note.
    """
    how = straightening_of(volume.geometry)
    if how is None:
        return volume
    note = tr(
        "The slices are shifted against each other by {shift_mm:.1f} mm from first to last, "
        "as by a gantry tilted by {tilt_degrees:.1f}°. They were straightened, so results "
        "lie on a straight grid that is larger than the slices."
    ).format(shift_mm=how.shift_mm, tilt_degrees=how.tilt_degrees)
    return replace(
        volume,
        array=how.apply(volume.array, 0 if labels else _outside(volume), labels),
        geometry=how.straight,
        acquired=volume.geometry,
        notes=volume.notes if labels else (*volume.notes, note),
    )


def on_acquired_grid(array: np.ndarray, acquired: Geometry) -> np.ndarray:
    """Labels on the grid of a straightened volume, taken back to the grid it was acquired on.

    Args:
        array: (k, j, i) on the straight grid.
        acquired: `Volume.acquired` of the straightened volume.
    """
    how = straightening_of(acquired)
    if how is None or how.straight.shape != array.shape:
        raise ValueError(f"{array.shape} is not the straightened grid of {acquired.shape}")
    return how.undo(array)


def _axis_across(geometry: Geometry) -> int | None:
    """The index axis across the planes of a sheared grid, None if it does not consist of planes.

    Two axes may be at a right angle to each other and to a tilted one in two ways; the slices are
    usually those across k, and the farther ones.
    """
    best, axis = 0.0, None
    for one, other in combinations(range(3), 2):
        in_plane = geometry.direction[:, [one, other]]
        across = 3 - one - other
        if abs(in_plane[:, 0] @ in_plane[:, 1]) > _RIGHT_ANGLE:
            continue
        normal = np.cross(*in_plane.T)
        cosine = abs(float(geometry.direction[:, across] @ normal) / float(np.linalg.norm(normal)))
        weight = geometry.spacing[across] * cosine * (_PREFERENCE_OF_K if across == 2 else 1.0)
        if cosine >= np.cos(np.radians(LARGEST_TILT_DEGREES)) and weight > best:
            best, axis = weight, across
    return axis


def _straightening(
    geometry: Geometry, across: int, normal: np.ndarray, height: float, steps: dict[int, float]
) -> Straightening:
    """Straighten the planes across index axis `across` (0 = i).

    Args:
        geometry: The sheared grid.
        across: Index axis across the planes.
        normal: Unit normal of the planes, along the index axis.
        height: Distance of the planes in mm.
        steps: Shift of each plane against the one before, in voxels, by index axis of the planes.
    """
    columns = geometry.affine_lps[:3, :3]
    planes = geometry.shape[2 - across]
    shape, spacing = list(geometry.shape), list(geometry.spacing)
    spacing[across] = height
    origin = np.array(geometry.origin, dtype=float)
    shifts = {}
    for axis, step in steps.items():
        places = step * np.arange(planes)
        first = np.floor(places.min() + _SMALLEST_PART)
        shifts[axis] = np.maximum(places - first, 0.0)
        shape[2 - axis] += int(np.ceil(shifts[axis].max() - _SMALLEST_PART))
        origin += first * columns[:, axis]
    direction = geometry.direction.copy()
    direction[:, across] = normal
    one, other = sorted(steps, reverse=True)  # the order of array axes
    direction[:, other] -= (direction[:, other] @ direction[:, one]) * direction[:, one]
    direction[:, other] /= np.linalg.norm(direction[:, other])
    straight = Geometry(
        shape=(shape[0], shape[1], shape[2]),
        spacing=(spacing[0], spacing[1], spacing[2]),
        origin=(float(origin[0]), float(origin[1]), float(origin[2])),
        direction=direction,
    )
    return Straightening(
        geometry, straight, 2 - across, np.column_stack([shifts[one], shifts[other]])
    )


def _along(step: np.ndarray, axis: np.ndarray) -> float:
    """The part of a step along an axis, in lengths of the axis."""
    return float(step @ axis / (axis @ axis))


def _blended(plane: np.ndarray, part: np.ndarray) -> np.ndarray:
    """A plane moved by parts of a voxel towards higher indices, linearly interpolated."""
    moved = plane.astype(np.float32)
    for axis, share in enumerate(part):
        if share > _SMALLEST_PART:
            before = np.roll(moved, 1, axis)
            before[(slice(None),) * axis + (0,)] = moved[(slice(None),) * axis + (0,)]
            moved = (1.0 - np.float32(share)) * moved + np.float32(share) * before
    return moved


def _with_type(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    return np.rint(values).astype(dtype) if np.issubdtype(dtype, np.integer) else values


def _outside(volume: Volume) -> float:
    """Value of air for voxels outside the image: its lowest value, but no padding below −1024."""
    lowest = float(np.fmin.reduce(volume.array, axis=None)) if volume.array.size else 0.0
    if volume.modality in (None, "CT"):
        return max(lowest, AIR_HU) if np.isfinite(lowest) else AIR_HU
    return lowest
