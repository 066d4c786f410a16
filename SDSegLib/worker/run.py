"""Volumes that are open in the worker, runs on them, and events between the client's threads."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from ..errors import InputError
from ..inference.progress import Progress
from ..language import tr
from ..operations.base import ArraySpec, Operation
from ..volume.finding import Finding, ordered
from ..volume.volume import Volume
from .link import PlacedArrays


class State(Enum):
    """State of a client. In all states but STARTING and RUNNING it is ready for the next run."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def is_busy(self) -> bool:
        return self in (State.STARTING, State.RUNNING)


class Fault(Enum):
    """What a failed run says about the next one.

    Attributes:
        RUN: Nothing: the image, the options or a limit were the reason.
        CRASH: The computing process ended; it may have been this run, or another program.
        PASSING: The connection or the server failed, or it is busy; that may pass.
        SERVER: Every run fails: another version, no such model, a wrong token or certificate.
    """

    RUN = "run"
    CRASH = "crash"
    PASSING = "passing"
    SERVER = "server"


@dataclass(frozen=True)
class RunReport:
    """Information about a run in addition to its result.

    Attributes:
        seconds: From `start` until the result is available.
        load_seconds: Of these, for loading PyTorch and the model; 0 when the worker was warm.
        compute_seconds: Of these, for the findings and the operation itself.
        device: Where it was computed and why, for example "cpu: asked for".
        warm: Whether the model was loaded before the run.
        model: Name and version.
        findings: About the image and the result, for the user, the most severe first.
        messages: Events during the run, for example that memory ran short.
        values: Plain values from the operation.
    """

    seconds: float
    load_seconds: float
    compute_seconds: float
    device: str
    warm: bool
    model: str
    findings: tuple[Finding, ...] = ()
    messages: tuple[str, ...] = ()
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(eq=False)
class VolumeInWorker:
    """A volume that the worker keeps, so that it is copied only once for several runs.

    Its voxels may be a view into memory of another owner, such as a volume node. They are copied by
    the first run, and again if the worker had to be replaced; a volume whose voxels have changed
    must be opened anew.

    Attributes:
        number: Counts the client's volumes; messages carry it.
        volume: Voxels and grid.
        closes_after_run: Whether the worker releases it at the end of its only run.
        sendings: How often it was sent; each time under another key, so that a late answer about an
            earlier copy is not mistaken for one about this copy.
        arrays: Shared memory while it is being sent to the worker.
        is_open: Whether the current worker process has it.
    """

    number: int
    volume: Volume
    closes_after_run: bool = False
    sendings: int = 0
    arrays: PlacedArrays | None = None
    is_open: bool = False

    def __post_init__(self) -> None:
        dtype = self.volume.array.dtype
        if dtype.kind not in "biuf":
            raise InputError(
                tr(
                    "The volume {volume} holds values of type {dtype}, not numbers; give a "
                    "volume with one number per voxel."
                ).format(volume=self.volume.name, dtype=dtype)
            )

    @property
    def key(self) -> str:
        """Key of its latest copy in messages."""
        return f"volume-{self.number}-{self.sendings}"

    @property
    def spec(self) -> ArraySpec:
        """Shape and type of the voxels as sent."""
        return ArraySpec.of(self.volume.array)

    def free(self) -> None:
        """Let go of this side's shared memory."""
        if self.arrays is not None:
            self.arrays.free()
            self.arrays = None


@dataclass(eq=False)
class Run:
    """One run of an operation in the worker.

    Attributes:
        number: Counts the client's runs; messages carry it.
        operation: The operation.
        opened: The volume that it processes.
        order: The entries of the "prepare" message.
        cancelled: Set by the owner's thread at once, so that copying stops.
        started: Time of the request.
        arrays: Shared memory of the operation's own arrays, while allocated.
        is_reused: Whether it was sent to a worker process that was already running.
        patience: Time limit in seconds for the worker's first message about it.
        is_known: Whether the worker has sent any message about it.
        is_begun: Whether the worker has begun to process the volume.
        is_warm: Whether the worker had the model loaded.
        kill_at: Time at which the worker is killed if it does not stop.
        load_seconds: Time for loading packages and model.
        sendings: How often it was sent to a worker process.
    """

    number: int
    operation: Operation[Any]
    opened: VolumeInWorker
    order: dict[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)
    started: float = field(default_factory=time.monotonic)
    arrays: PlacedArrays | None = None
    is_reused: bool = False
    patience: float = 0.0
    is_known: bool = False
    is_begun: bool = False
    is_warm: bool = False
    kill_at: float | None = None
    load_seconds: float = 0.0
    sendings: int = 0

    @property
    def key(self) -> str:
        """Key of the latest copy of its arrays in messages."""
        return f"run-{self.number}-{self.sendings}"

    def free(self) -> None:
        """Let go of this side's shared memory."""
        if self.arrays is not None:
            self.arrays.free()
            self.arrays = None

    def result_of(
        self, message: dict[str, Any], known_here: tuple[Finding, ...] = ()
    ) -> tuple[Any, RunReport]:
        """Result and report from a "result" message and the placed arrays.

        Args:
            message: From the worker.
            known_here: Findings that the worker could not have.

        Raises:
            MemoryError: If memory is too small for the result.
        """
        assert self.arrays is not None
        volume = self.opened.volume
        arrays = {name: self.arrays.taken(name) for name in self.operation.returns(volume)}
        findings = tuple(Finding.from_json(item) for item in message["findings"])
        report = RunReport(
            seconds=time.monotonic() - self.started,
            load_seconds=self.load_seconds + message["load_seconds"],
            compute_seconds=message["seconds"],
            device=message["device"],
            warm=self.is_warm and message["load_seconds"] == 0,
            model=message["model"],
            findings=ordered((*known_here, *findings)) if known_here else findings,
            messages=tuple(message["messages"]),
            values=message["values"],
        )
        return self.operation.result(volume, message["values"], arrays), report


@dataclass(frozen=True)
class Logged:
    """A line for the log, with the time of day."""

    text: str


@dataclass(frozen=True)
class ProcessChanged:
    """A worker process was started, or has ended (None)."""

    pid: int | None


@dataclass(frozen=True)
class Begun:
    """The run's volume was copied and the worker processes it."""

    number: int


@dataclass(frozen=True)
class Advanced:
    """The run has progressed."""

    number: int
    progress: Progress


@dataclass(frozen=True, eq=False)
class Ended:
    """The run has ended, and its shared memory is free."""

    number: int
    state: State
    result: Any = None
    report: RunReport | None = None
    error: str = ""
    details: str = ""
    fault: Fault = Fault.RUN


Event = Logged | ProcessChanged | Begun | Advanced | Ended


def with_time(text: str) -> str:
    """A line for the log with the time of day."""
    return f"{time.strftime('%H:%M:%S')} {text}"


class Outbox:
    """Queue of events for the owner's thread."""

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
        """Remove and return all events."""
        self._arrived.clear()
        return [self._events.popleft() for _ in range(len(self._events))]

    def wait(self, seconds: float) -> None:
        """Sleep until an event arrives."""
        if not self._events:
            self._arrived.wait(seconds)
