"""Functions that read files of unknown origin, called in a child process that may die.

The child is started at the first call and kept for the next ones; it ends by itself after a minute
without any. After a death the next call starts a new one.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import queue
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError, SDSegError
from ..language import tr
from .child_process import ChildProcess, default_python
from .endings import exit_text, is_killed
from .limits import is_time_out
from .memory import taken_over
from .messages import Message
from .status import Status

if TYPE_CHECKING:
    import numpy as np

log = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_GRACE_SECONDS = 5.0
_START_SECONDS = 60.0
_END_SECONDS = 2.0
_MOST_CHILDREN = 4
_FETCH_AGAIN = tr("Fetch or export it again.")
# One thread for each library: reading needs no more, and address space is limited.
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ITK_GLOBAL_DEFAULT_NUMBER_OF_THREADS": "1",
    "MALLOC_ARENA_MAX": "2",
}


class UnforeseenError(InputError):
    """A file caused an error that its reader does not expect, which is a defect of the reader."""


@dataclass(frozen=True, eq=False)
class Answer:
    """What a function returned.

    Attributes:
        values: Plain values, as JSON gives them.
        arrays: In memory of their own, by name.
    """

    values: Any
    arrays: dict[str, np.ndarray]


def call_guarded(function: str, source: Path, **parameters: Any) -> Answer:
    """Call a function on a file or folder in a child process.

    Args:
        function: Like "SDSegLib.reading.here:volume"; it gets the path and the parameters, and
            returns plain values and a dictionary of arrays.
        source: The file or folder; every message about the child's end names it, or the file in it
            that was open.
        parameters: Plain values.

    Raises:
        SDSegError: The function's own error, of the same kind.
        InputError: If the child ended by a signal, by its time limit or for lack of memory.
        UnforeseenError: If the function raised another error.
    """
    with _turns:
        child = _take()
        was_used = child.was_used
        try:
            return child.call(function, source, parameters)
        except _LostError as lost:
            # A used child may have been damaged by an earlier file.
            if not (was_used and lost.may_be_another_files):
                raise lost.error from None
        try:
            return _Child().call(function, source, parameters)
        except _LostError as lost:
            raise lost.error from None


class _LostError(Exception):
    """The child has ended during a call.

    Attributes:
        error: For the user.
        may_be_another_files: Whether an earlier file may be the cause.
    """

    def __init__(self, error: InputError, may_be_another_files: bool = False) -> None:
        super().__init__(str(error))
        self.error = error
        self.may_be_another_files = may_be_another_files


class _Child:
    """One child process, used by one thread at a time.

    Attributes:
        was_used: Whether it has read a file before.
    """

    def __init__(self) -> None:
        self.was_used = False
        self._status: Status | None = None
        self._source, self._begun = "", 0.0
        self._inbox: queue.Queue[Message | None] = queue.Queue()
        python = default_python()
        try:
            if not python:
                raise OSError("there is no Python interpreter")
            self._process = ChildProcess(
                "SDSegLib.processes",
                python,
                {**os.environ, **_ENVIRONMENT},
                lambda _, message: self._inbox.put(message),
                lambda line: log.debug("the reading process said: %s", line),
            )
        except OSError as error:
            raise SDSegError(
                tr(
                    "The process that reads files cannot be started ({python}: {reason}); close "
                    "other programs and try again."
                ).format(python=python or tr("no interpreter"), reason=error.strerror or error)
            ) from error

    @property
    def is_alive(self) -> bool:
        """Whether it can take a call; it may end at any moment."""
        return self._process.wait(0) is None and self._inbox.empty()

    def call(self, function: str, source: Path, parameters: dict[str, Any]) -> Answer:
        """Carry out a call; then the child waits for the next one, or is ended."""
        goes_on = False
        try:
            answer = self._call(function, source, parameters)
            goes_on = True
            return answer
        except SDSegError:
            goes_on = True
            raise
        finally:
            self.was_used = True
            if goes_on:
                _give_back(self)
            else:  # it has ended, or the caller was interrupted
                self._process.kill()

    def end(self) -> None:
        """End the child."""
        self._process.finish(_END_SECONDS)

    def _call(self, function: str, source: Path, parameters: dict[str, Any]) -> Answer:
        self._process.send(
            {
                "type": "call",
                "function": function,
                "source": str(source),
                "folder": _folder(),
                "parameters": parameters,
            }
        )
        self._source, self._begun = str(source), time.monotonic()
        while True:
            message = self._next()
            kind = message["type"]
            if kind == "hello":
                self._status = Status.of_child(message["status"])
            elif kind == "log":
                logging.getLogger(message["name"]).log(message["level"], "%s", message["text"])
            elif kind == "refused":
                raise _same_error(message["kind"], message["text"])
            elif kind == "failed":
                raise _LostError(_failed(message, self._step()[2]))
            elif kind == "answer":
                return self._taken(message)

    def _next(self) -> Message:
        """The next message.

        Raises:
            _LostError: If the child has ended, or is over its time.
        """
        while True:
            left = self._step()[1] + _GRACE_SECONDS - time.monotonic()
            try:
                message = self._inbox.get(timeout=min(max(0.0, left), _LOOK_SECONDS))
            except queue.Empty:
                seconds, end, file = self._step()
                if end + _GRACE_SECONDS > time.monotonic():
                    continue
                raise _LostError(_too_slow(file, seconds)) from None
            if message is None:
                raise self._lost()
            return message

    def _step(self) -> tuple[float, float, str]:
        """What the child is at: seconds that it may take, until when, and the file."""
        step = (0.0, 0.0, "") if self._status is None else self._status.read()
        if step[1] < self._begun:  # it has not begun with the call
            return _START_SECONDS, self._begun + _START_SECONDS, self._source
        return step

    def _taken(self, message: Message) -> Answer:
        try:
            arrays = {name: _array(item) for name, item in message["arrays"].items()}
        except OSError as error:
            raise InputError(
                tr(
                    "There is no memory for the image ({reason}); close other programs, or crop it."
                ).format(reason=error.strerror or error)
            ) from error
        self._process.send({"type": "taken"})
        return Answer(message["values"], arrays)

    def _lost(self) -> _LostError:
        """The pipe was closed: the child has ended or is ending."""
        seconds, _, file = self._step()
        code = self._process.wait(_END_SECONDS)
        stderr = self._process.stderr()
        log.info("the reading process ended (%s) at %s\n%s", exit_text(code), file, stderr)
        if is_time_out(code):
            return _LostError(_too_slow(file, seconds))
        if is_killed(code, stderr):
            return _LostError(
                InputError(
                    tr(
                        "{file}: The process that read it was killed from outside; systems do that "
                        "when memory runs out. Close other programs and try again."
                    ).format(file=file)
                )
            )
        if self._status is None:
            return _LostError(
                InputError(
                    tr(
                        "{file} cannot be read: the process for that did not start ({code}). Close "
                        "other programs and try again."
                    ).format(file=file, code=exit_text(code))
                )
            )
        return _LostError(
            InputError(
                tr(
                    "{file}: The process that read it ended unexpectedly ({code}), so the file is "
                    "damaged or not as its format prescribes. {fetch_again}"
                ).format(file=file, code=exit_text(code), fetch_again=_FETCH_AGAIN)
            ),
            may_be_another_files=True,
        )


def _array(item: dict[str, Any]) -> np.ndarray:
    """An array in the memory that the child hands over."""
    import numpy as np

    dtype = np.dtype(item["dtype"])
    if dtype.kind not in "biuf":
        raise ValueError(f"values of type {dtype} are not numbers")
    return np.ndarray(tuple(item["shape"]), dtype, buffer=taken_over(item["place"]))


def _too_slow(file: str, seconds: float) -> InputError:
    return InputError(
        tr(
            "{file}: It was not read within {seconds:.0f} s, which should be enough for its "
            "size. {fetch_again} If it lies on a slow drive, copy it to this computer."
        ).format(file=file, seconds=seconds, fetch_again=_FETCH_AGAIN)
    )


def _failed(message: Message, file: str) -> InputError:
    """The error for an exception that no reader expects."""
    if message["memory"]:
        return InputError(
            tr(
                "{file}: Memory ran out while it was read: it takes more than an image of its "
                "size should, or this computer has too little to spare. {fetch_again}"
            ).format(file=file, fetch_again=_FETCH_AGAIN)
        )
    log.info(
        "unforeseen %s while reading %s\n%s",
        message["kind"],
        file,
        message["details"],
        extra={"unforeseen": message["kind"]},
    )
    return UnforeseenError(
        tr(
            "{file}: It cannot be read ({kind}), so it is damaged or of an unknown kind. "
            "{fetch_again}"
        ).format(file=file, kind=message["kind"], fetch_again=_FETCH_AGAIN)
    )


def _same_error(kind: str, text: str) -> SDSegError:
    """The error that the function raised, with its message."""
    classes = {found.__name__: found for found in _subclasses(SDSegError)}
    error_class = classes.get(kind, InputError)
    error = error_class.__new__(error_class, text)
    SDSegError.__init__(error, text)
    return error


def _subclasses(of: type[SDSegError]) -> list[type[SDSegError]]:
    return [of, *(item for child in of.__subclasses__() for item in _subclasses(child))]


def _folder() -> str:
    with contextlib.suppress(OSError):
        return os.getcwd()
    return ""


_lock = threading.Lock()
_turns = threading.BoundedSemaphore(_MOST_CHILDREN)
_idle: list[_Child] = []
_foreign: list[_Child] = []  # of the process that this one was forked from


def _take() -> _Child:
    """A child that waits, or a new one."""
    with _lock:
        while _idle:
            child = _idle.pop()
            if child.is_alive:
                return child
    return _Child()


def _give_back(child: _Child) -> None:
    with _lock:
        _idle.append(child)


def end_children() -> None:
    """End the children that wait for files; they would end by themselves."""
    with _lock:
        children, _idle[:] = list(_idle), []
    for child in children:
        child.end()


def _forget_children() -> None:
    """In a forked process: the children belong to the other one."""
    global _lock, _turns
    _lock = threading.Lock()
    _turns = threading.BoundedSemaphore(_MOST_CHILDREN)
    _foreign.extend(_idle)
    _idle.clear()


atexit.register(end_children)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_children)
