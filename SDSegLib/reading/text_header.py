"""What NRRD and MetaImage have in common: text headers that name the files of the voxels.

The voxels are read here and not by ITK, which does not notice missing or damaged bytes, takes 1 mm
for a spacing that it cannot parse, and crashes on some damaged headers. The tests compare both.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from ..errors import InputError
from ..language import tr
from ..processes.limits import expect_image, new_array
from ..volume.geometry import Geometry
from ..volume.volume import Volume
from .byte_stream import (
    ByteStream,
    Encoding,
    cut_short,
    fill_from_text,
    fill_voxels,
    most_unpacked,
    opened,
    shown,
)
from .values import KEPT_TYPES, with_kept_type

LARGEST_HEADER = 1 << 20
_MOST_FILES = 20_000
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_WHOLE = re.compile(r"[+-]?\d{1,10}")
_NOT_GIVEN = re.compile(r"none|\?+|[+-]?nan|[+-]?inf(inity)?", re.IGNORECASE)
_CONVERSION = re.compile(r"%(0?\d)?[di]")
_PATTERN = re.compile(
    r"(?P<pattern>.*%.*\S)\s+(?P<first>-?\d{1,9})\s+(?P<last>-?\d{1,9})\s+(?P<step>-?\d{1,9})"
    r"(\s+(?P<pieces>\d))?"
)
SAVE_AGAIN = tr("save it again, for example with 3D Slicer")
AXES_TAKEN = tr(
    "columns are taken to run to the patient's left, rows to the back and slices to the head"
)


@dataclass(frozen=True)
class StoredVoxels:
    """Where an image's voxels are, and how they are stored.

    Attributes:
        shape: Voxels along (k, j, i).
        dtype: Their type with the file's byte order.
        files: Files that hold equal parts of them, in the order of k.
        encoding: How each is packed.
        offset: First byte of the (packed) voxels in each file; −1 if they are at its end.
        skip: Unpacked bytes before the voxels.
        skipped_lines: Lines after the offset and before the voxels.
        packed_bytes: Size of the packed voxels according to the header.
    """

    shape: tuple[int, int, int]
    dtype: np.dtype
    files: tuple[Path, ...]
    encoding: Encoding = "raw"
    offset: int = 0
    skip: int = 0
    skipped_lines: int = 0
    packed_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class TextHeader:
    """A header after all checks.

    Attributes:
        geometry: The image's grid.
        voxels: Where its voxels are.
        notes: Remarks for the user.
    """

    geometry: Geometry
    voxels: StoredVoxels
    notes: list[str] = field(default_factory=list)

    def volume(self, path: Path, name: str) -> Volume:
        """Read the voxels.

        Raises:
            InputError: If there are fewer or more bytes than declared, or they are damaged; without
                the path.
        """
        array, more_notes = read_voxels(self.voxels)
        return Volume(
            with_kept_type(array),
            self.geometry,
            name=name,
            source=path,
            notes=(*self.notes, *more_notes),
        )


def first_bytes(path: Path) -> bytes:
    """The beginning of a file, with its whole text header."""
    with opened(path) as file:
        return file.read(LARGEST_HEADER)


class Fields:
    """Entries of a text header by their names in small letters.

    Args:
        text: The header, without the voxels.
        separator: Between name and value.
        comment: What comment lines begin with; "" if there are none.

    Raises:
        InputError: If a field is given twice, or a line is none.
    """

    def __init__(self, text: bytes, separator: str, comment: str = "") -> None:
        self._values: dict[str, str] = {}
        self._names: dict[str, str] = {}
        for line in text.decode("utf-8", "replace").splitlines():
            if not line.strip() or (comment and line.startswith(comment)):
                continue
            name, found, value = line.partition(separator)
            key = " ".join(name.lower().split())
            if not found:
                raise InputError(
                    tr("Its header is damaged (line '{value}'); {save_again}.").format(
                        value=shown(line.strip()), save_again=SAVE_AGAIN
                    )
                )
            if key in self._values:
                raise InputError(
                    tr("Its header gives '{value}' twice; {save_again}.").format(
                        value=shown(name.strip()), save_again=SAVE_AGAIN
                    )
                )
            self._values[key] = value.strip()
            self._names[key] = name.strip()

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def first(self, *names: str) -> tuple[str, str | None]:
        """Name, as it is written, and value of the first of some fields that is there."""
        found = next((name for name in names if name in self._values), names[0])
        return self._names.get(found, found), self._values.get(found)

    def text(self, *names: str) -> str:
        """Value of the first of some fields that is there; else ""."""
        return self.first(*names)[1] or ""


def bad_value(name: str, value: str) -> InputError:
    """The error for a field that cannot be understood."""
    return InputError(
        tr("Its header is damaged ({name} is {value}); {save_again}.").format(
            name=name, value=shown(value) or tr("empty"), save_again=SAVE_AGAIN
        )
    )


def whole_numbers(name: str, value: str) -> tuple[int, ...]:
    """The whole numbers of a field.

    Raises:
        InputError: If it is empty or holds something else.
    """
    words = value.split()
    if not words or not all(_WHOLE.fullmatch(word) for word in words):
        raise bad_value(name, value)
    return tuple(int(word) for word in words)


def numbers_or_none(name: str, value: str) -> tuple[float | None, ...]:
    """The numbers of a field; None where it says that there is none ("none", "nan", "?").

    Raises:
        InputError: If it is empty or holds something else.
    """
    words = value.replace(",", " ").split()
    if not words or not all(_NUMBER.fullmatch(w) or _NOT_GIVEN.fullmatch(w) for w in words):
        raise bad_value(name, value)
    return tuple(None if _NOT_GIVEN.fullmatch(word) else float(word) for word in words)


def given_numbers(name: str, value: str, count: int) -> tuple[float, ...]:
    """As many numbers.

    Raises:
        InputError: If there are more or fewer, or one is not given.
    """
    found = tuple(number for number in numbers_or_none(name, value) if number is not None)
    if len(found) != count or len(numbers_or_none(name, value)) != count:
        raise bad_value(name, value)
    return found


def data_files(header: Path, value: str, rest: Sequence[str], slices: int) -> tuple[Path, ...]:
    """The files that a header names: one, a list, or a pattern with its numbers.

    Args:
        header: The header's path; the files lie beside it.
        value: Value of the field.
        rest: Lines after it, which a list consists of.
        slices: Files that a list or pattern names, unless it says how large their pieces are.

    Raises:
        InputError: If a file is missing or is not a regular file, or there are more or fewer.
    """
    words = value.split()
    name_and_numbers = _PATTERN.fullmatch(value)
    if words and words[0].upper() == "LIST" and len(words) <= 2:
        names = [line.strip() for line in rest if line.strip()]
        is_sliced = len(words) == 1
    elif name_and_numbers is not None:
        names = _numbered(value, name_and_numbers)
        is_sliced = name_and_numbers["pieces"] is None
    else:
        names, is_sliced = [value], False
    if not 1 <= len(names) <= _MOST_FILES or not all(names):
        raise bad_value(tr("the name of its data file"), value)
    if is_sliced and len(names) != slices:
        raise InputError(
            tr(
                "Its header names {count} files of voxels for {slices} slices; {save_again}."
            ).format(count=len(names), slices=slices, save_again=SAVE_AGAIN)
        )
    files = tuple(header.parent / item for item in names)
    for file, item in zip(files, names, strict=True):
        _require_file(file, item)
    return files


def _numbered(value: str, match: re.Match[str]) -> list[str]:
    """File names of a pattern like "slice%03d.raw 1 20 1"."""
    pattern = match["pattern"]
    first, last, step = (int(match[name]) for name in ("first", "last", "step"))
    is_plain = pattern.count("%") == 1 and _CONVERSION.search(pattern) is not None
    if not is_plain or step == 0 or not 0 <= (last - first) // step < _MOST_FILES:
        raise bad_value(tr("the pattern of its data files"), value)
    return [pattern % number for number in range(first, last + (1 if step > 0 else -1), step)]


def _require_file(file: Path, name: str) -> None:
    try:
        exists, is_file = file.exists(), file.is_file()
    except (OSError, ValueError):  # a name that no file can have
        exists = is_file = False
    if not exists:
        raise InputError(
            tr("Its voxels are to be in '{name}' next to it, which is missing.").format(
                name=shown(name)
            )
        )
    if not is_file:
        raise InputError(
            tr(
                "Its voxels are to be in '{name}', which is a folder, pipe or device; give a "
                "header with its file of voxels."
            ).format(name=shown(name))
        )


def spatial_shape(sizes: Sequence[int], components: int) -> tuple[int, int, int]:
    """The shape (k, j, i) of an image with these sizes.

    Args:
        sizes: Voxels along each axis, the fastest first.
        components: Numbers per voxel.

    Raises:
        InputError: If it is not one 3-D image with one number per voxel.
    """
    size_text = " × ".join(str(extent) for extent in sizes)
    if min(sizes, default=0) < 1:
        raise InputError(
            tr("Its header is damaged (it gives the size as {size_text}); {save_again}.").format(
                size_text=size_text, save_again=SAVE_AGAIN
            )
        )
    if components != 1:
        raise InputError(
            tr(
                "It holds {components} numbers per voxel (colours, vectors, complex numbers or "
                "a time series); give an image with one number per voxel."
            ).format(components=components)
        )
    if len(sizes) < 3:
        raise InputError(
            tr("It is a {count}-D image of {size_text} pixels; give a whole volume.").format(
                count=len(sizes), size_text=size_text
            )
        )
    if max(sizes[3:], default=1) > 1:
        raise InputError(
            tr(
                "It is a {count}-D image of {size_text}; save the one 3-D frame that is to be "
                "segmented as a file of its own."
            ).format(count=len(sizes), size_text=size_text)
        )
    return (sizes[2], sizes[1], sizes[0])


def grid(shape: tuple[int, int, int], columns: np.ndarray, origin: np.ndarray) -> Geometry:
    """The grid of index vectors (3×3, one column each, LPS mm) and the first voxel's centre.

    Raises:
        InputError: If a vector is zero or not a number.
    """
    affine = np.eye(4)
    affine[:3, :3] = columns
    affine[:3, 3] = origin
    return Geometry.from_affine_lps(shape, affine)


def read_voxels(stored: StoredVoxels) -> tuple[np.ndarray, list[str]]:
    """The voxels in this machine's byte order, and notes.

    Raises:
        InputError: If there are fewer or more bytes than declared, or they are damaged; the message
            lacks the path.
    """
    kind, native = stored.dtype, stored.dtype.newbyteorder("=")
    voxels = math.prod(stored.shape)
    is_kept = native.name in KEPT_TYPES
    _refuse_too_few(stored, voxels * kind.itemsize // len(stored.files))
    expect_image(voxels * kind.itemsize, voxels * (kind.itemsize if is_kept else 4))
    array = new_array(stored.shape, kind) if is_kept else np.empty(stored.shape, kind)
    if len(array.reshape(-1)) % len(stored.files):
        raise InputError(
            tr(
                "Its {count} files of voxels cannot hold {voxels:,} voxels in equal parts; "
                "{save_again}."
            ).format(count=len(stored.files), voxels=voxels, save_again=SAVE_AGAIN)
        )
    parts = array.reshape(len(stored.files), -1)
    notes: list[str] = []
    for path, part in zip(stored.files, parts, strict=True):
        for note in _read_file(stored, path, part):
            if note not in notes:
                notes.append(note)
    if kind != native:
        array = array.byteswap(inplace=True).view(native)
    return array, notes


def _read_file(stored: StoredVoxels, path: Path, part: np.ndarray) -> list[str]:
    """Fill `part`; the notes."""
    slice_bytes = stored.dtype.itemsize * stored.shape[1] * stored.shape[2]
    with opened(path) as file:
        start = _start(stored, file, part.nbytes)
        stream = ByteStream(file, stored.encoding)
        stream.skip(stored.skip)
        if stored.encoding == "text":
            fill_from_text(stream, part)
        else:
            fill_voxels(stream, part, slice_bytes)
        packed = None if stream.end is None else stream.end - start
    if stored.packed_bytes not in (None, packed):
        raise InputError(
            tr(
                "Its header gives the packed voxels as {packed_bytes:,} bytes, and they are "
                "{packed:,}; one of both is damaged. Fetch it again."
            ).format(packed_bytes=stored.packed_bytes, packed=packed or 0)
        )
    return stream.notes


def _start(stored: StoredVoxels, file: BinaryIO, size: int) -> int:
    """Go to the first byte of the voxels."""
    if stored.offset < 0:
        return file.seek(max(0, file.seek(0, os.SEEK_END) - size))
    position = file.seek(stored.offset)
    for _ in range(stored.skipped_lines):
        block = file.read(LARGEST_HEADER)
        end = block.find(b"\n")
        if end < 0:
            raise InputError(
                tr(
                    "Its header skips {skipped_lines} lines before the voxels, and there are "
                    "fewer; {save_again}."
                ).format(skipped_lines=stored.skipped_lines, save_again=SAVE_AGAIN)
            )
        position = file.seek(position + end + 1)
    return position


def _refuse_too_few(stored: StoredVoxels, size: int) -> None:
    """Refuse a file that cannot hold its part, before there is memory for it.

    Raises:
        InputError: Naming both sizes.
    """
    if stored.encoding in ("text", "hex"):
        size = max(1, size // stored.dtype.itemsize)  # at least a digit for each number
    for path in stored.files:
        there = max(0, path.stat().st_size - max(0, stored.offset))
        found = most_unpacked(there, stored.encoding) - stored.skip
        if found < size:
            raise cut_short(max(0, found), size)
