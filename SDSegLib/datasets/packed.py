"""A collection on a model's grid in one compressed file, for transfer to another computer."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from ..archives import ARCHIVE_ERRORS
from ..errors import InputError
from ..export.atomic import atomic_write
from ..language import tr
from ..untrusted import parse_json
from ..volume.model_input import InputDescription
from ..volume.structure import Structure
from .cache import case_facts, case_of, grid_facts
from .case import Case
from .collection import SPLITS, Collection, Item
from .recipe import LabelRecipe

FORMAT = 1
CONTENT = "collection.json"
SUFFIX = ".zip"
_DAMAGED = (*ARCHIVE_ERRORS, TypeError, AttributeError, ArithmeticError)


def is_packed(path: Path) -> bool:
    """Whether a path names a packed file rather than an image or a folder."""
    return path.suffix.lower() == SUFFIX and path.is_file()


def write_packed(
    path: Path,
    collection: Collection,
    description: InputDescription,
    cases: Iterable[tuple[str, Case]],
    overwrite: bool = False,
) -> None:
    """Write cases with lossless compression: int16 and uint8 arrays, compressed by LZMA.

    Args:
        path: File to write, ending in ".zip".
        collection: Collection of the cases.
        description: Grid of the cases.
        cases: Pairs (split, case); items of an iterator are written one by one.
        overwrite: Whether to replace the file.

    Raises:
        OutputError: If it cannot be written.
    """
    content: dict[str, Any] = {
        "format": FORMAT,
        "name": collection.name,
        "title": collection.title,
        "dimensions": collection.dimensions,
        "channels": collection.channels,
        "modality": collection.modality,
        "region": collection.region,
        "source": collection.source,
        "structures": [structure.to_json() for structure in collection.structures],
        "recipe": asdict(collection.recipe),
        "input": asdict(description),
        "items": [],
    }
    with (
        atomic_write(path, overwrite) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_LZMA) as archive,
    ):
        for number, (split, case) in enumerate(cases):
            content["items"].append({"split": split, **case_facts(case)})
            for kind, array in (("image", case.image), ("label_map", case.label_map)):
                buffer = io.BytesIO()
                np.save(buffer, array)
                archive.writestr(f"{number:05d}/{kind}.npy", buffer.getbuffer())
        archive.writestr(CONTENT, json.dumps(content, ensure_ascii=False, indent=1))


def open_packed(path: Path) -> Collection:
    """The collection of a packed file; its input is that of the file's grid.

    Raises:
        InputError: If the file is missing, damaged or not a packed file.
    """
    content = _content(path)
    try:
        by_split: dict[str, list[Item]] = {split: [] for split in SPLITS}
        for entry in content["items"]:
            by_split[entry["split"]].append(Item(str(entry["name"]), path, None))
        recipe = content["recipe"]
        values = tuple((int(value), int(label)) for value, label in recipe["values"])
        names = tuple((str(name), int(label)) for name, label in recipe.get("names", ()))
        return Collection(
            name=str(content["name"]),
            title=str(content["title"]),
            dimensions=content["dimensions"],
            channels=content["channels"],
            modality=content["modality"],
            structures=tuple(Structure.from_json(item) for item in content["structures"]),
            train=tuple(by_split["train"]),
            validation=tuple(by_split["validation"]),
            test=tuple(by_split["test"]),
            recipe=LabelRecipe(**{**recipe, "values": values, "names": names}),
            input=InputDescription.from_json(content["input"]),
            region=str(content["region"]),
            source=str(content["source"]),
        )
    except _DAMAGED as error:
        raise _unusable(path, error) from error


def read_packed(path: Path, name: str, description: InputDescription) -> Case:
    """One case of a packed file.

    Args:
        path: The packed file.
        name: Name of the case.
        description: Must have the grid for which the file was packed.

    Raises:
        InputError: If the file is damaged, lacks the case or is on another grid.
    """
    content = _content(path)
    try:
        packed = grid_facts(InputDescription.from_json(content["input"]))
        wanted = grid_facts(description)
        if packed != wanted:
            raise InputError(
                tr(
                    "{path} was packed for {packed}, but the model wants {wanted}; pack the "
                    "data for this model."
                ).format(path=path, packed=_shown(packed), wanted=_shown(wanted))
            )
        names = [entry["name"] for entry in content["items"]]
        if name not in names:
            raise InputError(
                tr("{path} does not hold {name}; pack the data again.").format(path=path, name=name)
            )
        number = names.index(name)
        with zipfile.ZipFile(path) as archive:
            image, label_map = (
                np.load(io.BytesIO(archive.read(f"{number:05d}/{kind}.npy")), allow_pickle=False)
                for kind in ("image", "label_map")
            )
        return case_of(content["items"][number], image, label_map)
    except _DAMAGED as error:
        raise _unusable(path, error) from error


def _content(path: Path) -> dict[str, Any]:
    """The description in the file; it is read once, not for every case."""
    if not path.is_file():
        raise InputError(
            tr("The packed file {path} does not exist; check the spelling.").format(path=path)
        )
    facts = path.stat()
    return _read_content(path.resolve(), facts.st_mtime_ns, facts.st_size)


@lru_cache(maxsize=4)
def _read_content(path: Path, changed: int, size: int) -> dict[str, Any]:
    try:
        with zipfile.ZipFile(path) as archive:
            content = parse_json(archive.read(CONTENT))
        if content["format"] != FORMAT:
            raise ValueError(
                tr("its format is {format!r}, not {known}").format(
                    format=content["format"], known=FORMAT
                )
            )
        return content
    except OSError as error:
        raise InputError(
            tr("{path} cannot be read ({reason}).").format(
                path=path, reason=error.strerror or error
            )
        ) from error
    except _DAMAGED as error:
        raise _unusable(path, error) from error


def _unusable(path: Path, error: Exception) -> InputError:
    return InputError(
        tr("{path} is no packed data set or is damaged ({error}); pack it again.").format(
            path=path, error=error
        )
    )


def _shown(facts: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in facts.items())
