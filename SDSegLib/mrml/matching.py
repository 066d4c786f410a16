"""Which segment of an existing segmentation stands for which structure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..volume.structure import Structure
from .terminology import codes_of_entry, codes_of_structure

if TYPE_CHECKING:
    from slicer import vtkSegmentation


def match_segments(
    segmentation: vtkSegmentation, structures: Sequence[Structure]
) -> dict[Structure, str]:
    """Segment ID of each structure that has a segment.

    A segment belongs to a structure by its ID, else by its terminology codes, else by its name
    in any case; a code or name that several segments bear decides nothing.
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
