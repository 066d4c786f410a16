"""What the labels of two sources mean: by name or code, and by number as a last resort."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..datasets.recipe import whole_numbers
from ..errors import InputError
from ..export.label_files import read_label_file, structures_in
from ..language import tr
from ..reading.pictures import is_picture
from ..volume.same_structures import common_labels
from ..volume.structure import Structure
from ..volume.volume import Volume
from .label_maps import read_picture_label_map

LARGEST_LABEL = 255


@dataclass(frozen=True)
class NamedLabels:
    """What the values of label files mean.

    Attributes:
        files: The files, without pictures.
        beside: Structures that are named for all files, by their values; () if none are.
        inside: Structures that a file itself names, which come first.
    """

    files: tuple[Path, ...]
    beside: tuple[Structure, ...]
    inside: Mapping[Path, tuple[Structure, ...]]

    @classmethod
    def of(cls, files: Iterable[Path], beside: tuple[Structure, ...]) -> NamedLabels:
        """Read the names in the headers of label files.

        Raises:
            InputError: If a file cannot be read.
        """
        volumes = tuple(path for path in files if not is_picture(path))
        found = {path: structures_in(path) for path in volumes}
        return cls(volumes, beside, {path: names for path, names in found.items() if names})

    def structures(self) -> tuple[Structure, ...]:
        """All that are named, each once, with the labels that they have in all files, or else
        with labels 1 … N.
        """
        found: list[Structure] = []
        has_one_label = True
        for names in (self.beside, *self.inside.values()):
            known = common_labels(names, found)
            for item in names:
                has_one_label &= known.get(item.label, item.label) == item.label
            found += [item for item in names if item.label not in known]
        labels = [item.label for item in found]
        if has_one_label and len(set(labels)) == len(labels):
            return tuple(found)
        return tuple(replace(item, label=label) for label, item in enumerate(found, start=1))

    def refuse_some_without(self) -> None:
        """Raise an error if some files are named and others hold numbers only.

        Raises:
            InputError: Naming one that is not.
        """
        without = [path for path in self.files if not self.of_file(path)]
        if self.inside and without:
            named = next(iter(self.inside))
            raise InputError(
                tr(
                    "{without} holds numbers without names, and others such as {named} name "
                    "their structures; say what the numbers mean with --names."
                ).format(without=without[0], named=named)
            )

    def of_file(self, path: Path) -> tuple[Structure, ...]:
        """The structures of one file; () if there are numbers only."""
        return self.inside.get(path, self.beside)

    def reader(self, targets: Sequence[Structure]) -> Callable[[Path], Volume]:
        """A function that reads a file in the labels of `targets`.

        Files without names keep their numbers. The volume's notes name structures and numbers that
        the targets lack.
        """
        return partial(_read_as, names=self, targets=tuple(targets))


def read_numbers(path: Path) -> Volume:
    """Read a label file of any kind, or a predicted picture, by its numbers, uint8.

    Raises:
        InputError: If it cannot be read, or a value is not a whole number 0 … 255.
    """
    if is_picture(path):
        return read_picture_label_map(path)
    volume = read_label_file(path)
    values = np.empty(volume.array.shape, np.uint8)
    for plane, kept in zip(volume.array, values, strict=True):
        kept[:] = whole_numbers(plane, path, LARGEST_LABEL)
    return replace(volume, array=values)


def _read_as(path: Path, names: NamedLabels, targets: tuple[Structure, ...]) -> Volume:
    volume = read_numbers(path)
    values, structures = volume.array, names.of_file(path)
    if not structures:
        return volume
    table = np.zeros(LARGEST_LABEL + 1, np.uint8)
    for label, target in common_labels(structures, targets).items():
        table[label] = target
    known = {item.label: item.name for item in structures}
    others = [
        known.get(value, str(value))
        for value in np.flatnonzero(np.bincount(values.ravel(), minlength=256)).tolist()
        if value and not table[value]
    ]
    notes = volume.notes
    if others:
        notes = (
            *notes,
            tr("It has labels that are not compared: {others}.").format(others=", ".join(others)),
        )
    return replace(volume, array=table[values], notes=notes)
