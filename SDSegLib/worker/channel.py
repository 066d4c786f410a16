"""The child's ends of the pipes, out of reach of whatever prints or reads in its libraries."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

from .protocol import Message, decode, encode

_LOOK_SECONDS = 0.02
_READ_BYTES = 65536


class Channel:
    """Takes standard input and output for itself.

    From here on prints go to standard error, and reading standard input finds nothing. That holds
    for libraries in C as well, because the file descriptors themselves are exchanged.
    """

    def __init__(self) -> None:
        sys.stdout.flush()
        self._output = os.dup(1)
        os.dup2(2, 1)
        sys.stdout = sys.stderr
        self._input = os.dup(0)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()
        self._write(b"\n")  # ends a line that something may have begun before us

    def send(self, message: Message) -> None:
        """Write a message; from any thread. If nobody reads any more, `messages` ends too."""
        self._write(encode(message))

    def messages(self) -> Iterator[Message]:
        """What arrives, until the other side closes the pipe; lines that are none are skipped."""
        rest = b""
        while chunk := self._read():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                message = decode(line)
                if message is not None:
                    yield message

    def _read(self) -> bytes:
        """What has arrived, b"" at the end.

        On Windows no read may be under way while another thread imports NumPy: its Fortran runtime
        asks after the state of the pipe, and Windows makes that wait for the end of the read. So
        there we look whether there is something to read before we do.
        """
        if sys.platform == "win32":
            import _winapi
            import msvcrt

            handle = msvcrt.get_osfhandle(self._input)
            with contextlib.suppress(OSError):  # closed, or no pipe: reading tells
                while _winapi.PeekNamedPipe(handle, 0)[0] == 0:
                    time.sleep(_LOOK_SECONDS)
        return os.read(self._input, _READ_BYTES)

    def _write(self, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._output, data) :]
