"""The three planes of a volume: their names, their views, and which way is up in them."""

from __future__ import annotations

from dataclasses import dataclass

from ..language import tr
from ..volume.geometry import Geometry
from ..volume.orientation import axis_letters

_PLANES = {
    "S": (tr("axial"), "Red", (tr("Up"), tr("Down")), (tr("head"), tr("feet"))),
    "A": (
        tr("coronal"),
        "Green",
        (tr("Front"), tr("Back")),
        (tr("front of the patient"), tr("back of the patient")),
    ),
    "R": (
        tr("sagittal"),
        "Yellow",
        (tr("Right"), tr("Left")),
        (tr("patient's right"), tr("patient's left")),
    ),
}
_OPPOSITE = {"I": "S", "P": "A", "L": "R"}


@dataclass(frozen=True)
class Direction:
    """A way along the slices, as the page offers it.

    Attributes:
        carry: Its name in `PropagateOptions.carry`.
        label: On the button.
        tip: The tool tip.
    """

    carry: str
    label: str
    tip: str


@dataclass(frozen=True)
class Plane:
    """Slices of a volume across one of its array axes.

    Attributes:
        axis: The array axis, 0 for k.
        name: "axial", "coronal" or "sagittal", whichever is closest, in the user's language.
        view: Name of the slice view that shows them.
        grows_up: Whether higher slice numbers are towards head, front or right.
    """

    axis: int
    name: str
    view: str
    grows_up: bool

    @property
    def directions(self) -> tuple[Direction, ...]:
        """Where a mask can be carried, in the order of the buttons."""
        letter = next(key for key, value in _PLANES.items() if value[0] == self.name)
        labels, ends = _PLANES[letter][2:]
        carries = ("up", "down") if self.grows_up else ("down", "up")
        number = {"up": tr("higher"), "down": tr("lower")}
        beyond = tuple(
            Direction(
                carry,
                label,
                tr("Beyond the drawn slices towards the {end}: {number} slice numbers").format(
                    end=end, number=number[carry]
                ),
            )
            for carry, label, end in zip(carries, labels, ends, strict=True)
        )
        return (
            Direction(
                "between", tr("Between"), tr("Only between the first and the last drawn slice")
            ),
            *beyond,
            Direction("all", tr("All"), tr("Between the drawn slices and beyond them")),
        )


def planes_of(geometry: Geometry) -> tuple[Plane, Plane, Plane]:
    """The planes of a volume by array axis, the one across k first."""
    letters = axis_letters(geometry)[::-1]
    first, second, third = (_plane(axis, letter) for axis, letter in enumerate(letters))
    return first, second, third


def _plane(axis: int, letter: str) -> Plane:
    name, view, _, _ = _PLANES[_OPPOSITE.get(letter, letter)]
    return Plane(axis, name, view, grows_up=letter in _PLANES)
