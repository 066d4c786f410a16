"""A worker as the supervisor sees it: a child process of this computer, or a server."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from ..processes.messages import Message
from ..volume.finding import Finding
from ..volume.volume import Volume

if TYPE_CHECKING:
    import numpy as np

    from ..operations.base import ArraySpec


class PlacedArrays(Protocol):
    """Arrays that were brought to the worker, or will be filled by it."""

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""

    def taken(self, name: str) -> np.ndarray:
        """An array that the worker has filled."""

    def free(self) -> None:
        """Release this side's memory."""


@dataclass(frozen=True, eq=False)
class Delivery:
    """Arrays that a worker needs.

    Attributes:
        key: Names them in messages.
        run: Number of the run that needs them.
        specs: Shape and type of all, also of those that the worker fills.
        given: Those to bring.
        is_stopped: Called every few milliseconds.
    """

    key: str
    run: int
    specs: Mapping[str, ArraySpec]
    given: Mapping[str, np.ndarray]
    is_stopped: Callable[[], bool]


class WorkerLink(ABC):
    """The way to a worker; messages from it go to a listener that the maker gives.

    Attributes:
        is_ready: Whether the worker has said hello.
    """

    is_ready: bool = False

    @abstractmethod
    def send(self, message: Message) -> threading.Event:
        """Pass on a message; returns an event that is set once it was sent."""

    @abstractmethod
    def place(self, wanted: Delivery) -> PlacedArrays | None:
        """Bring arrays to the worker.

        Returns:
            The arrays; None if it was stopped, or the worker is gone or has refused them, which a
            message then says.

        Raises:
            OSError: If memory is short.
            MemoryError: If memory is short.
        """

    @abstractmethod
    def greeting(self, hello: Message) -> str:
        """Line for the log about a worker that has said hello."""

    @abstractmethod
    def loss(self, is_idle: bool) -> str:
        """Why the worker is gone, in a sentence."""

    @abstractmethod
    def silence(self, seconds: float) -> str:
        """A sentence about a worker that was silent for so long."""

    def findings_about(self, volume: Volume) -> tuple[Finding, ...]:
        """Findings about a volume that the worker cannot know."""
        return ()

    @abstractmethod
    def stderr(self) -> str:
        """The worker's last lines, for the log."""

    @abstractmethod
    def finish(self, seconds: float) -> None:
        """End it in order, or else by force."""

    @abstractmethod
    def kill(self) -> None:
        """End it by force."""


Listener = Callable[[Any, "Message | None"], None]
"""Called with the link and each message, and with None at the end."""
