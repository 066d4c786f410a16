"""What the user chose to teach: structures, start, minutes and name; and what stands against it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..cases.collection import CollectedCase
from ..cases.index import LONGEST_NAME, problem_with_name
from ..errors import InputError, MissingPackageError
from ..language import tr, trn
from ..models.registry import InstalledModel, installed_models, list_models, user_folder
from ..teaching.next_step import proposed_start
from ..teaching.options import FROM_NOTHING, USUAL_MINUTES
from ..training.packages import find_training
from ..untrusted import shown
from ..volume.same_structures import common_labels
from ..volume.structure import Structure

TEACHABLE = ("compact", "direct")
"""Families that few cases can teach within minutes."""
_UNNAMED = "My model"
_LONGEST_BASE = 40


@dataclass(frozen=True)
class KnownStructure:
    """A structure that cases hold.

    Attributes:
        structure: Its name and colour.
        cases: In how many cases it was drawn.
    """

    structure: Structure
    cases: int


@dataclass(frozen=True)
class Choices:
    """What the user chose.

    Attributes:
        left_out: Names of structures that shall not be learnt.
        start: Name of the model to begin with, or `FROM_NOTHING`; "" for the proposed one.
        minutes: Time for all of it.
        name: Of the new model as the user typed it; "" for the usual one.
        untested: Learn although all cases are of one patient.
    """

    left_out: frozenset[str] = frozenset()
    start: str = ""
    minutes: float = USUAL_MINUTES
    name: str = ""
    untested: bool = False


def learnt_from(cases: Sequence[CollectedCase]) -> list[CollectedCase]:
    """The cases that a model learns from."""
    return [case for case in cases if case.state == "corrected"]


def structures_of(cases: Sequence[CollectedCase]) -> list[KnownStructure]:
    """All structures of the cases, each once, and in how many cases it is."""
    found: list[Structure] = []
    counts: dict[int, int] = {}
    for case in cases:
        known = common_labels(case.structures, found)
        for item in case.structures:
            label = known.get(item.label, len(found) + 1)
            if item.label not in known:
                found.append(replace(item, label=label))
            counts[label] = counts.get(label, 0) + 1
    return [KnownStructure(item, counts[item.label]) for item in found]


def models_to_begin_with() -> list[InstalledModel]:
    """Installed models that segment volumes and can be taught."""
    return [
        model
        for model in list_models()[0]
        if model.description.family in TEACHABLE and model.description.input.pictures is None
    ]


def start_of(choices: Choices, structures: Sequence[KnownStructure]) -> str:
    """The chosen model to begin with, or else the newest that knows all chosen structures."""
    if choices.start:
        return choices.start
    chosen = [item.structure for item in structures]
    chosen = [item for item in chosen if item.name not in choices.left_out]
    return proposed_start(chosen, models_to_begin_with())


def usual_name(choices: Choices, structures: Sequence[KnownStructure]) -> str:
    """A name for the new model that no other has."""
    chosen = [item.structure.name for item in structures]
    chosen = [name for name in chosen if name not in choices.left_out]
    base = _UNNAMED
    start = start_of(choices, structures)
    if start != FROM_NOTHING:
        base = start
    elif chosen:
        more = "" if len(chosen) == 1 else f" and {len(chosen) - 1} more"
        base = chosen[0][:_LONGEST_BASE] + more
    if problem_with_name(_folder_name(base)):
        base = _UNNAMED
    taken = {model.description.name for model in installed_models()[0]}
    name, number = base, 1
    while _folder_name(name) in taken or (user_folder() / _folder_name(name)).exists():
        number += 1
        name = f"{base} {number}"
    return name


def output_folder(name: str) -> Path:
    """Where a model of this name is written, in the user's model folder.

    Raises:
        InputError: If the name cannot be that of a folder, or came with the program.
    """
    plain = _folder_name(name)
    problem = problem_with_name(plain)
    if not plain or problem:
        raise InputError(
            tr("The model cannot be called {name}; use a name with letters a–z or digits.").format(
                name=shown(name)
            )
        )
    if any(model.bundled and model.description.name == plain for model in installed_models()[0]):
        raise InputError(
            tr("A model called {plain} came with the program; choose another name.").format(
                plain=plain
            )
        )
    return user_folder() / plain


def what_is_missing(folder: Path | None, cases: Sequence[CollectedCase], choices: Choices) -> str:
    """Why a model cannot be taught now, and what to do; "" if it can."""
    try:
        find_training()
    except MissingPackageError as error:
        return str(error)
    learnt = learnt_from(cases)
    if folder is None:
        return tr("Choose the folder of your cases first.")
    if not cases:
        return tr("No cases yet. Segment or draw in a CT, correct it, and click Add to my cases.")
    if not learnt:
        return trn(
            "No case is corrected yet ({count} is there). Correct some, and set the state of "
            "those that are right to corrected.",
            "No case is corrected yet ({count} are there). Correct some, and set the state of "
            "those that are right to corrected.",
            len(cases),
        ).format(count=len(cases))
    names = {item.structure.name for item in structures_of(learnt)}
    if not names - choices.left_out:
        return tr("Tick at least one structure.")
    if is_one_patient(cases) and not choices.untested:
        return tr(
            "All corrected cases are of one patient, so nothing can show whether a model works on "
            "another one. Correct a case of a second patient first; until then, Propagate carries "
            "what you draw through a case without any learning."
        )
    return ""


def is_one_patient(cases: Sequence[CollectedCase]) -> bool:
    """Whether all cases to learn from are of one patient."""
    return len({case.patient for case in learnt_from(cases)}) == 1


def _folder_name(name: str) -> str:
    """A name as that of a folder: "Nierenlappen, links" as "nierenlappen-links"."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9._]+", "-", plain).strip("-._")[:LONGEST_NAME].rstrip("-._")
