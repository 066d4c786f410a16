"""What the page shows of a mask that is carried to other slices."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..language import tr
from ..propagation.options import listed
from ..review.formatting import milliliters_text, seconds_text
from ..volume.judgement import judge_input
from ..volume.volume import Volume
from .carry_jobs import Carried
from .drawn import Drawn
from .planes import Plane, planes_of

_MOST_NAMED = 3


def empty_state(method: str, problem: str) -> dict[str, Any]:
    """The state while nothing is carried, because no method is chosen or of a problem."""
    return {
        "method": method,
        "structure": "",
        "drawn": [],
        "unsure": [],
        "seeds": [],
        "busy": False,
        "ready": False,
        "error": problem,
        "view": "Red",
    }


def state_of(
    method: str,
    structure: str,
    carry: str,
    drawn: Drawn | None,
    is_chosen: bool,
    hints: Carried,
    result: Carried | None,
    not_counted: str,
    volume: Volume,
) -> dict[str, Any]:
    """The part of the state that depends on drawn slices and result.

    Args:
        method: "propagate", "fill" or "grow".
        structure: Name of the segment.
        carry: The direction.
        drawn: The drawn slices; None if they were not read yet.
        is_chosen: Whether plane or slices were changed in the page.
        hints: Where the last result is unsure.
        result: The preview; None if it is not there.
        not_counted: ID of a segment whose volume does not matter.
        volume: The CT.
    """
    planes = planes_of(volume.geometry)
    plane = planes[0 if drawn is None else drawn.axis]
    return {
        "method": method,
        "structure": structure,
        "carry": carry,
        "plane": plane.axis,
        "planeName": plane.name,
        "view": plane.view,
        "planes": [{"axis": one.axis, "name": one.name} for one in planes],
        "directions": [asdict(direction) for direction in plane.directions],
        "drawn": [] if drawn is None else runs(drawn.numbers),
        "corrects": drawn is not None and drawn.corrects,
        "canCorrect": drawn is not None and drawn.can_correct,
        "hasNoGaps": drawn is not None and drawn.has_no_gaps,
        "chosen": is_chosen,
        "notes": notes_on(method, drawn, planes, volume),
        "unsure": [number + 1 for number in hints.unsure],
        "next": None if hints.next_slice is None else hints.next_slice + 1,
        "facts": "" if result is None else facts_of(result, not_counted, volume),
        "messages": [] if result is None else list(result.messages),
    }


def runs(numbers: tuple[int, ...]) -> list[dict[str, Any]]:
    """Slices as runs of neighbours, with numbers from 1: "12", "20–24"."""
    if not numbers:
        return []
    groups = np.split(np.array(numbers), np.flatnonzero(np.diff(numbers) > 1) + 1)
    return [
        {
            "first": int(group[0]) + 1,
            "last": int(group[-1]) + 1,
            "text": listed(number + 1 for number in group.tolist()),
        }
        for group in groups
    ]


def notes_on(
    method: str, drawn: Drawn | None, planes: tuple[Plane, Plane, Plane], volume: Volume
) -> list[str]:
    """What to know about the image and the drawn slices."""
    notes = []
    if method == "propagate" and volume.modality not in (None, "CT"):
        found = judge_input(volume)
        notes += [finding.message for finding in found if finding.kind == "modality"]
    if drawn is None or method == "grow":
        return notes
    plane = planes[drawn.axis]
    if drawn.other_axes:
        others = tr(" and ").join(planes[axis].name for axis in drawn.other_axes)
        notes.append(
            tr(
                "Drawn in several planes. Only the {plane} slices count; strokes on {others} "
                "slices do not. Choose another plane if that is not what you want."
            ).format(plane=plane.name, others=others)
        )
    elif drawn.has_no_gaps:
        notes.append(
            tr(
                "No slice was left out, so all slices count as drawn (if {plane}) and will not "
                "change. Was it made by a program? Click below, then correct a slice."
            ).format(plane=plane.name)
        )
    elif drawn.is_guessed:
        notes.append(
            tr(
                "The drawing does not show its plane; {plane} is assumed. Choose another plane "
                "if it was drawn there."
            ).format(plane=plane.name)
        )
    for axis in sorted({axis for axis, _ in drawn.elsewhere}):
        numbers = listed(number + 1 for other, number in drawn.elsewhere if other == axis)
        notes.append(
            tr("The {plane} slices that were drawn before ({numbers}) stay as they are.").format(
                plane=planes[axis].name, numbers=numbers
            )
        )
    return notes


def takes_text(taken: Sequence[tuple[str, int]], voxel_ml: float) -> str:
    """What Apply would take from other segments, as a sentence; "" if nothing.

    Args:
        taken: Names of the segments, and how many voxels they would lose.
        voxel_ml: Volume of a voxel.
    """
    ranked = sorted(taken, key=lambda item: -item[1])
    named = ranked[:_MOST_NAMED]
    amounts = [
        tr("{milliliters_text} mL of {name}").format(
            milliliters_text=milliliters_text(count * voxel_ml), name=name
        )
        for name, count in named
    ]
    rest = len(ranked) - len(named)
    if rest:
        amounts.append(tr("some of {rest} more").format(rest=rest))
    if not amounts:
        return ""
    before, last = ", ".join(amounts[:-1]), amounts[-1]
    text = tr("{before} and {last}").format(before=before, last=last) if before else last
    return tr("Apply takes {text}. Drawing, below the structures, can keep them.").format(text=text)


def facts_of(result: Carried, not_counted: str, volume: Volume) -> str:
    """Volume and time of a preview."""
    voxels = sum(
        int(np.count_nonzero(part.voxels))
        for key, part in result.masks.items()
        if key != not_counted
    )
    milliliters = milliliters_text(voxels * volume.geometry.voxel_volume_ml)
    return tr("{milliliters} mL in {seconds}").format(
        milliliters=milliliters, seconds=seconds_text(result.seconds)
    )
