"""Which slices of a segment a person drew: found by themselves, and changed in the page."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ..mrml.last_prediction import LastPrediction, drawn_in
from ..propagation.marks import drawn_slices
from ..propagation.mask_part import MaskPart
from ..propagation.planes import several_planes


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
        elsewhere: Slices drawn before the last prediction across another axis, as pairs of axis and
            number; they stay as they are.
        is_guessed: Whether the drawing does not show the axis, so that one was taken.
    """

    axis: int
    numbers: tuple[int, ...]
    corrects: bool = False
    can_correct: bool = False
    is_changed: bool = True
    other_axes: tuple[int, ...] = ()
    elsewhere: tuple[tuple[int, int], ...] = ()
    is_guessed: bool = False

    @property
    def has_no_gaps(self) -> bool:
        """Whether no slice of a structure was left out, as in one that a program made."""
        return self.is_guessed and len(self.numbers) > 1


class DrawnChoices:
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
        self._seen: MaskPart | None = None

    @property
    def is_changed(self) -> bool:
        """Whether any choice was made."""
        chosen = self.axis is not None or self.corrects is not None
        return chosen or bool(self._added or self._removed)

    def forget(self) -> None:
        """Go back to what is found by itself."""
        self.choose(None)
        self.corrects = None
        self._seen = None

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

    def drawn(self, part: MaskPart, last: LastPrediction | None, body_axis: int) -> Drawn:
        """The drawn slices of a segment.

        Args:
            part: Its voxels.
            last: Its last prediction.
            body_axis: Array axis along the body, taken if the drawing shows none.
        """
        found = find_drawn(part, last, self.axis, body_axis)
        if self._seen is not None and self._seen.shape == part.shape:
            before, now = self._seen.along(found.axis), part.along(found.axis)
            self._removed = {
                number
                for number in self._removed
                if before.of_slice(number).digest == now.of_slice(number).digest
            }
        self._seen = part
        numbers = (set(found.numbers) - self._removed) | self._added
        corrects = found.corrects if self.corrects is None else self.corrects
        return replace(
            found, numbers=tuple(sorted(numbers)), corrects=corrects and found.can_correct
        )


def find_drawn(
    part: MaskPart, last: LastPrediction | None, axis: int | None, body_axis: int
) -> Drawn:
    """The drawn slices as voxels and last prediction show them.

    Args:
        part: The segment's voxels.
        last: The segment's last prediction; ignored if it is of another grid.
        axis: Array axis across the slices; None for the one that shows.
        body_axis: Taken if none shows.
    """
    if last is None or last.marks.shape != part.shape:
        return _first_drawing(part, axis, body_axis)
    found = drawn_in(part, last, axis, body_axis)
    return Drawn(
        axis=body_axis if found.axis is None else found.axis,
        numbers=found.numbers,
        corrects=found.correct,
        can_correct=True,
        is_changed=last.marks.differ(part),
        elsewhere=found.elsewhere,
    )


def _first_drawing(part: MaskPart, axis: int | None, body_axis: int) -> Drawn:
    planes = several_planes(part)
    if planes:
        chosen = next(iter(planes)) if axis is None else axis
        others = tuple(sorted(one for one in planes if one != chosen))
        return Drawn(chosen, planes.get(chosen, ()), other_axes=others)
    found, numbers = drawn_slices(part, None)
    if found is not None and axis in (None, found):
        return Drawn(found, numbers)
    chosen = body_axis if axis is None else axis
    return Drawn(chosen, part.along(chosen).used(), is_guessed=axis is None)
