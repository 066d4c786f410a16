"""What the label files of a plain folder mean, seen from the values in them."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np

from ..errors import InputError
from ..models.labels import structures_named
from ..reading.files import read_volume
from ..reading.pictures import LOSSY_SUFFIXES, read_mask
from ..volume.structure import Structure
from .collection import Item
from .each import each
from .finding import shown
from .recipe import Absent, LabelRecipe, Rule

log = logging.getLogger(__name__)

MOST_LABELS = 64
FOREGROUND = {1: "Foreground"}


def labels_in(
    items: Sequence[Item], is_flat: bool, rule: Rule | None, absent: Absent
) -> tuple[tuple[Structure, ...], LabelRecipe]:
    """Structures and recipe for label files of which nobody says what is in them.

    Masks that are JPEG, or hold 0 and 255 only, are black and white; in all others each value is
    a structure.

    Args:
        items: Each with a label file.
        is_flat: Whether they are pictures.
        rule: As the user says; None to find out.
        absent: For the recipe.

    Raises:
        InputError: If the values cannot be labels.
    """
    foreground = structures_named(FOREGROUND)
    if rule not in (None, "values"):
        return foreground, LabelRecipe(rule, absent=absent)
    lossy = is_flat and any(_is_lossy(item) for item in items)
    if lossy and rule is None:
        return foreground, LabelRecipe("bright", absent=absent)
    log.info("looking for the labels in %d files", len(items))
    found: set[int] = set().union(*each(items, _flat_values if is_flat else _volume_values))
    if is_flat and found == {0, 255} and rule is None:
        return foreground, LabelRecipe("bright", absent=absent)
    found.discard(0)
    if not found:
        raise InputError(
            f"The label files ({shown(item.name for item in items)}) are all empty; check them."
        )
    if len(found) > MOST_LABELS:
        raise InputError(
            f"The label files hold {len(found)} different values, too many for structures. If they "
            "are masks of black and white with blurred borders, say so with rule=bright; if some "
            "values are structures, name them with names=FILE."
        )
    values = {value: label for label, value in enumerate(sorted(found), start=1)}
    named = {label: f"label {value}" for value, label in values.items()}
    structures = foreground if found == {1} else structures_named(named)
    return structures, LabelRecipe("values", tuple(values.items()), absent=absent)


def _is_lossy(item: Item) -> bool:
    return item.label is not None and item.label.suffix.lower() in LOSSY_SUFFIXES


def _flat_values(item: Item) -> set[int]:
    assert item.label is not None
    mask = read_mask(item.label)
    if mask.ndim == 3 and (mask != mask[..., :1]).any():
        raise InputError(
            f"{item.label} shows structures in colours; save their numbers as grey values or as a "
            "palette, or say with rule=bright or rule=green what is the structure."
        )
    return {int(value) for value in np.unique(mask)}


def _volume_values(item: Item) -> set[int]:
    assert item.label is not None
    array = read_volume(item.label).array
    values = set().union(*(np.unique(part).tolist() for part in array))
    strange = [value for value in values if value != int(value) or value < 0]
    if strange:
        raise InputError(
            f"{item.label} is no label map: it holds the value {strange[0]:g}, and labels are "
            "whole numbers from 0. Give the file with the structures, not the image."
        )
    return {int(value) for value in values}
