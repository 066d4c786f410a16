"""Read a CT from a file or DICOM folder in this process; `files` does it in one that may die."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from ..errors import InputError
from ..language import tr
from ..processes.limits import TooLargeError
from ..volume.straighten import straightened
from ..volume.volume import Volume
from .byte_stream import GZIP_MAGIC, ByteStream, opened
from .dicom import read_dicom_file, read_series
from .dicom_headers import starts_like_dicom
from .metaimage import read_metaimage
from .nifti import LARGEST_HEADER, is_nifti, read_nifti
from .nrrd import read_nrrd
from .slicer_scene import is_scene, scene_volume

_READABLE = tr("NIfTI (.nii, .nii.gz), NRRD (.nrrd, .nhdr), MetaImage (.mha, .mhd) or DICOM")
_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".nhdr", ".mha", ".mhd", ".dcm", ".mrb")
# First bytes of files that users mistake for images, or that contain images, and advice for each.
_OTHER_FILES = {
    b"\x89PNG": tr("It is a picture without a place in the patient (PNG)"),
    b"\xff\xd8\xff": tr("It is a picture without a place in the patient (JPEG)"),
    b"II*\x00": tr("It is a picture without a place in the patient (TIFF)"),
    b"MM\x00*": tr("It is a picture without a place in the patient (TIFF)"),
    b"BM": tr("It is a picture without a place in the patient (BMP)"),
    b"PK\x03\x04": tr("It is a ZIP archive; unpack it"),
    b"Rar!": tr("It is a RAR archive; unpack it"),
}


def read_volume_here(
    path: Path,
    series: str | None = None,
    phase: str | None = None,
    labels: bool = False,
) -> Volume:
    """As `files.read_volume`, in this process."""
    try:
        is_folder = path.is_dir()
        if not is_folder and not path.is_file():
            kind = tr("is neither a file nor a folder") if path.exists() else tr("does not exist")
            raise InputError(tr("{path} {kind}; check the spelling.").format(path=path, kind=kind))
        if is_folder:
            return read_series(path, series, phase)
        if series is not None:
            raise InputError(
                tr("{path} is a file; a series can be chosen only in a DICOM folder.").format(
                    path=path
                )
            )
        return _read_file(path, phase, labels)
    except TooLargeError as error:
        raise InputError(f"{path}: {error}") from error
    except OSError as error:
        reason = error.strerror or error
        raise InputError(
            tr("{path} cannot be opened ({reason}); check its access rights.").format(
                path=path, reason=reason
            )
        ) from error


def _read_file(path: Path, phase: str | None, labels: bool) -> Volume:
    try:
        with opened(path) as file:
            head = file.read(4096)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    if starts_like_dicom(head):
        return read_dicom_file(path, phase)
    if is_scene(path):
        with scene_volume(path) as file:
            return replace(_read_file(file, phase, labels), name=_name(path), source=path)
    if phase is not None:
        raise InputError(
            tr("{path} is not DICOM; a phase can be chosen only in a DICOM series.").format(
                path=path
            )
        )
    try:
        volume = straightened(_reader(path, head)(path, _name(path)), labels)
        volume.geometry.check()
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return volume


def _reader(path: Path, head: bytes) -> Callable[[Path, str], Volume]:
    """The function that reads a file with these first bytes, regardless of its name."""
    if not head:
        raise InputError(tr("The file is empty. Fetch it again."))
    if is_nifti(_unpacked(path) if head.startswith(GZIP_MAGIC) else head):
        return read_nifti
    if head.startswith(b"NRRD"):
        return read_nrrd
    if b"ElementType" in head and b"DimSize" in head:
        return read_metaimage
    for magic, finding in _OTHER_FILES.items():
        if head.startswith(magic):
            raise InputError(
                tr("{finding}; give {readable}.").format(finding=finding, readable=_READABLE)
            )
    raise InputError(
        tr("It is not an image in a known format or is damaged; give {readable}.").format(
            readable=_READABLE
        )
    )


def _unpacked(path: Path) -> bytes:
    with opened(path) as file:
        return ByteStream(file, "gzip").peek(LARGEST_HEADER)


def _name(path: Path) -> str:
    for suffix in _SUFFIXES:
        if path.name.lower().endswith(suffix):
            return path.name[: -len(suffix)] or path.name
    return path.name
