"""Function calls that are sent to single workers of a Dask cluster, and their answers."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent import futures as concurrent_futures
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

if TYPE_CHECKING:
    from distributed import Client, Future

_TIDY_EVERY = 5000

LOST = object()
"""The answer of a task that was lost with its worker or with the scheduler."""


@dataclass(frozen=True)
class Known:
    """What the scheduler says.

    Attributes:
        scheduler: Changes if another scheduler answers at the same address.
        workers: Addresses of the worker processes.
    """

    scheduler: Any
    workers: set[str]


class Tasks:
    """The calls in work, each known by its number.

    Args:
        client: Connected to the scheduler.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._run = f"sdseg-{uuid4().hex[:8]}"
        self._count = 0
        self._futures: dict[int, Future] = {}
        self._inbox: queue.SimpleQueue[tuple[str, int, Any]] = queue.SimpleQueue()
        self._last_address = ""
        self._last_address = self.address

    @property
    def address(self) -> str:
        """Of the scheduler, also after it was lost."""
        known = getattr(self._client.scheduler, "address", "")
        return str(known) or self._last_address

    @property
    def is_connected(self) -> bool:
        """Whether the scheduler answers."""
        return self._client.status == "running"

    @property
    def is_given_up(self) -> bool:
        """Whether Dask has stopped trying to reach a scheduler that was lost."""
        return self._client.status in ("closing", "closed", "closing-report")

    def known(self) -> Known | None:
        """Scheduler and workers; None while the scheduler does not answer."""
        if not self.is_connected:
            return None
        try:
            known = Known(self._client.scheduler_info().get("id"), set(self._client.nthreads()))
        except (OSError, ValueError, asyncio.TimeoutError):
            return None
        return known if self.is_connected else None

    def submit(
        self,
        address: str,
        function: Callable[..., Any],
        arguments: Sequence[Any],
        gpus: float = 0.0,
    ) -> int:
        """Call a function on a worker and on no other, and return the number of the call.

        Args:
            address: Of the worker.
            function: Is pickled, as the arguments are.
            arguments: In their order.
            gpus: Amount of the resource "GPU" that it takes.
        """
        import cloudpickle

        self._count += 1
        if self._count % _TIDY_EVERY == 0:
            self._tidy()
        future = self._client.submit(
            _CALL,
            cloudpickle.dumps((function, tuple(arguments))),
            key=(self._run, self._count),  # short: Dask remembers the last 100,000
            workers=[address],
            allow_other_workers=False,
            resources={"GPU": 0.999 * gpus} if gpus else None,
            pure=False,
        )
        self._futures[self._count] = future
        loop: Any = self._client.loop
        asyncio.run_coroutine_threadsafe(
            self._bring(future, address, self._count), loop.asyncio_loop
        )
        return self._count

    def answers(self, seconds: float) -> Iterator[tuple[str, int, Any]]:
        """Wait for an answer, at most so many seconds, and give all that are there.

        Yields:
            The worker's address, the number of the call, and what it returned, or the error that
            it or Dask raised, or `LOST`.
        """
        with suppress(queue.Empty):
            found = [self._inbox.get(timeout=seconds)]
            while not self._inbox.empty():
                found.append(self._inbox.get())
            for answer in found:
                self._futures.pop(answer[1], None)
                yield answer

    def cancel(self, numbers: Iterable[int]) -> None:
        """End calls whose answers are not wanted any more."""
        futures = self.forget(numbers)
        if futures and self.is_connected:
            try:
                self._client.cancel(futures, force=True)
            except (OSError, asyncio.TimeoutError):
                return  # the scheduler is gone, and the tasks with it

    def forget(self, numbers: Iterable[int]) -> list[Future]:
        """Take these calls for ended, as those of a scheduler that was lost."""
        return [
            future
            for number in list(numbers)
            if (future := self._futures.pop(number, None)) is not None
        ]

    def _tidy(self) -> None:
        """Let the scheduler forget what it notes of each task for its diagnostics."""
        with suppress(OSError, ValueError, asyncio.TimeoutError):
            self._client.run_on_scheduler(_FORGET)

    async def _bring(self, future: Future, address: str, number: int) -> None:
        """Wait for an answer without holding up anything else, and put it into the inbox."""
        try:
            answer = await future
        except (asyncio.CancelledError, concurrent_futures.CancelledError):
            answer = LOST
        except Exception as error:  # noqa: BLE001
            # Whatever the worker or Dask raised is judged where the answers are taken.
            answer = error
        self._inbox.put((address, number, answer))


def _caller() -> Callable[[bytes], Any]:
    """The function of every task. It is sent by its code, as it has no name to be imported by.

    Dask's scheduler opens the tasks, but not these bytes, so it works without SDSeg.
    """

    def call(payload: bytes) -> Any:
        import pickle

        function, arguments = pickle.loads(payload)
        return function(*arguments)

    return call


def _forgetter() -> Callable[..., None]:
    """A function for the scheduler, sent by its code as well.

    Dask adds the same line to the metadata of a span with each task and never removes one.
    """

    def forget(dask_scheduler: Any) -> None:
        spans = dask_scheduler.extensions.get("spans")
        for span in list(getattr(spans, "spans", {}).values()):
            lines = (span.metadata or {}).get("collections", [])
            lines[1:] = [line for line in lines[1:] if line != lines[0]]

    return forget


_CALL = _caller()
_FORGET = _forgetter()
