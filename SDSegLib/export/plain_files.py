"""CT and segmentations in files that hold voxels, names and codes, and nothing of their source.

They are written with numpy alone, so a thread can do it, and also where slicer-core is not
installed. The same content gives the same bytes: compressed data hold no date and no file name.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import OutputError
from ..language import tr
from ..mrml.segments import terminology_string
from ..untrusted import plain
from ..volume.geometry import Geometry
from ..volume.layers import LayeredLabels
from ..volume.structure import LONGEST_NAME, Code, Structure
from ..volume.volume import Volume

_COMPRESSION = 1  # of zlib: the fastest
_LARGEST_SIZE = 32767
_NIFTI_HEADER = np.dtype(
    [
        ("sizeof_hdr", "<i4"), ("unused", "V36"), ("dim", "<i2", 8), ("intent", "V14"),
        ("datatype", "<i2"), ("bitpix", "<i2"), ("slice_start", "<i2"), ("pixdim", "<f4", 8),
        ("vox_offset", "<f4"), ("scl_slope", "<f4"), ("scl_inter", "<f4"), ("slice", "V3"),
        ("xyzt_units", "u1"), ("display_and_time", "V24"), ("texts", "V104"),
        ("qform_code", "<i2"), ("sform_code", "<i2"), ("quaternion", "V24"),
        ("srow", "<f4", (3, 4)), ("intent_name", "V16"), ("magic", "S4"), ("extension", "V4"),
    ]
)  # fmt: skip
_NIFTI_TYPES = {np.dtype(np.int16): 4, np.dtype(np.float32): 16}
_MILLIMETRES = 2
_RESERVED = str.maketrans(dict.fromkeys("|~^&;", " "))


def write_plain_ct(volume: Volume, path: Path) -> None:
    """Write a volume as `.nii.gz`, without any text in the header.

    Args:
        volume: int16 or float32; grids of any orientation.
        path: An existing file, which is replaced, or a new one.

    Raises:
        OutputError: If the format cannot hold as many voxels along an axis.
        OSError: If it cannot be written.
    """
    if max(volume.array.shape) > _LARGEST_SIZE:
        raise OutputError(
            tr(
                "The image has {shape} voxels along an axis; NIfTI files hold up to "
                "{largest_size}. Crop it."
            ).format(shape=max(volume.array.shape), largest_size=_LARGEST_SIZE)
        )
    with path.open("wb") as file, _compressed(file) as stream:
        stream.write(_nifti_header(volume))
        _write_planes(volume.array, stream)


def write_plain_segmentation(labels: LayeredLabels, path: Path) -> None:
    """Write structures as `.seg.nrrd`, with names, colours and codes, also where they overlap.

    Args:
        labels: With labels 1 … N.
        path: An existing file, which is replaced, or a new one.

    Raises:
        OSError: If it cannot be written.
    """
    lines = [
        "NRRD0004",
        "type: unsigned char",
        *_axes(labels.geometry, len(labels.layers)),
        "encoding: gzip",
        f"space origin: {_vector(labels.geometry.origin)}",
        *_segments(labels),
        "Segmentation_ContainedRepresentationNames:=Binary labelmap|",
        f"Segmentation_ConversionParameters:={_reference(labels.geometry)}",
        "Segmentation_MasterRepresentation:=Binary labelmap",
        "Segmentation_ReferenceImageExtentOffset:=0 0 0",
    ]
    with path.open("wb") as file:
        file.write("\n".join([*lines, "", ""]).encode("utf-8"))
        with _compressed(file) as stream:
            if len(labels.layers) == 1:
                _write_planes(labels.layers[0], stream)
            else:
                for planes in zip(*labels.layers, strict=True):
                    stream.write(np.stack(planes, axis=-1).tobytes())


def _nifti_header(volume: Volume) -> bytes:
    """The header of one 3-D image whose position is its sform; a qform cannot hold every grid."""
    header = np.zeros((), _NIFTI_HEADER)
    kind = volume.array.dtype
    header["sizeof_hdr"] = 348
    header["dim"] = [3, *volume.array.shape[::-1], 1, 1, 1, 1]
    header["datatype"], header["bitpix"] = _NIFTI_TYPES[kind], 8 * kind.itemsize
    header["pixdim"] = [1, *volume.geometry.spacing, 1, 1, 1, 1]
    header["vox_offset"] = _NIFTI_HEADER.itemsize
    header["scl_slope"] = 1
    header["xyzt_units"] = _MILLIMETRES
    header["sform_code"] = 1
    header["srow"] = volume.geometry.affine_ras[:3]
    header["magic"] = b"n+1"
    return header.tobytes()


@contextmanager
def _compressed(file: BinaryIO) -> Iterator[gzip.GzipFile]:
    with gzip.GzipFile("", "wb", _COMPRESSION, file, mtime=0) as stream:
        yield stream


def _write_planes(array: np.ndarray, stream: gzip.GzipFile) -> None:
    kind = array.dtype.newbyteorder("<")
    for plane in array:
        stream.write(np.ascontiguousarray(plane, dtype=kind).tobytes())


def _axes(geometry: Geometry, layers: int) -> list[str]:
    k, j, i = geometry.shape
    columns = (geometry.direction * np.asarray(geometry.spacing)).T
    directions = " ".join(_vector(column) for column in columns)
    several = layers > 1
    return [
        f"dimension: {4 if several else 3}",
        "space: left-posterior-superior",
        f"sizes: {f'{layers} ' if several else ''}{i} {j} {k}",
        f"space directions: {'none ' if several else ''}{directions}",
        f"kinds: {'list ' if several else ''}domain domain domain",
    ]


def _segments(labels: LayeredLabels) -> Iterator[str]:
    layer_of = labels.layer_of()
    extents = [_extent(layer) for layer in labels.layers]
    known: set[str] = set()
    for number, item in enumerate(map(plain_structure, labels.structures)):
        layer = layer_of.get(item.label, 0)
        key = f"Segment{number}"
        yield f"{key}_Color:={' '.join(f'{value / 255:.6g}' for value in item.color)}"
        yield f"{key}_ColorAutoGenerated:=0"
        yield f"{key}_Extent:={extents[layer]}"
        yield f"{key}_ID:={_unique_id(item, number, known)}"
        yield f"{key}_LabelValue:={item.label}"
        yield f"{key}_Layer:={layer}"
        yield f"{key}_Name:={item.name}"
        yield f"{key}_NameAutoGenerated:=0"
        yield f"{key}_Tags:=TerminologyEntry:{terminology_string(item)}|"


def _extent(layer: np.ndarray) -> str:
    """First and last index along i, j and k that hold something, as 3D Slicer writes it."""
    if not layer.any():
        return "0 -1 0 -1 0 -1"
    spans = []
    for others in ((0, 1), (0, 2), (1, 2)):
        used = np.flatnonzero(layer.any(axis=others))
        spans += [str(used[0]), str(used[-1])]
    return " ".join(spans)


def _unique_id(item: Structure, number: int, known: set[str]) -> str:
    wanted = item.id or f"segment-{number + 1}"
    if wanted in known:
        wanted = f"{wanted}-{number + 1}"
    known.add(wanted)
    return wanted


def _reference(geometry: Geometry) -> str:
    """The grid as the reference geometry that 3D Slicer edits segments on."""
    numbers = ";".join(f"{value:.17g}" for value in geometry.affine_ras.ravel())
    k, j, i = (n - 1 for n in geometry.shape)
    return f"Reference image geometry|{numbers};0;{i};0;{j};0;{k};|&"


def _vector(values: np.ndarray | tuple[float, float, float]) -> str:
    return f"({','.join(f'{float(value):.17g}' for value in values)})"


def plain_structure(item: Structure) -> Structure:
    """A structure with texts that a header can hold: one line each, without its separators."""
    return Structure(
        item.label,
        _line(item.name)[:LONGEST_NAME],
        item.color,
        type=_plain_code(item.type),
        category=_plain_code(item.category),
        modifier=None if item.modifier is None else _plain_code(item.modifier),
    )


def _plain_code(code: Code) -> Code:
    scheme, value, meaning = (
        _line(part).translate(_RESERVED)[:LONGEST_NAME]
        for part in (code.scheme, code.value, code.meaning)
    )
    return Code(scheme, value, meaning)


def _line(text: str) -> str:
    """A text that stays on one line of the header, in which a backslash begins an escape."""
    return plain(text).replace("\\", "/")
