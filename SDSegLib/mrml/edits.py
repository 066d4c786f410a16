"""Whether anyone has changed a segment since SDSeg wrote it."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING

import numpy as np

from .images import array_of, bounding_box
from .session import require_slicer

if TYPE_CHECKING:
    from slicer import vtkSegment

_FINGERPRINT_TAG = "SDSeg.Fingerprint"


def is_edited(segment: vtkSegment) -> bool:
    """Whether the segment holds somebody's work.

    Its status tells (the Segment Editor sets it), and for a segment that SDSeg wrote so does its
    fingerprint: the Segment Editor leaves the status of segments that it paints over as it is.
    """
    logic = require_slicer().vtkSlicerSegmentationsModuleLogic
    if logic.GetSegmentStatus(segment) != logic.NotStarted:
        return True
    written = _tag(segment, _FINGERPRINT_TAG)
    return bool(written) and written != _fingerprint(segment)


def fingerprint_as_written(segment: vtkSegment) -> str:
    """`fingerprint_of` the voxels that SDSeg wrote; "" for a segment of another origin."""
    return _tag(segment, _FINGERPRINT_TAG)


def mark_as_written(segment: vtkSegment, fingerprint: str | None = None) -> None:
    """Remember the segment's voxels as SDSeg's own; its status becomes "not started".

    Args:
        segment: As it was written.
        fingerprint: `fingerprint_of` its voxels, if that is known already.
    """
    logic = require_slicer().vtkSlicerSegmentationsModuleLogic
    logic.SetSegmentStatus(segment, logic.NotStarted)
    segment.SetTag(_FINGERPRINT_TAG, fingerprint or _fingerprint(segment))


def fingerprint_of(mask: np.ndarray | None) -> str:
    """Size and checksum of a mask (k, j, i) within its bounding box, wherever that lies."""
    if mask is None or not mask.any():
        return "empty"
    box = bounding_box(mask)
    checksum = zlib.crc32(np.packbits(mask[box]).tobytes())
    return f"{'x'.join(str(n) for n in mask[box].shape)}-{checksum:08x}"


def segment_mask(segment: vtkSegment) -> np.ndarray | None:
    """Where the segment is, bool (k, j, i) on its own layer; None if the layer is empty."""
    image = segment.GetRepresentation("Binary labelmap")
    if image is None or image.GetPointData().GetScalars() is None:
        return None
    return array_of(image) == segment.GetLabelValue()


def _fingerprint(segment: vtkSegment) -> str:
    """Of the segment as it is; no change of layers or extents alters it."""
    return fingerprint_of(segment_mask(segment))


def _tag(segment: vtkSegment, name: str) -> str:
    import vtk

    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
