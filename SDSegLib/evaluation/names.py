"""What the labels of a data set are called, where no model says it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from ..errors import InputError
from .grids import read_label_map

DATASET = "dataset.json"


def label_names(data: Path, references: Iterable[Path]) -> dict[int, str]:
    """Names by label: those in nnU-Net's `dataset.json`, else "label 1" … for labels that occur.

    Raises:
        InputError: If `dataset.json` is damaged, or there is no label at all.
    """
    names = _from_dataset(data / DATASET)
    if names:
        return names
    found: set[int] = set()
    for path in references:
        found |= {int(value) for value in np.unique(read_label_map(path).array)}
    found.discard(0)
    if not found:
        raise InputError(f"The reference label maps in {data} are all empty; check the data set.")
    return {label: f"label {label}" for label in sorted(found)}


def _from_dataset(path: Path) -> dict[int, str]:
    """`labels` of a `dataset.json`, {"liver": 1} or, as of nnU-Net 1, {"1": "liver"}."""
    if not path.is_file():
        return {}
    try:
        labels = json.loads(path.read_text(encoding="utf-8"))["labels"]
        names = {
            (int(key), str(value)) if str(key).isdigit() else (int(value), str(key))
            for key, value in labels.items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} does not give each label a name and a number ({error}); correct it or move "
            "it away."
        ) from error
    return {label: name for label, name in sorted(names) if 0 < label < 256}
