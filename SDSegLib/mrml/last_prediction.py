"""What a segment remembers of its last prediction, and the slices that were drawn since.

It is kept in a tag of the segment, so undo and redo bring it back with the voxels, and files keep
it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..propagation.marks import SliceMarks, drawn_slices
from ..propagation.mask_part import MaskPart
from ..propagation.options import AXES
from ..propagation.planes import several_planes

if TYPE_CHECKING:
    from slicer import vtkSegment

_TAG = "SDSeg.LastPrediction"
_APART = 3  # slices next to a drawn one are corrected with it
_VERSION, _WITHOUT_DOUBT = "2", "1"


@dataclass(frozen=True)
class LastPrediction:
    """The last mask that SDSeg wrote into a segment.

    Attributes:
        marks: Checksums of its slices, on the grid that the segment is edited on.
        axis: Array axis (0 = k) across the slices that had been drawn; None if none had.
        drawn: Their numbers.
        is_model: Whether the other slices come from a segmentation model, or were declared a
            prediction: a correction then keeps them with distance from the drawn slices.
        elsewhere: Slices drawn before across other axes, as pairs of axis and number.
        doubtful: Slices to correct first, as pairs of axis and number, the most doubtful first;
            known after a segmentation by a model.
    """

    marks: SliceMarks
    axis: int | None = None
    drawn: tuple[int, ...] = ()
    is_model: bool = False
    elsewhere: tuple[tuple[int, int], ...] = ()
    doubtful: tuple[tuple[int, int], ...] = ()

    def to_text(self) -> str:
        """One line for a segment's tag; `from_text` reads it back."""
        pairs = [(self.axis, number) for number in self.drawn if self.axis is not None]
        drawn, elsewhere, doubtful = (
            " ".join(f"{AXES[axis]}{number}" for axis, number in slices)
            for slices in (pairs, self.elsewhere, self.doubtful)
        )
        fields = (_VERSION, str(int(self.is_model)), drawn, elsewhere, doubtful)
        return ";".join((*fields, self.marks.to_text()))

    @classmethod
    def from_text(cls, text: str) -> LastPrediction | None:
        """What `to_text` gave, also before doubtful slices were kept.

        Returns:
            None if it is of another version or damaged.
        """
        parts = text.split(";", 5)
        if parts[0] == _WITHOUT_DOUBT:
            parts = text.split(";", 4)
            parts.insert(4, "")
        if len(parts) != 6 or parts[0] not in (_VERSION, _WITHOUT_DOUBT):
            return None
        marks = SliceMarks.from_text(parts[5])
        drawn, elsewhere, doubtful = (_read_slices(part) for part in parts[2:5])
        if marks is None or drawn is None or elsewhere is None or doubtful is None:
            return None
        axes = {axis for axis, _ in drawn}
        if len(axes) > 1:
            return None
        return cls(
            marks=marks,
            axis=axes.pop() if axes else None,
            drawn=tuple(number for _, number in drawn),
            is_model=parts[1] == "1",
            elsewhere=elsewhere,
            doubtful=doubtful,
        )

    def to_correct_first(self, axis: int | None, drawn: Sequence[int]) -> tuple[int, ...]:
        """The doubtful slices far from those that were drawn, the most doubtful first.

        Args:
            axis: Array axis across the drawn slices; None if nothing was drawn.
            drawn: Their numbers.
        """
        return tuple(
            number
            for across, number in self.doubtful
            if axis in (None, across) and all(abs(number - other) >= _APART for other in drawn)
        )


@dataclass(frozen=True)
class DrawnSlices:
    """The slices of a mask that a person drew, corrected or confirmed.

    Attributes:
        axis: Array axis (0 = k) across them; None if it cannot be told.
        numbers: In order; none without an axis.
        correct: Whether the other slices are a model's prediction.
        elsewhere: Slices drawn earlier across another axis, as pairs of axis and number; they are
            not to be changed.
    """

    axis: int | None
    numbers: tuple[int, ...]
    correct: bool = False
    elsewhere: tuple[tuple[int, int], ...] = ()


