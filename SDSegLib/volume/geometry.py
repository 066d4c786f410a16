"""Where voxels are in the patient: an ITK-style grid in LPS millimetres."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..language import tr

SMALLEST_SPACING_MM = 0.01
LARGEST_SPACING_MM = 100.0
LARGEST_SHEAR_DEGREES = 1.0


@dataclass(frozen=True, eq=False)
class Geometry:
    """A regular voxel grid in patient space (LPS, millimetres).

    Attributes:
        shape: Voxels along (k, j, i), the order of the array that lies on this grid.
        spacing: Distance of voxel centres in mm along (i, j, k).
        origin: LPS position in mm of the centre of voxel (0, 0, 0).
        direction: 3×3 matrix whose columns are the LPS unit vectors of i, j and k.
    """

    shape: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: np.ndarray

    @property
    def affine_lps(self) -> np.ndarray:
        """4×4 matrix from voxel indices (i, j, k, 1) to LPS millimetres."""
        matrix = np.eye(4)
        matrix[:3, :3] = self.direction * np.asarray(self.spacing)
        matrix[:3, 3] = self.origin
        return matrix

    @property
    def affine_ras(self) -> np.ndarray:
        """4×4 matrix from voxel indices (i, j, k, 1) to RAS millimetres, as Slicer keeps it."""
        return np.diag([-1.0, -1.0, 1.0, 1.0]) @ self.affine_lps

    @property
    def voxel_volume_ml(self) -> float:
        """Volume of one voxel in millilitres."""
        return float(abs(np.linalg.det(self.affine_lps[:3, :3])) / 1000.0)

    @property
    def shear_degrees(self) -> float:
        """Largest deviation of two axes from a right angle, in degrees."""
        cosines = np.abs(self.direction.T @ self.direction - np.eye(3))
        np.fill_diagonal(cosines, 0.0)
        return float(np.degrees(np.arcsin(min(1.0, cosines.max()))))

    @classmethod
    def from_affine_lps(cls, shape: tuple[int, int, int], affine: np.ndarray) -> Geometry:
        """Build from a (k, j, i) shape and a 4×4 index-to-LPS matrix without zero columns."""
        columns = np.asarray(affine, dtype=float)[:3, :3]
        spacing = np.linalg.norm(columns, axis=0)
        if not np.isfinite(spacing).all() or (spacing == 0).any():
            shown = " × ".join(f"{value:g}" for value in spacing)
            raise InputError(
                tr(
                    "The voxel spacing {shown} mm is zero or not a number; correct the header "
                    "or export the image again."
                ).format(shown=shown)
            )
        origin = np.asarray(affine, dtype=float)[:3, 3]
        return cls(
            shape=shape,
            spacing=(float(spacing[0]), float(spacing[1]), float(spacing[2])),
            origin=(float(origin[0]), float(origin[1]), float(origin[2])),
            direction=columns / spacing,
        )

    @classmethod
    def from_affine_ras(cls, shape: tuple[int, int, int], affine: np.ndarray) -> Geometry:
        """Build from a (k, j, i) shape and a 4×4 index-to-RAS matrix."""
        return cls.from_affine_lps(shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ affine)

    def matches(self, other: Geometry, tolerance_mm: float = 1e-3) -> bool:
        """Whether every voxel of both grids is at the same place within `tolerance_mm`."""
        if self.shape != other.shape:
            return False
        k, j, i = (n - 1 for n in self.shape)
        corners = np.array([[a, b, c, 1] for a in (0, i) for b in (0, j) for c in (0, k)]).T
        return bool(np.abs((self.affine_lps - other.affine_lps) @ corners).max() <= tolerance_mm)

    def check(self) -> None:
        """Raise `InputError` unless spacing and axes describe a usable grid."""
        spacing = np.asarray(self.spacing)
        shown = " × ".join(f"{value:g}" for value in self.spacing)
        if (
            not np.isfinite(spacing).all()
            or (spacing < SMALLEST_SPACING_MM).any()
            or (spacing > LARGEST_SPACING_MM).any()
        ):
            raise InputError(
                tr(
                    "The voxel spacing is {shown} mm; between {smallest_spacing_mm:g} and "
                    "{largest_spacing_mm:g} mm is plausible. Correct the image header and try "
                    "again."
                ).format(
                    shown=shown,
                    smallest_spacing_mm=SMALLEST_SPACING_MM,
                    largest_spacing_mm=LARGEST_SPACING_MM,
                )
            )
        if not np.isfinite(self.direction).all() or not np.isfinite(self.origin).all():
            raise InputError(tr("The image header's position or axes are not numbers; correct it."))
        if abs(np.linalg.det(self.direction)) < 0.1:
            raise InputError(
                tr(
                    "The image axes lie in one plane (their determinant is {determinant:.3g}); "
                    "correct the direction in the header."
                ).format(determinant=np.linalg.det(self.direction))
            )
        if self.shear_degrees > LARGEST_SHEAR_DEGREES:
            raise InputError(
                tr(
                    "The image axes miss the right angle by {shear_degrees:.1f}°; resample the "
                    "image onto a straight grid (3D Slicer's module Resample Image does it)."
                ).format(shear_degrees=self.shear_degrees)
            )
