"""NIfTI-1 and NIfTI-2 files (.nii, .nii.gz), read strictly.

nibabel parses the header. The checks are our own, because other readers accept invalid files:
SimpleITK fills the missing end of a file with zeros, replaces a spacing of zero by 1 and reads a
neighbouring .nii if a .nii.gz is damaged, and nibabel ignores the unit of length and rejects
quaternions and factors that ITK and 3D Slicer accept.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal

import numpy as np

from ..errors import InputError
from ..language import tr
from ..processes.limits import expect_image, new_array
from ..volume.geometry import LARGEST_SHEAR_DEGREES, Geometry
from ..volume.straighten import straightening_of
from ..volume.volume import Volume
from .byte_stream import (
    GZIP_MAGIC,
    ByteStream,
    Encoding,
    cut_short,
    fill_voxels,
    most_unpacked,
    opened,
)
from .values import KEPT_TYPES, rescaled_volume, with_kept_type

if TYPE_CHECKING:
    from nibabel.nifti1 import Nifti1Header

LARGEST_HEADER = 540
_HEADER_SIZES = (348, 540)  # NIfTI-1, NIfTI-2; the first number of a file
_BYTE_ORDERS: tuple[Literal["little"], Literal["big"]] = ("little", "big")
_SINGLE_FILE, _TWO_FILES = (b"n+1", b"n+2"), (b"ni1", b"ni2")
_DISAGREEMENT_MM = 1.0
_MM_PER_UNIT = {1: 1000.0, 2: 1.0, 3: 0.001}


def read_nifti(path: Path, name: str) -> Volume:
    """Read one 3-D image with its slope, intercept and position in the patient.

    Args:
        path: A NIfTI file, gzipped or not.
        name: Name of the volume.

    Raises:
        InputError: If the file is damaged or is not one single-channel 3-D image; the message
            lacks the path.
    """
    with opened(path) as file:
        packed = file.read(2) == GZIP_MAGIC
        file.seek(0)
        return _read(file, path, name, "gzip" if packed else "raw")


def is_nifti(head: bytes) -> bool:
    """Whether the first 540 bytes of an unpacked file are those of a NIfTI file."""
    return NiftiHeader.parse(head) is not None


def _read(file: BinaryIO, path: Path, name: str, encoding: Encoding) -> Volume:
    stream = ByteStream(file, encoding)
    head = stream.peek(LARGEST_HEADER)
    header = NiftiHeader.parse(head)
    if header is None:
        raise InputError(tr("The file does not start with a NIfTI header."))
    header.check_content()
    geometry, notes = header.geometry()
    size = os.fstat(file.fileno()).st_size
    stored = _voxels(stream, header, most_unpacked(size, encoding))
    notes = (*notes, *stream.notes)
    if (header.slope, header.intercept) == (1.0, 0.0):
        array = with_kept_type(stored)
    else:
        array = rescaled_volume(stored, header.slope, header.intercept)
    return Volume(array, geometry, name=name, source=path, notes=notes)


def _voxels(stream: ByteStream, header: NiftiHeader, most_bytes: int) -> np.ndarray:
    """The stored numbers, (k, j, i), in this machine's byte order."""
    kind = header.number_type
    native = kind.newbyteorder("=")
    voxels = math.prod(header.shape)
    expected = voxels * kind.itemsize
    if header.offset + expected > most_bytes:
        raise cut_short(most_bytes, header.offset + expected)
    is_returned = native.name in KEPT_TYPES and (header.slope, header.intercept) == (1.0, 0.0)
    expect_image(expected, expected if is_returned else 4 * voxels)
    stored = (new_array if is_returned else np.empty)(header.shape, kind)
    found = stream.skip(header.offset)
    if found < header.offset:
        raise cut_short(found, header.offset + expected)
    fill_voxels(stream, stored, expected // header.shape[0], header.offset)
    return stored if kind == native else stored.byteswap(inplace=True).view(native)


@dataclass(frozen=True, eq=False)
class NiftiHeader:
    """A parsed header, its checks, and the image's position."""

    fields: Nifti1Header

    @classmethod
    def parse(cls, head: bytes) -> NiftiHeader | None:
        """Parse the first bytes of an unpacked file; None if they are not NIfTI."""
        for byte_order in _BYTE_ORDERS:
            size = int.from_bytes(head[:4], byte_order)
            if size not in _HEADER_SIZES or len(head) < size:
                continue
            from nibabel.nifti1 import Nifti1Header
            from nibabel.nifti2 import Nifti2Header

            kind = Nifti1Header if size == Nifti1Header.sizeof_hdr else Nifti2Header
            fields = kind(head[:size], byte_order, check=False)
            if fields["magic"].item()[:3] in _SINGLE_FILE + _TWO_FILES:
                return cls(fields)
        return None

    @property
    def offset(self) -> int:
        """Offset of the voxels in bytes."""
        return int(self.fields["vox_offset"])

    @property
    def slope(self) -> float:
        """Slope to real values; 0, which means "none" in NIfTI, is returned as 1."""
        slope = float(self.fields["scl_slope"])
        return slope if np.isfinite(slope) and slope != 0.0 else 1.0

    @property
    def intercept(self) -> float:
        """Intercept to real values; 0 if there is no slope."""
        slope, intercept = float(self.fields["scl_slope"]), float(self.fields["scl_inter"])
        return intercept if np.isfinite(intercept) and slope != 0.0 else 0.0

    def check_content(self) -> None:
        """Raise `InputError` unless this is one single-channel 3-D image in one file."""
        if self.fields["magic"].item()[:3] in _TWO_FILES:
            raise InputError(
                tr(
                    "It keeps its voxels in a second file (.hdr and .img); save it as one .nii "
                    "file."
                )
            )
        count = int(self.fields["dim"][0])
        size = tuple(int(extent) for extent in self.fields["dim"][1 : count + 1])
        shown = " × ".join(str(extent) for extent in size)
        if not 1 <= count <= 7 or min(size) < 1:
            raise InputError(
                tr(
                    "Its header is damaged (it gives the size as {shown}); fetch or export it "
                    "again."
                ).format(shown=shown or count)
            )
        offset, end = float(self.fields["vox_offset"]), int(self.fields["sizeof_hdr"]) + 4
        if not (offset.is_integer() and offset >= end):
            raise InputError(
                tr(
                    "Its header is damaged (it gives the first voxel's position, vox_offset, as "
                    "byte {offset:g}, and the header takes {end}); fetch or export it again."
                ).format(offset=offset, end=end)
            )
        if count < 3:
            raise InputError(
                tr("It is a {count}-D image of {shown} pixels; give a whole volume.").format(
                    count=count, shown=shown
                )
            )
        if max(size[4:], default=1) > 1:
            raise InputError(
                tr(
                    "It holds {size} numbers per voxel (colours or vectors); give an image with "
                    "one number per voxel."
                ).format(size=max(size[4:]))
            )
        if max(size[3:], default=1) > 1:
            raise InputError(
                tr(
                    "It is a {count}-D image of {shown}; save the one 3-D frame that is to be "
                    "segmented as a file of its own."
                ).format(count=count, shown=shown)
            )
        self._check_number_type()

    def _check_number_type(self) -> None:
        from nibabel.nifti1 import data_type_codes

        code = int(self.fields["datatype"])
        if code not in data_type_codes.label:
            content = tr("numbers of the unknown type {code}").format(code=code)
        elif self.number_type.kind in "iuf" and 1 <= self.number_type.itemsize <= 8:
            return
        else:
            content = tr("numbers of the type {type}").format(type=data_type_codes.label[code])
        raise InputError(
            tr(
                "It holds {content}; give an image with one number per voxel of at most 64 bits."
            ).format(content=content)
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (k, j, i)."""
        i, j, k = (int(extent) for extent in self.fields["dim"][1:4])
        return (k, j, i)

    @property
    def number_type(self) -> np.dtype:
        """Type of the stored voxels, with its byte order."""
        return self.fields.get_data_dtype()

    def geometry(self) -> tuple[Geometry, tuple[str, ...]]:
        """The image's grid, and notes on ambiguities of the header.

        A header can contain two transforms. As in ITK and 3D Slicer, the sform is used if it is a
        scanner position or the only one, and if its axes are at right angles or those of a tilted
        gantry, which a qform cannot hold; else the qform.
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
                tr(
                    "The NIfTI header gives no position or orientation; columns are taken to run "
                    "to the patient's left, rows to the back and slices to the head."
                ),
            )
        spacing = np.linalg.norm(affine[:3, :3], axis=0)
        if not np.allclose(spacing, self._spacing(), rtol=0.01):
            return (
                tr(
                    "The NIfTI header gives the spacing as {shown} mm in pixdim and as "
                    "{spacing} mm in the {chosen}; the {chosen} is used."
                ).format(shown=_shown(self._spacing()), spacing=_shown(spacing), chosen=chosen),
            )
        distance = 0.0 if other is None else _largest_distance(affine, other, self.shape)
        if distance > _DISAGREEMENT_MM:
            return (
                tr(
                    "The NIfTI header's qform and sform place the image up to {distance:.1f} mm "
                    "apart; the {chosen} is used, as in 3D Slicer."
                ).format(distance=distance, chosen=chosen),
            )
        return ()

    def _prefers(self, sform: np.ndarray) -> bool:
        if self.fields["sform_code"] != 1 or not (np.linalg.norm(sform[:3, :3], axis=0) > 0).all():
            return False
        geometry = Geometry.from_affine_ras(self.shape, sform)
        is_straight = geometry.shear_degrees <= LARGEST_SHEAR_DEGREES
        return is_straight or straightening_of(geometry) is not None

    def _on_grid(self, affine: np.ndarray) -> Geometry:
        """The grid of an index-to-RAS matrix, with `pixdim` as spacing where they agree."""
        geometry = Geometry.from_affine_ras(self.shape, affine)
        spacing = self._spacing()
        if not np.allclose(spacing, geometry.spacing, rtol=1e-4):
            return geometry
        i, j, k = (float(value) for value in spacing)
        return Geometry(geometry.shape, (i, j, k), geometry.origin, geometry.direction)

    def _spacing(self) -> np.ndarray:
        """Spacing of the columns, rows and slices in mm."""
        return np.abs(self.fields["pixdim"][1:4].astype(float)) * self._mm()

    def _mm(self) -> float:
        """Millimetres per unit of length."""
        return _MM_PER_UNIT.get(int(self.fields["xyzt_units"]) & 7, 1.0)

    def _scaling(self) -> np.ndarray:
        return np.diag([*self._spacing(), 1.0])

    def _sform(self) -> np.ndarray:
        return np.diag([*[self._mm()] * 3, 1.0]) @ self.fields.get_sform()

    def _qform(self) -> np.ndarray:
        """As in nibabel, but also for quaternions longer than 1 and `pixdim[0]` other than ±1."""
        from nibabel.quaternions import quat2mat

        b, c, d = (float(self.fields[f"quatern_{letter}"]) for letter in "bcd")
        a = np.sqrt(max(0.0, 1.0 - (b * b + c * c + d * d)))
        affine = np.eye(4)
        affine[:3, :3] = quat2mat([a, b, c, d])
        if self.fields["pixdim"][0] < 0:
            affine[:3, 2] *= -1
        affine = affine @ self._scaling()
        origin = [float(self.fields[f"qoffset_{letter}"]) for letter in "xyz"]
        affine[:3, 3] = np.array(origin) * self._mm()
        return affine


def _largest_distance(one: np.ndarray, other: np.ndarray, shape: tuple[int, int, int]) -> float:
    """Largest distance in mm between the image's corners with one affine and with the other."""
    k, j, i = (extent - 1 for extent in shape)
    corners = np.array([[a, b, c, 1] for a in (0, i) for b in (0, j) for c in (0, k)]).T
    return float(np.linalg.norm(((one - other) @ corners)[:3], axis=0).max())


def _shown(spacing: np.ndarray) -> str:
    return " × ".join(f"{value:g}" for value in spacing.round(6))
