"""Where the command begins: Ctrl+C ends it quietly also while its parts are being imported."""

from __future__ import annotations

import os
import signal
import sys
import threading

from ..errors import EXIT_CANCELLED
from ..language import ENGLISH, LANGUAGE_VARIABLE

_FOR_SCRIPTS = {"--json", "--json-progress"}


def main() -> None:
    """Import the command and run it; what scripts read is in English in every language."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _end)
    if _FOR_SCRIPTS & set(sys.argv):
        os.environ[LANGUAGE_VARIABLE] = ENGLISH
    from .app import main as run

    run()


def _end(*_: object) -> None:
    os._exit(EXIT_CANCELLED)  # nothing was begun
