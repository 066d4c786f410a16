"""Segments of a DICOM Segmentation, read with highdicom (DICOM PS3.3, A.51).

The functions without an underscore are called in a child process and give plain values and arrays.
"""

from __future__ import annotations

import sqlite3
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError, MissingPackageError
from ..language import tr
from ..reading.silence import silent_libraries
from ..untrusted import plain, shown
from ..volume.as_json import volume_to_json
from ..volume.geometry import Geometry
from ..volume.structure import ANATOMICAL_STRUCTURE, LONGEST_NAME, Code, Structure
from ..volume.volume import Volume
from .label_values import GREY, HIGHEST_LABEL, UNKNOWN, layers_answer, overlap_note

_DAMAGES = (
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


def dicom_structures(source: Path) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """The structures of a DICOM Segmentation."""
    with silent_libraries():
        return [item.to_json() for item in _structures_of(_dicom_segmentation(source), source)], {}


def dicom_labels(
    source: Path, wanted: list[int] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of a DICOM Segmentation, or of some of its segments."""
    with silent_libraries():
        found = _dicom_labels(source, wanted)
    return volume_to_json(found), {"labels": found.array}


def dicom_segment(source: Path, number: int) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of one segment of a DICOM Segmentation."""
    with silent_libraries():
        segmentation = _dicom_segmentation(source)
        found = _volume_of(segmentation, source, (number,), skip_overlap_checks=True)
    return volume_to_json(found), {"labels": (found.array > 0).astype(np.uint8)}


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
    return layers_answer(layers, geometry)


def _lay(mask: np.ndarray, label: int, layers: list[np.ndarray]) -> None:
    """Put a mask into the first layer that is free where it lies, or into a new one."""
    for layer in layers:
        if not layer[mask].any():
            break
    else:
        layer = np.zeros(mask.shape, np.uint8)
        layers.append(layer)
    layer[mask] = label


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
    except (*_DAMAGES, BytesLengthException, InvalidDicomError) as error:
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
            ).format(path=path, labels=shown(labels), highest_label=HIGHEST_LABEL)
        )
    return found


def _structure_of(number: int, description: Any) -> Structure:
    kind = description.SegmentedPropertyTypeCodeSequence[0]
    modifiers = kind.get("SegmentedPropertyTypeModifierCodeSequence") or [None]
    return Structure(
        label=number,
        name=plain(str(description.segment_label))[:LONGEST_NAME],
        color=_dicom_color(description),
        type=_concept(kind) or UNKNOWN,
        category=_concept(description.SegmentedPropertyCategoryCodeSequence[0])
        or ANATOMICAL_STRUCTURE,
        modifier=None if modifiers[0] is None else _concept(modifiers[0]),
    )


def _dicom_color(description: Any) -> tuple[int, int, int]:
    """The recommended colour of a segment; grey if there is none."""
    from highdicom.color import CIELabColor

    value = description.get("RecommendedDisplayCIELabValue")
    if value is None or len(value) != 3:
        return GREY
    red, green, blue = CIELabColor.from_dicom_value(list(value)).to_rgb(clip=True)
    return round(red), round(green), round(blue)


def _concept(item: Any) -> Code | None:
    keywords = ("CodingSchemeDesignator", "CodeValue", "CodeMeaning")
    texts = [plain(str(item.get(keyword) or ""))[:LONGEST_NAME] for keyword in keywords]
    return Code(*texts) if texts[0] and texts[1] else None


def _dicom_labels(path: Path, wanted: list[int] | None) -> Volume:
    """Labels by segment number; where segments overlap, the last one is seen."""
    segmentation = _dicom_segmentation(path)
    structures = [
        item
        for item in _structures_of(segmentation, path)
        if wanted is None or item.label in wanted
    ]
    numbers = tuple(item.label for item in structures)
    try:
        found = _volume_of(segmentation, path, numbers)
    except _OverlapError:
        segmentation = _dicom_segmentation(path)  # highdicom's tables of the file stay half made
        found = _volume_of(segmentation, path, numbers, skip_overlap_checks=True)
    else:
        return found
    seen = np.bincount(found.array.ravel(), minlength=256)
    hidden = []
    for item in structures:
        whole = _volume_of(segmentation, path, (item.label,), skip_overlap_checks=True)
        if np.count_nonzero(whole.array) > seen[item.label]:
            hidden.append(item.name)
    return replace(found, notes=overlap_note(hidden))


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
