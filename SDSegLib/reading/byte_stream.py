"""The bytes of voxels in a file: raw, packed or as text; every byte is accounted for."""

from __future__ import annotations

import bz2
import os
import stat
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np

from ..errors import InputError
from ..language import tr

Encoding = Literal["raw", "gzip", "zlib", "bzip2", "text", "hex"]

GZIP_MAGIC = b"\x1f\x8b"
_READ_BYTES = 1 << 17
_MOST_AT_ONCE = 1 << 22
# Deflate cannot pack more than 1032 bytes into one; bzip2 packs runs more tightly.
_LARGEST_COMPRESSION = {"gzip": 1032, "zlib": 1032, "bzip2": 1 << 16}
_NEVER_SPARSE = 64 * 2**20
_SMALLEST_SHARE = 1000
_NUMBER_BYTES = 64


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open a regular file; a pipe or device is refused without waiting for it.

    Raises:
        InputError: If it is no regular file, or of its bytes hardly any are on the disk.
    """

    def without_waiting(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NONBLOCK", 0))

    with open(path, "rb", buffering=0, opener=without_waiting) as file:
        facts = os.fstat(file.fileno())
        if not stat.S_ISREG(facts.st_mode):
            raise InputError(
                tr("{path} is a pipe or device, not a file; give a file.").format(
                    path=shown(path.name)
                )
            )
        stored = getattr(facts, "st_blocks", facts.st_size) * 512
        if facts.st_size > _NEVER_SPARSE and stored < facts.st_size // _SMALLEST_SHARE:
            raise InputError(
                tr(
                    "{path} is {size:,} bytes long, but only {stored:,} of them were ever "
                    "written, as in a download that was not finished. Fetch it again."
                ).format(path=shown(path.name), size=facts.st_size, stored=stored)
            )
        yield file


class ByteStream:
    """The unpacked bytes of a file from a position on.

    Args:
        file: The file at the position where the stream begins.
        encoding: How it is packed.

    Attributes:
        notes: What was ignored, one sentence each.
        end: Position in the file after the packed bytes, once they were all read.
    """

    def __init__(self, file: BinaryIO, encoding: Encoding) -> None:
        self.notes: list[str] = []
        self.end: int | None = None
        self._file = file
        self._encoding = encoding
        self._ahead = b""
        self._chunks = self._begin()

    def peek(self, count: int) -> bytes:
        """The next bytes, which stay; fewer at the end.

        Raises:
            InputError: If the packed bytes are damaged.
        """
        while len(self._ahead) < count and (chunk := next(self._chunks, b"")):
            self._ahead += chunk
        return self._ahead[:count]

    def skip(self, count: int) -> int:
        """Go on by some bytes; the number that there were.

        Raises:
            InputError: If the packed bytes are damaged.
        """
        left = count
        while left and (chunk := self._ahead or next(self._chunks, b"")):
            self._ahead = chunk[left:]
            left -= min(left, len(chunk))
        return count - left

    def fill(self, target: memoryview) -> int:
        """Read into `target`; the number of bytes that there were.

        Raises:
            InputError: If the packed bytes are damaged.
        """
        filled = 0
        while filled < len(target):
            if self._encoding == "raw" and not self._ahead:
                count = self._file.readinto(target[filled:])  # type: ignore[attr-defined]
                if not count:
                    break
            else:
                try:
                    chunk = self._ahead or next(self._chunks, b"")
                except _CutShortError as error:
                    error.filled = filled
                    raise
                if not chunk:
                    break
                count = min(len(chunk), len(target) - filled)
                target[filled : filled + count] = chunk[:count]
                self._ahead = chunk[count:]
            filled += count
        return filled

    def rest(self, most: int) -> int:
        """The number of bytes that follow, read to the end or until there are more than `most`.

        Raises:
            InputError: If the packed bytes are damaged, or do not end.
        """
        if self._encoding == "raw":
            here = self._file.tell()
            return len(self._ahead) + self._file.seek(0, os.SEEK_END) - here
        count = len(self._ahead)
        self._ahead = b""
        while count <= most and (chunk := next(self._chunks, b"")):
            count += len(chunk)
        return count

    def _begin(self) -> Iterator[bytes]:
        if self._encoding in ("raw", "text"):
            return iter(lambda: self._file.read(_READ_BYTES), b"")
        if self._encoding == "hex":
            return self._hexadecimal()
        if self._encoding == "bzip2":
            return self._bunzipped()
        return self._inflated()

    def _inflated(self) -> Iterator[bytes]:
        """Members of a gzip stream, or one zlib stream; other bytes after it are ignored."""
        window = zlib.MAX_WBITS + (16 if self._encoding == "gzip" else 32)  # 32: either header
        unpacking = zlib.decompressobj(window)
        packed = b""
        try:
            while True:
                packed = unpacking.unconsumed_tail or packed or self._file.read(_READ_BYTES)
                if unpacking.eof:
                    packed = unpacking.unused_data or self._file.read(_READ_BYTES)
                    if self._encoding != "gzip" or not packed.startswith(GZIP_MAGIC):
                        self._ignore(packed)
                        return
                    unpacking = zlib.decompressobj(window)
                if not packed:
                    raise _CutShortError
                chunk = unpacking.decompress(packed, _MOST_AT_ONCE)
                packed = b""
                if chunk:
                    yield chunk
        except zlib.error as error:
            raise _damaged(self._file, error) from error

    def _bunzipped(self) -> Iterator[bytes]:
        unpacking = bz2.BZ2Decompressor()
        try:
            while not unpacking.eof:
                packed = self._file.read(_READ_BYTES) if unpacking.needs_input else b""
                if unpacking.needs_input and not packed:
                    raise _CutShortError
                chunk = unpacking.decompress(packed, _MOST_AT_ONCE)
                if chunk:
                    yield chunk
        except OSError as error:
            raise _damaged(self._file, error) from error
        self._ignore(unpacking.unused_data or self._file.read(_READ_BYTES))

    def _hexadecimal(self) -> Iterator[bytes]:
        odd = b""
        for packed in iter(lambda: self._file.read(_READ_BYTES), b""):
            digits = odd + b"".join(packed.split())
            even = len(digits) // 2 * 2
            odd = digits[even:]
            try:
                yield bytes.fromhex(digits[:even].decode("ascii"))
            except ValueError as error:
                raise _damaged(self._file, error) from error

    def _ignore(self, following: bytes) -> None:
        self.end = self._file.tell() - len(following)
        count = self._file.seek(0, os.SEEK_END) - self.end
        if count:
            self.notes.append(
                tr(
                    "{count:,} bytes after the end of the packed voxels were ignored, as gzip does."
                ).format(count=count)
            )


class _CutShortError(InputError):
    """The packed bytes end too early.

    Attributes:
        filled: Bytes that `ByteStream.fill` had read until then.
    """

    filled = 0

    def __init__(self) -> None:
        super().__init__(tr("The file is cut short: its packed voxels do not end. Fetch it again."))


def most_unpacked(packed: int, encoding: Encoding) -> int:
    """More bytes than this cannot be packed into so many."""
    return packed * _LARGEST_COMPRESSION.get(encoding, 1)


def fill_voxels(stream: ByteStream, target: np.ndarray, slice_bytes: int, before: int = 0) -> None:
    """Fill an array with the bytes that follow, and account for those after them.

    Fewer bytes than a slice after the voxels are ignored with a note.

    Args:
        stream: At the first voxel.
        target: Contiguous, in the byte order of the file.
        slice_bytes: Size of a slice.
        before: Bytes in front of the voxels, to be shown with the numbers.

    Raises:
        InputError: If there are fewer bytes, or at least a slice more; the message lacks the path.
    """
    found = 0
    try:
        found = stream.fill(memoryview(target.reshape(-1).view(np.uint8).data))
        surplus = stream.rest(slice_bytes) if found == target.nbytes else 0
    except _CutShortError as error:
        if found == target.nbytes:
            raise
        raise cut_short(before + error.filled, before + target.nbytes) from error
    if found < target.nbytes:
        raise cut_short(before + found, before + target.nbytes)
    if surplus >= slice_bytes:
        raise InputError(
            tr(
                "The header declares an image of {nbytes:,} bytes, and the file holds at least "
                "{surplus:,} bytes more, a slice or more; the header is damaged or of another "
                "image. Fetch or export it again."
            ).format(nbytes=target.nbytes, surplus=surplus)
        )
    if surplus:
        stream.notes.append(
            tr("{surplus:,} bytes after the last voxel were ignored.").format(surplus=surplus)
        )


def fill_from_text(stream: ByteStream, target: np.ndarray) -> None:
    """Fill an array with numbers written as text.

    Raises:
        InputError: If there are fewer numbers or others; the message lacks the path.
    """
    flat = target.reshape(-1)
    text = b"".join(iter(lambda: _taken(stream), b""))
    numbers = text.replace(b",", b" ").split()
    if len(numbers) != flat.size:
        raise InputError(
            tr(
                "The header declares {declared:,} voxels, and the file holds {count:,} numbers. "
                "Fetch or export it again."
            ).format(declared=flat.size, count=len(numbers))
        )
    try:
        flat[:] = np.array(numbers, dtype="S").astype(target.dtype)
    except ValueError as error:
        raise InputError(tr("Its voxels are damaged: they are not all numbers.")) from error


def _taken(stream: ByteStream) -> bytes:
    chunk = stream.peek(_READ_BYTES)
    stream.skip(len(chunk))
    return chunk


def cut_short(found: int, expected: int) -> InputError:
    """The error for a file that holds fewer bytes than its header declares."""
    return InputError(
        tr(
            "The file is cut short: the image needs {expected:,} bytes, and it has at most "
            "{found:,}. Fetch it again."
        ).format(expected=expected, found=found)
    )


def shown(text: str) -> str:
    """A short printable form of text from a file, for messages."""
    plain = "".join(letter if letter.isprintable() else "\ufffd" for letter in text)
    return plain if len(plain) <= _NUMBER_BYTES else f"{plain[:_NUMBER_BYTES]}…"


def _damaged(file: BinaryIO, error: Exception) -> InputError:
    name = Path(str(file.name)).name
    return InputError(
        tr("Its packed voxels (in {name}) are damaged: {error}. Fetch it again.").format(
            name=shown(name), error=error
        )
    )
