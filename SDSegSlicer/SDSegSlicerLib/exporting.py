"""The result as a file: `.seg.nrrd`, or a DICOM Segmentation that refers to the CT's series."""

import importlib.metadata
import importlib.util
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import slicer
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError
from SDSegLib.export.dicom_seg import write_dicom_seg
from SDSegLib.mrml.from_node import segmentation_from_node
from SDSegLib.mrml.segmentation_node import MODEL_ATTRIBUTE
from SDSegLib.mrml.storage import save_segmentation_node
from SDSegLib.mrml.volume_node import volume_from_node

_UIDS_ATTRIBUTE = "DICOM.instanceUIDs"
_LOWEST_PYDICOM = (3, 0, 1)


def writeSegNrrd(node: vtkMRMLSegmentationNode, path: str) -> None:
    """Write a segmentation with names, colours and codes.

    Raises:
        SDSegError: If the file cannot be written.
    """
    save_segmentation_node(node, Path(path))


def dicomFiles(volumeNode: vtkMRMLScalarVolumeNode | None) -> tuple[Path, ...]:
    """The files of the series that a volume was loaded from; empty if it was not from DICOM."""
    uids = "" if volumeNode is None else volumeNode.GetAttribute(_UIDS_ATTRIBUTE) or ""
    database = getattr(slicer, "dicomDatabase", None)
    if not uids or database is None:
        return ()
    files = [database.fileForInstance(uid) for uid in uids.split()]
    return tuple(Path(file) for file in files) if all(files) else ()


def whyNoDicomSeg(volumeNode: vtkMRMLScalarVolumeNode | None) -> str:
    """What keeps a DICOM Segmentation from being written, or "": packages aside."""
    if not dicomFiles(volumeNode):
        return _(
            "The CT was not loaded from the DICOM database, so there is no series to refer to."
        )
    if _pydicomVersion() < _LOWEST_PYDICOM:
        return _(
            "This 3D Slicer has pydicom {version}, and writing DICOM Segmentations needs 3.0.1. "
            "Use 3D Slicer 5.12 or later, or install the extension QuantitativeReporting and "
            "export through the module DICOM."
        ).format(version=importlib.metadata.version("pydicom"))
    return ""


def dicomSegWriter(
    node: vtkMRMLSegmentationNode, volumeNode: vtkMRMLScalarVolumeNode, path: str
) -> Callable[[], None]:
    """A function that writes the file and touches no node, to be run beside the window.

    Raises:
        SDSegError: If the segmentation cannot be laid on the volume's grid.
    """
    reason = whyNoDicomSeg(volumeNode)
    if reason:
        raise SDSegError(reason)
    model = node.GetAttribute(MODEL_ATTRIBUTE) or ""
    segmentation = segmentation_from_node(node, volumeNode, model)
    volume = replace(volume_from_node(volumeNode), dicom_files=dicomFiles(volumeNode))
    return lambda: write_dicom_seg(segmentation, volume, Path(path), overwrite=True)


def _pydicomVersion() -> tuple[int, ...]:
    if importlib.util.find_spec("pydicom") is None:
        return ()
    return tuple(int(n) for n in re.findall(r"\d+", importlib.metadata.version("pydicom"))[:3])
