"""The child's ends of the pipes, protected from libraries that print or read standard input."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
import time
from collections.abc import Iterator

from .messages import Message, decode, encode

_LOOK_SECONDS = 0.02
_READ_BYTES = 65536


class Channel:
    """Reserves standard input and output for messages.

    From then on, printed text goes to standard error, and standard input is empty. That holds for
    libraries in C as well, because the file descriptors themselves are exchanged.
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
        self._write(b"\n")  # ends a line that a library may have begun

    def send(self, message: Message) -> None:
        """Write a message; from any thread. If the reader is gone, `messages` ends too."""
        self._write(encode(message))

    def messages(self) -> Iterator[Message]:
        """Messages until the other side closes the pipe; lines that are no message are skipped."""
        rest = b""
        while chunk := self._read():
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                message = decode(line)
                if message is not None:
                    yield message

    def _read(self) -> bytes:
        """The bytes that have arrived, b"" at the end.

        On Windows no read may be in progress while another thread imports NumPy: its Fortran
        runtime queries the state of the pipe, and Windows blocks the query until the read ends. So
        on Windows this reads only if bytes are waiting.
        """
        if sys.platform == "win32":
            import _winapi
            import msvcrt

            handle = msvcrt.get_osfhandle(self._input)
            with contextlib.suppress(OSError):  # closed, or no pipe: the read raises it again
                while _winapi.PeekNamedPipe(handle, 0)[0] == 0:
                    time.sleep(_LOOK_SECONDS)
        return os.read(self._input, _READ_BYTES)

    def _write(self, data: bytes) -> None:
        with self._lock, contextlib.suppress(OSError):
            while data:
                data = data[os.write(self._output, data) :]
