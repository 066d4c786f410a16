"""Many calls made one, a moment later: for what follows the mouse."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Soon:
    """Calls a function once after a wait, however often it is asked to.

    Args:
        function: What to call, on the event loop.
        seconds: How long to wait after the first request.
    """

    def __init__(self, function: Callable[[], None], seconds: float) -> None:
        self._function = function
        self._seconds = seconds
        self._handle: asyncio.TimerHandle | None = None

    def __call__(self, *_: object) -> None:
        """Ask for a call."""
        if self._handle is None:
            loop = asyncio.get_running_loop()
            self._handle = loop.call_later(self._seconds, self._run)

    def stop(self) -> None:
        """Forget a call that is due."""
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _run(self) -> None:
        self._handle = None
        self._function()
