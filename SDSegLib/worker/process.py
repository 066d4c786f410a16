"""The worker's process on the client's side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..processes.child_process import ChildProcess
from ..processes.messages import Message
from . import sentences
from .link import Delivery, Listener, WorkerLink
from .protocol import HEARTBEAT_SECONDS, PROTOCOL
from .shared_arrays import SharedArrays

if TYPE_CHECKING:
    from .access import ServerAccess

_ENDING_SECONDS = 1.0
_ANNOUNCING_SECONDS = 1.0


@dataclass(frozen=True)
class Settings:
    """How the child is started, and time limits after which it ends or is killed.

    Attributes:
        python: Its interpreter, or a launcher that starts the real one.
        environment: Its environment, None for this process's; the library's folder is put first
            on its PYTHONPATH.
        idle_seconds: Time without work after which it ends by itself.
        silence_seconds: Time without a message after which it counts as hung.
        model_bytes: Limit for the weights of all models that it keeps.
        server: A server that takes the place of the child; None for a child.
    """

    python: str
    environment: Mapping[str, str] | None
    idle_seconds: float
    silence_seconds: float
    model_bytes: int
    server: ServerAccess | None = None


class WorkerProcess(ChildProcess, WorkerLink):
    """A child that runs `python -m SDSegLib.worker`.

    Args:
        settings: How to start it.
        listener: Called from the reading thread with each message, and with None at the end.
        note: Called with each line that is not a message.

    Raises:
        OSError: If the interpreter cannot be started.
    """

    def __init__(self, settings: Settings, listener: Listener, note: Callable[[str], None]) -> None:
        super().__init__("SDSegLib.worker", settings.python, settings.environment, listener, note)
        self.is_ready = False
        self.send(
            {
                "type": "setup",
                "protocol": PROTOCOL,
                "idle_seconds": settings.idle_seconds,
                "heartbeat_seconds": min(HEARTBEAT_SECONDS, settings.silence_seconds / 4),
                "model_bytes": settings.model_bytes,
            }
        )

    def place(self, wanted: Delivery) -> SharedArrays | None:
        """Make shared memory that the child opens, and fill it.

        The child gets the names of the blocks before they are made and opens them before they are
        filled. So it can remove them if this process is killed at any moment.
        """
        arrays = SharedArrays(wanted.specs)
        announcement = {"type": "blocks", "key": wanted.key, "blocks": arrays.announcement()}
        self.send(announcement).wait(_ANNOUNCING_SECONDS)
        is_whole = False
        try:
            arrays.make()
            self.send({"type": "open", "key": wanted.key})
            is_whole = arrays.fill(wanted.given, wanted.is_stopped)
        finally:
            if not is_whole:
                arrays.free()
        return arrays if is_whole else None

    def greeting(self, hello: Message) -> str:
        return (
            f"The worker is there: process {hello['pid']}, SDSeg {hello['sdseg']}, "
            f"Python {hello['python']}."
        )

    def loss(self, is_idle: bool) -> str:
        code = self.wait(_ENDING_SECONDS)
        if is_idle and code == 0:
            return "The worker has ended; the next run starts a new one."
        return sentences.ended(code, self.python, self.is_ready, self.stderr())

    def silence(self, seconds: float) -> str:
        return sentences.silent(seconds)
