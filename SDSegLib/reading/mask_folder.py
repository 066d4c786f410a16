"""A folder with one binary mask for each structure, as TotalSegmentator writes them."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..language import tr
from ..processes.limits import release_array
from ..volume.volume import Volume

MASKS = "segmentations"
"""The usual name of such a folder, which lies beside the CT."""
MASK_SUFFIXES = (".nii.gz", ".nii", ".nrrd", ".mha")
_TOLERANCE_MM = 0.01
_DIGITS = re.compile(r"(\d+)")


def mask_files(folder: Path) -> dict[str, Path]:
    """The masks of a folder by their names without ending; numbers in names are sorted as such."""
    found = {}
    for path in folder.iterdir():
        suffix = next((s for s in MASK_SUFFIXES if path.name.lower().endswith(s)), None)
        if suffix is not None and not path.name.startswith(".") and path.is_file():
            found[path.name[: -len(suffix)]] = path
    return dict(sorted(found.items(), key=lambda item: _natural(item[0])))


def read_masks(folder: Path, wanted: Collection[int] | None = None) -> tuple[Volume, list[str]]:
    """The masks of a folder as one label map, in this process.

    Args:
        folder: The folder.
        wanted: Places of masks in `mask_files`, from 1; None for all.

    Returns:
        Labels (uint8), which are those places, and the names of structures of which voxels are
        hidden: where masks overlap, the last one counts.

    Raises:
        InputError: If a mask cannot be read, is not binary, or lies on another grid than the first.
    """
    from .volume_files import read_volume_here

    files = mask_files(folder)
    if len(files) > np.iinfo(np.uint8).max:
        raise InputError(
            tr("{folder} holds {count} masks; up to 255 can be read.").format(
                folder=folder, count=len(files)
            )
        )
    first: Volume | None = None
    labels = np.empty(0, np.uint8)
    hidden: set[int] = set()
    for number, path in enumerate(files.values(), start=1):
        if wanted is not None and number not in wanted:
            continue
        mask = read_volume_here(path, labels=True)
        if first is None:
            labels = np.zeros(mask.array.shape, np.uint8)
            first = Volume(labels, mask.geometry, name=folder.name, source=folder)
        elif not first.geometry.matches(mask.geometry, _TOLERANCE_MM):
            raise InputError(
                tr(
                    "{path} is on another grid than the other masks of {folder}; all of a case "
                    "must share the grid of its CT."
                ).format(path=path, folder=folder)
            )
        hidden |= _add(mask.array, number, labels, path)
        release_array(mask.array)
    if first is None:
        raise InputError(
            tr("{folder} holds none of the masks that are wanted.").format(folder=folder)
        )
    names = list(files)
    return first, [names[number - 1] for number in sorted(hidden)]


def _add(mask: np.ndarray, number: int, labels: np.ndarray, path: Path) -> set[int]:
    """Write a mask into a label map; the labels that it hides."""
    hidden: set[int] = set()
    inner = mask.max(initial=0)
    for plane, target in zip(mask, labels, strict=True):
        inside = plane == inner
        if np.count_nonzero(inside) + np.count_nonzero(plane == 0) < plane.size:
            values = ", ".join(f"{value:g}" for value in np.unique(plane)[:4])
            raise InputError(
                tr(
                    "{path} is no mask of one structure: it holds the values {values}. Save 0 "
                    "outside and one number inside."
                ).format(path=path, values=values)
            )
        if inner > 0 and inside.any():
            hidden |= set(np.unique(target[inside]).tolist())
            target[inside] = number
    return hidden - {0}


def _natural(name: str) -> list[tuple[int, int, str]]:
    return [
        (1, int(part), "") if part.isdecimal() else (0, 0, part.lower())
        for part in _DIGITS.split(name)
    ]
