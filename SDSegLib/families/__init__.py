"""The families of networks behind one interface: two with a single reverse step, one without."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..families.description import ModelDescription
    from .base import SegmentationFamily


def build_family(description: ModelDescription) -> SegmentationFamily:
    """Networks of the family and sizes that a description names, with random weights."""
    if description.family == "compact":
        from .compact import CompactFamily

        return CompactFamily(description)
    if description.family == "direct":
        from .direct import DirectFamily

        return DirectFamily(description)
    from .published import PublishedFamily

    return PublishedFamily(description)