def last_prediction(segment: vtkSegment) -> LastPrediction | None:
    """What a segment remembers; None if SDSeg did not write it."""
    import vtk

    text = vtk.reference("")
    return LastPrediction.from_text(str(text)) if segment.GetTag(_TAG, text) else None


def remember_prediction(segment: vtkSegment, last: LastPrediction) -> None:
    """Keep it in the segment."""
    segment.SetTag(_TAG, last.to_text())


def drawn_in(
    mask: MaskPart, last: LastPrediction | None, axis: int | None = None, body_axis: int = 0
) -> DrawnSlices:
    """The drawn slices of a mask.

    After a prediction these are the slices drawn before it and those that differ from it. In a
    mask that SDSeg did not write they are all slices that hold something, if it looks as drawn
    slice by slice; of slices drawn across several axes, those across the one with most voxels.

    Args:
        mask: On the grid that the segment is edited on.
        last: Of the segment; ignored if it is of a grid of another shape.
        axis: Array axis across the slices; None to find it.
        body_axis: The axis to prefer where several are as likely: the one along the body.
    """
    if last is None or last.marks.shape != mask.shape:
        planes = several_planes(mask)
        if planes:
            chosen = next(iter(planes)) if axis is None else axis
            crossing = ((other, n) for other in planes if other != chosen for n in planes[other])
            return DrawnSlices(chosen, planes.get(chosen, ()), elsewhere=tuple(crossing))
        found = drawn_slices(mask, None)[0] if axis is None else axis
        if found is None and mask.voxels.shape[body_axis] == 1:
            found = body_axis
        if found is None:
            return DrawnSlices(None, ())
        return DrawnSlices(found, mask.along(found).used())
    changed = last.marks.changed(mask)
    if axis is None:
        axis = _likeliest(changed, last.axis, body_axis)
    before = [(last.axis, number) for number in last.drawn if last.axis is not None]
    before += last.elsewhere
    numbers = {number for across, number in before if across == axis}
    numbers |= set(() if axis is None else changed[axis])
    elsewhere = tuple(pair for pair in before if pair[0] != axis)
    is_correction = last.is_model or bool(elsewhere)
    return DrawnSlices(axis, tuple(sorted(numbers)), is_correction, elsewhere)


def renewed(
    last: LastPrediction, before: MaskPart, after: MaskPart, body_axis: int = 0
) -> LastPrediction:
    """What a segment remembers once a program has changed it otherwise.

    Slices that were drawn until then stay so, and what the program changed does not count.

    Args:
        last: What it remembers.
        before: Its mask until then.
        after: Its mask now, on the same grid.
        body_axis: As for `drawn_in`.
    """
    drawn = drawn_in(before, last, body_axis=body_axis)
    return LastPrediction(
        SliceMarks.of(after),
        drawn.axis,
        drawn.numbers,
        last.is_model,
        drawn.elsewhere,
        last.doubtful,
    )


def with_slices_of(mask: MaskPart, own: MaskPart, slices: Iterable[tuple[int, int]]) -> MaskPart:
    """A mask in which some slices, as pairs of axis and number, are those of another mask."""
    for axis, number in slices:
        kept = own.along(axis).of_slice(number)
        mask = mask.along(axis).with_slices({number: kept}).back_from(axis)
    return mask


def _read_slices(text: str) -> tuple[tuple[int, int], ...] | None:
    """ "k3 k9" → pairs of axis and number; None if it is damaged."""
    names = text.split()
    if not all(name[0] in AXES and name[1:].isdecimal() for name in names):
        return None
    return tuple((AXES.index(name[0]), int(name[1:])) for name in names)


def _likeliest(
    changed: tuple[tuple[int, ...], ...], earlier: int | None, body_axis: int
) -> int | None:
    """The axis with the fewest changed slices: one axial slice changes many sagittal ones.

    The axis of the slices that were drawn before is kept unless another has far fewer.
    """
    if not any(changed):
        return earlier
    fewest = min(map(len, changed))
    if earlier is not None and 0 < len(changed[earlier]) <= 2 * fewest + 2:
        return earlier
    axes = [axis for axis in range(len(AXES)) if len(changed[axis]) == fewest]
    return body_axis if body_axis in axes else axes[0]
