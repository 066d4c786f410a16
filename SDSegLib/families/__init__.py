"""The two families of single-step latent segmentation, behind one interface."""

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
    from .published import PublishedFamily

    return PublishedFamily(description)
