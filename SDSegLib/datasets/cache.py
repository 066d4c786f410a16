"""A cache folder of cases as memory-mapped arrays, which need not fit into memory."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import OutputError
from ..language import tr
from ..unfinished import unfinished_folder
from ..volume.model_input import InputDescription
from .case import Case
from .collection import Collection, Item
from .files import plain_name

log = logging.getLogger(__name__)

FORMAT = 1
FACTS = "case.json"
IMAGE = "image.npy"
LABEL_MAP = "label_map.npy"


def cached(
    folder: Path,
    item: Item,
    collection: Collection,
    description: InputDescription,
    make: Callable[[], Case],
) -> Case:
    """A case from the cache folder; if it is missing, `make` creates it.

    An entry's name holds a digest of everything that determines its content: the files with their
    size and time, the recipe and the grid. It is written to a temporary folder and renamed, so it
    is either complete or absent, even if several processes create it at once.

    Raises:
        OutputError: If the folder cannot be written to.
        InputError: As raised by `make`.
    """
    entry = folder / f"{plain_name(item.name)}-{_digest(item, collection, description)}"
    found = _open(entry, item.name)
    if found is not None:
        return found
    log.info("making %s", entry)
    _write(entry, make())
    written = _open(entry, item.name)
    if written is None:
        raise OutputError(
            tr("{entry} cannot be read back; delete it, or choose another folder.").format(
                entry=entry
            )
        )
    return written


def grid_facts(description: InputDescription) -> dict[str, Any]:
    """The parts of a description that determine a case; tile size and windows do not."""
    if description.pictures is not None:
        return {"pictures": description.pictures, "size": list(description.size)}
    spacing = None if description.spacing is None else list(description.spacing)
    return {"axes": description.axes, "spacing": spacing}


def case_facts(case: Case) -> dict[str, Any]:
    """The attributes of a case without its arrays, as JSON types."""
    return {
        "name": case.name,
        "spacing": case.spacing,
        "drawn": sorted(case.drawn),
        "extents": [None if extent is None else list(extent) for extent in case.extents],
    }


def case_of(facts: dict[str, Any], image: np.ndarray, label_map: np.ndarray) -> Case:
    """Rebuild a case from its `case_facts` and its arrays."""
    extents = [
        None if e is None else (int(e[0]), int(e[1]), int(e[2]), int(e[3]))
        for e in facts["extents"]
    ]
    if len(extents) != len(image) or len(label_map) != len(image):
        raise ValueError(tr("the arrays do not belong together"))
    return Case(
        name=str(facts["name"]),
        image=image,
        label_map=label_map,
        spacing=float(facts["spacing"]),
        drawn=frozenset(int(label) for label in facts["drawn"]),
        extents=extents,
    )


def _digest(item: Item, collection: Collection, description: InputDescription) -> str:
    content: dict[str, Any] = {
        "format": FORMAT,
        "name": item.name,
        "files": [file_state(path) for path in (item.image, item.label) if path is not None],
        "recipe": asdict(collection.recipe),
        "classes": collection.num_classes,
        "modality": collection.modality,
        "grid": grid_facts(description),
    }
    if item.series is not None:
        content["series"] = item.series
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:20]


def file_state(path: Path) -> list[Any]:
    """Names, sizes and times of a file, or of the files of a folder."""
    files = sorted(path.iterdir()) if path.is_dir() else [path]
    try:
        states = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]
    except FileNotFoundError:
        states = []  # the error is reported when the case is read
    return [str(path.resolve()), states]


def _open(entry: Path, name: str) -> Case | None:
    if not (entry / FACTS).is_file():
        return None
    try:
        facts = json.loads((entry / FACTS).read_text(encoding="utf-8"))
        image, label_map = (
            np.load(entry / file, mmap_mode="r", allow_pickle=False) for file in (IMAGE, LABEL_MAP)
        )
        return case_of({**facts, "name": name}, image, label_map)
    except (OSError, EOFError, KeyError, TypeError, ValueError) as error:
        log.warning("%s is damaged (%s) and is made anew", entry, error)
        return None


def _write(entry: Path, case: Case) -> None:
    def write(folder: Path) -> None:
        np.save(folder / IMAGE, case.image)
        np.save(folder / LABEL_MAP, case.label_map)
        (folder / FACTS).write_text(json.dumps(case_facts(case)), encoding="utf-8")

    write_entry(entry, FACTS, case.name, write)


def write_entry(entry: Path, facts: str, name: str, write: Callable[[Path], None]) -> None:
    """Create a folder that is either complete or absent, even if several processes create it.

    Args:
        entry: The folder.
        facts: Name of its file that says that it is complete.
        name: What it holds, for the error message.
        write: Writes all files into a folder.

    Raises:
        OutputError: If it cannot be written.
    """
    with ExitStack() as stack:
        try:
            entry.parent.mkdir(parents=True, exist_ok=True)
            temporary = stack.enter_context(unfinished_folder(entry.parent))
        except OSError as error:
            raise OutputError(
                tr(
                    "The cache folder {entry} cannot be written to ({reason}); choose another."
                ).format(entry=entry.parent, reason=error.strerror or error)
            ) from error
        try:
            write(temporary)
            if entry.exists():  # damaged, or created by another process in the meantime
                shutil.rmtree(entry, ignore_errors=True)
            os.replace(temporary, entry)
        except OSError as error:
            if (entry / facts).is_file():
                return
            raise OutputError(
                tr(
                    "{name} cannot be kept in {entry} ({reason}); make room, or choose another "
                    "folder."
                ).format(name=name, entry=entry.parent, reason=error.strerror or error)
            ) from error
