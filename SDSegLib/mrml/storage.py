"""Segmentation nodes in `.seg.nrrd` files, and whether a NRRD file is complete.

3D Slicer's writer does not report a full disk, and its reader aborts on a truncated file.
"""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from ..errors import InputError, OutputError
from ..language import tr
from .session import open_session, require_slicer

if TYPE_CHECKING:
    from slicer import vtkMRMLScene, vtkMRMLSegmentationNode

SUFFIX = ".seg.nrrd"


def save_segmentation_node(node: vtkMRMLSegmentationNode, path: Path) -> None:
    """Write a segmentation node, compressed, on the whole of its reference grid.

    Files cropped to the segments would be only a little smaller, be on another grid than their CT,
    and crash Slicer's reader if all segments are empty.

    Raises:
        OutputError: If the file is not written completely.
    """
    storage = _storage(path)
    storage.SetUseCompression(True)
    storage.SetCropToMinimumExtent(False)
    if not storage.WriteData(node) or not is_whole_nrrd(path):
        raise OutputError(
            tr(
                "{path} could not be written to its end; free space on its disk, or choose "
                "another folder."
            ).format(path=path)
        )


def load_segmentation_node(
    path: Path, scene: vtkMRMLScene | None = None, name: str | None = None
) -> vtkMRMLSegmentationNode:
    """Read a `.seg.nrrd` file into a new node of `scene` or of the session's scene.

    Raises:
        InputError: If the file is missing or is not a segmentation.
    """
    session = open_session()
    if not path.is_file():
        raise InputError(tr("{path} does not exist; check the path.").format(path=path))
    scene = scene or session.scene
    stem = path.name[: -len(SUFFIX)] if path.name.lower().endswith(SUFFIX) else path.stem
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name or stem)
    if not is_whole_nrrd(path) or not _storage(path).ReadData(node):
        scene.RemoveNode(node)
        raise InputError(
            tr("{path} is damaged or not a segmentation; give a {suffix} file.").format(
                path=path, suffix=SUFFIX
            )
        )
    node.CreateDefaultDisplayNodes()
    return node


def _storage(path: Path) -> Any:
    storage = require_slicer().vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    return storage


_log = logging.getLogger(__name__)

_CHUNK = 1 << 22
# The first part that occurs in a type's name ("unsigned short int", "uint16_t", …) decides.
_BYTES = {"char": 1, "int8": 1, "short": 2, "int16": 2, "long": 8, "int64": 8, "int": 4, "float": 4}


def is_whole_nrrd(path: Path) -> bool:
    """Whether a NRRD file with attached data has a header and all of its voxels."""
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
    """Bytes of voxels after the header; `expected` for encodings that are not checked."""
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
