"""NIfTI files, read strictly.

SimpleITK fills the missing end of a file with zeros, replaces a zero spacing by 1 and falls back
on a neighbouring .nii where a .nii.gz is damaged. Here such files are refused.
"""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path
from typing import cast

import numpy as np

from ..errors import InputError
from ..volume.volume import Volume
from .nifti_header import LARGEST_HEADER, NiftiHeader
from .values import rescaled, with_kept_type

GZIP_MAGIC = b"\x1f\x8b"
# Deflate cannot pack more than 1032 bytes into one; a header that asks for more is wrong.
_LARGEST_COMPRESSION = 1032


def read_nifti(path: Path, name: str) -> Volume:
    """Read one 3-D image with its slope, intercept and place in the patient.

    Args:
        path: A NIfTI file, gzipped or not.
        name: What to call the volume.

    Raises:
        InputError: Without the path, if the file is damaged or holds anything but one
            single-channel 3-D image.
    """
    size = path.stat().st_size
    with path.open("rb") as raw:
        packed = raw.read(2) == GZIP_MAGIC
        raw.seek(0)
        if not packed:
            return _read(raw, path, name, size)
        try:
            with gzip.GzipFile(fileobj=raw) as unpacked:
                stream = cast(io.BufferedIOBase, unpacked)
                return _read(stream, path, name, size * _LARGEST_COMPRESSION)
        except EOFError as error:
            raise InputError("The file is cut short. Fetch it again.") from error
        except (gzip.BadGzipFile, zlib.error) as error:
            raise InputError(f"The file is damaged ({error}). Fetch it again.") from error


def _read(stream: io.BufferedIOBase, path: Path, name: str, most_bytes: int) -> Volume:
    header = NiftiHeader.parse(stream.read(LARGEST_HEADER))
    if header is None:
        raise InputError("The file does not start with a NIfTI header.")
    header.check_content()
    stored = _voxels(stream, header, most_bytes)
    geometry, notes = header.geometry()
    if (header.slope, header.intercept) == (1.0, 0.0):
        array = with_kept_type(stored)
    else:
        array = rescaled(stored, header.slope, header.intercept)
    return Volume(array, geometry, name=name, source=path, notes=notes)


def _voxels(stream: io.BufferedIOBase, header: NiftiHeader, most_bytes: int) -> np.ndarray:
    expected = header.number_type.itemsize
    for extent in header.shape:
        expected *= extent
    if header.offset + expected > most_bytes:
        raise _cut_short(most_bytes, header.offset + expected)
    stored = np.empty(header.shape, header.number_type)
    target = memoryview(stored.reshape(-1).view(np.uint8).data)
    stream.seek(header.offset)
    filled = 0
    while filled < expected:
        count = stream.readinto(target[filled:])
        if not count:
            raise _cut_short(header.offset + filled, header.offset + expected)
        filled += count
    while stream.read(1 << 20):  # gzip compares its checksum only at the end
        pass
    return stored


def _cut_short(found: int, expected: int) -> InputError:
    return InputError(
        f"The file is cut short: the image needs {expected:,} bytes, and it has at most "
        f"{found:,}. Fetch it again."
    )
