"""Label files and the names that stand in them.

`.seg.nrrd`, DICOM Segmentations and structure sets, folders of masks, 3D Slicer scenes, and label
maps without names.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError
from ..language import tr
from ..processes.guard import call_guarded
from ..reading.dicom_headers import SEGMENTATION_STORAGE, starts_like_dicom
from ..reading.files import beginning_of, read_volume
from ..reading.mask_folder import mask_files, read_masks
from ..volume.as_json import (
    geometry_from_json,
    volume_from_json,
    volume_to_json,
)
from ..volume.layers import LayeredLabels
from ..volume.structure import Structure
from ..volume.structure_names import plain_words
from ..volume.volume import Volume
from .label_values import GREY, UNKNOWN, overlap_note, whole_numbers
from .seg_nrrd_labels import flattened, is_layered, nrrd_segments, structures_in_nrrd

SCENE_SUFFIX = ".mrb"
STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
_DICOM = f"{__package__}.dicom_seg_labels"
_NRRD = f"{__package__}.seg_nrrd_labels"
Kind = Literal["masks", "scene", "segmentation", "structure set", "nrrd", "other"]


def structures_in(path: Path) -> tuple[Structure, ...]:
    """The structures that a label file names, by their values in it; () if it names none.

    Only headers are read. The masks of a folder, the structures of a structure set, and the
    segments of a file with several layers, which can overlap, are numbered 1 … N as
    `read_label_file` does.

    Raises:
        InputError: If the file cannot be opened, or a DICOM file or a scene is damaged.
        MissingPackageError: For DICOM Segmentations without the package highdicom.
    """
    kind = kind_of(path)
    if kind == "masks":
        return _numbered(plain_words(stem) for stem in mask_files(path))
    if kind == "nrrd":
        return structures_in_nrrd(path)
    if kind == "other":
        return ()
    if kind == "structure set":
        return _numbered(call_guarded(f"{__name__}:structure_set_names", path).values)
    in_scene, in_dicom = f"{__name__}:scene_structures", f"{_DICOM}:dicom_structures"
    function = in_scene if kind == "scene" else in_dicom
    found = call_guarded(function, path).values
    return tuple(Structure.from_json(item) for item in found)


def read_label_file(
    path: Path,
    wanted: Collection[int] | None = None,
    image: Path | None = None,
    series: str | None = None,
) -> Volume:
    """The values of a label file on its grid; see `structures_in` for their meaning.

    Args:
        path: A file, or a folder of masks.
        wanted: Values of the structures that are needed, so that others neither need to be read
            nor hide them; None for all. Files whose structures cannot overlap hold the others too,
            and so do those without any that is needed, but for structure sets.
        image: Folder of the CT that a structure set was drawn on, whose grid it gets.
        series: Series of that folder, if it holds several.

    Raises:
        InputError: If it cannot be read.
        MissingPackageError: For DICOM Segmentations without the package highdicom.
    """
    kind = kind_of(path)
    chosen = None if wanted is None else sorted(wanted)
    needed = chosen or None
    if kind == "masks":
        return _read_guarded(f"{__name__}:masks_of_folder", path, wanted=needed)
    if kind == "structure set":
        if image is None:
            raise InputError(
                tr(
                    "{path} is a structure set, which has no voxels of its own; give the folder "
                    "with its CT as the data set 'dicom'."
                ).format(path=path)
            )
        return _read_guarded(
            f"{__name__}:structure_set_labels", path, image=str(image), series=series, wanted=chosen
        )
    if kind == "scene":
        return _read_guarded(f"{__name__}:scene_labels", path, wanted=needed)
    if kind == "segmentation":
        return _read_guarded(f"{_DICOM}:dicom_labels", path, wanted=needed)
    if kind == "nrrd" and is_layered(nrrd_segments(path)):
        return _read_guarded(f"{_NRRD}:flattened_layers", path, wanted=needed)
    return read_volume(path, labels=True)


def read_layers(path: Path, names: Sequence[Structure] = ()) -> LayeredLabels:
    """All structures of a label file on its own grid, also where they overlap.

    Args:
        path: A label map, a `.seg.nrrd` file or a DICOM Segmentation.
        names: What the numbers mean in a file that names no structures. Numbers that are not
            among them are left out, with a note.

    Returns:
        The structures in the order of the file; those of a file with several layers, and of a
        DICOM Segmentation, are numbered 1 … N.

    Raises:
        InputError: If the file cannot be read, holds other values than labels, or no names are
            known for its numbers.
        MissingPackageError: For DICOM Segmentations without the package highdicom.
    """
    if path.is_dir():
        raise InputError(
            tr("{path} is a folder; give the file of the segmentation in it.").format(path=path)
        )
    if kind_of(path) == "structure set":
        raise InputError(
            tr(
                "{path} is a structure set (RTSTRUCT), whose contours are read only from a folder "
                "of plans (--dataset dicom of teach, train and evaluate). Save it as .seg.nrrd, in "
                "3D Slicer for example, and give that file."
            ).format(path=path)
        )
    own, start = structures_in(path), beginning_of(path)
    if _is_dicom_segmentation(start):
        return _guarded_layers(f"{_DICOM}:dicom_layers", path, own)
    if own and start.startswith(b"NRRD"):
        segments = nrrd_segments(path)
        if is_layered(segments):
            return _guarded_layers(f"{_NRRD}:nrrd_layers", path, own)
    volume = read_volume(path, labels=True)
    labels = whole_numbers(path, volume.array)
    known = own or tuple(names)
    if not known:
        raise InputError(
            tr(
                "{path} holds numbers without names; say what they mean with --names FILE, a "
                'JSON file like {{"1": "Liver", "2": "Spleen"}}.'
            ).format(path=path)
        )
    return _with_known(path, labels, volume, known)


def _with_known(
    path: Path, labels: np.ndarray, volume: Volume, known: Sequence[Structure]
) -> LayeredLabels:
    """A label map without the numbers that are not known."""
    named = {item.label for item in known}
    found = np.flatnonzero(np.bincount(labels.ravel(), minlength=256)).tolist()
    others = [value for value in found if value and value not in named]
    notes = volume.notes
    if others:
        shown = ", ".join(map(str, others[:6])) + (", …" if len(others) > 6 else "")
        notes = (
            *notes,
            tr("{path} holds labels without names, which are left out: {names}.").format(
                path=path.name, names=shown
            ),
        )
        labels = np.where(np.isin(labels, others), 0, labels).astype(np.uint8)
    return LayeredLabels((labels,), volume.geometry, tuple(known), notes)


def _guarded_layers(function: str, path: Path, structures: tuple[Structure, ...]) -> LayeredLabels:
    """Layers that a function gives, called in a child process."""
    answer = call_guarded(function, path)
    layers = tuple(answer.arrays["layers"])
    return LayeredLabels(layers, geometry_from_json(answer.values), structures)


def kind_of(path: Path) -> Kind:
    """What kind of label file it is, by its first bytes."""
    if path.is_dir():
        return "masks"
    start = beginning_of(path)
    if start.startswith(b"NRRD"):
        return "nrrd"
    if starts_like_dicom(start):
        if STRUCTURE_SET_STORAGE.encode() in start:
            return "structure set"
        return "segmentation" if _is_dicom_segmentation(start) else "other"
    return "scene" if path.name.lower().endswith(SCENE_SUFFIX) else "other"


def _numbered(names: Iterable[str]) -> tuple[Structure, ...]:
    """Structures 1 … N of which only the names are known."""
    return tuple(
        Structure(number, name, GREY, UNKNOWN) for number, name in enumerate(names, start=1)
    )


def is_dicom_segmentation(path: Path) -> bool:
    """Whether a file starts like a DICOM Segmentation.

    Raises:
        InputError: If it cannot be opened.
    """
    return _is_dicom_segmentation(beginning_of(path))


def read_segment(path: Path, number: int) -> Volume:
    """One segment of a DICOM Segmentation, also where others overlap it: 1 inside, on its grid.

    Raises:
        InputError: If it cannot be read.
        MissingPackageError: Without the package highdicom.
    """
    return _read_guarded(f"{_DICOM}:dicom_segment", path, number=number)


def _is_dicom_segmentation(start: bytes) -> bool:
    return starts_like_dicom(start) and SEGMENTATION_STORAGE.encode() in start


def _read_guarded(function: str, path: Path, **parameters: Any) -> Volume:
    """What a function gives, called in a child process."""
    answer = call_guarded(function, path, **parameters)
    return volume_from_json(answer.values, answer.arrays["labels"])


# --- Called in a child process: plain values and arrays -------------------------------------------


def structure_set_names(source: Path) -> tuple[list[str], dict[str, np.ndarray]]:
    """Names of the structures of a structure set."""
    from ..reading.rtstruct import roi_names

    return roi_names(source), {}


def structure_set_labels(
    source: Path, image: str, series: str | None, wanted: list[int] | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Structures of a structure set on the voxels of its CT."""
    from ..reading.rtstruct import read_contours

    return _with_overlaps(*read_contours(source, Path(image), series, wanted))


