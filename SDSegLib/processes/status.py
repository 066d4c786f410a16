"""What a reading process is at, in memory that its parent sees also after its death."""

from __future__ import annotations

import contextlib
import mmap
import os
import struct
from collections.abc import Mapping
from typing import Any

from .memory import Block, taken_over

_LAYOUT = struct.Struct("<ddI")  # seconds, time at which they are over, length of the path
_BYTES = 8192


class Status:
    """The file that is being read, and until when.

    Writing takes a microsecond, so it is done for each of the hundreds of files of a series.

    Args:
        mapping: The memory.
    """

    def __init__(self, mapping: mmap.mmap) -> None:
        self._mapping = mapping

    @classmethod
    def made(cls) -> tuple[Status, Mapping[str, Any]]:
        """A new one, and the place by which the parent opens it.

        Raises:
            OSError: If there is no memory.
        """
        block = Block.to_hand_over(_BYTES)
        return cls(block.mapping), block.place

    @classmethod
    def of_child(cls, place: Mapping[str, Any]) -> Status | None:
        """The child's; None if it is gone."""
        with contextlib.suppress(OSError):
            return cls(taken_over(place))
        return None

    def write(self, seconds: float, end: float, path: str) -> None:
        """Tell what is being read, for how long it may be read, and until when."""
        name = os.fsencode(path)[: _BYTES - _LAYOUT.size]
        start = _LAYOUT.size
        self._mapping[start : start + len(name)] = name
        _LAYOUT.pack_into(self._mapping, 0, seconds, end, len(name))

    def read(self) -> tuple[float, float, str]:
        """What the child wrote last: seconds, end and path."""
        seconds, end, length = _LAYOUT.unpack_from(self._mapping, 0)
        start = _LAYOUT.size
        return seconds, end, os.fsdecode(self._mapping[start : min(start + length, _BYTES)])
