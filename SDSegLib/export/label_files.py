"""Label files and the names that stand in them.

`.seg.nrrd`, DICOM Segmentations and structure sets, folders of masks, 3D Slicer scenes, and label
maps without names.
"""

from __future__ import annotations

import re
import sqlite3
import struct
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import InputError, MissingPackageError
from ..language import tr
from ..processes.guard import call_guarded
from ..reading.dicom_headers import SEGMENTATION_STORAGE, starts_like_dicom
from ..reading.files import beginning_of, read_volume
from ..reading.mask_folder import mask_files, read_masks
from ..reading.nrrd import check_nrrd
from ..reading.silence import silent_libraries
from ..untrusted import plain, shown
from ..volume.as_json import (
    geometry_from_json,
    geometry_to_json,
    volume_from_json,
    volume_to_json,
)
from ..volume.geometry import Geometry
from ..volume.layers import LayeredLabels
from ..volume.straighten import straightened
from ..volume.structure import ANATOMICAL_STRUCTURE, LONGEST_NAME, Code, Structure
from ..volume.structure_names import plain_words
from ..volume.volume import Volume

SCENE_SUFFIX = ".mrb"
STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
Kind = Literal["masks", "scene", "segmentation", "structure set", "nrrd", "other"]
_LONGEST_HEADER = 2**24
_HIGHEST_LABEL = 255
_FIELD = re.compile(r"Segment(\d{1,9})_(Name|Color|LabelValue|Layer|Tags):=(.*)")
_FRACTION = re.compile(r"[01]?\.?\d{0,20}(?<=\d)")
_TERMINOLOGY = re.compile(r"TerminologyEntry:([^|]*)")
_GREY = (128, 174, 128)
_UNKNOWN = Code("99SDSEG", "Unknown", "Unknown")
_DICOM_DAMAGES = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    EOFError,
    LookupError,
    OSError,
    RuntimeError,
    TypeError,
    ValueError,
    sqlite3.Error,  # highdicom keeps tables of the frames
    struct.error,
    zlib.error,
)


@dataclass(frozen=True)
class _Segment:
    """A segment of a `.seg.nrrd` file: its structure (label = value in its layer) and its layer."""

    structure: Structure
    layer: int


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
        return _structures_in_nrrd(path)
    if kind == "other":
        return ()
    if kind == "structure set":
        return _numbered(call_guarded(f"{__name__}:structure_set_names", path).values)
    function = "scene_structures" if kind == "scene" else "dicom_structures"
    found = call_guarded(f"{__name__}:{function}", path).values
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
        wanted: Values of the structures that are needed, so that others need not be read; None for
            all. Only folders of masks and structure sets leave the others out.
        image: Folder of the CT that a structure set was drawn on, whose grid it gets.
        series: Series of that folder, if it holds several.

    Raises:
        InputError: If it cannot be read.
        MissingPackageError: For DICOM Segmentations without the package highdicom.
    """
    kind = kind_of(path)
    chosen = None if wanted is None else sorted(wanted)
    if kind == "masks":
        return _read_guarded("masks_of_folder", path, wanted=chosen)
    if kind == "structure set":
        if image is None:
            raise InputError(
                tr(
                    "{path} is a structure set, which has no voxels of its own; give the folder "
                    "with its CT as the data set 'dicom'."
                ).format(path=path)
            )
        return _read_guarded(
            "structure_set_labels", path, image=str(image), series=series, wanted=chosen
        )
    if kind == "scene":
        return _read_guarded("scene_labels", path)
    if kind == "segmentation":
        return _read_guarded("dicom_labels", path)
    if kind == "nrrd" and _is_layered(_segments(path)):
        return _read_guarded("flattened_layers", path)
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
    own, start = structures_in(path), beginning_of(path)
    if _is_dicom_segmentation(start):
        return _guarded_layers("dicom_layers", path, own)
    if own and start.startswith(b"NRRD"):
        segments = _segments(path)
        if _is_layered(segments):
            return _guarded_layers("nrrd_layers", path, own)
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


def whole_numbers(path: Path, array: np.ndarray) -> np.ndarray:
    """A label map as uint8.

    Raises:
        InputError: If it holds other values than 0 … 255.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InputError(
            tr("{path} holds NaN or infinity, not labels; save whole numbers.").format(path=path)
        )
    low, high = array.min(), array.max()
    if low < 0 or high > _HIGHEST_LABEL:
        raise InputError(
            tr(
                "{path} holds values from {low:g} to {high:g}; labels are 0 to {highest_label}. "
                "Is it the mask?"
            ).format(path=path, low=low, high=high, highest_label=_HIGHEST_LABEL)
        )
    labels = array.astype(np.uint8)
    if array.dtype.kind == "f" and not np.array_equal(labels, array):
        raise InputError(
            tr("{path} holds fractions, not labels; save whole numbers.").format(path=path)
        )
    return labels


