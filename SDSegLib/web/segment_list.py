"""The segments as the page lists them: colour, volume, and whether somebody edited them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from slicer import vtkMRMLSegmentationNode

from ..mrml.edits import fingerprint_as_written, fingerprint_of
from ..mrml.images import array_of, bounding_box
from .formatting import color_text, milliliters_text


@dataclass(frozen=True, eq=False)
class SegmentVoxels:
    """A segment's voxels at one moment, to be looked at beside the page.

    Attributes:
        id: The segment's ID.
        layer: Copy of the layer that it shares with others, (k, j, i); None if that is empty.
        label: Its value in the layer.
        written: Fingerprint of what SDSeg wrote; "" for a segment of another origin.
    """

    id: str
    layer: np.ndarray | None
    label: int
    written: str


@dataclass(frozen=True)
class SegmentFacts:
    """What there is to say about a segment's voxels.

    Attributes:
        milliliters: Its volume.
        is_edited: Whether it differs from what SDSeg wrote; segments of another origin count as
            edited as soon as they hold a voxel.
    """

    milliliters: float
    is_edited: bool


def segment_ids(node: vtkMRMLSegmentationNode) -> list[str]:
    """IDs of all segments, in order."""
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]


def voxels_now(node: vtkMRMLSegmentationNode) -> list[SegmentVoxels]:
    """Copy what `facts_of` needs; layers that segments share are copied once."""
    copies: dict[str, np.ndarray | None] = {}
    found = []
    for segment_id in segment_ids(node):
        segment = node.GetSegmentation().GetSegment(segment_id)
        image = segment.GetRepresentation("Binary labelmap")
        key = "" if image is None else image.GetAddressAsString("")
        if key not in copies:
            scalars = None if image is None else image.GetPointData().GetScalars()
            copies[key] = None if scalars is None else array_of(image).copy()
        found.append(
            SegmentVoxels(
                segment_id,
                copies[key],
                segment.GetLabelValue(),
                fingerprint_as_written(segment),
            )
        )
    return found


def facts_of(segments: list[SegmentVoxels], voxel_ml: float) -> dict[str, SegmentFacts]:
    """Measure segments; touches no MRML."""
    cropped: dict[int, np.ndarray | None] = {}
    facts = {}
    for item in segments:
        if id(item.layer) not in cropped:
            cropped[id(item.layer)] = _cropped(item.layer)
        layer = cropped[id(item.layer)]
        mask = None if layer is None else layer == item.label
        count = 0 if mask is None else int(np.count_nonzero(mask))
        is_edited = fingerprint_of(mask) != item.written if item.written else count > 0
        facts[item.id] = SegmentFacts(count * voxel_ml, is_edited)
    return facts


def listed(
    node: vtkMRMLSegmentationNode, facts: dict[str, SegmentFacts], active: str
) -> list[dict[str, Any]]:
    """Rows for the page; volumes that are not measured yet are empty."""
    display = node.GetDisplayNode()
    rows = []
    for segment_id in segment_ids(node):
        segment = node.GetSegmentation().GetSegment(segment_id)
        known = facts.get(segment_id)
        rows.append(
            asdict(
                SegmentRow(
                    id=segment_id,
                    name=segment.GetName(),
                    color=color_text(segment.GetColor()),
                    visible=bool(display.GetSegmentVisibility(segment_id)),
                    opacity=round(100 * display.GetSegmentOpacity2DFill(segment_id)),
                    milliliters="" if known is None else milliliters_text(known.milliliters),
                    empty=known is not None and known.milliliters == 0,
                    edited=known is not None and known.is_edited,
                    active=segment_id == active,
                )
            )
        )
    return rows


def _cropped(layer: np.ndarray | None) -> np.ndarray | None:
    """The part of a layer that holds anything."""
    if layer is None or not layer.any():
        return None
    return layer[bounding_box(layer)]


@dataclass(frozen=True)
class SegmentRow:
    """A row of the list; `opacity` in percent."""

    id: str
    name: str
    color: str
    visible: bool
    opacity: int
    milliliters: str
    empty: bool
    edited: bool
    active: bool
