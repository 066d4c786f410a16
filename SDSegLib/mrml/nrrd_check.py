"""Whether a NRRD file is whole: Slicer's writer ignores full disks, its reader aborts on them."""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from pathlib import Path
from typing import BinaryIO

_log = logging.getLogger(__name__)

_CHUNK = 1 << 22
# The first part that occurs in a type's name ("unsigned short int", "uint16_t", …) decides.
_BYTES = {"char": 1, "int8": 1, "short": 2, "int16": 2, "long": 8, "int64": 8, "int": 4, "float": 4}


def is_whole_nrrd(path: Path) -> bool:
    """Whether a NRRD file with the voxels in it has a header and all of its voxels."""
    try:
        with path.open("rb") as file:
            magic = file.readline()
            fields = _fields(file)
            if not magic.startswith(b"NRRD") or "sizes" not in fields or "type" not in fields:
                return False
            size = next((size for part, size in _BYTES.items() if part in fields["type"]), 8)
            expected = size * math.prod(int(count) for count in fields["sizes"].split())
            return _count(file, fields.get("encoding", "raw"), expected) >= expected
    except (OSError, EOFError, ValueError, zlib.error) as error:
        _log.warning("%s is not whole: %s", path, error)
        return False


def _fields(file: BinaryIO) -> dict[str, str]:
    """The header's fields; it ends with an empty line."""
    fields = {}
    while line := file.readline().strip():
        name, colon, value = line.decode("utf-8", errors="replace").partition(": ")
        if colon and not name.startswith("#"):
            fields[name] = value
    return fields


def _count(file: BinaryIO, encoding: str, expected: int) -> int:
    """Bytes of voxels that follow the header; other encodings are taken to be complete."""
    if encoding == "raw":
        start = file.tell()
        return file.seek(0, 2) - start
    if encoding not in ("gz", "gzip"):
        return expected
    count = 0
    with gzip.GzipFile(fileobj=file) as voxels:
        while chunk := voxels.read(_CHUNK):
            count += len(chunk)
    return count