def masks_of_folder(
    source: Path, wanted: list[int] | None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Masks of a folder."""
    found, hidden = read_masks(source, wanted)
    return _with_overlaps(found, [plain_words(stem) for stem in hidden])


def scene_structures(source: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The structures of the segmentation in a 3D Slicer scene."""
    from ..reading.slicer_scene import scene_segmentation

    with scene_segmentation(source) as file:
        found = structures_in_nrrd(file)
    if not found:
        raise InputError(tr("{source}: Its segmentation has no segments.").format(source=source))
    return [item.to_json() for item in found], {}


def scene_labels(
    source: Path, wanted: list[int] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of the segmentation in a 3D Slicer scene."""
    from ..reading.slicer_scene import scene_segmentation
    from ..reading.volume_files import read_volume_here

    with scene_segmentation(source) as file:
        segments = nrrd_segments(file)
        layered = is_layered(segments)
        found = (
            flattened(file, segments, wanted) if layered else read_volume_here(file, labels=True)
        )
    found = replace(found, name=source.name, source=source)
    return volume_to_json(found), {"labels": found.array}


def _with_overlaps(
    found: Volume, hidden: list[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    found = replace(found, notes=(*found.notes, *overlap_note(hidden)))
    return volume_to_json(found), {"labels": found.array}
