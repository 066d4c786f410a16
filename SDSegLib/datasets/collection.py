"""A data set on disk: its items by split, its structures, and how its files are read."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal, get_args

from ..errors import InputError
from ..language import tr
from ..volume.expectation import Expectation
from ..volume.model_input import InputDescription
from ..volume.structure import Structure
from .recipe import LabelRecipe

Split = Literal["train", "validation", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)


@dataclass(frozen=True)
class Item:
    """One patient's volume (3-D) or one picture (2-D).

    Attributes:
        name: Unique in its collection.
        image: File or DICOM folder, or the packed file that contains this item.
        label: Label file or folder of masks; None if there is none, or it is in the packed file.
        series: Series of a DICOM folder that holds several; None for the only one.
        patient: Items of one patient have the same; empty if each is a patient.
    """

    name: str
    image: Path
    label: Path | None
    series: str | None = None
    patient: str = ""


@dataclass(frozen=True)
class Collection:
    """A data set whose files were found but not read.

    Attributes:
        name: As `open_dataset` takes it.
        title: Name for display.
        dimensions: 3 for volumes, 2 for pictures.
        channels: 1 for grey values, 3 for red, green and blue.
        modality: DICOM modality ("CT", "MR") or a word such as "endoscopy"; None if unknown.
        region: Part of the body, in words; empty if unknown.
        structures: Labels 1 … N, as label maps have them once `recipe` is applied.
        train: Training items.
        validation: Items for choosing between trained weights; may be empty.
        test: Items for reported results only; may be empty.
        recipe: How the values of label files become labels.
        input: Input of the networks as in its publication; None where the images have to be
            measured first. `proposal.input_for` returns the input in both cases.
        whole_slices: Whether the spacing in `input` has to be measured as well: the publication
            resizes whole slices to the tile, regardless of their spacing.
        source: Origin of the data and definition of the splits, for model cards.
        notes: Remarks on the files that were found, one sentence each.
        set_aside: Names of structures that count as not drawn, by the item's name.
    """

    name: str
    title: str
    dimensions: Literal[2, 3]
    channels: Literal[1, 3]
    modality: str | None
    structures: tuple[Structure, ...]
    train: tuple[Item, ...]
    validation: tuple[Item, ...]
    test: tuple[Item, ...]
    recipe: LabelRecipe
    input: InputDescription | None
    region: str = ""
    source: str = ""
    notes: tuple[str, ...] = ()
    whole_slices: bool = False
    set_aside: Mapping[str, frozenset[str]] = field(default_factory=dict)

    @property
    def num_classes(self) -> int:
        """The structures and the background."""
        return len(self.structures) + 1

    @property
    def expects(self) -> Expectation:
        """Value of `expects` in the description of a model trained on this collection."""
        return Expectation(self.modality or "", self.region)

    def set_aside_in(self, item: Item) -> frozenset[int]:
        """Labels of an item that count as not drawn."""
        names = self.set_aside.get(item.name, frozenset())
        return frozenset(one.label for one in self.structures if one.name in names)

    def items(self, split: str) -> tuple[Item, ...]:
        """The items of "train", "validation", "test" or "all".

        Raises:
            InputError: If there is no such split, or it is empty.
        """
        if split == "all":
            return (*self.train, *self.validation, *self.test)
        if split not in SPLITS:
            raise InputError(
                tr("Unknown split {split!r}; choose one of {splits} or all.").format(
                    split=split, splits=", ".join(SPLITS)
                )
            )
        found: tuple[Item, ...] = getattr(self, split)
        if not found:
            filled = [name for name in SPLITS if getattr(self, name)]
            raise InputError(
                tr("{title} has nothing in the split {split}; choose {filled}.").format(
                    title=self.title, split=split, filled=tr(" or ").join(filled)
                )
            )
        return found


def hold_out(
    items: Sequence[Item], fraction: float, seed: int = 0
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Split items into remaining and held-out ones.

    Patients are sorted by a hash of the seed and their name, and the first ones are held out, so
    the choice does not depend on the order of files or on the machine. An item of which no patient
    is known is a patient of its own.

    Args:
        items: Items to split.
        fraction: Share of the patients to hold out, at least one unless it is 0.
        seed: A different seed gives a different choice.

    Returns:
        Remaining and held-out items, both in the order of `items`.

    Raises:
        InputError: If the fraction cannot be used, or no item would remain.
    """
    if not 0.0 <= fraction < 1.0:
        raise InputError(
            tr("A share of {fraction:g} cannot be held back; give 0 up to below 1.").format(
                fraction=fraction
            )
        )
    if fraction == 0.0 or not items:
        return tuple(items), ()
    names = sorted({_patient(item) for item in items}, key=lambda name: _order(seed, name))
    count = math.ceil(len(names) * fraction - 1e-9)
    if count >= len(names):
        raise InputError(
            tr(
                "Of {count} patients none would be left to train on; hold back a smaller share "
                "than {fraction:g}, or give more data."
            ).format(count=len(names), fraction=fraction)
        )
    held = set(names[:count])
    return (
        tuple(item for item in items if _patient(item) not in held),
        tuple(item for item in items if _patient(item) in held),
    )


def of_patients(items: Sequence[Item], pattern: str | None) -> tuple[Item, ...]:
    """Items with the patients that their names tell.

    Args:
        items: Of a data set.
        pattern: Regular expression that finds the patient in an item's name (its first group if
            it has one), where a patient has several items; None leaves the items as they are.

    Raises:
        InputError: If the expression cannot be used, or finds nothing in a name.
    """
    if pattern is None:
        return tuple(items)
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(
            tr("patients={pattern!r} is no regular expression ({error}).").format(
                pattern=pattern, error=error
            )
        ) from error
    found = []
    for item in items:
        match = expression.search(item.name)
        if match is None:
            raise InputError(
                tr(
                    "The expression patients={pattern!r} finds no patient in the name {item}; "
                    "correct it."
                ).format(pattern=pattern, item=item.name)
            )
        patient = match[1] if expression.groups and match[1] else match[0]
        found.append(replace(item, patient=patient))
    return tuple(found)


def usual_share(items: Sequence[Item]) -> float:
    """A fifth for validation, as in nnU-Net's five folds; 0 if there are too few patients."""
    return 0.2 if len({_patient(item) for item in items}) >= 5 else 0.0


def _order(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _patient(item: Item) -> str:
    return item.patient or item.name
