"""The interface of windows and scripts to the worker: a state machine that does not block."""

from __future__ import annotations

import contextlib
import os
import time
import weakref
from collections.abc import Callable, Mapping
from typing import Any

from ..inference.progress import Progress
from ..models.registry import MODELS_VARIABLE
from ..operations.base import Operation
from ..operations.model_store import DEFAULT_BYTES
from ..processes.child_process import default_python
from ..volume.volume import Volume
from . import sentences
from .access import ServerAccess, order_for_server
from .process import Settings
from .protocol import IDLE_SECONDS
from .run import (
    Advanced,
    Begun,
    Ended,
    Event,
    Fault,
    Logged,
    Outbox,
    ProcessChanged,
    Run,
    RunReport,
    State,
    VolumeInWorker,
    with_time,
)
from .supervisor import Supervisor

SILENCE_SECONDS = 120.0
LONGEST_SECONDS = 1e6
OPEN_VOLUMES = 2
LOG_LINES = 500
_YIELD_SECONDS = 0.001
_WAIT_SECONDS = 0.1


class WorkerClient:
    """Runs operations on volumes in a worker that keeps models and volumes.

    The worker is a child process, or a server on another computer (`sdseg serve`).

    One thread owns a client and calls all its methods; they return within milliseconds, but for
    `wait` and `close`. A window calls `poll` from a timer, every 30 to 100 ms; a script calls
    `wait`. The attributes change in `start`, `cancel`, `poll` and `close` only, so a window can
    read it without a lock.

    Args:
        python: Interpreter of the child; by default the running one, or PythonSlicer inside 3D
            Slicer. Creating a client starts no process.
        environment: The child's whole environment; by default this process's when it starts one.
        idle_seconds: Time without work after which the child ends by itself.
        silence_seconds: Time without a message from a working child after which it counts as hung.
        model_bytes: Limit for the weights of all models that the child keeps.
        server: A server that takes the place of the child; models are then known by their names
            there.

    Attributes:
        progress: Last progress report of the run.
        result: Result of the operation, once DONE; None in every other state.
        report: Times, device and findings, once DONE.
        error: Once FAILED, the cause and the remedy in one or two sentences.
        details: Once FAILED, a traceback or the child's last output, for the log.
        fault: Once FAILED, what that says about the next run.
        log: Lines with the time of day, the last 500.
        process_id: The child's, while there is one.
        on_change: Called from `poll` after any of these attributes has changed.
    """

    def __init__(
        self,
        python: str | None = None,
        environment: Mapping[str, str] | None = None,
        idle_seconds: float = IDLE_SECONDS,
        silence_seconds: float = SILENCE_SECONDS,
        model_bytes: int = DEFAULT_BYTES,
        server: ServerAccess | None = None,
    ) -> None:
        self.progress: Progress | None = None
        self.result: Any = None
        self.report: RunReport | None = None
        self.error = ""
        self.details = ""
        self.fault = Fault.RUN
        self.log: list[str] = []
        self.process_id: int | None = None
        self.on_change: Callable[[WorkerClient], None] | None = None
        self._python = python
        self._environment = environment
        self._idle_seconds = min(idle_seconds, LONGEST_SECONDS)
        self._silence_seconds = min(silence_seconds, LONGEST_SECONDS)
        self._model_bytes = model_bytes
        self._server = server
        self._volumes: list[VolumeInWorker] = []
        self._state = State.IDLE
        self._run: Run | None = None
        self._count = 0
        self._has_changed = False
        self._outbox = Outbox()
        self._supervisor: Supervisor | None = None
        self._finalizer: weakref.finalize | None = None

    @property
    def server(self) -> ServerAccess | None:
        """The server that computes; None if this computer does."""
        return self._server

    @property
    def state(self) -> State:
        """State of the client."""
        return self._state

    @property
    def is_busy(self) -> bool:
        """Whether a run is in progress; until it ends, `start` is refused."""
        return self._state.is_busy

    @property
    def is_cancelling(self) -> bool:
        """Whether `cancel` was called and the run has not stopped yet."""
        return self.is_busy and self._run is not None and self._run.cancelled.is_set()

    def open(self, volume: Volume) -> VolumeInWorker:
        """Keep a volume in the worker, so that it is copied only once for several runs.

        Nothing is copied before the first run. The voxels of the last two volumes are kept; an
        older one is copied again if it is used again. A volume whose voxels have changed must be
        opened anew.

        Raises:
            InputError: If the volume's values are not numbers.
        """
        opened = VolumeInWorker(self._next_number(), volume)
        self._keep(opened)
        return opened

    def close_volume(self, opened: VolumeInWorker) -> None:
        """Release a volume in the worker; a current run on it continues."""
        if opened in self._volumes:
            self._volumes.remove(opened)
        if self._supervisor is not None:
            self._supervisor.forget(opened)

    def _keep(self, opened: VolumeInWorker) -> None:
        """Mark a volume as the last one used; the least recently used one may be released."""
        opened.closes_after_run = False
        if opened in self._volumes:
            self._volumes.remove(opened)
        self._volumes.append(opened)
        while len(self._volumes) > OPEN_VOLUMES:
            self.close_volume(self._volumes[0])

    def start(self, volume: Volume | VolumeInWorker, operation: Operation[Any]) -> None:
        """Begin a run; the state is STARTING until the volume is copied and the model loaded.

        The volume's array is read by another thread until then; keep it unchanged.

        Args:
            volume: Volume to process. The worker releases a plain `Volume` after the run.
            operation: What to do, for example `SegmentOperation(RunOptions())`.

        Raises:
            RuntimeError: If a run is in progress.
            InputError: If the volume's values are not numbers, or a parameter is not allowed.
            ModelError: If a server is asked for a model that has no name.
        """
        self._take_events()  # what happened since the last poll comes first in the log
        if self.is_busy:
            raise RuntimeError("The worker is busy; cancel the run or wait for its end.")
        operation.check()
        if isinstance(volume, VolumeInWorker):
            opened = volume
            self._keep(opened)
        else:
            opened = VolumeInWorker(self._next_number(), volume, closes_after_run=True)
        supervisor = self._supervise()
        self._run = Run(self._next_number(), operation, opened, self._order(operation))
        self._forget()
        self.progress = Progress("load")
        self._enter(State.STARTING)
        self._note(f"Start {operation.verb} {opened.volume.name}.")
        supervisor.start(self._run)

    def cancel(self) -> None:
        """Stop the run; it is CANCELLED within one batch, or the child is killed."""
        if not self.is_busy or self._run is None or self._supervisor is None:
            return
        if not self._run.cancelled.is_set():
            self._note("Cancelling.")
            self._supervisor.cancel(self._run)

    def warm_up(self, operation: Operation[Any]) -> None:
        """Start the child and load what an operation needs; problems go to the log only.

        Does nothing while a run is in progress, and with a server: it is there already, and nothing
        is sent to it before a run is asked for.
        """
        if not self.is_busy and self._server is None:
            self._supervise().warm_up(self._next_number(), self._order(operation))

    def poll(self) -> bool:
        """Process the events that have arrived.

        Returns:
            Whether any attribute has changed; if so, `on_change` was called.
        """
        self._take_events()
        if not self._has_changed and self._supervisor is not None:
            # An application that embeds Python may hold the interpreter's lock between two polls;
            # this lets the other threads have it.
            time.sleep(_YIELD_SECONDS)
            self._take_events()
        supervisor = self._supervisor
        if self.is_busy and supervisor is not None and not supervisor.is_alive:
            self._lose(supervisor)
        has_changed, self._has_changed = self._has_changed, False
        if has_changed and self.on_change is not None:
            self.on_change(self)
        return has_changed

    def wait(self, timeout: float | None = None) -> State:
        """Poll until no run is in progress, or `timeout` seconds have passed; for scripts.

        Returns:
            The state.
        """
        end = None if timeout is None else time.monotonic() + timeout
        self.poll()
        while self.is_busy and (end is None or time.monotonic() < end):
            self._outbox.wait(_WAIT_SECONDS)
            self.poll()
        return self._state

    def close(self) -> None:
        """End the child and free all shared memory; a run in progress is CANCELLED.

        Takes some milliseconds, or about a second if the child hangs. The client can be used again.
        It is also called when the client is garbage-collected and when the interpreter ends.
        """
        if self._finalizer is not None:
            self._finalizer()
        self._take_events()
        self._supervisor = None
        self._finalizer = None
        self._outbox = Outbox()
        self._volumes.clear()
        self.process_id = None
        if self.is_busy:
            self._enter(State.CANCELLED)

    def __enter__(self) -> WorkerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _supervise(self) -> Supervisor:
        if self._supervisor is not None and not self._supervisor.is_alive:
            self.close()
        if self._supervisor is None:
            settings = Settings(
                python=self._child_python(),
                environment=self._environment,
                idle_seconds=self._idle_seconds,
                silence_seconds=self._silence_seconds,
                model_bytes=self._model_bytes,
                server=self._server,
            )
            self._supervisor = Supervisor(settings, self._outbox)
            self._finalizer = weakref.finalize(self, Supervisor.close, self._supervisor)
        return self._supervisor

    def _child_python(self) -> str:
        if self._server is not None:
            return ""
        return default_python() if self._python is None else self._python

    def _order(self, operation: Operation[Any]) -> dict[str, Any]:
        """The entries of a "prepare" message.

        Settings may change during the child's life, so each message states the folders of models.
        """
        if self._server is not None:
            return order_for_server(operation)
        folder = ""
        with contextlib.suppress(OSError):
            folder = os.getcwd()
        environment = os.environ if self._environment is None else self._environment
        return {
            "operation": operation.name,
            "parameters": operation.parameters(),
            "folder": folder,
            "models": environment.get(MODELS_VARIABLE),
        }

    def _next_number(self) -> int:
        self._count += 1
        return self._count

    def _forget(self) -> None:
        self.progress = self.result = self.report = None
        self.error = self.details = ""
        self.fault = Fault.RUN

    def _enter(self, state: State) -> None:
        self._state = state
        self._has_changed = True

    def _note(self, text: str) -> None:
        self._has_changed = True
        self._log(with_time(text))

    def _log(self, line: str) -> None:
        self.log.append(line)
        del self.log[:-LOG_LINES]

    def _take_events(self) -> None:
        for event in self._outbox.take():
            self._has_changed = True
            self._apply(event)

    def _apply(self, event: Event) -> None:
        if isinstance(event, Logged):
            self._log(event.text)
        elif isinstance(event, ProcessChanged):
            self.process_id = event.pid
        elif self._run is None or event.number != self._run.number or not self.is_busy:
            pass
        elif isinstance(event, Begun):
            self._enter(State.RUNNING)
        elif isinstance(event, Advanced):
            self.progress = event.progress
        else:
            self._end(event)

    def _end(self, event: Ended) -> None:
        self.result = event.result
        self.report = event.report
        self.error = event.error
        self.details = event.details
        self.fault = event.fault
        self._run = None
        self._enter(event.state)
        if event.state is State.FAILED:
            self._note(f"Failed. {event.error}")
        elif event.state is State.CANCELLED:
            self._note("Cancelled.")
        elif event.report is not None:
            self._note(f"Done in {event.report.seconds:.1f} s on {event.report.device}.")

    def _lose(self, supervisor: Supervisor) -> None:
        """Handle the end of the supervising thread, which only a defect can cause."""
        reason = (supervisor.failure.splitlines() or ["its thread ended"])[-1]
        number = 0 if self._run is None else self._run.number
        sentence = sentences.client_failed(reason)
        self._end(Ended(number, State.FAILED, error=sentence, details=supervisor.failure))
        self.process_id = None
