"""Read the meaning of a model's labels: a list with codes, or only names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..language import tr
from ..resources import resource_folder
from ..untrusted import plain, read_named_json, shown, text_of, whole_number
from ..volume.same_structures import common_labels
from ..volume.structure import (
    LARGEST_LABEL,
    LEFT,
    LONGEST_NAME,
    RIGHT,
    Code,
    Structure,
    structure_id,
)

PRIVATE_SCHEME = "99SDSEG"
_SIDES = {"left": LEFT, "right": RIGHT}
_LONGEST_CODE = 16  # characters of a DICOM short string
_TREATMENT_WORDS = frozenset(
    ("ptv", "ctv", "gtv", "itv", "target", "boost", "ring", "body", "external", "couch", "table",
     "bolus", "isocenter", "l", "r")
)  # fmt: skip
COLORS = (
    (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (0, 114, 178), (213, 94, 0),
    (204, 121, 167), (145, 60, 205), (128, 174, 128), (241, 214, 145), (177, 122, 101),
    (111, 184, 210), (216, 101, 79), (221, 130, 101), (144, 238, 144), (192, 104, 88),
)  # fmt: skip


def known_lists() -> list[str]:
    """Names of the lists included with the program, for example "btcv13"."""
    return sorted(path.stem for path in (resource_folder() / "Terminology").glob("*.json"))


def read_structures(name_or_path: str) -> tuple[Structure, ...]:
    """Structures from a list included with the program or from a JSON file.

    The file contains either a list as in `model.json` (label, name, color, type with SNOMED code),
    or an object from label to name, such as {"1": "Liver"}. For the latter, colours are assigned
    and the codes are private (scheme 99SDSEG), which DICOM allows but other programs cannot
    interpret.

    Raises:
        InputError: Naming the file and the error in it.
    """
    path, structures = _read(name_or_path)
    labels = [structure.label for structure in structures]
    if not labels or labels != list(range(1, len(labels) + 1)):
        raise InputError(
            tr("The labels in {path} are {labels}, not 1 … N without gaps.").format(
                path=path, labels=shown(labels)
            )
        )
    return structures


def read_names(name_or_path: str) -> tuple[Structure, ...]:
    """As `read_structures`, for numbers 1 … 255 of any label maps; they may have gaps.

    Raises:
        InputError: Naming the file and the error in it.
    """
    path, structures = _read(name_or_path)
    labels = [structure.label for structure in structures]
    if not labels or len(set(labels)) < len(labels) or max(labels) > LARGEST_LABEL:
        raise InputError(
            tr(
                "The labels in {path} are {labels}, not different numbers from 1 to "
                "{largest_label}."
            ).format(path=path, labels=shown(labels), largest_label=LARGEST_LABEL)
        )
    return structures


def _read(name_or_path: str) -> tuple[Path, tuple[Structure, ...]]:
    path = resource_folder() / "Terminology" / f"{name_or_path}.json"
    if name_or_path not in known_lists():
        path = Path(name_or_path)
        if not path.is_file():
            raise InputError(
                tr(
                    "There is no label list {name_or_path!r}; name a JSON file or one of "
                    "{known_lists}."
                ).format(name_or_path=name_or_path, known_lists=", ".join(known_lists()))
            )
    data = read_named_json(path)
    try:
        structures = _structures(data)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            tr(
                '{path} is not a label list ({error}); it should be like {{"1": "Liver", '
                '"2": "Spleen"}} or a list as in model.json.'
            ).format(path=path, error=error)
        ) from error
    counts = Counter(item.id for item in structures)
    twice = [item.name for item in structures if counts[item.id] > 1]
    if twice:
        raise InputError(
            tr("{path} gives several labels the name {value}; correct it.").format(
                path=path, value=shown(twice[0])
            )
        )
    return path, structures


def structures_named(names: Mapping[int, str]) -> tuple[Structure, ...]:
    """Structures with these labels and names, in the labels' order, with private codes.

    Control characters in names become escapes.
    """
    return tuple(
        Structure(
            label=label,
            name=plain(name)[:LONGEST_NAME],
            color=COLORS[(label - 1) % len(COLORS)],
            type=Code(PRIVATE_SCHEME, "".join(c for c in name if c.isalnum())[:16], plain(name)),
        )
        for label, name in sorted(names.items())
        if label > 0
    )


def structures_called(names: Sequence[str]) -> tuple[Structure, ...]:
    """Structures 1 … N with these names, in this order.

    Those of the lists included with the program get their codes and colours from there. Others have
    private codes, and the modifier Left or Right if one of these words is in the name.
    """
    found = structures_named(dict(enumerate(names, start=1)))
    structures = [_with_side(item) for item in found]
    for name in known_lists():
        listed = {item.label: item for item in read_structures(name)}
        for label, known in common_labels(found, tuple(listed.values())).items():
            structures[label - 1] = replace(
                listed[known],
                label=label,
                name=found[label - 1].name,
                minimum_component_fraction=None,
            )
    return tuple(structures)


def names_of_structures(names: Iterable[str]) -> list[str]:
    """Those of some names that say nothing but which structure it is.

    All their words are in the names of the lists included with the program, or are usual for
    targets and aids of radiotherapy, with one number of up to two digits. Other names may hold
    anything, such as a patient's name.
    """
    known = _known_words()
    found = []
    for name in names:
        words = structure_id(name).split("-")
        others = [word for word in words if word not in known]
        is_number = [word.isdecimal() and len(word) <= 2 for word in others]
        if len(others) < len(words) and len(others) <= 1 and all(is_number):
            found.append(name)
    return found


@cache
def _known_words() -> frozenset[str]:
    listed = [item.id for name in known_lists() for item in read_structures(name)]
    return frozenset(word for text in listed for word in text.split("-")) | _TREATMENT_WORDS


def _with_side(item: Structure) -> Structure:
    """A structure with a private code whose side is in the modifier, not in the type."""
    words = item.name.split()
    sides = [word for word in words if word.lower() in _SIDES]
    if len(sides) != 1 or len(words) == 1:
        return item
    rest = " ".join(word for word in words if word not in sides)
    meaning = rest[:1].upper() + rest[1:]
    value = "".join(c for c in meaning.title() if c.isalnum())[:_LONGEST_CODE]
    return replace(
        item,
        type=Code(PRIVATE_SCHEME, value, meaning),
        modifier=_SIDES[sides[0].lower()],
    )


def _structures(data: Any) -> tuple[Structure, ...]:
    if isinstance(data, list):
        return tuple(Structure.from_json(item) for item in data)
    if not isinstance(data, dict):
        raise ValueError(tr("{data} is neither an object nor a list").format(data=shown(data)))
    names: dict[int, str] = {}
    for key, value in data.items():
        label, name = whole_number(key), text_of(value)
        if label < 0:
            raise ValueError(tr("the label {label} is negative").format(label=label))
        if label in names:
            raise ValueError(tr("it gives the label {label} two names").format(label=label))
        names[label] = name
    return structures_named(names)
