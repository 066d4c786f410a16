"""The model card of a taught model; it says nothing of the patients."""

from __future__ import annotations

from ..families.description import ModelDescription
from .curve import in_words
from .options import TeachResult
from .plan import Plan
from .start import Start


def card_of(description: ModelDescription, result: TeachResult, start: Start, plan: Plan) -> str:
    """Text of `MODEL_CARD.md`.

    Args:
        description: The model.
        result: What was measured.
        start: What it began with.
        plan: What was done.
    """
    parent = start.model.description
    structures = "\n".join(f"- {item.label}: {item.name}" for item in description.structures)
    licence = description.license or "Not stated by its user."
    parents = f"{parent.name} {parent.version}" + (f" ({parent.license})" if parent.license else "")
    parts = [
        f"# {description.title}",
        description.summary,
        "Not a medical device. A result has to be looked at slice by slice.",
        f"## Structures\n\n{structures}",
        f"## Data\n\n{result.cases} cases of {result.patients} patients, corrected by the user. "
        f"Began with {parents}. The weights are made from images of patients and can remember "
        "parts of them: give them on only to people who might see these images.",
        f"## Quality\n\n{_quality(result, plan)}",
        f"## Licence\n\n{licence}",
    ]
    return "\n\n".join(parts) + "\n"


def _quality(result: TeachResult, plan: Plan) -> str:
    if not result.scores and len(plan.known) == len(plan.cases):
        return (
            "Not measured: the model that it began with had learnt from all these cases before. "
            "Nothing is known about how good it is for other patients."
        )
    if not result.scores and result.patients > 1:
        return (
            "Not measured: no structure was drawn in cases of two patients. Nothing is known about "
            "how good the model is for others."
        )
    if not result.scores:
        return (
            "Not measured: there was only one patient. Nothing is known about how good the model "
            "is for others."
        )
    names = dict.fromkeys(score.structure for score in result.scores)
    rows = ["| structure | cases | Dice before | Dice |", "| --- | ---: | ---: | ---: |"]
    for name in names:
        before, after = result.mean(name)
        count = sum(score.structure == name for score in result.scores)
        old = "" if before is None else f"{before:.3f}"
        rows.append(f"| {name} | {count} | {old} | {after:.3f} |")
    text = (
        "Dice of cases that were left out, each measured with a network that did not learn from "
        "its patient and that learnt for a shorter time than the model itself:\n\n"
    )
    return text + "\n".join(rows) + f"\n\n{in_words(result.curve)}".rstrip()
