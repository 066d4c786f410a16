"""The text headers of NRRD and MetaImage, for what SimpleITK passes over in silence.

SimpleITK takes 1 mm where no spacing is given, and does not compare the checksums of compressed
voxels.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path

from ..errors import InputError

_LARGEST_HEADER = 1 << 20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_PATIENT_SPACES = {
    "left-posterior-superior",
    "lps",
    "right-anterior-superior",
    "ras",
    "left-anterior-superior",
    "las",
}
_AXES_TAKEN = (
    "columns are taken to run to the patient's left, rows to the back and slices to the head"
)


def check_nrrd(path: Path) -> tuple[str, ...]:
    """Notes on an NRRD file.

    Raises:
        InputError: Without the path, if it gives no spacing or its voxels are missing or damaged.
    """
    head = _head(path)
    end = re.search(rb"\r?\n\r?\n", head)
    fields = _fields(head[: end.start()] if end else head, ":")
    if "space directions" not in fields and "spacings" not in fields:
        raise InputError("Its header gives no voxel spacing; add the line 'space directions'.")
    packed = fields.get("encoding", "").lower() in ("gzip", "gz")
    detached = fields.get("data file", fields.get("datafile"))
    if detached is not None:
        skips = "byte skip" in fields or "line skip" in fields
        _check_detached(path, detached, packed and not skips)
    elif packed and end:
        _check_packed(path, end.end())
    if fields.get("space", "").lower() not in _PATIENT_SPACES:
        return (f"The NRRD header names no patient axes (field 'space'); {_AXES_TAKEN}.",)
    return ()


def check_metaimage_size(path: Path) -> None:
    """Raise `InputError` where ITK's reader would end the whole process."""
    fields = _metaimage_fields(_head(path))[0]
    dimension, size = fields.get("ndims", ""), fields.get("dimsize", "").split()
    if dimension not in ("2", "3", "4", "5") or not all(extent.isdecimal() for extent in size):
        raise InputError(
            f"Its header is damaged (NDims is {dimension}, DimSize is {' '.join(size)}); save it "
            "again, for example with 3D Slicer."
        )


def check_metaimage(path: Path) -> tuple[str, ...]:
    """Notes on a MetaImage file.

    Raises:
        InputError: Without the path, if it gives no spacing or its voxels are missing or damaged.
    """
    fields, end = _metaimage_fields(_head(path))
    if "elementspacing" not in fields and "elementsize" not in fields:
        raise InputError("Its header gives no voxel spacing; add the line 'ElementSpacing'.")
    packed = fields.get("compresseddata", "").lower() == "true"
    data = fields.get("elementdatafile", "")
    if data.lower() != "local":
        _check_detached(path, data, packed)
    elif packed:
        _check_packed(path, end)
    if not {"transformmatrix", "rotation", "orientation"} & fields.keys():
        return (f"The MetaImage header has no 'TransformMatrix'; {_AXES_TAKEN}.",)
    return ()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_HEADER)


def _metaimage_fields(head: bytes) -> tuple[dict[str, str], int]:
    """The header's entries, and where it ends."""
    last = re.search(rb"ElementDataFile\s*=[^\n]*\n?", head)
    end = last.end() if last else len(head)
    return _fields(head[:end], "="), end


def _fields(text: bytes, separator: str) -> dict[str, str]:
    fields = {}
    for line in text.decode("utf-8", "replace").splitlines():
        key, found, value = line.partition(separator)
        if found and not line.startswith("#"):
            fields[key.strip().lower()] = value.removeprefix("=").strip()
    return fields


def _check_detached(header: Path, name: str, packed: bool) -> None:
    """Check the data file that a header names; lists and patterns of files are left to ITK."""
    data = header.parent / name
    if not data.is_file():
        if name.upper().startswith("LIST") or "%" in name:
            return
        raise InputError(f"Its voxels are to be in '{name}' next to it, which is missing.")
    if packed:
        _check_packed(data, 0)


def _check_packed(path: Path, offset: int) -> None:
    """Unpack to the end, so that zlib compares lengths and checksums."""
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    with path.open("rb") as file:
        file.seek(offset)
        try:
            while not unpacking.eof:
                chunk = unpacking.unconsumed_tail or file.read(1 << 20)
                if not chunk:
                    raise InputError(f"Its packed voxels (in {path.name}) are cut short.")
                unpacking.decompress(chunk, 1 << 24)
        except zlib.error as error:
            raise InputError(f"Its packed voxels (in {path.name}) are damaged: {error}.") from error
