"""The header of a NIfTI-1 or NIfTI-2 file: which numbers follow, and where the image lies.

Written from the format's definition (nifti.nimh.nih.gov).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..volume.geometry import LARGEST_SHEAR_DEGREES, Geometry

LARGEST_HEADER = 540
_BYTE_ORDERS: tuple[Literal["<"], Literal[">"]] = ("<", ">")
_DISAGREEMENT_MM = 1.0
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}

# Number formats and byte offsets of the entries, by version of the header.
_FORMATS = {
    1: "S3 8i2 i2 8f4 f4 f4 f4 u1 i2 i2 3f4 3f4 (3,4)f4",
    2: "S3 8i8 i2 8f8 i8 f8 f8 i4 i4 i4 3f8 3f8 (3,4)f8",
}
_OFFSETS = {
    1: (344, 40, 70, 76, 108, 112, 116, 123, 252, 254, 256, 268, 280),
    2: (4, 16, 12, 104, 168, 176, 184, 500, 344, 348, 352, 376, 400),
}
_SIZES = {1: 348, 2: 540}
_NAMES = (
    "magic",
    "dim",
    "datatype",
    "pixdim",
    "vox_offset",
    "slope",
    "intercept",
    "units",
    "qform_code",
    "sform_code",
    "quaternion",
    "qform_origin",
    "sform",
)


def _layout(version: int, byte_order: Literal["<", ">"]) -> np.dtype:
    formats = [np.dtype(item).newbyteorder(byte_order) for item in _FORMATS[version].split()]
    return np.dtype(
        {
            "names": _NAMES,
            "formats": formats,
            "offsets": _OFFSETS[version],
            "itemsize": _SIZES[version],
        }
    )


# Made once, at import: NumPy parses such formats with `ast`, which fails now and then in CPython
# 3.11 when several threads use it, and files are read by several.
_ORDERS: tuple[Literal["<", ">"], ...] = ("<", ">")
_LAYOUTS = {(version, order): _layout(version, order) for version in _FORMATS for order in _ORDERS}
_NUMBERS = {
    2: "u1",
    4: "i2",
    8: "i4",
    16: "f4",
    64: "f8",
    256: "i1",
    512: "u2",
    768: "u4",
    1024: "i8",
    1280: "u8",
}
_OTHER_CONTENT = {
    1: "one bit per voxel",
    32: "complex numbers",
    128: "colours (RGB)",
    1536: "128-bit numbers",
    1792: "complex numbers",
    2048: "complex numbers",
    2304: "colours (RGBA)",
}


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """What a NIfTI header says.

    Attributes:
        fields: The header's entries that matter here, under their short names.
        byte_order: "<" or ">".
    """

    fields: dict[str, Any]
    byte_order: str

    @classmethod
    def parse(cls, head: bytes) -> NiftiHeader | None:
        """Read the first bytes of an unpacked file; None if they are not NIfTI."""
        for byte_order in _BYTE_ORDERS:
            for version, size in _SIZES.items():
                if len(head) >= size and np.frombuffer(head, byte_order + "i4", 1)[0] == size:
                    layout = _LAYOUTS[version, byte_order]
                    record = np.frombuffer(head, layout, 1)[0]
                    if record["magic"] in (b"n+1", b"n+2", b"ni1", b"ni2"):
                        return cls({key: record[key] for key in layout.names or ()}, byte_order)
        return None

    @property
    def offset(self) -> int:
        """Where the voxels start, in bytes."""
        return max(int(self.fields["vox_offset"]), 0)

    @property
    def slope(self) -> float:
        """Slope to real values; the format's 0, for "none", is given as 1."""
        slope = float(self.fields["slope"])
        return slope if np.isfinite(slope) and slope != 0.0 else 1.0

    @property
    def intercept(self) -> float:
        slope, intercept = float(self.fields["slope"]), float(self.fields["intercept"])
        return intercept if np.isfinite(intercept) and slope != 0.0 else 0.0

    def check_content(self) -> None:
        """Raise `InputError` unless this is one single-channel 3-D image in one file."""
        if self.fields["magic"].startswith(b"ni"):
            raise InputError(
                "It keeps its voxels in a second file (.hdr and .img); save it as one .nii file."
            )
        count = int(self.fields["dim"][0])
        size = tuple(int(extent) for extent in self.fields["dim"][1 : count + 1])
        shown = " × ".join(str(extent) for extent in size)
        if not 1 <= count <= 7 or min(size) < 1 or not np.isfinite(self.fields["vox_offset"]):
            raise InputError(
                f"Its header is damaged (it gives the size as {shown or count}); fetch or export "
                "it again."
            )
        if count < 3:
            raise InputError(f"It is a {count}-D image of {shown} pixels; give a whole volume.")
        if max(size[4:], default=1) > 1:
            raise InputError(
                f"It holds {max(size[4:])} numbers per voxel (colours or vectors); give an image "
                "with one number per voxel."
            )
        if max(size[3:], default=1) > 1:
            raise InputError(
                f"It is a {count}-D image of {shown}; save the one 3-D frame that is to be "
                "segmented as a file of its own."
            )
        code = int(self.fields["datatype"])
        if code not in _NUMBERS:
            content = _OTHER_CONTENT.get(code, f"numbers of the unknown type {code}")
            raise InputError(f"It holds {content}; give an image with one number per voxel.")

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (k, j, i)."""
        i, j, k = (int(extent) for extent in self.fields["dim"][1:4])
        return (k, j, i)

    @property
    def number_type(self) -> np.dtype:
        """Type of the stored voxels, with its byte order."""
        return np.dtype(self.byte_order + _NUMBERS[int(self.fields["datatype"])])

    def geometry(self) -> tuple[Geometry, tuple[str, ...]]:
        """Where the image lies, and notes on what the header leaves open.

        A header can place the image twice. As in ITK and 3D Slicer, the sform counts if it is a
        scanner position or the only one, and if its axes are at right angles; else the qform.
        """
        sform = self._sform() if self.fields["sform_code"] > 0 else None
        qform = self._qform() if self.fields["qform_code"] > 0 else None
        if sform is not None and (qform is None or self._prefers(sform)):
            affine, other, chosen = sform, qform, "sform"
        elif qform is not None:
            affine, other, chosen = qform, sform, "qform"
        else:
            affine, other, chosen = np.diag([-1.0, -1.0, 1.0, 1.0]) @ self._scaling(), None, "none"
        return self._on_grid(affine), self._notes(affine, other, chosen)

    def _notes(self, affine: np.ndarray, other: np.ndarray | None, chosen: str) -> tuple[str, ...]:
        if chosen == "none":
            return (
                "The NIfTI header gives no position or orientation; columns are taken to run to "
                "the patient's left, rows to the back and slices to the head.",
            )
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.allclose(spacing, self._spacing(), rtol=0.01):
            return (
                f"The NIfTI header gives the spacing as {_shown(self._spacing())} mm in pixdim "
                f"and as {_shown(spacing)} mm in the {chosen}; the {chosen} is used.",
            )
        distance = 0.0 if other is None else _largest_distance(affine, other, self.shape)
        if distance > _DISAGREEMENT_MM:
            return (
                f"The NIfTI header's qform and sform place the image up to {distance:.1f} mm "
                f"apart; the {chosen} is used, as in 3D Slicer.",
            )
        return ()

    def _prefers(self, sform: np.ndarray) -> bool:
        if self.fields["sform_code"] != 1 or not (np.linalg.norm(sform[:3, :3], axis=0) > 0).all():
            return False
        return Geometry.from_affine_ras(self.shape, sform).shear_degrees <= LARGEST_SHEAR_DEGREES

    def _on_grid(self, affine: np.ndarray) -> Geometry:
        """The grid of an index-to-RAS matrix, with `pixdim` as spacing where they agree."""
        geometry = Geometry.from_affine_ras(self.shape, affine)
        spacing = self._spacing()
        if not np.allclose(spacing, geometry.spacing, rtol=1e-4):
            return geometry
        i, j, k = (float(value) for value in spacing)
        return Geometry(geometry.shape, (i, j, k), geometry.origin, geometry.direction)

    def _spacing(self) -> np.ndarray:
        return np.abs(self.fields["pixdim"][1:4].astype(float)) * self._mm()

    def _mm(self) -> float:
        return _MM_PER_UNIT.get(int(self.fields["units"]) & 7, 1.0)

    def _scaling(self) -> np.ndarray:
        return np.diag([*self._spacing(), 1.0])

    def _sform(self) -> np.ndarray:
        return np.vstack([self.fields["sform"].astype(float) * self._mm(), [0.0, 0.0, 0.0, 1.0]])

    def _qform(self) -> np.ndarray:
        b, c, d = self.fields["quaternion"].astype(float)
        a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
        a, b, c, d = np.array([a, b, c, d]) / np.linalg.norm([a, b, c, d])
        affine = np.eye(4)
        affine[:3, :3] = [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - c * c - b * b],
        ]
        if self.fields["pixdim"][0] < 0:
            affine[:3, 2] *= -1
        affine = affine @ self._scaling()
        affine[:3, 3] = self.fields["qform_origin"].astype(float) * self._mm()
        return affine


def _largest_distance(one: np.ndarray, other: np.ndarray, shape: tuple[int, int, int]) -> float:
    k, j, i = (extent - 1 for extent in shape)
    corners = np.array([[a, b, c, 1] for a in (0, i) for b in (0, j) for c in (0, k)]).T
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())


def _shown(spacing: np.ndarray) -> str:
    return " × ".join(f"{value:g}" for value in spacing.round(6))
