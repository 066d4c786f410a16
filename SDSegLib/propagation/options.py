"""What is asked of a propagation: which slices are drawn, and where to carry them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from numbers import Integral
from typing import Any

from ..errors import InputError
from ..language import tr
from ..options import DEVICES

AXES = ("k", "j", "i")
DIRECTIONS = ("between", "up", "down", "all")
_HIGHEST = 99_999
"""No volume has as many slices; a range that was mistyped must not fill the memory."""


@dataclass(frozen=True)
class PropagateOptions:
    """How a mask is carried from the drawn slices, on which it is right, to the others.

    Attributes:
        slices: Numbers of the drawn slices, from 0 along `axis`; None for every slice that holds
            something.
        axis: Array axis across the slices, "k", "j" or "i"; None for the one closest to the body's
            axis from feet to head.
        carry: "between": only between the first and the last drawn slice; "up" and "down": only
            beyond the last and before the first, by slice number; "all": everywhere.
        correct: Whether the mask is a prediction of which only `slices` are right; the result
            then fades into it with distance from them.
        model: Name or folder of a model of the family `propagate`; None for the bundled one.
        device: "auto", "cuda", "mps" or "cpu".
    """

    slices: tuple[int, ...] | None = None
    axis: str | None = None
    carry: str = "all"
    correct: bool = False
    model: str | None = None
    device: str = "auto"

    def __post_init__(self) -> None:
        if self.slices is not None and not isinstance(self.slices, str):
            numbers = tuple(int(n) if isinstance(n, Integral) else n for n in self.slices)
            object.__setattr__(self, "slices", numbers)

    def check(self) -> PropagateOptions:
        """These options, if every value is allowed.

        Raises:
            InputError: Naming the value that is not, and what is allowed.
        """
        for name, choices in (("carry", DIRECTIONS), ("device", DEVICES)):
            if getattr(self, name) not in choices:
                raise InputError(
                    tr("Unknown {name} {value!r}; choose one of {choices}.").format(
                        name=name, value=getattr(self, name), choices=", ".join(choices)
                    )
                )
        if self.axis is not None and self.axis not in AXES:
            raise InputError(
                tr("Unknown axis {axis!r}; choose one of {axes}.").format(
                    axis=self.axis, axes=", ".join(AXES)
                )
            )
        if self.slices is not None:
            if not self.slices:
                raise InputError(tr("No slice is named; name at least one whose mask is right."))
            wrong = [n for n in self.slices if not isinstance(n, int) or n < 0]
            if wrong:
                raise InputError(
                    tr("The slice {wrong!r} is not a number from 0.").format(wrong=wrong[0])
                )
        elif self.correct:
            raise InputError(
                tr(
                    "To correct a prediction, name the slices that are right; all others are taken "
                    "for the prediction."
                )
            )
        return self

    def to_json(self) -> dict[str, Any]:
        """Plain values for a message; `from_json` reads them back."""
        data = asdict(self)
        data["slices"] = None if self.slices is None else list(self.slices)
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PropagateOptions:
        """Read and check what `to_json` gives.

        Raises:
            InputError: Naming an entry that is unknown or a value that is not allowed.
        """
        names = [item.name for item in fields(cls)]
        unknown = sorted(set(data) - set(names))
        if unknown:
            raise InputError(
                tr("Unknown option {unknown!r}; options are {names}.").format(
                    unknown=unknown[0], names=", ".join(names)
                )
            )
        return cls(**data).check()


def slice_numbers(text: str) -> tuple[int, ...]:
    """Slice numbers as they are typed: "40,52" or "40-44,60".

    Raises:
        InputError: If a part is neither a number nor a range of two, or far too high.
    """
    numbers: list[int] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        first, dash, last = part.partition("-")
        try:
            low = int(first)
            high = int(last) if dash else low
        except ValueError:
            raise InputError(
                tr(
                    "The slices {text!r} are not numbers with commas, such as 40,52 or 40-44."
                ).format(text=text)
            ) from None
        if high > _HIGHEST:
            raise InputError(
                tr("There is no slice {high}; the highest number is {highest}.").format(
                    high=high, highest=_HIGHEST
                )
            )
        if high < low:
            raise InputError(
                tr("The slices {part!r} run backwards; type {high}-{low}.").format(
                    part=part, high=high, low=low
                )
            )
        numbers.extend(range(low, high + 1))
    if not numbers:
        raise InputError(
            tr("The slices {text!r} name none; leave them out for all that are drawn.").format(
                text=text
            )
        )
    return tuple(sorted(set(numbers)))


def listed(numbers: Iterable[int]) -> str:
    """Slice numbers in short: "3, 7–9"."""
    runs: list[list[int]] = []
    for number in sorted(numbers):
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}–{b}" for a, b in runs)
