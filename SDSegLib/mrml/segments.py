"""Segments: their terminology, the structure of each, and whether it was edited."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..propagation.marks import SliceMarks
from ..propagation.mask_part import MaskPart
from ..volume.segmentation import Segmentation
from ..volume.structure import Code, Structure
from .session import ANATOMIC_CONTEXT, SEGMENT_CONTEXT, require_slicer
from .volumes import array_of, bounding_box

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode, vtkSegment, vtkSegmentation

CodeKey = tuple[tuple[str, str], ...]
Box = tuple[slice, slice, slice]

_FINGERPRINT_TAG = "SDSeg.Fingerprint"


def segment_ids(node: vtkMRMLSegmentationNode) -> list[str]:
    """IDs of all segments, in order."""
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]


def terminology_string(structure: Structure) -> str:
    """Category, type and laterality of a structure as a serialised terminology entry.

    "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure~…|"
    """
    parts = (structure.category, structure.type, structure.modifier)
    codes = "~".join(_serialised(code) for code in parts)
    return f"{SEGMENT_CONTEXT}~{codes}~{ANATOMIC_CONTEXT}~^^~^^|"


def codes_of_structure(structure: Structure) -> CodeKey:
    """Scheme and value of category, type and modifier; comparable with `codes_of_entry`."""
    parts = (structure.category, structure.type, structure.modifier)
    return tuple(("", "") if code is None else (code.scheme, code.value) for code in parts)


def codes_of_entry(entry: str) -> CodeKey | None:
    """Scheme and value of category, type and modifier of a terminology entry; None if it has none.

    Context names and meanings are ignored: they differ between sources of the same code.
    """
    parts = entry.rstrip("|").split("~")
    if len(parts) < 4:
        return None
    codes = [f"{part}^^".split("^") for part in parts[1:4]]
    return tuple((code[0], code[1]) for code in codes)


def _serialised(code: Code | None) -> str:
    return "^^" if code is None else f"{code.scheme}^{code.value}^{code.meaning}"


def match_segments(
    segmentation: vtkSegmentation, structures: Sequence[Structure]
) -> dict[Structure, str]:
    """Segment ID of each structure that has a segment.

    A segment is matched to a structure by its ID, else by its terminology codes, else by its name
    (case-insensitive). A code or name shared by several segments matches none of them.
    """
    segments = {
        segmentation.GetNthSegmentID(n): segmentation.GetNthSegment(n)
        for n in range(segmentation.GetNumberOfSegments())
    }
    found = {item: item.id for item in structures if item.id in segments}
    codes = {key: codes_of_entry(segment.GetTerminology()) for key, segment in segments.items()}
    names = {key: _plain(segment.GetName()) for key, segment in segments.items()}
    criteria: tuple[Callable[[Structure, str], bool], ...] = (
        lambda structure, key: codes[key] == codes_of_structure(structure),
        lambda structure, key: names[key] == _plain(structure.name),
    )
    for fits in criteria:
        for structure in structures:
            taken = set(found.values())
            candidates = [key for key in segments if key not in taken and fits(structure, key)]
            if structure not in found and len(candidates) == 1:
                found[structure] = candidates[0]
    return found


def _plain(name: str | None) -> str:
    return " ".join((name or "").casefold().split())


def is_edited(segment: vtkSegment) -> bool:
    """Whether the segment was edited by hand.

    It counts as edited if its status is not "not started" (the Segment Editor sets the status), or
    if its voxels differ from those that SDSeg wrote. The comparison is needed because the Segment
    Editor does not change the status of a segment that another one is painted over.
    """
    logic = require_slicer().vtkSlicerSegmentationsModuleLogic
    if logic.GetSegmentStatus(segment) != logic.NotStarted:
        return True
    written = _tag(segment, _FINGERPRINT_TAG)
    return bool(written) and written != _fingerprint(segment)


def fingerprint_as_written(segment: vtkSegment) -> str:
    """`fingerprint_of` the voxels that SDSeg wrote; "" for a segment that SDSeg did not write."""
    return _tag(segment, _FINGERPRINT_TAG)


def mark_as_written(segment: vtkSegment, fingerprint: str | None = None) -> None:
    """Store the fingerprint of the segment's voxels in it; its status becomes "not started".

    Args:
        segment: The segment as written.
        fingerprint: `fingerprint_of` its voxels; computed here if not given.
    """
    logic = require_slicer().vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(segment, logic.NotStarted)
    segment.SetTag(_FINGERPRINT_TAG, fingerprint or _fingerprint(segment))


def fingerprint_of(mask: np.ndarray | None) -> str:
    """Size and checksum of a mask (k, j, i) within its bounding box; position does not matter."""
    if mask is None or not mask.any():
        return "empty"
    box = bounding_box(mask)
    checksum = zlib.crc32(np.packbits(mask[box]).tobytes())
    return f"{'x'.join(str(n) for n in mask[box].shape)}-{checksum:08x}"


def segment_mask(segment: vtkSegment) -> np.ndarray | None:
    """Mask of the segment, bool (k, j, i) on its own layer; None if the layer is empty."""
    image = segment.GetRepresentation("Binary labelmap")
    if image is None or image.GetPointData().GetScalars() is None:
        return None
    return array_of(image) == segment.GetLabelValue()


def _fingerprint(segment: vtkSegment) -> str:
    """Fingerprint of the segment's current voxels; independent of the layer and its extent."""
    return fingerprint_of(segment_mask(segment))


def _tag(segment: vtkSegment, name: str) -> str:
    import vtk

    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""


@dataclass(frozen=True)
class PreparedLabels:
    """Properties of a label map's voxels that are needed to write it into segments.

    Attributes:
        box: The smallest slices (k, j, i) that hold all labels; the first voxel if there is none.
        highest: The highest label.
        fingerprints: Of each structure, by label.
        marks: Checksums of its slices, by label.
    """

    box: Box
    highest: int
    fingerprints: Mapping[int, str]
    marks: Mapping[int, SliceMarks]


def prepare(segmentation: Segmentation) -> PreparedLabels:
    """Examine the voxels of a result. Uses no MRML, so it may run in a thread."""
    labels = segmentation.label_map
    box: Box = bounding_box(labels) if labels.any() else (slice(0, 1),) * 3
    cropped = labels[box]
    fingerprints, marks = {}, {}
    for item in segmentation.structures:
        mask = cropped == item.label
        fingerprints[item.label] = fingerprint_of(mask)
        marks[item.label] = SliceMarks.of(_placed(mask, box, labels.shape))
    return PreparedLabels(box, int(cropped.max()), fingerprints, marks)


def _placed(mask: np.ndarray, box: Box, shape: Sequence[int]) -> MaskPart:
    """A mask of a box of the whole grid."""
    part = MaskPart.of(mask)
    k, j, i = (first + place.start for first, place in zip(part.corner, box, strict=True))
    return MaskPart((shape[0], shape[1], shape[2]), (k, j, i), part.voxels)
