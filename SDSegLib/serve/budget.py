"""Memory that all requests share: it is asked for before it is taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

_LOOK_SECONDS = 0.1


class MemoryBudget:
    """Counts bytes that are held; who asks for more than is left waits.

    Args:
        most: Bytes that may be held at a time.
    """

    def __init__(self, most: int) -> None:
        self.most = most
        self._used = 0
        self._changed = threading.Condition()

    @property
    def used(self) -> int:
        """Bytes that are held now."""
        return self._used

    def take(
        self,
        count: int,
        seconds: float,
        is_stopped: Callable[[], bool] = lambda: False,
        make_room: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Take bytes; give them back with `give_back`.

        Args:
            count: Bytes.
            seconds: Longest time to wait.
            is_stopped: Called often; ends the waiting.
            make_room: Called while there are too few; frees something, or returns False.

        Returns:
            Whether they were taken.
        """
        end = time.monotonic() + seconds
        while count <= self.most and not is_stopped():
            with self._changed:
                if self._used + count <= self.most:
                    self._used += count
                    return True
            if make_room():
                continue
            left = end - time.monotonic()
            if left <= 0:
                return False
            with self._changed:
                if self._used + count > self.most:
                    self._changed.wait(min(left, _LOOK_SECONDS))
        return False

    def give_back(self, count: int) -> None:
        """Return bytes that were taken."""
        with self._changed:
            self._used -= count
            self._changed.notify_all()
