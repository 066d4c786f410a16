"""What a segment knows of its slices: which were drawn, and how all of them were predicted last."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..propagation.marks import SliceMarks
from ..propagation.mask_part import MaskPart
from ..propagation.options import AXES

if TYPE_CHECKING:
    from slicer import vtkSegment

_MARKS_TAG = "SDSeg.SliceMarks"
_DRAWN_TAG = "SDSeg.DrawnSlices"


def read_marks(segment: vtkSegment) -> SliceMarks | None:
    """Marks of the segment's slices after the last prediction; None if there was none."""
    return SliceMarks.from_text(_tag(segment, _MARKS_TAG))


def read_drawn(segment: vtkSegment) -> tuple[int | None, tuple[int, ...]]:
    """Slices from which the last prediction was carried: array axis and numbers; None, () if none.

    They stay as a person drew them until that person changes them.
    """
    axis, _, numbers = _tag(segment, _DRAWN_TAG).partition(" ")
    if axis not in AXES:
        return None, ()
    try:
        return AXES.index(axis), tuple(int(number) for number in numbers.split(","))
    except ValueError:
        return None, ()


def write_tags(
    segment: vtkSegment, mask: np.ndarray | MaskPart, axis: int, drawn: Iterable[int]
) -> None:
    """Store what was predicted.

    Args:
        segment: The segment.
        mask: Its voxels after the prediction, (k, j, i).
        axis: Array axis across the drawn slices, 0 for k.
        drawn: Their numbers.
    """
    segment.SetTag(_MARKS_TAG, SliceMarks.of(mask).to_text())
    segment.SetTag(_DRAWN_TAG, f"{AXES[axis]} {','.join(str(number) for number in drawn)}")


def _tag(segment: vtkSegment, name: str) -> str:
    import vtk

    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
