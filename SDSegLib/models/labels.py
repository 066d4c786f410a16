"""Read the meaning of a model's labels: a list with codes, or only names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..resources import resource_folder
from ..untrusted import plain, read_json, shown
from ..volume.structure import LARGEST_LABEL, LONGEST_NAME, Code, Structure

PRIVATE_SCHEME = "99SDSEG"
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
        raise InputError(f"The labels in {path} are {labels}, not 1 … N without gaps.")
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
            f"The labels in {path} are {shown(labels)}, not different numbers from 1 to "
            f"{LARGEST_LABEL}."
        )
    return structures


def _read(name_or_path: str) -> tuple[Path, tuple[Structure, ...]]:
    path = resource_folder() / "Terminology" / f"{name_or_path}.json"
    if name_or_path not in known_lists():
        path = Path(name_or_path)
        if not path.is_file():
            raise InputError(
                f"There is no label list {name_or_path!r}; name a JSON file or one of "
                f"{', '.join(known_lists())}."
            )
    try:
        data = read_json(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    except ValueError as error:
        raise InputError(f"{path} is not JSON ({error}).") from error
    try:
        structures = _structures(data)
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise InputError(
            f"{path} is not a label list ({error}); it should be like "
            '{"1": "Liver", "2": "Spleen"} or a list as in model.json.'
        ) from error
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


def _structures(data: Any) -> tuple[Structure, ...]:
    if isinstance(data, list):
        return tuple(Structure.from_json(item) for item in data)
    return structures_named({int(label): str(name) for label, name in dict(data).items()})
