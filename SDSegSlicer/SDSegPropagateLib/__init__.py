"""The effect "SDSeg Propagate" of the Segment Editor; 3D Slicer looks for its class here."""

from .SegmentEditorEffect import SegmentEditorEffect

__all__ = ["SegmentEditorEffect"]
