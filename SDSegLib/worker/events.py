"""What the supervising thread tells the thread that owns the client, and how it gets there."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

from ..inference.progress import Progress
from ..volume.segmentation import Segmentation
from .outcome import Outcome, State


@dataclass(frozen=True)
class Logged:
    """A line for the log, with the time of day."""

    text: str


@dataclass(frozen=True)
class ProcessChanged:
    """A child was started, or is gone (None)."""

    pid: int | None


@dataclass(frozen=True)
class Begun:
    """The run's volume was copied and the child works on it."""

    number: int


@dataclass(frozen=True)
class Advanced:
    """The run got on."""

    number: int
    progress: Progress


@dataclass(frozen=True, eq=False)
class Ended:
    """The run is over, and all its shared memory is free."""

    number: int
    state: State
    result: Segmentation | None = None
    outcome: Outcome | None = None
    error: str = ""
    details: str = ""


Event = Logged | ProcessChanged | Begun | Advanced | Ended


def with_time(text: str) -> str:
    """A line for the log."""
    return f"{time.strftime('%H:%M:%S')} {text}"


class Outbox:
    """Events on their way to the owner's thread, in order."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._arrived = threading.Event()

    def post(self, event: Event) -> None:
        """Add an event; from any thread."""
        self._events.append(event)
        self._arrived.set()

    def log(self, text: str) -> None:
        """Add a line for the log."""
        self.post(Logged(with_time(text)))

    def take(self) -> list[Event]:
        """All events that are there."""
        self._arrived.clear()
        return [self._events.popleft() for _ in range(len(self._events))]

    def wait(self, seconds: float) -> None:
        """Sleep until an event arrives."""
        if not self._events:
            self._arrived.wait(seconds)
