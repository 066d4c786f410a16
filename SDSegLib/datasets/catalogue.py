"""Data sets by name: published layouts, nnU-Net's, DICOM, folders of pairs, packed files."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..language import tr
from .abdominal import amos, flare, word
from .collection import Collection
from .dicom_plans import dicom
from .doubtful import read_set_aside
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
from .totalsegmentator import totalsegmentator

_OPENERS: dict[str, Callable[..., Collection]] = {
    "btcv13": btcv13,
    "btcv8": btcv8,
    "btcv-binary": btcv_binary,
    "sts3d": sts3d,
    "refuge2-cup": refuge2_cup,
    "cvc-clinicdb": cvc_clinicdb,
    "kvasir-seg": kvasir_seg,
    "head-neck-oar": head_neck_oar,
    "totalsegmentator": totalsegmentator,
    "amos": amos,
    "flare": flare,
    "word": word,
    "nnunet": nnunet,
    "dicom": dicom,
    "folder": folder,
    "packed": open_packed,
}
_NUMBERS: dict[str, Callable[[str], int | float]] = {
    "validation": float,
    "test": float,
    "seed": int,
    "channel": int,
}
_SET_ASIDE = "set_aside"
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
            given as text. Every data set takes `set_aside`, a file of `doubtful.write_references`:
            the references that are set aside there count as not drawn.

    Raises:
        InputError: If the name or an option is unknown, or if a file or folder is missing; it
            names the missing item and its folder.
    """
    opener = _OPENERS.get(name)
    if opener is None:
        raise InputError(
            tr("Unknown data set {name!r}; choose one of {openers}.").format(
                name=name, openers=", ".join(_OPENERS)
            )
        )
    known = dataset_options(name)
    unknown = [option for option in options if option not in known]
    if unknown:
        raise InputError(
            tr("The data set {name} has no option {unknown}; it takes {known}.").format(
                name=name, unknown=", ".join(unknown), known=", ".join(known)
            )
        )
    set_aside = options.pop(_SET_ASIDE, None)
    given = {key: _typed(key, value) for key, value in options.items()}
    collection = opener(Path(root), **given)
    return collection if set_aside is None else _without(collection, Path(set_aside))


def dataset_options(name: str) -> tuple[str, ...]:
    """Options that a data set accepts."""
    return (*tuple(inspect.signature(_OPENERS[name]).parameters)[1:], _SET_ASIDE)


def _without(collection: Collection, path: Path) -> Collection:
    """The collection without references that were set aside."""
    wanted = read_set_aside(path)
    cases = {item.name for item in collection.items("all")}
    names = {item.name for item in collection.structures}
    found = {
        case: structures & names
        for case, structures in wanted.items()
        if case in cases and structures & names
    }
    if wanted and not found:
        raise InputError(
            tr(
                "{path} sets aside references of {count} cases, but none of them is in "
                "{collection}; give the file that was written for this data."
            ).format(path=path, count=len(wanted), collection=collection.title)
        )
    count = sum(map(len, found.values()))
    note = tr("{count} references count as not drawn, as {path} says.").format(
        count=count, path=path.name
    )
    return replace(collection, set_aside=found, notes=(*collection.notes, note))


def parse_options(texts: Iterable[str]) -> dict[str, Any]:
    """Options of `open_dataset` from words like "validation=0.1", for the command line.

    Raises:
        InputError: If a word has no "=".
    """
    options = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise InputError(
                tr("The option {text!r} is not like validation=0.1; correct it.").format(text=text)
            )
        options[key.replace("-", "_")] = value
    return options


def _typed(key: str, value: Any) -> Any:
    choices = _CHOICES.get(key)
    if choices is not None and value not in choices:
        raise InputError(
            tr("{key}={value} is none of {choices}.").format(
                key=key, value=value, choices=", ".join(choices)
            )
        )
    convert = _NUMBERS.get(key)
    if convert is None or not isinstance(value, str):
        return value
    try:
        return convert(value)
    except ValueError as error:
        raise InputError(
            tr("{key}={value} is not a number.").format(key=key, value=value)
        ) from error