def _guarded_layers(function: str, path: Path, structures: tuple[Structure, ...]) -> LayeredLabels:
    """Layers that one of the functions below gives, called in a child process."""
    answer = call_guarded(f"{__name__}:{function}", path)
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
        Structure(number, name, _GREY, _UNKNOWN) for number, name in enumerate(names, start=1)
    )


def _structures_in_nrrd(path: Path) -> tuple[Structure, ...]:
    segments = _segments(path)
    _refuse_unusable_values(path, segments)
    if _is_layered(segments):
        return tuple(
            replace(item.structure, label=number) for number, item in enumerate(segments, start=1)
        )
    return tuple(item.structure for item in segments)


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
    return _read_guarded("dicom_segment", path, number=number)


def _is_dicom_segmentation(start: bytes) -> bool:
    return starts_like_dicom(start) and SEGMENTATION_STORAGE.encode() in start


def _read_guarded(function: str, path: Path, **parameters: Any) -> Volume:
    """What one of the functions below gives, called in a child process."""
    answer = call_guarded(f"{__name__}:{function}", path, **parameters)
    return volume_from_json(answer.values, answer.arrays["labels"])


# --- Called in a child process: plain values and arrays -------------------------------------------


def dicom_structures(source: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The structures of a DICOM Segmentation."""
    with silent_libraries():
        return [item.to_json() for item in _structures_of(_dicom_segmentation(source), source)], {}


def dicom_labels(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of a DICOM Segmentation."""
    with silent_libraries():
        found = _dicom_labels(source)
    return volume_to_json(found), {"labels": found.array}


def dicom_segment(source: Path, number: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of one segment of a DICOM Segmentation."""
    with silent_libraries():
        segmentation = _dicom_segmentation(source)
        found = _volume_of(segmentation, source, (number,), skip_overlap_checks=True)
    return volume_to_json(found), {"labels": (found.array > 0).astype(np.uint8)}


def flattened_layers(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of a `.seg.nrrd` file with several layers."""
    found = _flattened(source, _segments(source))
    return volume_to_json(found), {"labels": found.array}


def nrrd_layers(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The layers of a `.seg.nrrd` file, with labels 1 … N, on a straight grid."""
    segments = _segments(source)
    stored, geometry = _stored_layers(source, segments)
    layers = []
    for index in range(stored.shape[3]):
        table = np.zeros(256, np.uint8)
        for number, item in enumerate(segments, start=1):
            if item.layer == index:
                table[item.structure.label] = number
        layers.append(table[whole_numbers(source, stored[..., index])])
    return _layers_answer(layers, geometry)


def dicom_layers(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The segments of a DICOM Segmentation in as few layers as they need."""
    with silent_libraries():
        segmentation = _dicom_segmentation(source)
        layers: list[np.ndarray] = []
        with _refuse_unusable(source):
            try:
                found = segmentation.get_volume(combine_segments=True, dtype=np.uint8)
                layers.append(found.array)
            except RuntimeError:  # they overlap
                segmentation = _dicom_segmentation(source)  # the error leaves its tables locked
                for number in segmentation.segment_numbers:
                    found = segmentation.get_volume(segment_numbers=[int(number)], dtype=np.uint8)
                    _lay(found.array[..., 0] > 0, int(number), layers)
            geometry = _geometry_of(found)
    return _layers_answer(layers, geometry)


def _lay(mask: np.ndarray, label: int, layers: list[np.ndarray]) -> None:
    """Put a mask into the first layer that is free where it lies, or into a new one."""
    for layer in layers:
        if not layer[mask].any():
            break
    else:
        layer = np.zeros(mask.shape, np.uint8)
        layers.append(layer)
    layer[mask] = label


def _layers_answer(
    layers: list[np.ndarray], geometry: Geometry
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    straight = [straightened(Volume(layer, geometry), labels=True) for layer in layers]
    arrays = np.stack([volume.array for volume in straight])
    return geometry_to_json(straight[0].geometry), {"layers": arrays}


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
        found = _structures_in_nrrd(file)
    if not found:
        raise InputError(tr("{source}: Its segmentation has no segments.").format(source=source))
    return [item.to_json() for item in found], {}


def scene_labels(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of the segmentation in a 3D Slicer scene."""
    from ..reading.slicer_scene import scene_segmentation
    from ..reading.volume_files import read_volume_here

    with scene_segmentation(source) as file:
        segments = _segments(file)
        layered = _is_layered(segments)
        found = _flattened(file, segments) if layered else read_volume_here(file, labels=True)
    found = replace(found, name=source.name, source=source)
    return volume_to_json(found), {"labels": found.array}


def _with_overlaps(
    found: Volume, hidden: list[str]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    found = replace(found, notes=(*found.notes, *_overlap_note(hidden)))
    return volume_to_json(found), {"labels": found.array}


# --- .seg.nrrd ------------------------------------------------------------------------------------


def _segments(path: Path) -> list[_Segment]:
    try:
        with path.open("rb") as file:
            header = file.read(_LONGEST_HEADER).split(b"\n\n", 1)[0].replace(b"\r", b"")
    except OSError as error:  # removed by another program meanwhile
        raise InputError(
            tr("{path} cannot be read ({reason}); check whether it is still there.").format(
                path=path, reason=error.strerror or error
            )
        ) from error
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
        name=plain(facts["Name"].strip())[:LONGEST_NAME],
        color=_color(facts.get("Color", "")),
        type=kind or _UNKNOWN,
        category=category or ANATOMICAL_STRUCTURE,
        modifier=modifier,
    )
    return _Segment(structure, _whole(facts.get("Layer", "0")))


def _color(text: str) -> tuple[int, int, int]:
    """Red, green and blue from a text such as "0.9 0.6 0"; grey if it is something else."""
    parts = text.split()
    if len(parts) != 3 or not all(_FRACTION.fullmatch(part) for part in parts):
        return _GREY
    red, green, blue = (min(255, round(255 * float(part))) for part in parts)
    return (red, green, blue)


def _whole(text: str) -> int:
    return int(text) if text.strip().isdecimal() and len(text) < 6 else 0


def _code(text: str) -> Code | None:
    """One "scheme^value^meaning" of a terminology entry; None if it is empty."""
    parts = [plain(part)[:LONGEST_NAME] for part in text.split("^")]
    scheme, value, meaning = [*parts, "", "", ""][:3]
    return Code(scheme, value, meaning) if scheme and value else None


def _is_layered(segments: list[_Segment]) -> bool:
    return any(item.layer for item in segments)


def _flattened(path: Path, segments: list[_Segment]) -> Volume:
    """Labels 1 … N of a file with layers; where segments overlap, the last one is seen."""
    layers, geometry = _stored_layers(path, segments)
    labels = np.zeros(layers.shape[:3], np.uint8)
    hidden = set()
    for number, item in enumerate(segments, start=1):
        mask = layers[..., item.layer] == item.structure.label
        hidden |= {int(value) for value in np.unique(labels[mask])} - {0}
        labels[mask] = number
    notes = _overlap_note([segments[number - 1].structure.name for number in sorted(hidden)])
    return Volume(labels, geometry, name=path.name, source=path, notes=notes)


def _stored_layers(path: Path, segments: list[_Segment]) -> tuple[np.ndarray, Geometry]:
    """The values (k, j, i, layer) of a file with layers, and its grid."""
    import SimpleITK as sitk

    try:
        check_nrrd(path)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise InputError(
            tr("{path} is damaged or not a segmentation; export it again.").format(path=path)
        ) from error
    layers = sitk.GetArrayFromImage(image)
    if layers.ndim != 4 or len(segments) > _HIGHEST_LABEL:
        raise InputError(
            tr("{path} is damaged or not a segmentation; export it again.").format(path=path)
        )
    _refuse_unusable_values(path, segments)
    lacking = [item.layer for item in segments if item.layer >= layers.shape[3]]
    if lacking:
        raise InputError(
            tr("{path} lacks the layer {lacking} that its header names.").format(
                path=path, lacking=lacking[0]
            )
        )
    i, j, k = image.GetSize()
    geometry = Geometry(
        (k, j, i),
        image.GetSpacing(),
        image.GetOrigin(),
        np.reshape(image.GetDirection(), (3, 3)),
    )
    return layers, geometry


def _refuse_unusable_values(path: Path, segments: list[_Segment]) -> None:
    """Raise `InputError` if a segment's voxels cannot be told from those of others."""
    if len(segments) > _HIGHEST_LABEL:
        raise InputError(
            tr("{path} names {count} segments; up to {highest_label} can be read.").format(
                path=path, count=len(segments), highest_label=_HIGHEST_LABEL
            )
        )
    values = [(item.layer, item.structure.label) for item in segments]
    for item, value in zip(segments, values, strict=True):
        if not 0 < item.structure.label <= _HIGHEST_LABEL or values.count(value) > 1:
            raise InputError(
                tr(
                    "{path} is damaged: the segment {structure!r} has the label value "
                    "{structure_label}, which is not one of 1 to {highest_label} of its own; "
                    "export it again."
                ).format(
                    path=path,
                    structure=item.structure.name,
                    structure_label=item.structure.label,
                    highest_label=_HIGHEST_LABEL,
                )
            )


def _overlap_note(names: list[str]) -> tuple[str, ...]:
    if not names:
        return ()
    return (
        tr(
            "Structures overlap, and a voxel counts for one only: parts of {names} are hidden "
            "by others."
        ).format(names=", ".join(names)),
    )


# --- DICOM ----------------------------------------------------------------------------------------


def _dicom_segmentation(path: Path) -> Any:
    try:
        import highdicom
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "highdicom", "dicom", tr("Reading DICOM Segmentations")
        ) from error
    with _refuse_unusable(path):
        segmentation = highdicom.seg.segread(path)
        _refuse_other_pixels(segmentation, path)
    return segmentation


@contextmanager
def _refuse_unusable(path: Path) -> Iterator[None]:
    """Convert all exceptions of pydicom and highdicom on damaged files to `InputError`."""
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        yield
    except (*_DICOM_DAMAGES, BytesLengthException, InvalidDicomError) as error:
        raise _unusable(path) from error


def _refuse_other_pixels(segmentation: Any, path: Path) -> None:
    """Raise `InputError` if there are fewer or more pixels than rows, columns and frames say."""
    if segmentation.file_meta.TransferSyntaxUID.is_encapsulated:
        return
    pixels = segmentation.Rows * segmentation.Columns * int(segmentation.NumberOfFrames)
    expected = (pixels * segmentation.BitsAllocated + 7) // 8
    if len(segmentation.PixelData) not in (expected, expected + expected % 2):
        raise InputError(
            tr(
                "{path} is damaged or cut short: it has {count} bytes of pixels where "
                "{expected} are announced; export it again."
            ).format(path=path, count=len(segmentation.PixelData), expected=expected)
        )


def _structures_of(segmentation: Any, path: Path) -> tuple[Structure, ...]:
    with _refuse_unusable(path):
        found = tuple(
            _structure_of(int(number), segmentation.get_segment_description(number))
            for number in segmentation.segment_numbers
        )
    labels = [item.label for item in found]
    if not labels or len({*labels}) < len(labels) or not 0 < min(labels) <= max(labels) <= 255:
        raise InputError(
            tr(
                "{path} numbers its segments {labels}; they have to be different numbers from 1 "
                "to {highest_label}. Export it again."
            ).format(path=path, labels=shown(labels), highest_label=_HIGHEST_LABEL)
        )
    return found


def _structure_of(number: int, description: Any) -> Structure:
    kind = description.SegmentedPropertyTypeCodeSequence[0]
    modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence") or [None]
    return Structure(
        label=number,
        name=plain(str(description.segment_label))[:LONGEST_NAME],
        color=_dicom_color(description),
        type=_concept(kind) or _UNKNOWN,
        category=_concept(description.SegmentedPropertyCategoryCodeSequence[0])
        or ANATOMICAL_STRUCTURE,
        modifier=None if modifiers[0] is None else _concept(modifiers[0]),
    )


def _dicom_color(description: Any) -> tuple[int, int, int]:
    """The recommended colour of a segment; grey if there is none."""
    from highdicom.color import CIELabColor

    value = description.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return _GREY
    red, green, blue = CIELabColor.from_dicom_value(list(value)).to_rgb(clip=True)
    return round(red), round(green), round(blue)


def _concept(item: Any) -> Code | None:
    keywords = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")
    texts = [plain(str(item.get(keyword) or ""))[:LONGEST_NAME] for keyword in keywords]
    return Code(*texts) if texts[0] and texts[1] else None


def _dicom_labels(path: Path) -> Volume:
    """Labels by segment number; where segments overlap, the last one is seen."""
    segmentation = _dicom_segmentation(path)
    numbers = tuple(item.label for item in _structures_of(segmentation, path))
    try:
        found = _volume_of(segmentation, path, numbers)
    except _OverlapError:
        segmentation = _dicom_segmentation(path)  # highdicom's tables of the file stay half made
        found = _volume_of(segmentation, path, numbers, skip_overlap_checks=True)
    else:
        return found
    seen = np.bincount(found.array.ravel(), minlength=256)
    hidden = []
    for item in _structures_of(segmentation, path):
        whole = _volume_of(segmentation, path, (item.label,), skip_overlap_checks=True)
        if np.count_nonzero(whole.array) > seen[item.label]:
            hidden.append(item.name)
    return replace(found, notes=_overlap_note(hidden))


class _OverlapError(Exception):
    """Segments overlap, or highdicom says so."""


def _volume_of(
    segmentation: Any, path: Path, numbers: tuple[int, ...], skip_overlap_checks: bool = False
) -> Volume:
    with _refuse_unusable(path):
        try:
            found = segmentation.get_volume(
                segment_numbers=numbers,
                combine_segments=True,
                dtype=np.uint8,
                skip_overlap_checks=skip_overlap_checks,
            )
        except RuntimeError as error:
            if skip_overlap_checks:
                raise
            raise _OverlapError from error
        return Volume(found.array, _geometry_of(found), name=path.name, source=path)


def _geometry_of(found: Any) -> Geometry:
    """The grid of a volume of highdicom, whose axes are those of its array."""
    k, j, i = found.array.shape[:3]
    affine = np.array(found.affine)[:, [2, 1, 0, 3]]
    return Geometry.from_affine_lps((k, j, i), affine)


def _unusable(path: Path) -> InputError:
    return InputError(
        tr(
            "{path} is damaged, or no DICOM Segmentation of regularly spaced slices; export it "
            "again."
        ).format(path=path)
    )
