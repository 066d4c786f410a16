"""NRRD files (.nrrd, .nhdr): the header, and where the voxels are.

The format is described at https://teem.sourceforge.net/nrrd/format.html; positions are read as ITK
and 3D Slicer do.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.geometry import Geometry
from ..volume.volume import Volume
from .byte_stream import Encoding, shown
from .text_header import (
    AXES_TAKEN,
    SAVE_AGAIN,
    Fields,
    StoredVoxels,
    TextHeader,
    bad_value,
    data_files,
    first_bytes,
    grid,
    numbers_or_none,
    read_voxels,
    spatial_shape,
    whole_numbers,
)

_MAGIC = re.compile(rb"NRRD(0000|00\.01|000[1-6])\s*?\r?\n")
_TYPES = {
    "int8": ("signed char", "int8", "int8_t"),
    "uint8": ("uchar", "unsigned char", "uint8", "uint8_t"),
    "int16": ("short", "short int", "signed short", "signed short int", "int16", "int16_t"),
    "uint16": ("ushort", "unsigned short", "unsigned short int", "uint16", "uint16_t"),
    "int32": ("int", "signed int", "int32", "int32_t"),
    "uint32": ("uint", "unsigned int", "uint32", "uint32_t"),
    "int64": (
        "longlong", "long long", "long long int", "signed long long", "signed long long int",
        "int64", "int64_t",
    ),
    "uint64": (
        "ulonglong", "unsigned long long", "unsigned long long int", "uint64", "uint64_t",
    ),
    "float32": ("float",),
    "float64": ("double",),
}  # fmt: skip
_TYPE_OF = {name: number for number, names in _TYPES.items() for name in names}
_ENCODINGS: dict[str, Encoding] = {
    "raw": "raw",
    "gzip": "gzip",
    "gz": "gzip",
    "bzip2": "bzip2",
    "bz2": "bzip2",
    "txt": "text",
    "text": "text",
    "ascii": "text",
    "hex": "hex",
}
# LPS of each space's axes; None where they are not the patient's.
_SPACES: dict[str, tuple[int, int, int] | None] = {
    "left-posterior-superior": (1, 1, 1),
    "lps": (1, 1, 1),
    "left-posterior-superior-time": (1, 1, 1),
    "lpst": (1, 1, 1),
    "right-anterior-superior": (-1, -1, 1),
    "ras": (-1, -1, 1),
    "right-anterior-superior-time": (-1, -1, 1),
    "rast": (-1, -1, 1),
    "left-anterior-superior": (1, -1, 1),
    "las": (1, -1, 1),
    "left-anterior-superior-time": (1, -1, 1),
    "last": (1, -1, 1),
    "scanner-xyz": None,
    "scanner-xyz-time": None,
    "3d-right-handed": None,
    "3d-left-handed": None,
    "3d-right-handed-time": None,
    "3d-left-handed-time": None,
}
_FIELDS = {
    "content", "number", "type", "block size", "blocksize", "dimension", "space",
    "space dimension", "sizes", "spacings", "thicknesses", "axis mins", "axismins", "axis maxs",
    "axismaxs", "space directions", "centers", "centerings", "kinds", "labels", "units", "min",
    "max", "old min", "oldmin", "old max", "oldmax", "endian", "encoding", "line skip", "lineskip",
    "byte skip", "byteskip", "sample units", "sampleunits", "space units", "space origin",
    "measurement frame", "data file", "datafile",
}  # fmt: skip
_KINDS_ALONG_AN_AXIS = {"domain", "space", "time", "???", "none"}
_VECTOR = re.compile(r"none|\(([^()]*)\)")
_UNITS = {"mm", "millimeter", "millimeters", "???", ""}


def read_nrrd(path: Path, name: str) -> Volume:
    """Read one 3-D image.

    Args:
        path: The image, or its header if the voxels are in other files.
        name: Name of the volume.

    Raises:
        InputError: If the file is damaged or is not one single-channel 3-D image; the message
            lacks the path.
    """
    return _header(path).volume(path, name)


def check_nrrd(path: Path) -> None:
    """Read the header and the voxels of an image with any number of components, and forget them.

    Raises:
        InputError: If either is damaged; the message lacks the path.
    """
    fields, attached, rest = _parsed(path)
    axes = _Axes.of(fields)
    axes.grid(spatial_shape(axes.sizes, components=1))
    sizes = whole_numbers("sizes", fields.text("sizes"))
    read_voxels(_voxels(path, fields, (math.prod(sizes), 1, 1), attached, rest))


def _header(path: Path) -> TextHeader:
    fields, attached, rest = _parsed(path)
    axes = _Axes.of(fields)
    shape = spatial_shape(axes.sizes, axes.components)
    geometry, notes = axes.grid(shape)
    return TextHeader(geometry, _voxels(path, fields, shape, attached, rest), notes)


def _parsed(path: Path) -> tuple[_NrrdFields, int, list[str]]:
    """The fields, the position of attached voxels (−1 for none), and a list's data files."""
    head = first_bytes(path)
    magic = _MAGIC.match(head)
    if magic is None:
        raise InputError(
            tr("Its first line is not that of a NRRD file; {save_again}.").format(
                save_again=SAVE_AGAIN
            )
        )
    text, end, rest = _split(head[magic.end() :])
    return _NrrdFields(text), -1 if end < 0 else magic.end() + end, rest


