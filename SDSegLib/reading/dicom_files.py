"""One DICOM file: chosen tags, read silently, with bounded memory and one sentence for any damage.

No sentence quotes a value of the header, which may be the patient's name.
"""

from __future__ import annotations

import errno
import io
import struct
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import InputError
from ..language import tr
from .silence import silent_libraries

if TYPE_CHECKING:
    from pydicom.dataset import Dataset, FileDataset

IMPLICIT_LITTLE_ENDIAN = "1.2.840.10008.1.2"
DEFLATED = "1.2.840.10008.1.2.1.99"
UNCOMPRESSED = (IMPLICIT_LITTLE_ENDIAN, "1.2.840.10008.1.2.1", DEFLATED, "1.2.840.10008.1.2.2")
RLE = "1.2.840.10008.1.2.5"
_EXPLICIT_LITTLE_ENDIAN = b"1.2.840.10008.1.2.1\0\0\0"  # as long as DEFLATED
_PIXEL_TAGS = (b"\xe0\x7f\x08\x00", b"\xe0\x7f\x09\x00", b"\xe0\x7f\x10\x00")
_PIXEL_TAGS_BIG_ENDIAN = (b"\x7f\xe0\x00\x08", b"\x7f\xe0\x00\x09", b"\x7f\xe0\x00\x10")
_PIXEL_TYPES = (b"OB", b"OW", b"OF", b"OD", b"UN")
_UNDEFINED_LENGTH = 0xFFFFFFFF
_META_START = 144  # after the preamble, "DICM" and the group length
_LONGEST_META = 2048
_LONGEST_HEADER = 1 << 25
# Bytes that one byte of a file can become at most; the last is for JPEG, which has no strict limit.
_LARGEST_DEFLATION, _LARGEST_RLE, _LARGEST_JPEG = 1032, 128, 10_000
_SMALL = 1 << 24


@dataclass(frozen=True, eq=False)
class DicomContent:
    """What was read of a file.

    Attributes:
        dataset: The tags that were asked for and are there, decoded when they are used first.
        syntax: UID of the transfer syntax; empty if the file names none.
        names_syntax: Whether the file has the tag that names the transfer syntax.
        pixel_bytes: Bytes of the pixel data that the file holds; None without pixels.
    """

    dataset: Dataset
    syntax: str
    names_syntax: bool
    pixel_bytes: int | None

    @property
    def most_pixel_bytes(self) -> int:
        """Upper limit of the size of the decoded pixels."""
        count = self.pixel_bytes or 0
        if self.syntax in UNCOMPRESSED or not self.syntax:
            return count
        if self.syntax == RLE:
            return count * _LARGEST_RLE
        return max(count * _LARGEST_JPEG, _SMALL)


def read_content(
    file: Path, keywords: tuple[str, ...] | None, most_bytes: int | None = None
) -> DicomContent:
    """Read some tags of a file.

    Args:
        file: A DICOM file, with or without preamble.
        keywords: Of the tags that are wanted, None for all.
        most_bytes: To read the pixels too, the bytes that the header announces, which limit how
            much a deflated file may hold; None to stop before the pixels.

    Raises:
        InputError: If it cannot be read as DICOM.
        OSError: If it cannot be opened.
    """
    from pydicom import dcmread

    with silent_libraries(), file.open("rb") as opened:
        stream, size = _unpacked(opened, file, most_bytes)
        with refuse_damaged(file, tr("its content")):
            dataset = dcmread(
                stream,
                stop_before_pixels=most_bytes is None,
                force=True,
                specific_tags=None if keywords is None else _tags(keywords),
            )
            syntax = dataset.file_meta.get("TransferSyntaxUID")
        pixels = _pixel_bytes(stream, size, dataset, file) if most_bytes is None else None
    is_deflated = size is not None
    return DicomContent(
        dataset=dataset,
        syntax=DEFLATED if is_deflated else str(syntax or "").strip(),
        names_syntax=syntax is not None,
        pixel_bytes=pixels,
    )


@cache
def _tags(keywords: tuple[str, ...]) -> list[int]:
    from pydicom.tag import Tag

    return [Tag(keyword) for keyword in keywords]


