"""A model folder as one file, to give a model on; `registry.install_model` takes such a file."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ..errors import ModelError, OutputError
from ..language import tr
from ..locked import locked
from ..models.folder import CARD, DESCRIPTION, WEIGHTS, read_description, verify_weights
from ..models.weights import check_finite, sha256_of
from ..untrusted import read_json
from .atomic import atomic_write

SUFFIX = ".zip"
_INDEX_FORMAT = 1
_NO_DATE = (1980, 1, 1, 0, 0, 0)


def write_model_file(folder: Path, path: Path, overwrite: bool = False) -> None:
    """Write the description, the weights and the card of a model to a zip file, and nothing else.

    The file holds no dates and no names of folders other than that of the model.

    Args:
        folder: Model folder.
        path: File to write.
        overwrite: Replace one that is there.

    Raises:
        ModelError: If the model is damaged.
        OutputError: If the file exists, has another ending, or cannot be written.
    """
    if path.suffix.lower() != SUFFIX:
        raise OutputError(
            tr("{path} does not end in {suffix}; give a name that does.").format(
                path=path, suffix=SUFFIX
            )
        )
    description = read_description(folder)
    check_finite(verify_weights(folder, description))
    with (
        atomic_write(path, overwrite) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for name in (DESCRIPTION, WEIGHTS, CARD):
            if (folder / name).is_file():
                _add(archive, folder / name, f"{description.name}/{name}")


def check_index(index: Path, file: Path, folder: Path) -> None:
    """Check whether a model can be added to an index, before its file is written.

    Raises:
        ModelError: If the model states no licence.
        OutputError: If the index is none, or is not in the folder of the file.
    """
    description = read_description(folder)
    if not description.license:
        raise ModelError(
            tr("The model {model} states no licence; without one nobody may use it.").format(
                model=description.name
            )
        )
    if index.resolve().parent != file.resolve().parent:
        raise OutputError(
            tr("{index} does not lie beside {file}; name an index in its folder.").format(
                index=index, file=file
            )
        )
    _entries(index)


def add_to_index(index: Path, file: Path, folder: Path) -> None:
    """Add the file of a model to an index, as `models.online.read_index` reads it.

    Args:
        index: The index, in the folder of the file; it is made if it does not exist. An entry of
            the same model and version is replaced.
        file: What `write_model_file` has written.
        folder: The model folder that it was written from.

    Raises:
        ModelError: As for `check_index`.
        OutputError: As for `check_index`, and if the index cannot be written.
    """
    check_index(index, file, folder)
    description = read_description(folder)
    entry = {
        "name": description.name,
        "version": description.version,
        "url": quote(file.name),
        "sha256": sha256_of(file),
        "size": file.stat().st_size,
        "license": description.license,
        "summary": description.summary,
    }
    with locked(index):
        known = [
            item
            for item in _entries(index)
            if (item.get("name"), item.get("version")) != (entry["name"], entry["version"])
        ]
        content = {"format": _INDEX_FORMAT, "models": [*known, entry]}
        with atomic_write(index, overwrite=True) as temporary:
            text = json.dumps(content, indent=2, ensure_ascii=False)
            temporary.write_text(text + "\n", encoding="utf-8", newline="\n")


def _entries(index: Path) -> list[dict[str, Any]]:
    if not index.is_file():
        return []
    try:
        content = read_json(index)
        if content["format"] != _INDEX_FORMAT or not all(
            isinstance(item, dict) for item in content["models"]
        ):
            raise ValueError(tr("it has another format"))
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise OutputError(
            tr("{index} is no index of models and stays as it is; name another file.").format(
                index=index
            )
        ) from error
    return list(content["models"])


def _add(archive: zipfile.ZipFile, source: Path, name: str) -> None:
    entry = zipfile.ZipInfo(name, _NO_DATE)
    entry.compress_type = zipfile.ZIP_DEFLATED
    entry.external_attr = 0o644 << 16
    with source.open("rb") as file, archive.open(entry, "w", force_zip64=True) as target:
        shutil.copyfileobj(file, target)