def _split(text: bytes) -> tuple[bytes, int, list[str]]:
    """The fields, the position of attached voxels (−1 for none), and a list's data files."""
    listed = re.search(rb"(?im)^data ?file: *LIST\b[^\n]*\n", text)
    blank = re.search(rb"(?m)^\r?\n", text)
    if listed is not None and (blank is None or listed.start() < blank.start()):
        lines = text[listed.end() :].decode("utf-8", "replace").splitlines()
        return text[: listed.end()], -1, lines
    if blank is None:
        return text, -1, []
    return text[: blank.start()], blank.end(), []


class _NrrdFields(Fields):
    """The fields of a NRRD header, without its keys and comments.

    Raises:
        InputError: If a field does not exist in the format or a needed one is missing.
    """

    def __init__(self, text: bytes) -> None:
        lines = text.decode("utf-8", "replace").splitlines()
        fields = [line for line in lines if not re.match(r"[^:]*:=", line)]
        super().__init__("\n".join(fields).encode(), ":", comment="#")
        for name in self:
            if name not in _FIELDS:
                raise InputError(
                    tr(
                        "Its header is damaged ('{name}' is no field of NRRD); {save_again}."
                    ).format(name=shown(name), save_again=SAVE_AGAIN)
                )
        for name in ("type", "dimension", "sizes", "encoding"):
            if name not in self:
                raise InputError(
                    tr("Its header lacks the field '{name}'; {save_again}.").format(
                        name=name, save_again=SAVE_AGAIN
                    )
                )

    def words(self, *names: str) -> list[str]:
        """The words of a field, which may be quoted."""
        return [a or b for a, b in re.findall(r'"([^"]*)"|(\S+)', self.text(*names))]


@dataclass(frozen=True, eq=False)
class _Axes:
    """The axes of an image along which it has voxels.

    Attributes:
        sizes: Voxels along each, the fastest first.
        components: Numbers per voxel.
        indices: Which of the header's axes they are.
        fields: The header.
    """

    sizes: tuple[int, ...]
    components: int
    indices: tuple[int, ...]
    fields: _NrrdFields

    @classmethod
    def of(cls, fields: _NrrdFields) -> _Axes:
        sizes = whole_numbers("sizes", fields.text("sizes"))
        (dimension,) = whole_numbers("dimension", fields.text("dimension"))[:1]
        if dimension != len(sizes):
            raise InputError(
                tr(
                    "Its header is damaged (dimension is {dimension}, and sizes is {value}); "
                    "{save_again}."
                ).format(
                    dimension=dimension, value=shown(fields.text("sizes")), save_again=SAVE_AGAIN
                )
            )
        kinds = [kind.lower() for kind in fields.words("kinds")] or ["domain"] * dimension
        vectors = _vectors(fields) or [()] * dimension
        if len(kinds) != dimension or len(vectors) != dimension:
            raise InputError(
                tr(
                    "Its header is damaged: it has {dimension} axes, {count} kinds and "
                    "{vector_count} space directions; {save_again}."
                ).format(
                    dimension=dimension,
                    count=len(kinds),
                    vector_count=len(vectors),
                    save_again=SAVE_AGAIN,
                )
            )
        along = [
            axis
            for axis in range(dimension)
            if kinds[axis] in _KINDS_ALONG_AN_AXIS and vectors[axis] is not None
        ]
        others = [sizes[axis] for axis in range(dimension) if axis not in along]
        return cls(
            tuple(sizes[axis] for axis in along),
            int(np.prod(others, dtype=object)) if others else 1,
            tuple(along),
            fields,
        )

    def grid(self, shape: tuple[int, int, int]) -> tuple[Geometry, list[str]]:
        """The grid of the first three axes, and notes.

        Raises:
            InputError: If the spacing of one is not given.
        """
        fields = self.fields
        name = fields.text("space").lower()
        if name and name not in _SPACES:
            raise bad_value("space", fields.text("space"))
        to_lps = _SPACES.get(name)
        notes = []
        if to_lps is None:
            notes.append(
                tr("The NRRD header names no patient axes (field 'space'); {axes_taken}.").format(
                    axes_taken=AXES_TAKEN
                )
            )
        units = {unit.lower() for unit in fields.words("space units", "units")} - _UNITS
        if units:
            notes.append(
                tr(
                    "The NRRD header gives lengths in {value}, which are taken as mm, as 3D "
                    "Slicer does."
                ).format(value=shown(", ".join(sorted(units))))
            )
        vectors = _vectors(fields)
        if vectors is None:
            columns = np.diag(self._spacings())
        else:
            chosen = [vectors[axis] or () for axis in self.indices[:3]]
            columns = np.array([_three(vector, fields) for vector in chosen]).T
        origin = self._origin(columns, notes)
        flips = np.array(to_lps or (1, 1, 1), dtype=float)
        return grid(shape, columns * flips[:, None], origin * flips), notes

    def _spacings(self) -> list[float]:
        if "spacings" not in self.fields:
            raise InputError(
                tr("Its header gives no voxel spacing; add the line 'space directions'.")
            )
        text = self.fields.text("spacings")
        found = numbers_or_none("spacings", text)
        chosen = [found[axis] for axis in self.indices[:3] if axis < len(found)]
        known = [value for value in chosen if value is not None]
        if len(known) != 3:
            raise _no_spacing("spacings", text)
        return known

    def _origin(self, columns: np.ndarray, notes: list[str]) -> np.ndarray:
        """Centre of the first voxel in the header's space."""
        fields = self.fields
        text = fields.text("space origin")
        if text:
            match = _VECTOR.fullmatch(text)
            found = numbers_or_none("space origin", match[1]) if match and match[1] else ()
            known = [value for value in found[:3] if value is not None]
            if len(known) == 3:
                return np.array(known)
            if text.lower() != "none" and len(found) < 3:
                raise bad_value(tr("space origin"), text)
        mins = fields.text("axis mins", "axismins")
        if mins and "space directions" not in fields:
            ends = numbers_or_none("axis mins", mins)
            chosen = [ends[axis] for axis in self.indices[:3] if axis < len(ends)]
            known = [end for end in chosen if end is not None]
            centers = fields.words("centers", "centerings") or ["cell"] * len(ends)
            if len(known) == 3 and len(centers) == len(ends):
                is_cell = [centers[axis].lower() != "node" for axis in self.indices[:3]]
                return np.array(known) + np.diag(columns) * is_cell / 2
        notes.append(
            tr(
                "The NRRD header gives no position (field 'space origin'); the first voxel is "
                "taken to lie at 0, 0, 0 mm."
            )
        )
        return np.zeros(3)


