"""Lines that native libraries print by themselves; they may name files and what is in them."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable

_STDERR = 2


def silence_libraries() -> Callable[[], None]:
    """Send what VTK, ITK and other native code print to the error stream nowhere.

    Their failures are errors of this program, which say the same in words. Python's own error
    stream, with all messages of the command, stays as it is.

    Returns:
        A function that undoes it.
    """
    shown = sys.stderr
    if not isinstance(shown, io.TextIOWrapper) or not _is_process_stream(shown):
        return lambda: None  # a test or another program reads the messages
    shown.flush()
    kept = os.dup(_STDERR)
    stream = os.fdopen(
        os.dup(_STDERR), "w", buffering=1, encoding=shown.encoding, errors=shown.errors
    )
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), _STDERR)
    sys.stderr = stream

    def undo() -> None:
        stream.flush()
        os.dup2(kept, _STDERR)
        os.close(kept)
        sys.stderr = shown

    return undo


def _is_process_stream(stream: io.TextIOWrapper) -> bool:
    """Whether it is the error stream of the process, and nothing that was put in its place."""
    try:
        return stream is sys.__stderr__ and stream.fileno() == _STDERR
    except (OSError, ValueError):
        return False
