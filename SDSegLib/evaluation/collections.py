"""The cases of a collection's split, with references in the labels of the collection or a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from ..datasets.collection import Collection
from ..datasets.recipe import LabelRecipe
from ..errors import InputError
from ..families.description import ModelDescription
from ..reading.files import read_volume
from ..reading.pictures import is_picture, read_mask
from ..volume.structure import Structure
from ..volume.volume import Volume
from .flat import flat_label_map
from .pairs import CasePair, FoundCases

Table = tuple[int, ...]


def cases_of(collection: Collection, split: str) -> FoundCases:
    """The cases of "train", "validation", "test" or "all"; those without a label map are skipped.

    Raises:
        InputError: If there is no such split, nothing in it, or it is a packed file.
    """
    items = collection.items(split)
    labelled = [item for item in items if item.label is not None]
    if not labelled:
        raise InputError(
            f"{collection.title} has no label files in the split {split} to compare with; packed "
            "data are for training alone."
        )
    read = _reader(collection.recipe, None)
    pairs = tuple(
        CasePair(item.name, item.image, item.label, read)
        for item in labelled
        if item.label is not None
    )
    return FoundCases(pairs, tuple(item.name for item in items if item.label is None))


def in_labels_of(
    description: ModelDescription, collection: Collection, pairs: tuple[CasePair, ...]
) -> tuple[tuple[CasePair, ...], dict[int, str]]:
    """The same cases with references in a model's labels, and the names to compare.

    Structures are the same if their names are; or if there is only one on both sides.

    Raises:
        InputError: If nothing is the same.
    """
    same = _same_structures(collection.structures, description.structures)
    if not same:
        raise InputError(
            f"The model {description.name} and {collection.title} have no structure in common: "
            f"{_names(description.structures)}; and {_names(collection.structures)}."
        )
    table = tuple(same.get(label, 0) for label in range(len(collection.structures) + 1))
    read = _reader(collection.recipe, table)
    names = {item.label: item.name for item in description.structures}
    compared = {label: names[label] for label in sorted(same.values())}
    return tuple(replace(pair, read_reference=read) for pair in pairs), compared


def refuse_other_labels(description: ModelDescription, collection: Collection) -> None:
    """Find out whether each label means the same to a model and in a collection.

    Raises:
        InputError: If not.
    """
    same = _same_structures(collection.structures, description.structures)
    if len(same) < len(description.structures) or any(a != b for a, b in same.items()):
        raise InputError(
            f"The labels of the model {description.name} ({_names(description.structures)}) are "
            f"not those of {collection.title} ({_names(collection.structures)}); choose data with "
            "the model's labels."
        )


def refuse_other_dimensions(description: ModelDescription, pairs: tuple[CasePair, ...]) -> None:
    """Find out whether a model for pictures is to see volumes, or the other way round.

    Raises:
        InputError: If so.
    """
    sees_pictures = description.input.pictures is not None
    if any(pair.is_flat != sees_pictures for pair in pairs):
        kinds = ("pictures", "volumes") if sees_pictures else ("volumes", "pictures")
        raise InputError(
            f"The model {description.name} segments {kinds[0]}, and these are {kinds[1]}; choose "
            "another model or other data."
        )


def _reader(recipe: LabelRecipe, table: Table | None) -> Callable[[Path], Volume]:
    return partial(_read, recipe=recipe, table=table)


def _read(path: Path, recipe: LabelRecipe, table: Table | None) -> Volume:
    if is_picture(path):
        volume = flat_label_map(recipe.of_mask(read_mask(path), path), path.stem)
    else:
        stored = read_volume(path)
        volume = replace(stored, array=recipe.of_volume(stored.array, path))
    if table is None:
        return volume
    return replace(volume, array=np.array(table, np.uint8)[volume.array])


def _same_structures(collection: Sequence[Structure], model: Sequence[Structure]) -> dict[int, int]:
    """The model's label of each of the collection's that it has."""
    if len(collection) == len(model) == 1:
        return {collection[0].label: model[0].label}
    by_name = {item.id: item.label for item in model}
    return {item.label: by_name[item.id] for item in collection if item.id in by_name}


def _names(structures: Sequence[Structure]) -> str:
    return ", ".join(item.name for item in structures)
