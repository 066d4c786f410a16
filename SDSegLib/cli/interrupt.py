"""Ctrl+C ends a run between batches of slices, with nothing half-written."""

from __future__ import annotations

import signal


class Interrupt:
    """Inside its `with` block, Ctrl+C sets a flag instead of raising an exception."""

    def __enter__(self) -> Interrupt:
        self._asked = False
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def is_set(self) -> bool:
        """Whether Ctrl+C was pressed."""
        return self._asked
