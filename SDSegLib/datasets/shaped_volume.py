"""CT with the structures to learn from, on its own voxels; kept in a folder and memory-mapped."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..reading.files import read_volume
from ..volume.checks import finite_values
from ..volume.finding import Finding
from ..volume.judgement import judge_input, refuse
from .cache import file_state, write_entry
from .collection import Item
from .files import files_by_stem, plain_name
from .made_shapes import made_shapes, usable_shape
from .shapes import Shape, packed, unpacked

log = logging.getLogger(__name__)

FORMAT = 1
FACTS = "volume.json"
ORGAN = "organ"
"""First word of the kind of shapes that a label map holds; the second is the label."""
_HU, _BITS = "hu.npy", "bits.npy"
_PREDICTIONS = "predictions"
_LOWEST_HU, _HIGHEST_HU = -1024, 3071
_TOLERANCE_MM = 0.01
_LABEL_FILES = ("organs.nii.gz", "labels.nii.gz")


@dataclass(frozen=True, eq=False)
class ShapedVolume:
    """A CT and structures on its voxels.

    Attributes:
        name: Of the patient or file.
        hu: int16, (k, j, i).
        spacing: In mm along (k, j, i).
        shapes: Organs first, then structures made from the CT.
        folder: Where it is kept.
        predictions: Masks that a model gave of the organs, by label.
    """

    name: str
    hu: np.ndarray
    spacing: tuple[float, float, float]
    shapes: tuple[Shape, ...]
    folder: Path
    predictions: Mapping[int, tuple[Shape, ...]] = field(default_factory=dict)

    @property
    def organs(self) -> tuple[Shape, ...]:
        """The shapes that a label map holds."""
        return tuple(shape for shape in self.shapes if is_organ(shape))

    def predictions_of(self, shape: Shape) -> tuple[Shape, ...]:
        """What a model gave of an organ; nothing for other structures."""
        return self.predictions.get(_label_of(shape), ()) if is_organ(shape) else ()

    def __reduce__(self) -> tuple[Any, ...]:
        """For pickling: the arrays stay on disk."""
        return open_shaped, (self.folder,)


def is_organ(shape: Shape) -> bool:
    """Whether a label map holds it; else it was made from the CT."""
    return shape.kind.partition(" ")[0] == ORGAN


def organ_shape(label: int, mask: np.ndarray) -> Shape | None:
    """The shape of an organ's mask on the whole grid; None if it is too small to learn from."""
    return usable_shape(f"{ORGAN} {label}", mask)


def find_items(folder: Path) -> list[Item]:
    """CT below a folder, with label maps where there are any.

    Each subfolder with `ct.nii.gz` is a patient, whose label map is `organs.nii.gz` or
    `labels.nii.gz`; each other volume file of the folder itself is a CT without a label map.

    Raises:
        InputError: If there is neither.
    """
    if not folder.is_dir():
        raise InputError(
            tr("The data folder {folder} does not exist; check the spelling.").format(folder=folder)
        )
    items = []
    for image in sorted(folder.glob("*/ct.nii.gz")):
        labels = [image.parent / name for name in _LABEL_FILES]
        label = next((path for path in labels if path.is_file()), None)
        items.append(Item(image.parent.name, image, label))
    files = files_by_stem(folder)
    items += [Item(name, path, None) for name, path in files.items()]
    if not items:
        raise InputError(
            tr(
                "{folder} has neither subfolders with ct.nii.gz nor volume files such as .nii.gz."
            ).format(folder=folder)
        )
    return items


def read_hounsfield(item: Item) -> tuple[np.ndarray, tuple[float, float, float]]:
    """The CT of an item: int16 HU (k, j, i), and its spacing along these axes in mm.

    Values that are HU + 1024 are corrected.

    Raises:
        InputError: If the file cannot be used as a CT.
    """
    volume = read_volume(item.image, item.series)
    findings = judge_input(volume)
    refuse(findings)
    values = finite_values(volume.array)
    if _is_shifted(findings, values):
        log.info("%s: the values are HU + 1024, and were corrected", item.name)
        values = values.astype(np.float32) - 1024
    else:
        for finding in findings:
            log.info("%s: %s", item.name, finding.message)
    hu = np.clip(np.rint(values), _LOWEST_HU, _HIGHEST_HU).astype(np.int16)
    step_i, step_j, step_k = volume.geometry.spacing
    return hu, (step_k, step_j, step_i)


def read_labels(item: Item) -> np.ndarray:
    """The label map of an item on the grid of its CT, int (k, j, i).

    Raises:
        InputError: If there is none, or it is on another grid.
    """
    if item.label is None:
        raise InputError(tr("{item} has no label map.").format(item=item.name))
    image, labels = read_volume(item.image, item.series), read_volume(item.label, labels=True)
    if not image.geometry.matches(labels.geometry, _TOLERANCE_MM):
        raise InputError(
            tr(
                "The label map {item} is not on the grid of its CT {image}; resample it there."
            ).format(item=item.label, image=item.image)
        )
    return np.asarray(labels.array).astype(np.int32)


