"""Data sets by name: published layouts, the layouts of nnU-Net, folders of pairs, packed files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from ..errors import InputError
from .collection import Collection
from .folder import folder
from .nnunet import nnunet
from .packed import open_packed
from .published import (
    btcv8,
    btcv13,
    btcv_binary,
    cvc_clinicdb,
    head_neck_oar,
    kvasir_seg,
    refuge2_cup,
    sts3d,
)

_OPENERS: dict[str, Callable[..., Collection]] = {
    "btcv13": btcv13,
    "btcv8": btcv8,
    "btcv-binary": btcv_binary,
    "sts3d": sts3d,
    "refuge2-cup": refuge2_cup,
    "cvc-clinicdb": cvc_clinicdb,
    "kvasir-seg": kvasir_seg,
    "head-neck-oar": head_neck_oar,
    "nnunet": nnunet,
    "folder": folder,
    "packed": open_packed,
}
_NUMBERS: dict[str, Callable[[str], int | float]] = {
    "validation": float,
    "test": float,
    "seed": int,
    "channel": int,
}
_CHOICES = {"absent": ("background", "unknown")}


def dataset_names() -> tuple[str, ...]:
    """Names that `open_dataset` accepts."""
    return tuple(_OPENERS)


def open_dataset(name: str, root: Path, **options: Any) -> Collection:
    """Find a data set's files; no image is read.

    Label files are read only for a plain "folder" without `names`, to find the labels in them.

    Args:
        name: One of `dataset_names`.
        root: The folder that the publication's archive unpacks to, or the packed file.
        options: Options of the data set, for example `validation=0.1`, `seed=1`; numbers may be
            given as text.

    Raises:
        InputError: If the name or an option is unknown, or if a file or folder is missing; it
            names the missing item and its folder.
    """
    opener = _OPENERS.get(name)
    if opener is None:
        raise InputError(f"Unknown data set {name!r}; choose one of {', '.join(_OPENERS)}.")
    known = dataset_options(name)
    unknown = [option for option in options if option not in known]
    if unknown:
        takes = f"it takes {', '.join(known)}" if known else "it takes none"
        raise InputError(f"The data set {name} has no option {', '.join(unknown)}; {takes}.")
    return opener(Path(root), **{key: _typed(key, value) for key, value in options.items()})


def dataset_options(name: str) -> tuple[str, ...]:
    """Options that a data set accepts."""
    return tuple(inspect.signature(_OPENERS[name]).parameters)[1:]


def parse_options(texts: Iterable[str]) -> dict[str, Any]:
    """Options of `open_dataset` from words like "validation=0.1", for the command line.

    Raises:
        InputError: If a word has no "=".
    """
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(f"The option {text!r} is not like validation=0.1; correct it.")
        options[key.replace("-", "_")] = value
    return options


def _typed(key: str, value: Any) -> Any:
    choices = _CHOICES.get(key)
    if choices is not None and value not in choices:
        raise InputError(f"{key}={value} is none of {', '.join(choices)}.")
    convert = _NUMBERS.get(key)
    if convert is None or not isinstance(value, str):
        return value
    try:
        return convert(value)
    except ValueError as error:
        raise InputError(f"{key}={value} is not a number.") from error
