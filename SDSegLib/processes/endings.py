"""How a process ended, or why it could not go on."""

from __future__ import annotations

import errno
import signal
import sys

from ..language import tr

_MEMORY_SIGNS = (
    "out of memory",
    "allocate memory",  # "can't allocate memory" of PyTorch, "Cannot allocate memory" of the system
    "bad_alloc",
    "failed to map segment",
    "not enough memory",
    "unable to allocate",
    "paging file is too small",
)
_LAUNCHER_SAW_END = "exit abnormally"


def is_memory_error(error: BaseException) -> bool:
    """Whether an error of any library means that memory ran out."""
    if isinstance(error, MemoryError) or getattr(error, "errno", None) == errno.ENOMEM:
        return True
    text = str(error).lower()
    return isinstance(error, (RuntimeError, OSError, ImportError)) and any(
        sign in text for sign in _MEMORY_SIGNS
    )


def is_killed(code: int | None, stderr: str) -> bool:
    """Whether a child with this exit code was killed from outside."""
    if sys.platform == "win32":
        return False
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return True
    # 3D Slicer's launcher prints this about the interpreter that it started, then exits with 1; a
    # crash also leaves the trace of faulthandler.
    return _LAUNCHER_SAW_END in stderr and "Fatal Python error" not in stderr


def exit_text(code: int | None) -> str:
    """The exit code, or the signal's name."""
    if code is None:
        return tr("it closed its pipe")
    if code < 0:
        try:
            return signal.Signals(-code).name
        except ValueError:
            return tr("signal {code}").format(code=-code)
    return (
        tr("exit code {code:#x}").format(code=code)
        if code > 255
        else tr("exit code {code}").format(code=code)
    )
