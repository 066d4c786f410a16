"""Segments of a `.seg.nrrd` file, as 3D Slicer writes it: its header, and its layers."""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..reading.nrrd import check_nrrd
from ..untrusted import plain
from ..volume.as_json import volume_to_json
from ..volume.geometry import Geometry
from ..volume.structure import ANATOMICAL_STRUCTURE, LONGEST_NAME, Code, Structure
from ..volume.volume import Volume
from .label_values import (
    GREY,
    HIGHEST_LABEL,
    UNKNOWN,
    layers_answer,
    overlap_note,
    whole_numbers,
)

_LONGEST_HEADER = 2**24
_FIELD = re.compile(r"Segment(\d{1,9})_(Name|Color|LabelValue|Layer|Tags):=(.*)")
_FRACTION = re.compile(r"[01]?\.?\d{0,20}(?<=\d)")
_TERMINOLOGY = re.compile(r"TerminologyEntry:([^|]*)")


@dataclass(frozen=True)
class NrrdSegment:
    """A segment of a `.seg.nrrd` file: its structure (label = value in its layer) and its layer."""

    structure: Structure
    layer: int


def structures_in_nrrd(path: Path) -> tuple[Structure, ...]:
    segments = nrrd_segments(path)
    _refuse_unusable_values(path, segments)
    if is_layered(segments):
        return tuple(
            replace(item.structure, label=number) for number, item in enumerate(segments, start=1)
        )
    return tuple(item.structure for item in segments)


def nrrd_segments(path: Path) -> list[NrrdSegment]:
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


def is_layered(segments: list[NrrdSegment]) -> bool:
    return any(item.layer for item in segments)


def flattened_layers(
    source: Path, wanted: list[int] | None = None
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The voxels of a `.seg.nrrd` file with several layers."""
    found = flattened(source, nrrd_segments(source), wanted)
    return volume_to_json(found), {"labels": found.array}


def nrrd_layers(source: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The layers of a `.seg.nrrd` file, with labels 1 … N, on a straight grid."""
    segments = nrrd_segments(source)
    stored, geometry = _stored_layers(source, segments)
    layers = []
    for index in range(stored.shape[3]):
        table = np.zeros(256, np.uint8)
        for number, item in enumerate(segments, start=1):
            if item.layer == index:
                table[item.structure.label] = number
        layers.append(table[whole_numbers(source, stored[..., index])])
    return layers_answer(layers, geometry)


def flattened(
    path: Path, segments: list[NrrdSegment], wanted: Collection[int] | None = None
) -> Volume:
    """Labels 1 … N of a file with layers; where segments overlap, the last one is seen.

    Args:
        path: The file.
        segments: All of its segments.
        wanted: Labels that are needed, which others shall not hide; None for all.
    """
    layers, geometry = _stored_layers(path, segments)
    labels = np.zeros(layers.shape[:3], np.uint8)
    hidden = set()
    for number, item in enumerate(segments, start=1):
        if wanted is not None and number not in wanted:
            continue
        mask = layers[..., item.layer] == item.structure.label
        hidden |= {int(value) for value in np.unique(labels[mask])} - {0}
        labels[mask] = number
    notes = overlap_note([segments[number - 1].structure.name for number in sorted(hidden)])
    return Volume(labels, geometry, name=path.name, source=path, notes=notes)


def _segment(facts: dict[str, str]) -> NrrdSegment:
    entry = _TERMINOLOGY.search(facts.get("Tags", ""))
    parts = [*(entry[1].split("~") if entry else ()), "", "", "", ""]
    category, kind, modifier = (_code(text) for text in parts[1:4])
    structure = Structure(
        label=_whole(facts.get("LabelValue", "1")),
        name=plain(facts["Name"].strip())[:LONGEST_NAME],
        color=_color(facts.get("Color", "")),
        type=kind or UNKNOWN,
        category=category or ANATOMICAL_STRUCTURE,
        modifier=modifier,
    )
    return NrrdSegment(structure, _whole(facts.get("Layer", "0")))


def _color(text: str) -> tuple[int, int, int]:
    """Red, green and blue from a text such as "0.9 0.6 0"; grey if it is something else."""
    parts = text.split()
    if len(parts) != 3 or not all(_FRACTION.fullmatch(part) for part in parts):
        return GREY
    red, green, blue = (min(255, round(255 * float(part))) for part in parts)
    return (red, green, blue)


def _whole(text: str) -> int:
    return int(text) if text.strip().isdecimal() and len(text) < 6 else 0


def _code(text: str) -> Code | None:
    """One "scheme^value^meaning" of a terminology entry; None if it is empty."""
    parts = [plain(part)[:LONGEST_NAME] for part in text.split("^")]
    scheme, value, meaning = [*parts, "", "", ""][:3]
    return Code(scheme, value, meaning) if scheme and value else None


def _stored_layers(path: Path, segments: list[NrrdSegment]) -> tuple[np.ndarray, Geometry]:
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
    if layers.ndim != 4 or len(segments) > HIGHEST_LABEL:
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


def _refuse_unusable_values(path: Path, segments: list[NrrdSegment]) -> None:
    """Raise `InputError` if a segment's voxels cannot be told from those of others."""
    if len(segments) > HIGHEST_LABEL:
        raise InputError(
            tr("{path} names {count} segments; up to {highest_label} can be read.").format(
                path=path, count=len(segments), highest_label=HIGHEST_LABEL
            )
        )
    values = [(item.layer, item.structure.label) for item in segments]
    for item, value in zip(segments, values, strict=True):
        if not 0 < item.structure.label <= HIGHEST_LABEL or values.count(value) > 1:
            raise InputError(
                tr(
                    "{path} is damaged: the segment {structure!r} has the label value "
                    "{structure_label}, which is not one of 1 to {highest_label} of its own; "
                    "export it again."
                ).format(
                    path=path,
                    structure=item.structure.name,
                    structure_label=item.structure.label,
                    highest_label=HIGHEST_LABEL,
                )
            )
