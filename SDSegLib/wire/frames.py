"""Messages over a connection: a JSON object, and the bytes of a part of an array with some.

A frame is 4 fixed bytes, the lengths of the JSON and of the bytes (4 bytes each, the first byte
the highest), the JSON, the bytes. Lengths are checked before anything is read or allocated.
"""

from __future__ import annotations

import json
import struct
from typing import Protocol

from ..errors import SDSegError
from ..processes.messages import Message, decode
from .packing import LARGEST_PACKED
from .tls import SilentError, TooSlowError

MAGIC = b"SDSW"
LOGIN_BYTES = 4096
"""Longest message of one who has not shown a token yet, without bytes of arrays."""
MESSAGE_BYTES = 2**20
_HEADER = struct.Struct(">4sII")


class FrameError(SDSegError):
    """What came is no message."""


class Stream(Protocol):
    """Bytes in order, each way, in a time that depends on their number."""

    def read(self, count: int, wait: float) -> bytes: ...

    def write(self, data: bytes) -> None: ...


def write_frame(stream: Stream, message: Message, content: bytes = b"") -> None:
    """Send a message.

    Raises:
        ConnectionError: If the other side is gone or too slow.
    """
    text = json.dumps(message, separators=(",", ":")).encode("ascii")
    stream.write(_HEADER.pack(MAGIC, len(text), len(content)) + text + content)


def read_frame(
    stream: Stream, wait: float, longest: int = MESSAGE_BYTES, most_content: int = LARGEST_PACKED
) -> tuple[Message, bytes]:
    """Receive a message.

    Args:
        stream: Where from.
        wait: Longest time in seconds until it begins; the rest has a time by its length.
        longest: Most bytes of its JSON.
        most_content: Most bytes that come with it.

    Raises:
        FrameError: If it is none, or longer than allowed.
        SilentError: If it has not begun; another call may wait on.
        ConnectionError: If the other side is gone, silent or too slow.
    """
    try:
        header = stream.read(_HEADER.size, wait)
    except TooSlowError as error:
        raise SilentError(str(error)) from None
    magic, text_bytes, content_bytes = _HEADER.unpack(header)
    if magic != MAGIC:
        raise FrameError("What came is no message of SDSeg.")
    if text_bytes > longest or content_bytes > most_content:
        raise FrameError("A message is longer than allowed.")
    message = decode(stream.read(text_bytes, 0.0))
    content = stream.read(content_bytes, 0.0) if content_bytes else b""
    if message is None:
        raise FrameError("A message is no JSON object with a type.")
    return message, content
