"""MetaImage files (.mha, .mhd): the header, and where the voxels are.

Fields are read as ITK and 3D Slicer do, whose library defines the format.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.geometry import Geometry
from ..volume.volume import Volume
from .byte_stream import shown
from .text_header import (
    AXES_TAKEN,
    SAVE_AGAIN,
    Fields,
    StoredVoxels,
    TextHeader,
    bad_value,
    data_files,
    first_bytes,
    given_numbers,
    grid,
    numbers_or_none,
    spatial_shape,
    whole_numbers,
)

_LAST_FIELD = re.compile(rb"(?m)^\s*ElementDataFile\s*=[^\n]*(\n|\Z)")
_TYPES = {
    "MET_CHAR": "int8",
    "MET_UCHAR": "uint8",
    "MET_SHORT": "int16",
    "MET_USHORT": "uint16",
    "MET_INT": "int32",
    "MET_UINT": "uint32",
    "MET_LONG": "int32",
    "MET_ULONG": "uint32",
    "MET_LONG_LONG": "int64",
    "MET_ULONG_LONG": "uint64",
    "MET_FLOAT": "float32",
    "MET_DOUBLE": "float64",
}
_DIMENSIONS = ("2", "3", "4", "5")
_POSITIONS = ("offset", "position", "origin")
_AXES = ("transformmatrix", "rotation", "orientation")
_BYTE_ORDER = ("binarydatabyteordermsb", "elementbyteordermsb")


def read_metaimage(path: Path, name: str) -> Volume:
    """Read one 3-D image; with the arguments and errors of `nrrd.read_nrrd`."""
    return _header(path).volume(path, name)


def _header(path: Path) -> TextHeader:
    head = first_bytes(path)
    last = _LAST_FIELD.search(head)
    if last is None:
        raise InputError(
            tr("Its header does not name its voxels (ElementDataFile); {save_again}.").format(
                save_again=SAVE_AGAIN
            )
        )
    fields = Fields(head[: last.end()], "=")
    sizes = _sizes(fields)
    kind = fields.text("objecttype") or "Image"
    if kind.lower() != "image":
        raise InputError(
            tr("It holds no image but a {kind}; give an image.").format(kind=shown(kind))
        )
    channels = fields.text("elementnumberofchannels") or "1"
    components = whole_numbers("ElementNumberOfChannels", channels)[0]
    shape = spatial_shape(sizes, components)
    geometry, notes = _grid(fields, shape, len(sizes))
    listed = head[last.end() :].decode("utf-8", "replace").splitlines()
    return TextHeader(geometry, _voxels(path, fields, shape, last.end(), listed, sizes[-1]), notes)


def _sizes(fields: Fields) -> tuple[int, ...]:
    dimension, text = fields.text("ndims"), fields.text("dimsize")
    sizes = text.split()
    is_plain = all(size.isdecimal() and len(size) <= 10 for size in sizes)
    if dimension not in _DIMENSIONS or len(sizes) != int(dimension) or not is_plain:
        raise InputError(
            tr(
                "Its header is damaged (NDims is {dimension}, DimSize is {text}); {save_again}."
            ).format(dimension=shown(dimension), text=shown(text), save_again=SAVE_AGAIN)
        )
    return tuple(int(size) for size in sizes)


def _grid(
    fields: Fields, shape: tuple[int, int, int], dimension: int
) -> tuple[Geometry, list[str]]:
    notes = []
    name, text = fields.first("elementspacing", "elementsize")
    if text is None:
        raise InputError(tr("Its header gives no voxel spacing; add the line 'ElementSpacing'."))
    found = numbers_or_none(name, text)
    spacing = [value for value in found[:3] if value is not None]
    if len(found) != dimension or len(spacing) != 3:
        raise InputError(
            tr(
                "Its header gives no voxel spacing (ElementSpacing is {text}); correct it or "
                "export the image again."
            ).format(text=shown(text))
        )
    columns = np.eye(3)
    name, text = fields.first(*_AXES)
    if text is None:
        notes.append(
            tr("The MetaImage header has no 'TransformMatrix'; {axes_taken}.").format(
                axes_taken=AXES_TAKEN
            )
        )
    else:
        matrix = np.array(given_numbers(name, text, dimension**2)).reshape(dimension, dimension)
        columns = matrix[:3, :3].T
    lengths = np.linalg.norm(columns, axis=0)
    if not np.allclose(lengths[lengths > 0], 1.0, rtol=0.01):
        notes.append(
            tr(
                "The axes in the MetaImage header (TransformMatrix) are not of length 1, as they "
                "should be; their lengths are ignored."
            )
        )
    columns = columns / np.where(lengths > 0, lengths, 1.0)
    origin = _origin(fields, dimension, notes)
    unit = fields.text("distanceunits")
    if unit.lower() not in ("", "mm", "?"):
        notes.append(
            tr(
                "The MetaImage header gives lengths in {unit}, which are taken as mm, as 3D "
                "Slicer does."
            ).format(unit=shown(unit))
        )
    return grid(shape, columns * np.array(spacing), origin), notes


def _origin(fields: Fields, dimension: int, notes: list[str]) -> np.ndarray:
    name, text = fields.first(*_POSITIONS)
    if text is not None:
        found = numbers_or_none(name, text)
        known = [value for value in found[:3] if value is not None]
        if len(known) == 3 and len(found) == dimension:
            return np.array(known)
        if len(known) == len(found):
            raise bad_value(name, text)
    notes.append(
        tr(
            "The MetaImage header gives no position (Offset); the first voxel is taken to lie at "
            "0, 0, 0 mm."
        )
    )
    return np.zeros(3)


def _voxels(
    path: Path,
    fields: Fields,
    shape: tuple[int, int, int],
    end: int,
    listed: list[str],
    slices: int,
) -> StoredVoxels:
    type_name = fields.text("elementtype")
    if type_name not in _TYPES:
        raise bad_value("ElementType", type_name)
    dtype = np.dtype(_TYPES[type_name])
    dtype = dtype.newbyteorder(">" if _flag(fields, *_BYTE_ORDER) else "<")
    is_packed = _flag(fields, "compresseddata")
    if not _flag(fields, "binarydata", default=True):
        raise InputError(
            tr("Its voxels are written as text (BinaryData is False); {save_again}.").format(
                save_again=SAVE_AGAIN
            )
        )
    data = fields.text("elementdatafile")
    is_local = data.lower() == "local"
    files = (path,) if is_local else data_files(path, data, listed, slices)
    name, size = fields.first("compresseddatasize")
    if is_packed and size is None and is_local:
        raise InputError(
            tr(
                "Its header does not give the size of its packed voxels (CompressedDataSize); "
                "{save_again}."
            ).format(save_again=SAVE_AGAIN)
        )
    header = whole_numbers("HeaderSize", fields.text("headersize") or "0")[0]
    if header < -1 or (header and (is_local or is_packed)):
        raise bad_value("HeaderSize", str(header))
    if int(fields.text("headersizeperslice") or "0"):
        raise bad_value("HeaderSizePerSlice", fields.text("headersizeperslice"))
    packed_bytes = None
    if is_packed and size is not None and len(files) == 1:
        packed_bytes = whole_numbers(name, size)[0]
    return StoredVoxels(
        shape=shape,
        dtype=dtype,
        files=files,
        encoding="zlib" if is_packed else "raw",
        offset=end if is_local else header,
        packed_bytes=packed_bytes,
    )


def _flag(fields: Fields, *names: str, default: bool = False) -> bool:
    name, value = fields.first(*names)
    if value is None:
        return default
    if value.lower() not in ("true", "false", "1", "0"):
        raise bad_value(name, value)
    return value.lower() in ("true", "1")
