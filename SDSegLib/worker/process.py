"""The worker's process on the client's side."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from ..processes.child_process import ChildProcess, Listener
from .protocol import HEARTBEAT_SECONDS, PROTOCOL


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
    """

    python: str
    environment: Mapping[str, str] | None
    idle_seconds: float
    silence_seconds: float
    model_bytes: int


class WorkerProcess(ChildProcess):
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
