"""Where the command begins: Ctrl+C ends it quietly also while its parts are being imported."""

from __future__ import annotations

import os
import signal
import threading

EXIT_CANCELLED = 130


def main() -> None:
    """Import the command and run it."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _end)
    from .app import main as run

    run()


def _end(*_: object) -> None:
    os._exit(EXIT_CANCELLED)  # nothing was begun
