"""Ctrl+C and requests to terminate: the run ends with nothing half-written."""

from __future__ import annotations

import os
import signal
import threading
from types import FrameType, TracebackType
from typing import Any

from ..errors import EXIT_CANCELLED, CancelledError
from ..language import tr
from ..unfinished import discard_all

_SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)


class StoppedError(BaseException):
    """Raised in the main thread by the first signal outside of an `Interrupt`.

    It is no `Exception`, so no library takes it for an error of its own.
    """


class Signals:
    """In its `with` block the first signal ends the command in order, the second one at once.

    Inside an `Interrupt` the first one sets its flag. At the second one, files that are not
    complete are removed and the process ends. The block restores the handlers that were there.
    """

    def __init__(self) -> None:
        self._received: list[int] = []
        self._flag: Interrupt | None = None
        self._process = os.getpid()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        global _current
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._receive) for number in _SIGNALS}
            _current = self
        return self

    def __exit__(self, *_: object) -> None:
        global _current
        for number, handler in self._before.items():
            signal.signal(number, handler)
        _current = None

    @property
    def have_come(self) -> bool:
        """Whether a signal was received."""
        return bool(self._received)

    @property
    def exit_code(self) -> int:
        """130 after Ctrl+C or if nothing was received, else 128 and the number of the signal."""
        if not self._received or signal.SIGINT in self._received:
            return EXIT_CANCELLED
        return 128 + self._received[0]

    def _receive(self, number: int, _: FrameType | None) -> None:
        if os.getpid() != self._process:  # a forked child: it has nothing to finish
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            return
        self._received.append(number)
        if len(self._received) > 1:
            discard_all()
            os._exit(self.exit_code)
        if self._flag is None:
            raise StoppedError
        self._flag.set()


_current: Signals | None = None


def note_signal(number: int) -> None:
    """Let the command end with the exit code of a signal that something else has received."""
    if _current is not None:
        _current._received.append(number)


class Interrupt:
    """Inside its `with` block, Ctrl+C sets a flag instead of raising an exception.

    The block itself raises `CancelledError` at its end if the flag was set, also when the run had
    ended by then.
    """

    def __init__(self) -> None:
        self._asked = False

    def __enter__(self) -> Interrupt:
        if _current is not None:
            _current._flag = self
        return self

    def __exit__(
        self, kind: type[BaseException] | None, _: BaseException | None, __: TracebackType | None
    ) -> None:
        if _current is not None:
            _current._flag = None
        if self._asked and kind is None:
            raise CancelledError(tr("Cancelled; nothing was written."))

    def set(self) -> None:
        """Ask the run to end."""
        self._asked = True

    def is_set(self) -> bool:
        """Whether Ctrl+C was pressed."""
        return self._asked

    def forget(self) -> None:
        """To be asked to end is how this command ends: nothing was cancelled."""
        self._asked = False
