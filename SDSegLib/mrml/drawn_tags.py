"""What a segment knows of its slices: which were drawn, and how all of them were predicted last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..propagation.marks import SliceMarks
from ..propagation.mask_part import MaskPart
from ..propagation.options import AXES

if TYPE_CHECKING:
    from slicer import vtkSegment

_MARKS_TAG = "SDSeg.SliceMarks"
_DRAWN_TAG = "SDSeg.DrawnSlices"
_REACHES = ("all", "near")


@dataclass(frozen=True)
class LastDrawn:
    """The slices from which the last prediction of a segment was carried.

    They stay as a person drew them until that person changes them.

    Attributes:
        axis: Array axis across them, 0 for k.
        numbers: Their numbers.
        corrects: Whether they corrected a prediction near by, so that the rest is that prediction;
            otherwise all other slices were computed from them.
    """

    axis: int
    numbers: tuple[int, ...]
    corrects: bool = False


def read_marks(segment: vtkSegment) -> SliceMarks | None:
    """Marks of the segment's slices after the last prediction; None if there was none."""
    return SliceMarks.from_text(_tag(segment, _MARKS_TAG))


def read_drawn(segment: vtkSegment) -> LastDrawn | None:
    """From which slices the last prediction was carried; None if it was not carried at all."""
    axis, _, rest = _tag(segment, _DRAWN_TAG).partition(" ")
    numbers, _, reach = rest.partition(" ")
    if axis not in AXES or reach not in _REACHES:
        return None
    try:
        drawn = tuple(int(number) for number in numbers.split(","))
    except ValueError:
        return None
    return LastDrawn(AXES.index(axis), drawn, corrects=reach == _REACHES[1])


def write_tags(segment: vtkSegment, mask: np.ndarray | MaskPart, drawn: LastDrawn | None) -> None:
    """Store what was predicted.

    Args:
        segment: The segment.
        mask: Its voxels after the prediction, (k, j, i).
        drawn: The slices from which it was carried; None if it was predicted in another way.
    """
    segment.SetTag(_MARKS_TAG, SliceMarks.of(mask).to_text())
    if drawn is None:
        segment.RemoveTag(_DRAWN_TAG)
        return
    numbers = ",".join(str(number) for number in drawn.numbers)
    segment.SetTag(_DRAWN_TAG, f"{AXES[drawn.axis]} {numbers} {_REACHES[drawn.corrects]}")


def _tag(segment: vtkSegment, name: str) -> str:
    import vtk

    value = vtk.reference("")
    return str(value) if segment.GetTag(name, value) else ""
