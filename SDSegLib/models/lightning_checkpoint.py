"""Read the tensors of a Lightning checkpoint without running code that its pickle refers to."""

from __future__ import annotations

import contextlib
import os
import pickle
import re
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, is_zipfile

import torch
from torch import Tensor

from ..errors import ModelError
from ..language import tr

# Classes in Lightning 1.x files besides tensors: callbacks, hyper-parameters, numpy numbers.
_BYSTANDERS = (
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.callbacks.lr_monitor.LearningRateMonitor",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "typing.Any",
    "collections.defaultdict",
    "builtins.dict",
    "builtins.list",
)


class _Bystander:
    """Inert replacement for a class that a checkpoint refers to; stores and does nothing."""

    def __new__(cls, *arguments: Any) -> _Bystander:
        return super().__new__(cls)

    def __init__(self, *arguments: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checkpoint's `state_dict`, or of the file itself if it has none.

    The file is memory-mapped, so unused tensors are not read. Only tensors are built; classes of
    Lightning and OmegaConf are replaced by inert ones.

    Args:
        path: A file written by `torch.save` of PyTorch 1.6 or later.

    Raises:
        ModelError: If it is not such a file, is truncated, refers to other code, or has no tensors.
    """
    _check_container(path)
    try:
        with _inert_bystanders():
            content = torch.load(os.fspath(path), map_location="cpu", weights_only=True, mmap=True)
    except (
        pickle.UnpicklingError,
        struct.error,
        ArithmeticError,
        AssertionError,
        AttributeError,
        EOFError,
        LookupError,
        MemoryError,
        OSError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        raise ModelError(_reason(path, str(error) or type(error).__name__)) from error
    if isinstance(content, dict) and isinstance(content.get("state_dict"), dict):
        content = content["state_dict"]
    tensors = _tensors(content) if isinstance(content, dict) else {}
    if not tensors:
        raise ModelError(
            tr(
                "{path} holds no 'state_dict' with tensors, so it is not a model checkpoint; "
                "choose the .ckpt file that training wrote."
            ).format(path=path)
        )
    return tensors


def _check_container(path: Path) -> None:
    if not path.is_file():
        raise ModelError(
            tr("There is no file {path}; give the path of the .ckpt file.").format(path=path)
        )
    with contextlib.suppress(BadZipFile):
        if is_zipfile(path):
            with ZipFile(path) as archive:
                damaged = archive.testzip()
            if damaged is not None:
                raise ModelError(
                    tr(
                        "{path} is damaged: the checksum of '{damaged}' in it is wrong. Copy it "
                        "again."
                    ).format(path=path, damaged=damaged)
                )
            return
    with path.open("rb") as file:
        start = file.read(4)
    size = path.stat().st_size
    if start == b"PK\x03\x04":
        raise ModelError(
            tr(
                "{path} is damaged or ends too early (it has {size:,} bytes): the copy or "
                "download is not complete. Copy it again."
            ).format(path=path, size=size)
        )
    if start[:1] == b"\x80":
        raise ModelError(
            tr(
                "{path} is a bare pickle, which SDSeg does not open because it can run code. "
                "Save it again with torch.save of PyTorch 1.6 or later, if you trust where it "
                "comes from."
            ).format(path=path)
        )
    raise ModelError(
        tr(
            "{path} ({size:,} bytes) is not a PyTorch checkpoint; choose the .ckpt file that "
            "training wrote."
        ).format(path=path, size=size)
    )


@contextlib.contextmanager
def _inert_bystanders() -> Iterator[None]:
    # Before PyTorch 2.5 there is no such context; such files then raise an error with the reason.
    safe_globals = getattr(torch.serialization, "safe_globals", None)
    if safe_globals is None:
        yield
        return
    classes = []
    for full_name in _BYSTANDERS:
        module, name = full_name.rsplit(".", 1)
        classes.append(type(name, (_Bystander,), {"__module__": module, "__qualname__": name}))
    with safe_globals(classes):
        yield


def _reason(path: Path, error: str) -> str:
    named = re.search(r"GLOBAL (\S+)", error)
    if named is None:
        said = error.rpartition("WeightsUnpickler error: ")[2].strip().splitlines()[0][:200]
        return (
            f"{path} cannot be read as a PyTorch checkpoint ({said.rstrip('. ')}). It may be "
            "damaged: compare its size and checksum with the source and copy it again."
        )
    return (
        f"{path} was not opened, because a pickle can run code and the one in it names "
        f"'{named[1]}'. If you trust where the file comes from, keep only its weights where it was "
        "trained: torch.save({'state_dict': torch.load(old, map_location='cpu', "
        "weights_only=False)['state_dict']}, new)."
    )


def _tensors(content: dict[Any, Any]) -> dict[str, Tensor]:
    return {
        name: value
        for name, value in content.items()
        if isinstance(name, str) and isinstance(value, Tensor)
    }
