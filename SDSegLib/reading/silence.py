"""Keep DICOM libraries from writing to the terminal or into logs.

Their warnings quote values of headers, such as patients' names and dates of birth.
"""

from __future__ import annotations

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

_LOGGERS = ("pydicom", "highdicom")
_lock = threading.Lock()
_depth = 0
_outermost = ExitStack()


@contextmanager
def silent_libraries() -> Iterator[None]:
    """Suppress what pydicom, highdicom and the decoders would say; may be nested, in any thread.

    Python's warnings are switched off for the whole process meanwhile: it has no way to do so for a
    thread.
    """
    global _depth
    with _lock:
        if _depth == 0:
            _outermost.enter_context(warnings.catch_warnings())
            warnings.simplefilter("ignore")
            for name in _LOGGERS:
                _outermost.enter_context(_muted(logging.getLogger(name)))
        _depth += 1
    try:
        _mute_gdcm()
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0:
                _outermost.close()


@contextmanager
def _muted(logger: logging.Logger) -> Iterator[None]:
    """Drop a logger's records, and those of the loggers below it, which follow its level.

    pydicom sets its logger's level when it is imported, which may be meanwhile.
    """
    level = logger.level
    logger.addFilter(_none)
    logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.removeFilter(_none)


def _none(_: logging.LogRecord) -> bool:
    return False


def _mute_gdcm() -> None:
    """Switch off the messages of GDCM, if it has been loaded; it writes them to standard error."""
    gdcm = sys.modules.get("gdcm")
    if gdcm is not None:
        for switch_off in (gdcm.Trace.WarningOff, gdcm.Trace.DebugOff, gdcm.Trace.ErrorOff):
            switch_off()
