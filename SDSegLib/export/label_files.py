"""Label files and the names that stand in them: `.seg.nrrd`, DICOM Segmentations, and others."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingPackageError
from ..processes.guard import call_guarded
from ..reading.dicom_headers import starts_like_dicom
from ..reading.files import read_volume
from ..reading.nrrd import check_nrrd
from ..reading.silence import silent_libraries
from ..volume.as_json import volume_from_json, volume_to_json
from ..volume.geometry import Geometry
from ..volume.structure import ANATOMICAL_STRUCTURE, Code, Structure
from ..volume.volume import Volume

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
_LONGEST_HEADER = 2**24
_BEGINNING = 4096
_FIELD = re.compile(r"Segment(\d+)_(Name|LabelValue|Layer|Tags):=(.*)")
_TERMINOLOGY = re.compile(r"TerminologyEntry:([^|]*)")
_GREY = (128, 174, 128)
_UNKNOWN = Code("99SDSEG", "Unknown", "Unknown")


@dataclass(frozen=True)
class _Segment:
    """A segment of a `.seg.nrrd` file: its structure (label = value in its layer) and its layer."""

    structure: Structure
    layer: int


def structures_in(path: Path) -> tuple[Structure, ...]:
    """The structures that a label file names, by their values in it; () if it names none.

    Only headers are read. The segments of a file with several layers, which can overlap, are
    numbered 1 … N as `read_label_file` does.

    Raises:
        InputError: If a DICOM Segmentation is damaged.
        MissingPackageError: For DICOM without the package highdicom.
    """
    with path.open("rb") as file:
        start = file.read(_BEGINNING)
    if start.startswith(b"NRRD"):
        segments = _segments(path)
        if _is_layered(segments):
            return tuple(
                replace(item.structure, label=number)
                for number, item in enumerate(segments, start=1)
            )
        return tuple(item.structure for item in segments)
    if starts_like_dicom(start) and SEGMENTATION_STORAGE.encode() in start:
        found = call_guarded(f"{__name__}:dicom_structures", path).values
        return tuple(Structure.from_json(item) for item in found)
    return ()


def read_label_file(path: Path) -> Volume:
    """The values of a label file on its grid; see `structures_in` for their meaning.

    Raises:
        InputError: If it cannot be read.
        MissingPackageError: For DICOM Segmentations without the package highdicom.
    """
    with path.open("rb") as file:
        start = file.read(_BEGINNING)
    if starts_like_dicom(start) and SEGMENTATION_STORAGE.encode() in start:
        return _read_guarded("dicom_labels", path)
    if start.startswith(b"NRRD") and _is_layered(_segments(path)):
        return _read_guarded("flattened_layers", path)
    return read_volume(path, labels=True)


def _read_guarded(function: str, path: Path) -> Volume:
    """What one of the functions below gives, called in a child process."""
    answer = call_guarded(f"{__name__}:{function}", path)
    return volume_from_json(answer.values, answer.arrays["labels"])


# --- Called in a child process: plain values and arrays -------------------------------------------


def dicom_structures(source: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The structures of a DICOM Segmentation."""
    with silent_libraries():
        return [item.to_json() for item in _structures_of(_dicom_segmentation(source))], {}


