"""A data set on disk: its items by split, what its labels stand for, and how it is to be read."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from ..errors import InputError
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
        image: File or DICOM folder; a packed file that holds this item among others.
        label: Label map; None if there is none, or it is in the packed file.
    """

    name: str
    image: Path
    label: Path | None


@dataclass(frozen=True)
class Collection:
    """A data set whose files were found but not read.

    Attributes:
        name: What `open_dataset` calls it.
        title: Name for people.
        dimensions: 3 for volumes, 2 for pictures.
        channels: 1 for grey values, 3 for red, green and blue.
        modality: DICOM modality ("CT", "MR") or a word such as "endoscopy"; None if unknown.
        region: Part of the body, in words; empty if unknown.
        structures: Labels 1 … N, as label maps have them once `recipe` is applied.
        train: Items to learn from.
        validation: Items for choosing; may be empty.
        test: Items that only figures are reported on; may be empty.
        recipe: How the values of label files become labels.
        input: What networks see of it, as its publication does; None where the images have to be
            measured first (`proposal.input_for` does it, and should be asked for the input).
        whole_slices: Whether the spacing in `input` has to be measured too: the publication
            squeezes slices to the tile, whatever their spacing.
        source: Where it comes from and how its splits are made, for model cards.
        notes: What the user should know about the files that were found, one sentence each.
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

    @property
    def num_classes(self) -> int:
        """The structures and the background."""
        return len(self.structures) + 1

    @property
    def expects(self) -> Expectation:
        """`expects` of the description of a model that was trained on it."""
        return Expectation(self.modality or "", self.region)

    def items(self, split: str) -> tuple[Item, ...]:
        """The items of "train", "validation", "test" or "all".

        Raises:
            InputError: If there is no such split, or nothing in it.
        """
        if split == "all":
            return (*self.train, *self.validation, *self.test)
        if split not in SPLITS:
            raise InputError(f"Unknown split {split!r}; choose one of {', '.join(SPLITS)} or all.")
        found: tuple[Item, ...] = getattr(self, split)
        if not found:
            filled = [name for name in SPLITS if getattr(self, name)]
            raise InputError(
                f"{self.title} has nothing in the split {split}; choose {' or '.join(filled)}."
            )
        return found
