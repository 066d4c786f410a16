"""What to do next on the way to a model of one's own, in words and as a proposal."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

from ..cases.collection import CollectedCase
from ..language import tr
from ..models.registry import InstalledModel
from ..volume.same_structures import common_labels
from ..volume.structure import Structure
from .options import FROM_NOTHING

ENOUGH_PATIENTS = 3
"""With fewer, a model is learnt from one case and measured on the other."""


def next_step(cases: Sequence[CollectedCase]) -> str:
    """What to do after a case was added; "" if none is corrected."""
    learnt = _learnt(cases)
    patients = len({case.patient for case in learnt})
    if not patients:
        return ""
    if patients == 1:
        return tr(
            "Next: the same structure, with the same name, in a CT of another patient; "
            "{enough_patients} patients are a good beginning."
        ).format(enough_patients=ENOUGH_PATIENTS)
    if not is_enough(cases):
        return tr(
            "The corrected cases of these {patients} patients have no structure in common, and "
            "cases are matched by the names of their structures. Next: a structure that one of "
            "them has, with the same name, in a CT of another patient."
        ).format(patients=patients)
    if patients < ENOUGH_PATIENTS:
        return tr(
            "A model can be taught from these {count} cases already; with a case of a third "
            "patient it becomes better."
        ).format(count=len(learnt))
    return tr("Next: teach a model from these {count} cases of {patients} patients.").format(
        count=len(learnt), patients=patients
    )


def is_enough(cases: Sequence[CollectedCase]) -> bool:
    """Whether two patients have a structure in common, so that a model of it can be measured."""
    return any(
        one.patient != other.patient and common_labels(one.structures, other.structures)
        for one, other in combinations(_learnt(cases), 2)
    )


def proposed_start(structures: Sequence[Structure], models: Sequence[InstalledModel]) -> str:
    """Name of the model to begin with: the newest that knows all structures.

    Args:
        structures: What shall be learnt.
        models: Installed models that can be taught.

    Returns:
        A model's name, one of the user's own before one that came with the program; or
        `FROM_NOTHING`.
    """
    known = [
        model
        for model in models
        if structures
        and len(common_labels(structures, model.description.structures)) == len(structures)
    ]
    if not known:
        return FROM_NOTHING
    return max(known, key=lambda model: (not model.bundled, _written(model))).description.name


def _learnt(cases: Sequence[CollectedCase]) -> list[CollectedCase]:
    return [case for case in cases if case.state == "corrected"]


def _written(model: InstalledModel) -> float:
    try:
        return (model.folder / "model.json").stat().st_mtime
    except OSError:  # removed a moment ago
        return 0.0