def shaped_volume(
    item: Item, cache: Path, check: Callable[[np.ndarray, str], None] | None = None
) -> ShapedVolume:
    """A CT with its organs and structures made from it; computed once and kept in the cache.

    An entry is made anew when its files change. Structures of a volume depend on its name and
    values only.

    Args:
        item: Files of the CT.
        cache: Folder for it.
        check: Called with HU and name, before structures are made and whenever the volume is
            opened; raises an error to refuse it.

    Raises:
        InputError: If a file cannot be used.
        OutputError: If the cache cannot be written.
    """
    entry = cache / f"{plain_name(item.name)}-{_digest(item)}"
    if not (entry / FACTS).is_file():
        hu, spacing = read_hounsfield(item)
        if check is not None:
            check(hu, item.name)
        labels = None if item.label is None else read_labels(item)
        shapes = [*_organs(labels), *made_shapes(hu, spacing, seed_of(item.name))]
        keep_shaped(entry, item.name, hu, spacing, shapes)
        log.info("%s: %d structures", item.name, len(shapes))
    volume = open_shaped(entry)
    if check is not None:
        check(volume.hu, volume.name)
    return volume


def keep_shaped(
    entry: Path, name: str, hu: np.ndarray, spacing: Sequence[float], shapes: Sequence[Shape]
) -> None:
    """Write the folder that `open_shaped` reads.

    Raises:
        OutputError: If it cannot be written.
    """

    def write(folder: Path) -> None:
        rows, bits = packed(shapes)
        facts = {"format": FORMAT, "name": name, "spacing": list(spacing), "shapes": rows}
        np.save(folder / _HU, hu)
        np.save(folder / _BITS, bits)
        (folder / FACTS).write_text(json.dumps(facts), encoding="utf-8")

    write_entry(entry, FACTS, name, write)


def keep_predictions(volume: ShapedVolume, shapes: Sequence[Shape]) -> ShapedVolume:
    """Keep what a model gave of the organs of a volume, from `organ_shape`; several an organ.

    Raises:
        OutputError: If it cannot be written.
    """

    def write(folder: Path) -> None:
        rows, bits = packed(shapes)
        np.save(folder / _BITS, bits)
        (folder / FACTS).write_text(json.dumps({"format": FORMAT, "shapes": rows}))

    write_entry(volume.folder / _PREDICTIONS, FACTS, volume.name, write)
    return open_shaped(volume.folder)


def has_predictions(volume: ShapedVolume) -> bool:
    """Whether `keep_predictions` was called, perhaps with nothing."""
    return (volume.folder / _PREDICTIONS / FACTS).is_file()


def open_shaped(folder: Path) -> ShapedVolume:
    """Open a folder of `keep_shaped`; arrays are memory-mapped.

    Raises:
        InputError: If it is damaged or of another version.
    """
    try:
        facts, shapes = _read(folder)
        predicted = folder / _PREDICTIONS
        predictions = _read(predicted)[1] if (predicted / FACTS).is_file() else ()
        hu = np.load(folder / _HU, mmap_mode="r", allow_pickle=False)
        step_k, step_j, step_i = (float(step) for step in facts["spacing"])
        by_label: dict[int, tuple[Shape, ...]] = {}
        for shape in predictions:
            label = _label_of(shape)
            by_label[label] = (*by_label.get(label, ()), shape)
        name = str(facts["name"])
    except (OSError, EOFError, KeyError, IndexError, TypeError, ValueError) as error:
        raise InputError(
            tr("{folder} is damaged ({error}); delete it to make it anew.").format(
                folder=folder, error=error
            )
        ) from error
    return ShapedVolume(name, hu, (step_k, step_j, step_i), shapes, folder, by_label)


def _read(folder: Path) -> tuple[dict[str, Any], tuple[Shape, ...]]:
    facts = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    if facts["format"] != FORMAT:
        raise ValueError(
            tr("its format is {format!r}, not {known}").format(format=facts["format"], known=FORMAT)
        )
    bits = np.load(folder / _BITS, mmap_mode="r", allow_pickle=False)
    return facts, tuple(unpacked(facts["shapes"], bits))


def open_all_shaped(cache: Path) -> list[ShapedVolume]:
    """All volumes of a cache folder, in the order of their names."""
    return [open_shaped(path.parent) for path in sorted(cache.glob(f"*/{FACTS}"))]


def seed_of(name: str) -> int:
    """A number that depends on a name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:6], "little")


def _organs(labels: np.ndarray | None) -> list[Shape]:
    if labels is None:
        return []
    numbers = np.unique(labels[labels > 0]).tolist()
    shapes = (organ_shape(number, labels == number) for number in numbers)
    return [shape for shape in shapes if shape is not None]


def _label_of(shape: Shape) -> int:
    return int(shape.kind.split()[1])


def _is_shifted(findings: Sequence[Finding], values: np.ndarray) -> bool:
    """Whether air is at 0 instead of −1000; the other kind of offset leaves hardly any tissue."""
    is_offset = any(finding.kind == "hu-offset" for finding in findings)
    return is_offset and float(np.mean(values > -200)) > 0.5


def _digest(item: Item) -> str:
    files = [file_state(path) for path in (item.image, item.label) if path is not None]
    content = json.dumps({"format": FORMAT, "name": item.name, "files": files}, sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:20]
