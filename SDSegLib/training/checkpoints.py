"""Checkpoints: files of tensors, written atomically, and when a stage saves them.

`last.ckpt` is one file. If it is split, `last.ckpt.json` names the parts, each at most a given
number of megabytes, and their checksum. The parts of a new checkpoint are written first and the
JSON file is replaced last, so a kill at any moment leaves either the old or the new checkpoint.
"""

from __future__ import annotations

import hashlib
import io
import json
import logging
import os
import pickle
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO
from zipfile import BadZipFile, ZipFile

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import CheckpointIO
from torch import Tensor

from ..errors import InputError, OutputError
from ..language import tr
from ..untrusted import is_plain, plain, read_json, text_of

log = logging.getLogger(__name__)

MEGABYTE = 10**6
_LONGEST_REASON = 200
_DAMAGES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    BadZipFile,
    BufferError,
    EOFError,
    ImportError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    pickle.UnpicklingError,
    struct.error,
    zlib.error,
)
"""What `torch.load` raises on damaged files."""


class CheckpointError(InputError):
    """What a run has saved is damaged, or of another network; it cannot go on with it."""


def save_parts(content: Any, path: Path, megabytes: float | None = None) -> None:
    """Write a checkpoint with `torch.save`; an existing one is replaced.

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
            tr("{path} cannot be written: {error}. Make room or choose another folder.").format(
                path=path, error=error
            )
        ) from error


def load_parts(path: Path) -> Any:
    """Read a checkpoint of `save_parts`; only tensors and plain values are loaded.

    Raises:
        InputError: If a file of the checkpoint does not exist.
        CheckpointError: If it is damaged.
    """
    try:
        index = _read_index(path)
        if index is None:
            with path.open("rb") as stream:
                return _loaded(stream)
        data = b"".join((path.parent / name).read_bytes() for name in index["parts"])
        if hashlib.sha256(data).hexdigest() != index["sha256"]:
            raise CheckpointError(
                tr("The parts of {path} are damaged or were changed; copy them again.").format(
                    path=path
                )
            )
        return _loaded(io.BytesIO(data))
    except FileNotFoundError as error:
        raise InputError(
            tr("There is no file {filename}, which {path} needs.").format(
                filename=error.filename, path=path
            )
        ) from error
    except _DAMAGES as error:
        raise damaged(path, error) from error


def _loaded(stream: BinaryIO) -> Any:
    """The content of a file of `torch.save`, after its checksums, which `torch.load` ignores."""
    with ZipFile(stream) as archive:
        if archive.testzip() is not None:
            raise BadZipFile("its content does not match its checksums")
    stream.seek(0)
    return torch.load(stream, map_location="cpu", weights_only=True)


def damaged(path: Path, error: Exception) -> CheckpointError:
    """The error for a file of a run that cannot be read or does not fit."""
    reason = (str(error).splitlines() or [""])[0][:_LONGEST_REASON] or type(error).__name__
    return CheckpointError(
        tr(
            "{path} cannot be read or does not fit ({name}); copy it again, or remove "
            "{parent} to begin anew."
        ).format(path=path, name=plain(reason), parent=path.parent)
    )


def is_saved(path: Path) -> bool:
    """Whether a checkpoint exists at this path."""
    return path.is_file() or _index(path).is_file()


def remove_parts(path: Path) -> None:
    """Delete a checkpoint, whether it is one file or split into parts."""
    for name in _parts_of(path):
        (path.parent / name).unlink(missing_ok=True)
    _index(path).unlink(missing_ok=True)
    path.unlink(missing_ok=True)


def entries_below(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """The tensors whose names begin with a prefix, which is removed from the names."""
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def _write_parts(path: Path, data: memoryview, size: int) -> list[str]:
    """Write the parts under names that the existing checkpoint does not use."""
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
        content = read_json(index)
        names = [text_of(name) for name in content["parts"]]
        if any(Path(name).name != name or not is_plain(name) for name in names):
            raise CheckpointError(
                tr("{index} names parts in other folders; it is not a checkpoint.").format(
                    index=index
                )
            )
        return {"parts": names, "sha256": text_of(content["sha256"])}
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise damaged(index, error) from error


def _parts_of(path: Path) -> list[str]:
    index = _read_index(path)
    return [] if index is None else index["parts"]


class PartsIO(CheckpointIO):
    """Makes Lightning store its checkpoints with `save_parts`.

    Args:
        megabytes: Largest part; None for one file.
    """

    def __init__(self, megabytes: float | None) -> None:
        self.megabytes = megabytes

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        save_parts(checkpoint, Path(path), self.megabytes)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_parts(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        remove_parts(Path(path))


class Checkpoints(Callback):
    """Saves `last.ckpt` every few minutes, at the deadline, on request, and at the end.

    It saves only after an optimiser step, never between accumulated batches, so that a resumed run
    gives the same weights as an uninterrupted one.

    Args:
        path: The checkpoint.
        every_minutes: Time between checkpoints; 0 for one after each step.
        deadline: When to save and stop, on the clock of `time.monotonic`; None for no limit.
        is_stopped: Called after each step; true saves and stops.
    """

    def __init__(
        self,
        path: Path,
        every_minutes: float,
        deadline: float | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> None:
        self.path = path
        self.every = 60 * every_minutes
        self.deadline = deadline
        self.is_stopped = is_stopped or (lambda: False)
        self._next = time.monotonic() + self.every
        self._saved = -1

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        now = time.monotonic()
        stop = self.is_stopped() or (self.deadline is not None and now >= self.deadline)
        save = stop or trainer.should_stop or now >= self._next
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
            save = trainer.strategy.reduce_boolean_decision(save or stop, all=False)
        if save:
            self._save(trainer)
        if stop:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._saved != trainer.global_step:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved = trainer.global_step
        self._next = time.monotonic() + self.every
        log.info("step %d saved to %s", trainer.global_step, self.path)
