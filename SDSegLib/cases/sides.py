"""On which side of the body structures lie, and whether that fits their names and other cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..language import tr
from ..volume.checks import finite_values
from ..volume.geometry import Geometry
from ..volume.layers import LayeredLabels
from ..volume.same_structures import codes_of, side_of
from ..volume.structure import Structure
from ..volume.volume import Volume

_MARGIN_MM = 10.0
_CLEARLY_MM = 25.0
_FEWEST_OTHERS = 2
_TISSUE_HU = -200.0
_STEP = 4


@dataclass(frozen=True)
class CaseSides:
    """Where the structures of a case lie.

    Attributes:
        doubtful: Structures that lie on another side than they are called: name, and that side.
        left_mm: Of structures without a side, distance of their centre from the image's middle
            towards the patient's left, by id.
        names: Names of these, by id.
    """

    doubtful: tuple[tuple[str, str], ...]
    left_mm: Mapping[str, float]
    names: Mapping[str, str]


def measure_sides(labels: LayeredLabels, read_image: Callable[[], Volume]) -> CaseSides:
    """Measure a case.

    A structure that is called left or right is compared with its partner on the other side, and
    without one with the middle of the body.

    Args:
        labels: Structures on the CT's grid.
        read_image: Gives the CT; called only if one without a partner lies on the wrong side of the
            image's middle.
    """
    centres = _centres(labels)
    items = [item for item in labels.structures if item.label in centres]
    middle = _middle_of_grid(labels.geometry)
    of_body = None
    doubtful = []
    for item in items:
        side, partner = side_of(item), _partner(item, items)
        left = centres[item.label]
        if not side or not _is_wrong(
            side, left - (middle if partner is None else centres[partner.label])
        ):
            continue
        if partner is None:
            of_body = _middle_of_body(read_image()) if of_body is None else of_body
            if not _is_wrong(side, left - of_body):
                continue
        doubtful.append((item.name, "right" if side == "left" else "left"))
    without = [item for item in items if not side_of(item)]
    return CaseSides(
        tuple(doubtful),
        {item.id: centres[item.label] - middle for item in without},
        {item.id: item.name for item in without},
    )


def mirrored(cases: Mapping[str, CaseSides]) -> dict[str, str]:
    """Cases in which a structure clearly lies on the other side than in all others.

    Returns:
        For each its name, and what is where, such as "Liver on the left of the body".
    """
    found = {}
    for name, case in cases.items():
        for key, left in case.left_mm.items():
            others = [
                other.left_mm[key]
                for other_name, other in cases.items()
                if other_name != name and key in other.left_mm
            ]
            if (
                abs(left) > _CLEARLY_MM
                and len(others) >= _FEWEST_OTHERS
                and all(-np.sign(left) * other > _CLEARLY_MM for other in others)
            ):
                side = tr("left") if left > 0 else tr("right")
                found[name] = tr("{name} on the {side} of the body").format(
                    name=case.names[key], side=side
                )
                break
    return found


def _is_wrong(side: str, towards_left: float) -> bool:
    return (towards_left if side == "right" else -towards_left) > _MARGIN_MM


def _partner(item: Structure, items: list[Structure]) -> Structure | None:
    """The same structure on the other side of the body."""
    side = side_of(item)
    return next(
        (
            other
            for other in items
            if side and side_of(other) not in ("", side) and _is_same_but_side(item, other)
        ),
        None,
    )


def _is_same_but_side(one: Structure, other: Structure) -> bool:
    own, others = codes_of(one), codes_of(other)
    if own is not None and others is not None and own[:2] == others[:2]:
        return True
    return _without_side(one) == _without_side(other)


def _without_side(item: Structure) -> tuple[str, ...]:
    sides = ("left", "right", "l", "r")
    return tuple(sorted(word for word in item.id.split("-") if word not in sides))


def _centres(labels: LayeredLabels) -> dict[int, float]:
    """Centre of each structure towards the patient's left in mm, by label."""
    sums, counts = np.zeros((3, 256)), np.zeros(256)
    for layer in labels.layers:
        for k, plane in enumerate(layer):
            j, i = np.nonzero(plane)
            values = plane[j, i]
            counts += np.bincount(values, minlength=256)
            sums[0] += np.bincount(values, weights=i, minlength=256)
            sums[1] += np.bincount(values, weights=j, minlength=256)
            sums[2] += np.bincount(values, minlength=256) * k
    row = labels.geometry.affine_lps[0]
    return {
        int(label): float(row[:3] @ sums[:, label] / counts[label] + row[3])
        for label in np.flatnonzero(counts)
    }


def _middle_of_grid(geometry: Geometry) -> float:
    middle = (np.array(geometry.shape[::-1]) - 1) / 2
    return float((geometry.affine_lps @ [*middle, 1.0])[0])


def _middle_of_body(volume: Volume) -> float:
    """Centre of all tissue towards the patient's left in mm; that of the image without any."""
    values = finite_values(volume.array[::_STEP, ::_STEP, ::_STEP])
    places = np.argwhere(values > _TISSUE_HU)
    if not len(places):
        return _middle_of_grid(volume.geometry)
    i, j, k = places.mean(axis=0)[::-1] * _STEP
    return float((volume.geometry.affine_lps @ [i, j, k, 1.0])[0])
