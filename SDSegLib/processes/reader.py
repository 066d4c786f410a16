"""The child process that reads files of unknown origin: one call at a time.

A damaged file may crash a library, take all memory or never end. Only this process ends then, and
the one that asked says which file it was.
"""

from __future__ import annotations

import contextlib
import faulthandler
import logging
import os
import queue
import sys
import threading
import traceback
from importlib import import_module
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NoReturn

from ..errors import SDSegError
from .channel import Channel
from .endings import is_memory_error
from .limits import ReadingLimits, allow_shared_memory, resident_bytes, set_limits
from .messages import Message
from .status import Status

if TYPE_CHECKING:
    import numpy as np

IDLE_SECONDS = 60.0
EXIT_FAILED = 1
_LARGEST_RESIDENT = 768 * 2**20  # after a file was read; more was left behind


def main() -> None:
    """Serve until the parent has ended, or there was nothing to do for a minute."""
    faulthandler.enable()
    allow_shared_memory()
    Reader(Channel()).serve()


class Reader:
    """Two threads: one reads files, one reads messages and ends the process with its parent.

    Args:
        channel: To the parent.
    """

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._inbox: queue.Queue[Message] = queue.Queue()
        status, self._place = Status.made()
        self._limits = ReadingLimits(status)
        set_limits(self._limits)

    def serve(self) -> NoReturn:
        """Answer calls."""
        sys.excepthook = self._fail
        logging.getLogger("SDSegLib").addHandler(_ForwardedLog(self._channel))
        self._send("hello", status=self._place)
        threading.Thread(target=self._listen, daemon=True).start()
        while True:
            try:
                message = self._inbox.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                os._exit(0)
            if message["type"] == "call":
                self._answer(message)
            elif message["type"] == "taken":
                self._limits.free()
                if resident_bytes() > _LARGEST_RESIDENT:
                    os._exit(0)

    def _listen(self) -> None:
        for message in self._channel.messages():
            self._inbox.put(message)
        os._exit(0)

    def _answer(self, message: Message) -> None:
        with contextlib.suppress(OSError):
            os.chdir(message["folder"])
        module, _, name = message["function"].partition(":")
        source = Path(message["source"])
        try:
            function = getattr(import_module(module), name)
            self._limits.begin(source)
            values, arrays = function(source, **message["parameters"])
            answer = {
                "values": values,
                "arrays": {key: self._handed_over(array) for key, array in arrays.items()},
            }
        except SDSegError as error:
            self._limits.end()
            self._send("refused", kind=type(error).__name__, text=str(error))
        else:
            self._limits.end()
            self._send("answer", **answer)

    def _handed_over(self, array: np.ndarray) -> dict[str, Any]:
        return {
            "shape": [int(extent) for extent in array.shape],
            "dtype": array.dtype.str,
            "place": self._limits.block_of(array).place,
        }

    def _fail(
        self, kind: type[BaseException], error: BaseException, trace: TracebackType | None
    ) -> None:
        """Report an unexpected error and end the process, so that nothing damaged is left.

        The error's own text is left out: libraries quote values of the file, which may be the
        patient's.
        """
        self._limits.end()
        self._send(
            "failed",
            kind=kind.__name__,
            memory=is_memory_error(error),
            details="".join(traceback.format_tb(trace)),
        )
        os._exit(EXIT_FAILED)

    def _send(self, message_type: str, **entries: Any) -> None:
        self._channel.send({"type": message_type, **entries})


class _ForwardedLog(logging.Handler):
    """Sends the library's own log records to the parent, which logs them."""

    def __init__(self, channel: Channel) -> None:
        super().__init__(logging.WARNING)
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        self._channel.send(
            {
                "type": "log",
                "name": record.name,
                "level": record.levelno,
                "text": record.getMessage(),
            }
        )
