"""With what a new model begins: its description, its structures, and the weights to take over."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..families.description import ModelDescription
from ..language import tr
from ..models.registry import InstalledModel, find_model, foundation_model
from ..volume.expectation import Expectation
from ..volume.model_input import InputDescription
from ..volume.same_structures import common_labels
from ..volume.structure import LARGEST_LABEL, Structure
from .cases import TeachCases
from .options import FROM_NOTHING, TeachOptions

_ONE_PIECE = 0.97
"""Share of its largest piece from which on a structure counts as one piece."""
_SMALL_PIECE = 0.1
"""Pieces of a result with a smaller share of the largest one are dropped."""
_MOST_ANCESTORS = 100
_LONGEST_NAME = 64


@dataclass(frozen=True, eq=False)
class Start:
    """What is begun with.

    Attributes:
        model: Model whose weights are taken over.
        parent: The same, if it segments; None when only the bundled encoder is taken.
        structures: Of the new model: those of the parent first.
        labels: Label of the new model for each label of the cases.
    """

    model: InstalledModel
    parent: InstalledModel | None
    structures: tuple[Structure, ...]
    labels: Mapping[int, int]

    @property
    def known(self) -> frozenset[int]:
        """Labels of the new model that the parent segments."""
        count = 0 if self.parent is None else len(self.parent.description.structures)
        return frozenset(range(1, count + 1))

    @property
    def is_wider(self) -> bool:
        """Whether the new model has structures that its parent lacks."""
        return len(self.structures) > len(self.known)

    @property
    def input(self) -> InputDescription:
        """Grid, windows and context of the model that is begun with."""
        return self.model.description.input


def lineage_of(description: ModelDescription) -> tuple[str, ...]:
    """SHA-256 of the weights of a model and of those that it was taught from, the nearest first."""
    ancestors = description.training.get("ancestors", ())
    if not isinstance(ancestors, list | tuple):
        ancestors = ()
    found = (description.weights_sha256, *(item for item in ancestors if isinstance(item, str)))
    return found[:_MOST_ANCESTORS]


def choose_start(options: TeachOptions, cases: TeachCases) -> Start:
    """The model to begin with, and the structures of the new one.

    Raises:
        ModelError: If there is no such model.
        InputError: If it cannot be taught, or there would be too many structures.
    """
    if options.start == FROM_NOTHING:
        numbered = list(enumerate(cases.structures, start=1))
        return Start(
            foundation_model(),
            None,
            tuple(replace(item, label=place) for place, item in numbered),
            {item.label: place for place, item in numbered},
        )
    model = find_model(options.start)
    description = model.description
    if not description.segments or description.input.pictures is not None:
        raise InputError(
            tr(
                "The model {model} segments no CT volumes and cannot be taught; begin "
                "with another one, or with '{from_nothing}'."
            ).format(model=description.name, from_nothing=FROM_NOTHING)
        )
    if description.family not in ("compact", "direct"):
        raise InputError(
            tr(
                "The model {model} is of the family {family}, which takes hours to train; "
                "begin with another one, or with '{from_nothing}'."
            ).format(model=description.name, family=description.family, from_nothing=FROM_NOTHING)
        )
    common = common_labels(cases.structures, description.structures)
    labels, structures = dict(common), list(description.structures)
    for item in cases.structures:
        if item.label not in labels:
            labels[item.label] = len(structures) + 1
            structures.append(replace(item, label=len(structures) + 1))
    if len(structures) > LARGEST_LABEL:
        raise InputError(
            tr(
                "The new model would have {count} structures; {largest_label} are possible. "
                "Choose some of them."
            ).format(count=len(structures), largest_label=LARGEST_LABEL)
        )
    return Start(model, model, tuple(structures), labels)


def describe(
    start: Start, cases: TeachCases, seen: InputDescription, options: TeachOptions
) -> ModelDescription:
    """The `model.json` of the model that will be taught, without what is measured at the end."""
    name = options.name or name_like(options.output)
    structures = tuple(_with_pieces(item, start, cases) for item in start.structures)
    names = ", ".join(item.name for item in structures)
    parent = start.parent
    if parent is None:
        network = {key: start.model.description.network[key] for key in ("filters", "supervised")}
        base = replace(
            start.model.description, family="direct", network=network, version="1", license=""
        )
    else:
        base = replace(parent.description, version=_next(parent.description))
    return replace(
        base,
        name=name,
        title=options.title or _title(structures, options),
        summary=f"{names}. Taught from {len(cases.items)} cases.",
        input=seen,
        structures=structures,
        expects=_expectation(start, cases, structures, options),
        training={"preset": "teach", "data": f"{len(cases.items)} cases of its user", "source": ""},
        license=options.license,
        figures={},
        uncertainty=None,
        weights_sha256="",
    )


def name_like(folder: Path) -> str:
    """Name of a model that lies in a folder, such that the model can be installed elsewhere."""
    plain = unicodedata.normalize("NFKD", folder.name).encode("ascii", "ignore").decode()
    return re.sub(r"[^A-Za-z0-9._-]+", "-", plain).strip("-._")[:_LONGEST_NAME] or "taught"


def _title(structures: tuple[Structure, ...], options: TeachOptions) -> str:
    if options.name:
        return options.name
    first = ", ".join(item.name for item in structures[:3])
    return (
        first
        if len(structures) <= 3
        else tr("{first} and {count} more").format(first=first, count=len(structures) - 3)
    )


def _next(description: ModelDescription) -> str:
    """The version after a model's own, which counts how often it was taught further."""
    head, _, last = description.version.rpartition(".")
    number = str(int(last) + 1) if last.isdecimal() else f"{last}-2"
    return f"{head}.{number}" if head else number


