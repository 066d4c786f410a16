"""From segments and settings to what is to be computed, or why nothing can be."""

from __future__ import annotations

from dataclasses import dataclass

from ..language import tr
from ..mrml.last_prediction import last_prediction
from ..propagation.stack import body_axis
from ..volume.volume import Volume
from .carry_requests import CarryRequest, GrowRequest, PaintRange
from .carry_scene import CarryScene
from .drawn import Drawn, DrawnChoices

Request = CarryRequest | GrowRequest


@dataclass(frozen=True)
class CarrySettings:
    """What was chosen in the page.

    Attributes:
        method: "propagate", "fill" or "grow".
        carry: Where to, as in `PropagateOptions`.
        locality: See `grow_from_seeds`.
        device: As in `PropagateOptions`.
        paint_range: HU outside which no voxel may change; None for no limit.
    """

    method: str
    carry: str
    locality: float
    device: str
    paint_range: PaintRange


@dataclass(frozen=True, eq=False)
class Reading:
    """What is to be computed.

    Attributes:
        request: None if nothing is: because of `problem`, or because nothing was drawn since the
            last prediction.
        problem: Why nothing can be computed, with the way out; or "".
        drawn: The drawn slices; None for "grow", or without a segment.
        seeds: IDs of the segments that are seeds.
    """

    request: Request | None = None
    problem: str = ""
    drawn: Drawn | None = None
    seeds: tuple[str, ...] = ()


def read_seeds(scene: CarryScene, settings: CarrySettings, volume: Volume) -> Reading:
    """Read for the method "grow"."""
    seeds = scene.seeds()
    if len(seeds) < 2:
        problem = tr(
            "Grow needs two shown structures with strokes in them: what you want, and what it is "
            "not. Add a background seed and paint a stroke outside the structure."
        )
        return Reading(problem=problem, seeds=tuple(seeds))
    request = GrowRequest(volume, seeds, settings.locality, settings.paint_range)
    return Reading(request, seeds=tuple(seeds))


def read_segment(
    scene: CarryScene,
    settings: CarrySettings,
    volume: Volume,
    segment_id: str,
    choices: DrawnChoices,
) -> Reading:
    """Read for the methods "propagate" and "fill".

    Args:
        scene: The segments.
        settings: What was chosen in the page.
        volume: The CT.
        segment_id: Of the selected segment; "" if none is.
        choices: Which of its slices were chosen in the page.
    """
    segment = scene.segment(segment_id)
    if segment is None:
        return Reading(
            problem=tr("Choose a structure, or add one and draw it on one slice or more.")
        )
    name, part = segment.GetName(), scene.part(segment_id)
    drawn = choices.drawn(part, last_prediction(segment), body_axis(volume.geometry))
    if part.is_empty:
        problem = tr("{name} is empty. Draw it on one slice or more: the preview follows.").format(
            name=name
        )
        return Reading(problem=problem, drawn=drawn)
    if drawn.can_correct and not drawn.is_changed and not choices.is_changed:
        return Reading(drawn=drawn)
    problem = _problem(settings, drawn, part.shape[drawn.axis], name)
    if problem:
        return Reading(problem=problem, drawn=drawn)
    request = CarryRequest(
        method=settings.method,
        volume=volume,
        segment_id=segment_id,
        part=part,
        drawn=drawn,
        carry=settings.carry,
        device=settings.device,
        paint_range=settings.paint_range,
    )
    return Reading(request, drawn=drawn)


def _problem(settings: CarrySettings, drawn: Drawn, count: int, name: str) -> str:
    """Why nothing can be carried from the drawn ones of `count` slices, or ""."""
    if count == 1:
        return tr(
            "The CT has a single slice in this plane; there is no other to carry anything to."
        )
    if not drawn.numbers:
        return tr(
            "No slice of {name} counts as drawn; draw on one, or add the slice that is shown."
        ).format(name=name)
    between = settings.method == "propagate" and settings.carry == "between"
    if between and len(drawn.numbers) < 2:
        return tr(
            "Between needs two drawn slices, and only slice {number} is drawn. Draw another "
            "one, or choose another direction."
        ).format(number=drawn.numbers[0] + 1)
    return ""
