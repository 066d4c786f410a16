"""Segmentation nodes in `.seg.nrrd` files, by Slicer's own storage node."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, OutputError
from .nrrd_check import is_whole_nrrd
from .session import open_session, require_slicer

if TYPE_CHECKING:
    from slicer import vtkMRMLScene, vtkMRMLSegmentationNode

SUFFIX = ".seg.nrrd"


def save_segmentation_node(node: vtkMRMLSegmentationNode, path: Path) -> None:
    """Write a segmentation node, compressed, over the whole of its reference grid.

    Files that are cropped to the segments would be smaller by little, lie on another grid than
    their CT, and crash Slicer's reader when all segments are empty.

    Raises:
        OutputError: If the file is not written to its end.
    """
    storage = _storage(path)
    storage.SetUseCompression(True)
    storage.SetCropToMinimumExtent(False)
    if not storage.WriteData(node) or not is_whole_nrrd(path):
        raise OutputError(
            f"{path} could not be written to its end; free space on its disk, or choose another "
            "folder."
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
        raise InputError(f"{path} does not exist; check the path.")
    scene = scene or session.scene
    stem = path.name[: -len(SUFFIX)] if path.name.lower().endswith(SUFFIX) else path.stem
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name or stem)
    if not is_whole_nrrd(path) or not _storage(path).ReadData(node):
        scene.RemoveNode(node)
        raise InputError(f"{path} is damaged or not a segmentation; give a {SUFFIX} file.")
    node.CreateDefaultDisplayNodes()
    return node


def _storage(path: Path) -> Any:
    storage = require_slicer().vtkMRMLSegmentationStorageNode()
    storage.SetFileName(str(path))
    return storage
