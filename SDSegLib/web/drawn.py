"""Which slices of a segment a person drew: found by themselves, and changed in the page."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..mrml.drawn_tags import LastDrawn
from ..propagation.marks import SliceMarks, drawn_slices
from ..propagation.mask_part import MaskPart

_THIN_SHARE = 0.2
_MOSTLY = 0.5


@dataclass(frozen=True)
class Drawn:
    """The drawn slices of a segment.

    Attributes:
        axis: Array axis across them, 0 for k.
        numbers: Of the slices, ascending.
        corrects: Whether the other slices are a prediction, which is corrected near the drawn ones;
            otherwise they are computed from the drawn ones alone.
        can_correct: Whether there is a prediction.
        is_changed: Whether anything was drawn since the last prediction; True if there was none.
        other_axes: Axes across which something was drawn too, which does not count.
        kept_axis: Axis across slices that were drawn before the last prediction, if it is another
            one; these slices stay as they are.
        kept: Their numbers.
        is_guessed: Whether the drawing does not show the axis, so that one was taken.
    """

    axis: int
    numbers: tuple[int, ...]
    corrects: bool = False
    can_correct: bool = False
    is_changed: bool = True
    other_axes: tuple[int, ...] = ()
    kept_axis: int | None = None
    kept: tuple[int, ...] = ()
    is_guessed: bool = False


@dataclass(frozen=True, eq=False)
class SegmentDrawing:
    """A segment's voxels and what its tags say of them.

    Attributes:
        part: The voxels.
        marks: Of the last prediction; None if there was none.
        last: The slices that it was carried from; None if it was predicted in another way.
    """

    part: MaskPart
    marks: SliceMarks | None = None
    last: LastDrawn | None = None


class DrawnSlices:
    """The choices of one person for one segment: plane, slices added and removed, and the rest.

    Attributes:
        axis: Array axis that was chosen; None for the one that is found.
        corrects: Whether a prediction is to be corrected near by or computed anew; None for what
            fits how it was made.
    """

    def __init__(self) -> None:
        self.axis: int | None = None
        self.corrects: bool | None = None
        self._added: set[int] = set()
        self._removed: set[int] = set()
        self._last: MaskPart | None = None

    @property
    def is_changed(self) -> bool:
        """Whether any choice was made."""
        chosen = self.axis is not None or self.corrects is not None
        return chosen or bool(self._added or self._removed)

    def forget(self) -> None:
        """Go back to what is found by itself."""
        self.choose(None)
        self.corrects = None
        self._last = None

    def choose(self, axis: int | None) -> None:
        """Choose the axis across the slices; slices that were added or removed are forgotten."""
        self.axis = axis
        self._added.clear()
        self._removed.clear()

    def add(self, number: int) -> None:
        """Count a slice as drawn, also an empty one."""
        self._added.add(number)
        self._removed.discard(number)

    def remove(self, numbers: range) -> None:
        """Do not count these slices as drawn, until they are drawn on again."""
        self._removed.update(numbers)
        self._added.difference_update(numbers)

    def of(self, drawing: SegmentDrawing, body_axis: int) -> Drawn:
        """The drawn slices of a segment.

        Args:
            drawing: The segment.
            body_axis: Array axis along the body, taken if the drawing shows none.
        """
        found = find_drawn(drawing, self.axis, body_axis)
        if self._last is not None and self._last.shape == drawing.part.shape:
            before, now = self._last.along(found.axis), drawing.part.along(found.axis)
            self._removed = {
                number
                for number in self._removed
                if before.of_slice(number).digest == now.of_slice(number).digest
            }
        self._last = drawing.part
        numbers = (set(found.numbers) - self._removed) | self._added
        corrects = found.corrects if self.corrects is None else self.corrects
        return replace(
            found, numbers=tuple(sorted(numbers)), corrects=corrects and found.can_correct
        )


def find_drawn(drawing: SegmentDrawing, axis: int | None, body_axis: int) -> Drawn:
    """The drawn slices as the voxels and the tags of a segment show them.

    Args:
        drawing: The segment.
        axis: Array axis across the slices; None for the one that shows.
        body_axis: Taken if none shows.
    """
    if drawing.marks is None or drawing.marks.shape != drawing.part.shape:
        return _first_drawing(drawing.part, axis, body_axis)
    return _correction(drawing, drawing.marks, axis, body_axis)


def _first_drawing(part: MaskPart, axis: int | None, body_axis: int) -> Drawn:
    found, numbers = drawn_slices(part, None)
    if found is not None and axis in (None, found):
        return Drawn(found, numbers)
    thin = [_thin(part.voxels, one) for one in range(3)]
    total = max(int(np.count_nonzero(part.voxels)), 1)
    shares = [np.count_nonzero(voxels) / total for voxels in thin]
    planes = [one for one in range(3) if shares[one] > _THIN_SHARE]
    if found is not None or len(planes) < 2:
        chosen = body_axis if axis is None else axis
        return Drawn(chosen, part.along(chosen).used(), is_guessed=axis is None)
    chosen = max(planes, key=lambda one: shares[one]) if axis is None else axis
    others = tuple(one for one in planes if one != chosen)
    return Drawn(chosen, _mostly_thin(part, thin[chosen], chosen), other_axes=others)


def _correction(
    drawing: SegmentDrawing, marks: SliceMarks, axis: int | None, body_axis: int
) -> Drawn:
    found, numbers = drawn_slices(drawing.part, marks)
    changed = marks.changed(drawing.part)
    is_changed = any(changed)
    last = drawing.last or LastDrawn(body_axis, (), corrects=True)
    chosen = next(one for one in (axis, found, last.axis) if one is not None)
    if chosen != found:
        numbers = changed[chosen]
    is_same_plane = last.axis == chosen
    return Drawn(
        axis=chosen,
        numbers=tuple(sorted({*numbers, *(last.numbers if is_same_plane else ())})),
        corrects=last.corrects or not is_same_plane,
        can_correct=True,
        is_changed=is_changed,
        other_axes=() if found in (None, chosen) else (found,),
        kept_axis=None if is_same_plane else last.axis,
        kept=() if is_same_plane else last.numbers,
        is_guessed=is_changed and found is None and axis is None,
    )


def _thin(voxels: np.ndarray, axis: int) -> np.ndarray:
    """Voxels that have none of the structure before and behind them along an axis."""
    moved = np.moveaxis(voxels, axis, 0)
    alone = moved.copy()
    alone[1:] &= ~moved[:-1]
    alone[:-1] &= ~moved[1:]
    return np.moveaxis(alone, 0, axis)


def _mostly_thin(part: MaskPart, thin: np.ndarray, axis: int) -> tuple[int, ...]:
    """Slices most of whose voxels are alone across them: those drawn in this plane."""
    others = tuple(one for one in range(3) if one != axis)
    whole = np.count_nonzero(part.voxels, axis=others)
    alone = np.count_nonzero(thin, axis=others)
    return tuple((np.flatnonzero(alone > _MOSTLY * whole) + part.corner[axis]).tolist())
