"""Structures of a data set whose label files name them themselves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..errors import InputError
from ..export.label_files import structures_in
from ..language import tr
from ..models.labels import structures_called
from ..volume.same_structures import common_labels
from ..volume.structure import Structure
from .collection import Item
from .files import load_in_threads


def structures_of_files(items: Sequence[Item]) -> list[tuple[Structure, ...]]:
    """The structures that each item's label file names, by their values in it.

    Raises:
        InputError: If one cannot be read.
    """

    def read(item: Item) -> tuple[Structure, ...]:
        return () if item.label is None else structures_in(item.label)

    return load_in_threads(items, read)


def joined_structures(
    items: Sequence[Item], by_item: Sequence[Sequence[Structure]]
) -> tuple[Structure, ...]:
    """Structures 1 … N of all files, each once; () if the files hold numbers only.

    Those without a code of their own get that of a list included with the program, if it is there.

    Args:
        items: Of the files.
        by_item: What `structures_of_files` gives for them.

    Raises:
        InputError: If some files name their structures and others do not.
    """
    found: list[Structure] = []
    without = None
    for item, structures in zip(items, by_item, strict=True):
        if not structures:
            without = item.label
        known = common_labels(structures, found)
        for one in structures:
            if one.label not in known:
                found.append(replace(one, label=len(found) + 1))
    if found and without is not None:
        raise InputError(
            tr(
                "{without} holds numbers without names, and other label files name their "
                "structures; save all in one way."
            ).format(without=without)
        )
    coded = structures_called([item.name for item in found])
    return tuple(
        named if item.type.scheme.startswith("99") else item
        for item, named in zip(found, coded, strict=True)
    )
