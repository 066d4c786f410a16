"""Computing previews: one job at a time, of which the newest counts."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..errors import SDSegError
from ..inference.progress import Progress
from ..operations.propagate import PropagateOperation
from ..propagation.mask_part import MaskPart
from ..propagation.result import Propagation
from ..volume.finding import Finding
from ..volume.volume import Volume
from ..worker.run import State
from .shared_worker import SharedWorker

_log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Carried:
    """Masks that were computed for the preview.

    Attributes:
        masks: By segment ID, on the CT's grid.
        unsure: Slices to look at, the least certain first.
        next_slice: The slice whose drawing helps most; None if that is not known.
        seconds: From the request to the result.
        messages: For the user: events during the run, and doubts about the image.
    """

    masks: Mapping[str, MaskPart]
    unsure: tuple[int, ...] = ()
    next_slice: int | None = None
    seconds: float = 0.0
    messages: tuple[str, ...] = ()


class Job(ABC):
    """Computes one preview."""

    @abstractmethod
    async def run(self, on_progress: Callable[[Progress | None], None]) -> Carried | None:
        """The result; None if it was cancelled.

        Args:
            on_progress: Called with progress.

        Raises:
            SDSegError: If it cannot be computed, with the cause and the remedy.
        """

    @abstractmethod
    def cancel(self) -> None:
        """The result is not wanted any more."""


@dataclass(eq=False)
class PropagateJob(Job):
    """Carries a segment's mask to other slices, in the worker.

    Attributes:
        worker: The page's worker.
        volume: The CT.
        segment_id: Of the segment.
        operation: Mask and options.
    """

    worker: SharedWorker
    volume: Volume
    segment_id: str
    operation: PropagateOperation
    is_cancelled: bool = field(default=False, init=False)
    has_begun: bool = field(default=False, init=False)

    async def run(self, on_progress: Callable[[Progress | None], None]) -> Carried | None:
        client = self.worker.client
        on_progress(None)
        async with self.worker.turn(gives_way=True):
            if self.is_cancelled:
                return None
            self.has_begun = True
            started = time.monotonic()
            await self.worker.run(self.volume, self.operation, lambda: on_progress(client.progress))
            self.has_begun = False
            state, result, report = client.state, client.result, client.report
        if state is State.FAILED:
            _log.error("propagating failed: %s\n%s", client.error, client.details)
            raise SDSegError(client.error)
        if state is not State.DONE or not isinstance(result, Propagation):
            return None
        return Carried(
            masks={self.segment_id: result.part},
            unsure=result.unsure,
            next_slice=result.next_slice,
            seconds=time.monotonic() - started,
            messages=() if report is None else (*report.messages, *_doubts(report.findings)),
        )

    def cancel(self) -> None:
        self.is_cancelled = True
        if self.has_begun:
            self.worker.client.cancel()


def _doubts(findings: Iterable[Finding]) -> list[str]:
    """What is doubtful about the values of the image; its modality is told before."""
    return [finding.message for finding in findings if finding.kind in ("hu-offset", "range")]


@dataclass(eq=False)
class ThreadJob(Job):
    """Computes masks in a thread; a job that is cancelled runs on, and its result is discarded.

    Attributes:
        compute: Returns the result, without its seconds.
    """

    compute: Callable[[], Carried]

    async def run(self, on_progress: Callable[[Progress | None], None]) -> Carried | None:
        on_progress(None)
        started = time.monotonic()
        result = await asyncio.to_thread(self.compute)
        return replace(result, seconds=time.monotonic() - started)

    def cancel(self) -> None:
        """A thread cannot be stopped."""


class NewestJob:
    """Runs one job at a time; a newer one cancels the one that runs and replaces one that waits.

    Args:
        start: Runs a coroutine in the background.
        on_change: Called after progress, and after the end of the last job.
        on_result: Called with the result of the newest job.

    Attributes:
        error: Cause and remedy if the newest job failed; or "".
        progress: Of the job that runs.
    """

    def __init__(
        self,
        start: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        on_change: Callable[[], None],
        on_result: Callable[[Carried], None],
    ) -> None:
        self.error = ""
        self.progress: Progress | None = None
        self._start = start
        self._on_change = on_change
        self._on_result = on_result
        self._wanted: Job | None = None
        self._running: Job | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def is_busy(self) -> bool:
        """Whether a result is still to come."""
        return self._wanted is not None or self._running is not None

    def request(self, job: Job) -> None:
        """Run a job next; older ones do not count any more."""
        self.error = ""
        self._wanted = job
        if self._running is not None:
            self._running.cancel()
        if self._task is None or self._task.done():
            self._task = self._start(self._work())

    def stop(self) -> None:
        """Forget all jobs and their errors."""
        self.error = ""
        self._wanted = None
        if self._running is not None:
            self._running.cancel()
            self._running = None

    async def _work(self) -> None:
        try:
            while self._wanted is not None:
                await self._run_next()
        finally:
            self._running = None
            self._on_change()

    async def _run_next(self) -> None:
        job, self._wanted = self._wanted, None
        if job is None:
            return
        self._running = job
        self.progress = None
        result = await self._result_of(job)
        if job is not self._running or self._wanted is not None:
            return  # stopped, or a newer one waits
        self._running = None
        if result is not None:
            self._on_result(result)
        elif not self.error:
            self._wanted = job  # it gave way to a segmentation

    async def _result_of(self, job: Job) -> Carried | None:
        try:
            return await job.run(lambda progress: self._advance(job, progress))
        except SDSegError as error:
            if job is self._running and self._wanted is None:
                self.error = str(error)
            return None

    def _advance(self, job: Job, progress: Progress | None) -> None:
        if job is self._running:
            self.progress = progress
            self._on_change()