def _with_pieces(item: Structure, start: Start, cases: TeachCases) -> Structure:
    """A structure that is one piece in every case loses small pieces of a result."""
    if item.label in start.known:
        return item
    labels = [label for label, new in start.labels.items() if new == item.label]
    shares = [
        one.largest_pieces[label]
        for one in cases.facts.values()
        for label in labels
        if label in one.largest_pieces
    ]
    is_one = bool(shares) and min(shares) >= _ONE_PIECE
    return replace(item, minimum_component_fraction=_SMALL_PIECE if is_one else None)


def _expectation(
    start: Start, cases: TeachCases, structures: tuple[Structure, ...], options: TeachOptions
) -> Expectation:
    """Modality, region, appearance of the cases and volumes of their structures."""
    facts = list(cases.facts.values())
    before = None if start.parent is None else start.parent.description.expects
    appearance: dict[str, tuple[float, float]] = dict(before.appearance) if before else {}
    for key in {key for one in facts for key in one.appearance}:
        values = [one.appearance[key] for one in facts if key in one.appearance]
        appearance[key] = _range(values, appearance.get(key))
    volumes: dict[str, tuple[float, float]] = dict(before.volumes_ml) if before else {}
    by_label = {item.label: item.name for item in structures}
    for label, new in start.labels.items():
        values = [one.volumes_ml[label] for one in facts if label in one.volumes_ml]
        if values:
            volumes[by_label[new]] = _range(values, volumes.get(by_label[new]))
    region = options.region or (before.region if before else "")
    return Expectation("CT", region, appearance, volumes, before.other if before else {})


def _range(values: list[float], known: tuple[float, float] | None) -> tuple[float, float]:
    """The range of values, widened because they are few, and of what was known before."""
    spread = max(max(values) - min(values), 0.5 * max(values))
    low, high = max(0.0, min(values) - spread), max(values) + spread
    if known is not None:
        low, high = min(low, known[0]), max(high, known[1])
    return round(low, 3), round(high, 3)


def facts_of(start: Start) -> dict[str, Any]:
    """The parent, for `training` of the new model."""
    description = start.model.description
    return {
        "began_with": [f"{description.name} {description.version}"],
        "parent_sha256": description.weights_sha256,
        "ancestors": list(lineage_of(description)),
    }
