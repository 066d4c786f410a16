"""A thread with a computing process: takes requests by turns and runs them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import SDSegError
from ..inference.progress import Progress
from ..language import tr
from ..worker.client import LONGEST_SECONDS, WorkerClient
from ..worker.run import Fault, RunReport, State
from .counts import Counts
from .limits import MIB, ServeLimits
from .relay import Arrays, RelayedOperation
from .turns import Turns
from .volumes import HeldVolume

_STEP_SECONDS = 0.05
_IDLE_SECONDS = 0.5
_LOOK_SECONDS = 0.25
_DEFECT = tr("the run was lost by a defect of the server. Try again.")
STOPPING = tr("it is being shut down. Try again later.")
_COUNTED = {"limit": "over a limit", "failed": "failed", "crashed": "failed"}


@dataclass(eq=False)
class Request:
    """A run that a client asks for. The functions are called by the lane and return at once.

    Attributes:
        client: Whose turn it takes.
        held: The image.
        operation: What to do.
        on_begin: Called when it is computed.
        on_progress: Called with its progress.
        on_end: Called with its end.
        cancelled: Set when nobody wants it any more.
        is_ended: Whether `on_end` was called.
    """

    client: Hashable
    held: HeldVolume
    operation: RelayedOperation
    on_begin: Callable[[], None]
    on_progress: Callable[[Progress], None]
    on_end: Callable[[End], None]
    cancelled: threading.Event = field(default_factory=threading.Event)
    is_ended: bool = False

    def end(self, end: End) -> None:
        """Tell its end, once."""
        if not self.is_ended:
            self.is_ended = True
            self.on_end(end)


@dataclass(frozen=True, eq=False)
class End:
    """How a request ended.

    Attributes:
        state: DONE, CANCELLED or FAILED.
        values: Plain values, once DONE.
        arrays: Arrays, once DONE.
        report: Times and device, once DONE.
        kind: Of the failure: "limit", "stopped", "crashed" (the computing process) or "failed".
        error: The reason, once FAILED.
    """

    state: State
    values: dict[str, Any] = field(default_factory=dict)
    arrays: Arrays = field(default_factory=dict)
    report: RunReport | None = None
    kind: str = ""
    error: str = ""


class Lane:
    """Runs requests one after the other.

    Args:
        turns: Where the requests are.
        limits: Of time and memory.
        counts: Of outcomes.
    """

    def __init__(self, turns: Turns[Request], limits: ServeLimits, counts: Counts) -> None:
        self._turns = turns
        self._limits = limits
        self._counts = counts
        self._client = WorkerClient(idle_seconds=LONGEST_SECONDS)
        self._held: list[HeldVolume] = []
        self._is_closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="sdseg-lane", daemon=True)
        self._thread.start()

    def close(self, seconds: float) -> None:
        """Cancel the run, end the process and the thread."""
        self._is_closing.set()
        self._turns.wake()
        self._thread.join(seconds)

    @property
    def process_id(self) -> int | None:
        """The computing process, while there is one."""
        return self._client.process_id

    @property
    def is_alive(self) -> bool:
        """Whether the thread is running; only `close` or a defect ends it."""
        return self._thread.is_alive()

    def _serve(self) -> None:
        request: Request | None = None
        try:
            while not self._is_closing.is_set():
                request = self._turns.take(_IDLE_SECONDS)
                self._forget_dropped()
                if request is None:
                    self._client.poll()
                elif request.cancelled.is_set():
                    request.end(End(State.CANCELLED))
                else:
                    self._run(request)
        finally:
            if request is not None:  # after a defect; else it has ended
                request.end(End(State.FAILED, kind="failed", error=_DEFECT))
            self._client.close()

    def _forget_dropped(self) -> None:
        for held in [item for item in self._held if item.is_dropped]:
            self._held.remove(held)
            self._client.close_volume(held.opened.pop(self))

    def _run(self, request: Request) -> None:
        started = time.monotonic()
        held = request.held
        try:
            if self not in held.opened:
                held.opened[self] = self._client.open(held.volume)
                self._held.append(held)
            self._client.start(held.opened[self], request.operation)
        except SDSegError as error:
            self._end(request, End(State.FAILED, kind="failed", error=str(error)), started)
            return
        self._end(request, self._watch(request, started) or self._outcome(), started)

    def _watch(self, request: Request, started: float) -> End | None:
        """Wait for the end of the run; says why if the server has ended it."""
        has_begun, progress, looked = False, None, started
        client = self._client
        while client.wait(_STEP_SECONDS).is_busy:
            if not has_begun and client.state is State.RUNNING:
                has_begun = True
                request.on_begin()
            if client.progress is not None and client.progress is not progress and has_begun:
                progress = client.progress
                request.on_progress(progress)
            if self._is_closing.is_set():
                client.close()
                self._forget_process()
                return End(State.FAILED, kind="stopped", error=STOPPING)
            if request.cancelled.is_set():
                client.cancel()
                continue
            now = time.monotonic()
            if now - started > self._limits.run_seconds:
                client.cancel()
                client.wait()
                return _beyond(
                    tr(
                        "the run took longer than {run_seconds:.0f} s, which is the most that "
                        "is allowed here."
                    ).format(run_seconds=self._limits.run_seconds)
                )
            if now - looked > _LOOK_SECONDS:
                looked = now
                if self._is_too_large():
                    client.close()
                    self._forget_process()
                    return _beyond(
                        tr(
                            "the run took more than {process_bytes} MiB of memory, which is the "
                            "most that is allowed here."
                        ).format(process_bytes=(self._limits.process_bytes or 0) // MIB)
                    )
        if not has_begun and client.state is State.DONE:
            request.on_begin()
        return None

    def _outcome(self) -> End:
        client = self._client
        if client.state is State.DONE:
            values, arrays = client.result
            client.result = None
            return End(State.DONE, values, arrays, client.report)
        if client.state is State.FAILED:
            kind = "crashed" if client.fault is Fault.CRASH else "failed"
            return End(State.FAILED, kind=kind, error=client.error)
        return End(State.CANCELLED)

    def _end(self, request: Request, end: End, started: float) -> None:
        seconds = time.monotonic() - started
        if end.state is State.DONE:
            self._counts.add("done", seconds)
        else:
            self._counts.add(_COUNTED.get(end.kind, "cancelled"))
        del self._client.log[:]
        request.end(end)

    def _is_too_large(self) -> bool:
        most, process = self._limits.process_bytes, self._client.process_id
        return most is not None and process is not None and _resident(process) > most

    def _forget_process(self) -> None:
        """The images were in a process that is gone."""
        for held in self._held:
            held.opened.pop(self, None)
        self._held.clear()


def _beyond(reason: str) -> End:
    """The end of a run by a limit."""
    return End(State.FAILED, kind="limit", error=reason)


def _resident(process: int) -> int:
    """Memory that a process holds, in bytes; 0 where the system does not say."""
    try:
        fields = Path(f"/proc/{process}/statm").read_text(encoding="ascii").split()
    except OSError:
        return 0
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")
