"""The server: takes connections, and ends well."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from ..errors import InputError
from ..language import tr
from ..wire.tls import TlsStream
from ..worker.run import State
from .budget import MemoryBudget
from .counts import Counts
from .lane import STOPPING, End, Lane, Request
from .limits import ServeLimits
from .session import Session
from .tokens import Tokens
from .turns import Turns
from .volumes import HeldVolumes

_ALIVE_SECONDS = 1.0
_REPORT_SECONDS = 60.0
_CLOSE_SECONDS = 8.0
_MORE_BEFORE_LOGIN = 16
_BACKLOG = 64


@dataclass(frozen=True)
class ServeSettings:
    """How a server is started.

    Attributes:
        host: Address to listen on.
        port: Port to listen on; 0 for any that is free.
        context: Certificate and rules of the connections.
        tokens: Who may use it.
        limits: What they may ask for.
        processes: Computing processes; each takes a request at a time.
    """

    host: str
    port: int
    context: ssl.SSLContext
    tokens: Tokens
    limits: ServeLimits = field(default_factory=ServeLimits)
    processes: int = 1


class SegmentationServer:
    """Serves many clients; it listens from its creation until `close`.

    Args:
        settings: How.
        tell: Receives a line of counts when there is something new, at most once a minute.

    Raises:
        InputError: If the address cannot be listened on.
    """

    def __init__(self, settings: ServeSettings, tell: Callable[[str], None]) -> None:
        self.limits = settings.limits
        self.tokens = settings.tokens
        self.counts = Counts()
        self.turns: Turns[Request] = Turns()
        self.budget = MemoryBudget(settings.limits.memory_bytes)
        self.volumes = HeldVolumes(self.budget, self.turns.wake)
        self._context = settings.context
        self._tell = tell
        self._lock = threading.Lock()
        self._sessions: set[Session] = set()
        self._admitted: set[Session] = set()
        self._is_closing = threading.Event()
        self._listening = _listener(settings.host, settings.port)
        self._lanes = [self._new_lane() for _ in range(settings.processes)]
        self._threads = [
            threading.Thread(target=target, name=f"sdseg{target.__name__}", daemon=True)
            for target in (self._accept, self._keep_alive)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def port(self) -> int:
        """The port that it listens on."""
        return int(self._listening.getsockname()[1])

    @property
    def runs_at_a_time(self) -> int:
        """How many runs it computes at a time."""
        return len(self._lanes)

    @property
    def processes(self) -> list[int]:
        """The computing processes that there are now."""
        return [lane.process_id for lane in self._lanes if lane.process_id is not None]

    def close(self) -> None:
        """End all: clients are told, runs are stopped, memory is freed."""
        self._is_closing.set()
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for request in self.turns.close():
            request.end(End(State.FAILED, kind="stopped", error=STOPPING))
        for lane in self._lanes:
            lane.close(_CLOSE_SECONDS)
        end = time.monotonic() + _CLOSE_SECONDS / 4
        for session in self._all():
            session.stop(STOPPING)
        while self._all() and time.monotonic() < end:
            time.sleep(0.02)
        for session in self._all():
            session.close()
        self._tell(self.status())

    def status(self) -> str:
        """All counts in a line."""
        return self.counts.line(len(self._admitted), len(self.turns.order()))

    # For sessions.

    def admit(self, session: Session) -> bool:
        """Whether there is room for a connection of this client."""
        with self._lock:
            clients = Counter(item.client for item in self._admitted)
            is_full = len(self._admitted) >= self.limits.connections
            if is_full or clients[session.client] >= self.limits.connections_of_a_client:
                return False
            self._admitted.add(session)
            return True

    def leave(self, session: Session) -> None:
        """A connection is over."""
        with self._lock:
            self._sessions.discard(session)
            self._admitted.discard(session)

    # Threads.

    def _accept(self) -> None:
        while not self._is_closing.is_set():
            try:
                connection, place = self._listening.accept()
            except OSError:
                if not self._is_closing.is_set():
                    time.sleep(0.1)  # out of files: wait until some connections have ended
                continue
            session = Session(
                self, TlsStream(connection, self._context, is_server=True), str(place[0])
            )
            with self._lock:
                has_room = len(self._sessions) < self.limits.connections + _MORE_BEFORE_LOGIN
                if has_room:
                    self._sessions.add(session)
            if not has_room:
                self.counts.add("over a limit")
                connection.close()
                continue
            threading.Thread(target=session.serve, name="sdseg-session", daemon=True).start()

    def _keep_alive(self) -> None:
        told = time.monotonic()
        while not self._is_closing.wait(_ALIVE_SECONDS):
            for session in self._all():
                session.keep_alive()
            for number, lane in enumerate(self._lanes):
                if not lane.is_alive:  # after a defect
                    self._lanes[number] = self._new_lane()
            if self.counts.has_news and time.monotonic() - told > _REPORT_SECONDS:
                told = time.monotonic()
                self._tell(self.status())

    def _all(self) -> list[Session]:
        with self._lock:
            return list(self._sessions)

    def _new_lane(self) -> Lane:
        return Lane(self.turns, self.limits, self.counts)


def _listener(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        said = str(getattr(error, "strerror", None) or error).partition(" (while")[0]
        raise InputError(
            tr(
                "Nothing can listen on {host}:{port} ({said}); choose another address or port "
                "with --listen."
            ).format(host=host, port=port, said=said)
        ) from None