def _vectors(fields: _NrrdFields) -> list[tuple[float | None, ...] | None] | None:
    """The vectors of 'space directions', None for an axis without; None if there is no field."""
    name = "space directions"
    if name not in fields:
        return None
    text = fields.text(name)
    if not text or _VECTOR.sub("", text).strip():
        raise bad_value(name, text)
    return [
        None if match[0] == "none" else numbers_or_none(name, match[1])
        for match in _VECTOR.finditer(text)
    ]


def _three(vector: tuple[float | None, ...], fields: _NrrdFields) -> list[float]:
    known = [value for value in vector[:3] if value is not None]
    if len(known) != 3:
        raise _no_spacing(tr("space directions"), fields.text(tr("space directions")))
    return known


def _no_spacing(name: str, text: str) -> InputError:
    return InputError(
        tr(
            "Its header gives no voxel spacing ({name} is {text}); correct it or export the "
            "image again."
        ).format(name=name, text=shown(text))
    )


def _voxels(
    path: Path,
    fields: _NrrdFields,
    shape: tuple[int, int, int],
    attached: int,
    listed: list[str],
) -> StoredVoxels:
    name = fields.text("type").lower()
    if name not in _TYPE_OF:
        raise bad_value("type", fields.text("type"))
    encoding = _ENCODINGS.get(fields.text("encoding").lower())
    if encoding is None:
        raise bad_value("encoding", fields.text("encoding"))
    dtype = np.dtype(_TYPE_OF[name])
    if dtype.itemsize > 1 and encoding != "text":
        order = fields.text("endian").lower()
        if order not in ("little", "big"):
            raise bad_value("endian", order)
        dtype = dtype.newbyteorder("<" if order == "little" else ">")
    data = fields.first("data file", "datafile")[1]
    slices = whole_numbers("sizes", fields.text("sizes"))[-1]
    files = (path,) if data is None else data_files(path, data, listed, slices)
    if data is None and attached < 0:
        raise InputError(tr("The file is cut short: it ends within its header. Fetch it again."))
    lines = _skip(fields, "line skip", "lineskip")
    skip = _skip(fields, "byte skip", "byteskip")
    if lines < 0 or skip < -1 or (skip == -1 and encoding != "raw"):
        raise bad_value(
            tr("byte skip"), tr("{skip}, and line skip {lines}").format(skip=skip, lines=lines)
        )
    offset = attached if data is None else 0
    return StoredVoxels(
        shape=shape,
        dtype=dtype,
        files=files,
        encoding=encoding,
        offset=-1 if skip < 0 else offset,
        skip=max(0, skip),
        skipped_lines=lines,
    )


def _skip(fields: _NrrdFields, *names: str) -> int:
    name, value = fields.first(*names)
    return 0 if value is None else whole_numbers(name, value)[0]