def dicom_labels(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of a DICOM Segmentation."""
    with silent_libraries():
        found = _dicom_labels(source)
    return volume_to_json(found), {"labels": found.array}


def flattened_layers(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of a `.seg.nrrd` file with several layers."""
    found = _flattened(source, _segments(source))
    return volume_to_json(found), {"labels": found.array}


# --- .seg.nrrd ------------------------------------------------------------------------------------


def _segments(path: Path) -> list[_Segment]:
    with path.open("rb") as file:
        header = file.read(_LONGEST_HEADER).split(b"\n\n", 1)[0].replace(b"\r", b"")
    fields: dict[int, dict[str, str]] = {}
    for line in header.decode("utf-8", errors="replace").splitlines():
        found = _FIELD.fullmatch(line)
        if found is not None:
            fields.setdefault(int(found[1]), {})[found[2]] = found[3]
    return [_segment(facts) for _, facts in sorted(fields.items()) if facts.get("Name")]


def _segment(facts: dict[str, str]) -> _Segment:
    entry = _TERMINOLOGY.search(facts.get("Tags", ""))
    parts = [*(entry[1].split("~") if entry else ()), "", "", "", ""]
    category, kind, modifier = (_code(text) for text in parts[1:4])
    structure = Structure(
        label=_whole(facts.get("LabelValue", "1")),
        name=facts["Name"].strip(),
        color=_GREY,
        type=kind or _UNKNOWN,
        category=category or ANATOMICAL_STRUCTURE,
        modifier=modifier,
    )
    return _Segment(structure, _whole(facts.get("Layer", "0")))


def _whole(text: str) -> int:
    return int(text) if text.strip().isdecimal() and len(text) < 6 else 0


def _code(text: str) -> Code | None:
    """One "scheme^value^meaning" of a terminology entry; None if it is empty."""
    scheme, value, meaning = [*text.split("^"), "", "", ""][:3]
    return Code(scheme, value, meaning) if scheme and value else None


def _is_layered(segments: list[_Segment]) -> bool:
    return any(item.layer for item in segments)


def _flattened(path: Path, segments: list[_Segment]) -> Volume:
    """Labels 1 … N of a file with layers; where segments overlap, the last one is seen."""
    import SimpleITK as sitk

    try:
        check_nrrd(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(f"{path} is damaged or not a segmentation; export it again.") from error
    layers = sitk.GetArrayFromImage(image)
    if layers.ndim != 4 or len(segments) > 255:
        raise InputError(f"{path} is damaged or not a segmentation; export it again.")
    labels = np.zeros(layers.shape[:3], np.uint8)
    hidden = set()
    for number, item in enumerate(segments, start=1):
        if item.layer >= layers.shape[3]:
            raise InputError(f"{path} lacks the layer {item.layer} that its header names.")
        mask = layers[..., item.layer] == item.structure.label
        hidden |= {int(value) for value in np.unique(labels[mask])} - {0}
        labels[mask] = number
    i, j, k = image.GetSize()
    geometry = Geometry(
        (k, j, i),
        image.GetSpacing(),
        image.GetOrigin(),
        np.reshape(image.GetDirection(), (3, 3)),
    )
    notes = _overlap_note([segments[number - 1].structure.name for number in sorted(hidden)])
    return Volume(labels, geometry, name=path.name, source=path, notes=notes)


def _overlap_note(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    return (
        f"Structures overlap, and a voxel counts for one only: parts of {', '.join(names)} are "
        "hidden by others.",
    )


# --- DICOM ----------------------------------------------------------------------------------------


def _dicom_segmentation(path: Path) -> Any:
    try:
        import highdicom
    except ModuleNotFoundError as error:
        raise MissingPackageError("highdicom", "dicom", "Reading DICOM Segmentations") from error
    try:
        return highdicom.seg.segread(path)
    except (AttributeError, LookupError, OSError, RuntimeError, TypeError, ValueError) as error:
        raise _unusable(path) from error


def _structures_of(segmentation: Any) -> tuple[Structure, ...]:
    found = []
    for number in segmentation.segment_numbers:
        description = segmentation.get_segment_description(number)
        kind = description.SegmentedPropertyTypeCodeSequence[0]
        modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence") or [None]
        found.append(
            Structure(
                label=int(number),
                name=str(description.segment_label),
                color=_GREY,
                type=_concept(kind) or _UNKNOWN,
                category=_concept(description.SegmentedPropertyCategoryCodeSequence[0])
                or ANATOMICAL_STRUCTURE,
                modifier=None if modifiers[0] is None else _concept(modifiers[0]),
            )
        )
    return tuple(found)


def _concept(item: Any) -> Code | None:
    scheme, value = item.get("CodingSchemeDesignator"), item.get("CodeValue")
    meaning = item.get("CodeMeaning")
    return Code(str(scheme), str(value), str(meaning or "")) if scheme and value else None


def _dicom_labels(path: Path) -> Volume:
    segmentation = _dicom_segmentation(path)
    notes: tuple[str, ...] = ()
    try:
        try:
            found = segmentation.get_volume(combine_segments=True, dtype=np.uint8)
        except RuntimeError:  # they overlap
            found = segmentation.get_volume(
                combine_segments=True, dtype=np.uint8, skip_overlap_checks=True
            )
            notes = ("Structures overlap, and a voxel counts for one only.",)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise _unusable(path) from error
    k, j, i = found.array.shape
    affine = np.array(found.affine)[:, [2, 1, 0, 3]]
    geometry = Geometry.from_affine_lps((k, j, i), affine)
    return Volume(found.array, geometry, name=path.name, source=path, notes=notes)


def _unusable(path: Path) -> InputError:
    return InputError(
        f"{path} is damaged, or no DICOM Segmentation of regularly spaced slices; export it again."
    )
