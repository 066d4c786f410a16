"""What a run measured, in figures and sentences."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from ..datasets.collection import Item
from ..datasets.files import listed
from ..errors import SDSegError
from ..inference.device import DeviceChoice
from ..inference.segmenter import Segmenter
from ..language import tr, trn
from ..models.folder import DESCRIPTION, load_family
from ..reading.files import read_volume
from .cases import TeachCases
from .curve import in_words
from .options import LeftOutScore, TeachResult
from .plan import Plan
from .start import Start

log = logging.getLogger(__name__)

FEW_STEPS = 100
"""Of learning: with fewer, a new structure is hardly learnt."""
BETTER = 0.0005
"""By how much mean Dice must rise, for a model to count as better."""


def points_of(scores: Sequence[LeftOutScore], plan: Plan, start: Start) -> list[tuple[int, float]]:
    """Cases learnt from and mean Dice of others, of earlier teachings of the model and of this."""
    before = start.model.description.training.get("learning_curve")
    points = []
    if start.parent is not None and isinstance(before, dict):
        points = [(int(row["cases"]), float(row["dice"])) for row in before.get("points", ())]
    for fold in plan.folds:
        found = [score.after for score in scores if score.case in fold.measure]
        if found:
            points.append((len(fold.learn), sum(found) / len(found)))
    return points


def figures_of(result: TeachResult) -> dict[str, Any]:
    """`figures` of the model: Dice of left-out cases for each structure, without their names."""
    rows = []
    for name in dict.fromkeys(score.structure for score in result.scores):
        before, after = result.mean(name)
        count = sum(score.structure == name for score in result.scores)
        assert after is not None
        row: dict[str, Any] = {"name": name, "dice": round(after, 3), "cases": count}
        if before is not None:
            row["dice_before"] = round(before, 3)
        rows.append(row)
    if not rows:
        return {}
    before, after = result.mean()
    assert after is not None
    figures: dict[str, Any] = {
        "command": "sdseg teach",
        "structures": rows,
        "mean_dice": round(after, 3),
        "cases": len({score.case for score in result.scores}),
    }
    if before is not None:
        figures["mean_dice_before"] = round(before, 3)
    return figures


def remarks_on(result: TeachResult, start: Start, plan: Plan, cases: TeachCases) -> Iterator[str]:
    """What the user should know about a result, one sentence each."""
    yield from cases.collection.notes
    parent = start.model.description.name
    count, known = len(plan.cases), len(plan.known)
    if result.patients < 2:
        yield (
            tr(
                "There was no second patient, so nothing is known about other patients: look at "
                "every slice of what this model gives."
            )
        )
    elif known == count:
        yield (
            tr(
                "{parent} had learnt from all these cases before, so they cannot show which of "
                "the two is better: compare both on the next CT."
            ).format(parent=parent)
        )
    elif known:
        yield (
            tr(
                "{parent} had learnt from {known} of the {count} cases before; only the others "
                "were measured."
            ).format(parent=parent, known=known, count=count)
        )
    if plan.kept_known:
        yield trn(
            "{parent} had learnt from {names} before, so the figures are without this case, which "
            "is left out.",
            "{parent} had learnt from {names} before, so the figures are without these cases, "
            "which are left out.",
            len(plan.kept_known),
        ).format(parent=parent, names=listed(sorted(plan.kept_known)))
    if plan.is_one_new:
        yield (
            tr(
                "The only new patient was measured with a network that did not learn from it, so "
                "its Dice shows what was kept; what the model gained by it, only another CT can "
                "show."
            )
        )
    alone = _of_one_patient(result, start, cases)
    if result.patients >= 2 and alone:
        yield trn(
            "{missing} was drawn in the cases of one patient only, so nothing is known about "
            "other patients.",
            "{missing} were each drawn in the cases of one patient only, so nothing is known "
            "about other patients.",
            len(alone),
        ).format(missing=", ".join(alone))
    sentence = in_words(result.curve)
    if sentence:
        yield sentence
    gain = gain_of(result.scores)
    if start.parent is not None and start.is_wider and gain is not None and gain < -BETTER:
        yield (
            tr(
                "The structures that {model} knew became worse on the cases that were "
                "left out: mean Dice fell by {gain:.3f}."
            ).format(model=start.model.description.name, gain=-gain)
        )


def remark_on_steps(steps: int) -> str:
    """What the user should know if the time was enough for few steps only; "" if not."""
    if steps >= FEW_STEPS:
        return ""
    return trn(
        "The time was enough for {steps} step of learning only; some hundred are needed. "
        "Give more minutes, or let no other program compute meanwhile.",
        "The time was enough for {steps} steps of learning only; some hundred are needed. "
        "Give more minutes, or let no other program compute meanwhile.",
        steps,
    ).format(steps=steps)


def remark_on_measuring(steps: int) -> str:
    """What the user should know if left-out cases met networks of few steps; "" if not.

    Args:
        steps: Fewest steps of a network that left-out cases were measured with; the model itself
            took more.
    """
    if steps >= FEW_STEPS:
        return ""
    return trn(
        "The cases were measured with networks of only {steps} step of learning, so their Dice is "
        "lower than that of the model; with more minutes it tells more.",
        "The cases were measured with networks of only {steps} steps of learning, so their Dice is "
        "lower than that of the model; with more minutes it tells more.",
        steps,
    ).format(steps=steps)


def _of_one_patient(result: TeachResult, start: Start, cases: TeachCases) -> list[str]:
    """Names of the structures that were not measured, as one patient only has them."""
    scored = {score.structure for score in result.scores}
    patients: dict[int, set[str]] = {}
    for ours, label in start.labels.items():
        holders = (cases.patients[case] for case in cases.holders(ours))
        patients.setdefault(label, set()).update(holders)
    return [
        item.name
        for item in start.structures
        if item.name not in scored and len(patients.get(item.label, ())) == 1
    ]


def gain_of(scores: Sequence[LeftOutScore]) -> float | None:
    """By how much Dice rose, mean over cases and then over structures; None if unknown."""
    rises: dict[str, list[float]] = {}
    for score in scores:
        if score.before is not None:
            rises.setdefault(score.structure, []).append(score.after - score.before)
    if not rises:
        return None
    return sum(sum(row) / len(row) for row in rises.values()) / len(rises)


def doubt_of(item: Item, segmenter: Segmenter) -> float:
    """Voxels that are probably wrong, as a share of those of all structures."""
    result = segmenter.segment_with(read_volume(item.image), segmenter.options)
    if result.doubt is None:
        return 0.0
    wrong = float(result.doubt.voxels.sum())
    return wrong / max(1.0, float((result.label_map > 0).sum()))


def most_doubted(
    undone: Sequence[Item], model: Path, choice: DeviceChoice, is_stopped: Callable[[], bool]
) -> str | None:
    """Name of the case without a correction that a model doubts most.

    Args:
        undone: Cases without a correction; one that cannot be segmented, such as one that was
            removed meanwhile, is passed over.
        model: Folder of the model.
        choice: Where it computes.
        is_stopped: Called before each case; true ends the search.

    Returns:
        None without such a case, or where no model is.
    """
    if not undone or not (model / DESCRIPTION).is_file():
        return None
    segmenter = Segmenter(load_family(model), choice)
    doubts: dict[str, float] = {}
    for item in undone:
        if is_stopped():
            break
        try:
            doubts[item.name] = doubt_of(item, segmenter)
        except SDSegError as error:
            log.warning("%s cannot be segmented and is not proposed: %s", item.name, error)
    return max(doubts, key=lambda name: doubts[name], default=None)
