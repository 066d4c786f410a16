"""The images that clients keep at the server, within the memory that all share."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..volume.volume import Volume
from ..worker.run import VolumeInWorker
from .budget import MemoryBudget

if TYPE_CHECKING:
    from .lane import Lane


@dataclass(eq=False)
class HeldVolume:
    """An image of a client, for one run or several.

    Attributes:
        volume: The image.
        nbytes: What it takes of the memory that all clients share.
        users: Requests that wait for it or compute it.
        used: When it was used last.
        is_dropped: Whether it is not needed for other requests.
        opened: The image in the computing processes.
    """

    volume: Volume
    nbytes: int
    users: int = 0
    used: float = field(default_factory=time.monotonic)
    is_dropped: bool = False
    opened: dict[Lane, VolumeInWorker] = field(default_factory=dict)


class HeldVolumes:
    """All of them; from any thread.

    Args:
        budget: Gets their memory back.
        tell: Called when one is not needed any more, so that computing processes release it.
    """

    def __init__(self, budget: MemoryBudget, tell: Callable[[], None]) -> None:
        self._budget = budget
        self._tell = tell
        self._held: list[HeldVolume] = []
        self._lock = threading.Lock()

    def keep(self, held: HeldVolume) -> None:
        """Add one, whose memory was taken from the budget."""
        with self._lock:
            self._held.append(held)

    def use(self, held: HeldVolume) -> bool:
        """Count a request on it; False if it is gone."""
        with self._lock:
            if held.is_dropped:
                return False
            held.users += 1
            held.used = time.monotonic()
            return True

    def end_use(self, held: HeldVolume) -> None:
        """The request has ended."""
        with self._lock:
            held.users -= 1
            held.used = time.monotonic()
        self._release_unused(held)

    def let_go(self, held: HeldVolume) -> None:
        """It is not needed for other requests."""
        with self._lock:
            held.is_dropped = True
        self._release_unused(held)

    def make_room(self) -> bool:
        """Let go of the one that was not used for the longest time; False if all are in use."""
        with self._lock:
            idle = [item for item in self._held if not item.users]
            if not idle:
                return False
            oldest = min(idle, key=lambda item: item.used)
            oldest.is_dropped = True
        self._release_unused(oldest)
        return True

    def _release_unused(self, held: HeldVolume) -> None:
        with self._lock:
            if held.users or not held.is_dropped or held not in self._held:
                return
            self._held.remove(held)
        self._budget.give_back(held.nbytes)
        self._tell()
