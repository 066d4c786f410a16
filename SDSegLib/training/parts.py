"""Files of tensors that are whole or not there, and split into small parts where asked.

`last.ckpt` is one file; split, it is `last.ckpt.json`, which names parts of at most so many
megabytes and their checksum. The parts of a new checkpoint are written first and the small file is
replaced last, so a kill at any moment leaves the old checkpoint or the new one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import pickle
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import torch

from ..errors import InputError, OutputError

MEGABYTE = 10**6


def save_parts(content: Any, path: Path, megabytes: float | None = None) -> None:
    """Write what `torch.save` can, in place of what is there.

    Args:
        content: Tensors and plain values.
        path: For example `last.ckpt`.
        megabytes: Largest part; None for one file.

    Raises:
        OutputError: If it cannot be written.
    """
    stream = io.BytesIO()
    torch.save(content, stream)
    data = stream.getbuffer()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        old = _parts_of(path)
        if megabytes is None or len(data) <= megabytes * MEGABYTE:
            _replace(path, data)
            _index(path).unlink(missing_ok=True)
            gone = old
        else:
            names = _write_parts(path, data, int(megabytes * MEGABYTE))
            index = {"parts": names, "sha256": hashlib.sha256(data).hexdigest()}
            _replace(_index(path), json.dumps(index, indent=1).encode())
            path.unlink(missing_ok=True)
            gone = [name for name in old if name not in names]
        for name in gone:
            (path.parent / name).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error}. Make room or choose another folder."
        ) from error


def load_parts(path: Path) -> Any:
    """Read what `save_parts` wrote; only tensors and plain values are built.

    Raises:
        InputError: If it is not there or damaged.
    """
    try:
        index = _read_index(path)
        if index is None:
            return torch.load(path, map_location="cpu", weights_only=True)
        data = b"".join((path.parent / name).read_bytes() for name in index["parts"])
        if hashlib.sha256(data).hexdigest() != index["sha256"]:
            raise InputError(f"The parts of {path} are damaged or were changed; copy them again.")
        return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise InputError(f"There is no file {error.filename}, which {path} needs.") from error
    except (OSError, RuntimeError, EOFError, BadZipFile, pickle.UnpicklingError) as error:
        raise InputError(f"{path} cannot be read ({str(error).splitlines()[0]}).") from error


def is_saved(path: Path) -> bool:
    """Whether there is something to load."""
    return path.is_file() or _index(path).is_file()


def remove_parts(path: Path) -> None:
    """Delete it, whole or in parts."""
    for name in _parts_of(path):
        (path.parent / name).unlink(missing_ok=True)
    _index(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def _write_parts(path: Path, data: memoryview, size: int) -> list[str]:
    """Parts under names that the checkpoint in place does not use."""
    turn = "b" if any(name.startswith(f"{path.name}.a") for name in _parts_of(path)) else "a"
    names = []
    for number, start in enumerate(range(0, len(data), size)):
        names.append(f"{path.name}.{turn}{number:03d}")
        _write_through(path.parent / names[-1], data[start : start + size])
    return names


def _replace(path: Path, data: bytes | memoryview) -> None:
    fresh = path.with_name(f".{path.name}.new")
    _write_through(fresh, data)
    os.replace(fresh, path)


def _write_through(path: Path, data: bytes | memoryview) -> None:
    with path.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


def _index(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _read_index(path: Path) -> dict[str, Any] | None:
    index = _index(path)
    if not index.is_file():
        return None
    try:
        content = json.loads(index.read_text(encoding="utf-8"))
        names = [str(name) for name in content["parts"]]
        if any(Path(name).name != name for name in names):
            raise InputError(f"{index} names parts in other folders; it is not a checkpoint.")
        return {"parts": names, "sha256": str(content["sha256"])}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{index} is damaged ({error}); copy it again.") from error


def _parts_of(path: Path) -> list[str]:
    index = _read_index(path)
    return [] if index is None else index["parts"]