@contextmanager
def refuse_damaged(
    file: Path, part: str | Callable[[], str], with_reason: bool = False
) -> Iterator[None]:
    """Convert all exceptions of pydicom and of decoders on damaged files to `InputError`.

    Args:
        file: For the message.
        part: What is read, for the message, or a function that says it.
        with_reason: Whether the message quotes the library's; not for parts of headers that may
            contain the patient's data.
    """
    from pydicom.errors import BytesLengthException, InvalidDicomError

    try:
        yield
    except MemoryError as error:
        raise InputError(
            tr(
                "{file} does not fit into memory, or is damaged: {part} cannot be read; use a "
                "larger machine, or export it again."
            ).format(file=file, part=_said(part))
        ) from error
    except OSError as error:
        if error.errno not in (None, errno.EINVAL, errno.EOVERFLOW):
            raise
        raise _damaged(file, part, "") from error
    except (
        ArithmeticError,
        AssertionError,
        AttributeError,
        BufferError,
        BytesLengthException,
        EOFError,
        InvalidDicomError,
        LookupError,
        NotImplementedError,
        RuntimeError,
        TypeError,
        ValueError,
        struct.error,
        zlib.error,
    ) as error:
        raise _damaged(file, part, _first_line(error) if with_reason else "") from error


def _damaged(file: Path, part: str | Callable[[], str], reason: str) -> InputError:
    shown = f" ({reason})" if reason else ""
    return InputError(
        tr("{file} is damaged or cut short: {part} cannot be read{shown}; export it again.").format(
            file=file, part=_said(part), shown=shown
        )
    )


def _said(part: str | Callable[[], str]) -> str:
    return part if isinstance(part, str) else part()


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")


def _unpacked(opened: BinaryIO, file: Path, most_bytes: int | None) -> tuple[BinaryIO, int | None]:
    """A stream to parse, and the size of the inflated content; None for a file not deflated.

    pydicom would inflate the whole file, however much comes out of it.
    """
    start = opened.read(_LONGEST_META)
    opened.seek(0)
    if DEFLATED.encode() not in start or start[128:132] != b"DICM":
        return opened, None
    meta_end = _META_START + int.from_bytes(start[140:144], "little")
    meta = start[:meta_end]
    if meta_end > len(start) or DEFLATED.encode() not in meta:
        return opened, None
    opened.seek(meta_end)
    packed = opened.read()
    limit = _LONGEST_HEADER + (most_bytes or 0)
    with refuse_damaged(file, tr("its deflated content")):
        unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
        content = unpacking.decompress(packed, limit)
        is_whole = unpacking.eof
    if not is_whole and len(content) < limit:
        raise _damaged(file, tr("its deflated content"), "")
    if not is_whole and most_bytes is not None:
        raise InputError(
            tr(
                "{file} is damaged: its deflated content is larger than its header announces; "
                "export it again."
            ).format(file=file)
        )
    meta = meta.replace(DEFLATED.encode(), _EXPLICIT_LITTLE_ENDIAN)
    more = 0 if is_whole else len(unpacking.unconsumed_tail) * _LARGEST_DEFLATION
    return io.BytesIO(meta + content), len(meta) + len(content) + more


def _encoding(dataset: FileDataset) -> tuple[bool, bool]:
    """Whether the file was read as implicit VR, and as little endian."""
    if hasattr(dataset, "original_encoding"):
        implicit, little = dataset.original_encoding
        return bool(implicit), bool(little)
    return bool(dataset.is_implicit_VR), bool(dataset.is_little_endian)  # pydicom 2


def _pixel_bytes(
    stream: BinaryIO, size: int | None, dataset: FileDataset, file: Path
) -> int | None:
    """Bytes of the pixel data, before which pydicom stopped; None if the file ends before it.

    Raises:
        InputError: If its element is damaged, whose length pydicom would guess.
    """
    place = stream.tell()
    head = stream.read(12)
    if head[:4] not in _PIXEL_TAGS + _PIXEL_TAGS_BIG_ENDIAN:
        return None
    is_implicit, is_little = _encoding(dataset)
    if not is_implicit and (head[4:6] not in _PIXEL_TYPES or head[6:8] != b"\0\0"):
        raise _damaged(file, tr("its pixels"), "")
    end = 8 if is_implicit else 12
    length = int.from_bytes(head[end - 4 : end], "little" if is_little else "big")
    if size is None:
        size = stream.seek(0, io.SEEK_END)
    rest = size - place - end
    return rest if length == _UNDEFINED_LENGTH else min(length, rest)
