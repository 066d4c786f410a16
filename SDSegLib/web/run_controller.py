"""One run at a time, followed from the event loop, so that the page keeps answering."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from ..errors import SDSegError
from ..worker.client import WorkerClient
from ..worker.outcome import State
from ..worker.request import Request
from .summary import Measured, measure

_log = logging.getLogger(__name__)
_POLL_SECONDS = 0.05


class RunController:
    """Drives the worker.

    Args:
        on_change: Called when there is something new to draw.
        on_result: Called with a result, on the event loop; it writes into the scene.

    Attributes:
        client: The worker.
        error: Why the last run failed, and the way out; or "".
        is_writing: Whether a result is being measured and written.
    """

    def __init__(
        self, on_change: Callable[[], None], on_result: Callable[[Measured], None]
    ) -> None:
        self.client = WorkerClient()
        self.error = ""
        self.is_writing = False
        self._on_change = on_change
        self._on_result = on_result
        self._task: asyncio.Task[None] | None = None
        self._is_abandoned = False

    @property
    def is_busy(self) -> bool:
        """Whether a run is going on, up to its last voxel in the scene."""
        return self._task is not None and not self._task.done()

    def start(self, request: Request) -> None:
        """Begin a run.

        Raises:
            SDSegError: If one is going on, or the input cannot be used.
        """
        if self.is_busy:
            raise SDSegError("A segmentation is going on; wait for its end, or cancel it.")
        self.error = ""
        self._is_abandoned = False
        self.client.start(request)
        self._task = asyncio.get_running_loop().create_task(self._follow())
        self._on_change()

    def cancel(self) -> None:
        """Ask the run to stop; nothing in the scene is changed."""
        self._is_abandoned = True
        self.client.cancel()
        self._on_change()

    async def stop(self) -> None:
        """Cancel and wait for the end."""
        if self._task is not None and self.is_busy:
            self.cancel()
            await self._task

    def close(self) -> None:
        """End the worker process and free all shared memory."""
        self._is_abandoned = True
        self.client.close()

    async def _follow(self) -> None:
        while self.client.is_busy:
            await asyncio.sleep(_POLL_SECONDS)
            if self.client.poll():
                self._on_change()
        if self.client.state is State.FAILED:
            self.error = self.client.error
            _log.error("the run failed: %s\n%s", self.client.error, self.client.details)
        elif self.client.state is State.DONE and not self._is_abandoned:
            await self._write()
        asyncio.get_running_loop().call_soon(self._on_change)

    async def _write(self) -> None:
        result, outcome = self.client.result, self.client.outcome
        if result is None or outcome is None:
            raise RuntimeError("the worker is done without a result")
        self.is_writing = True
        self._on_change()
        try:
            measured = await asyncio.to_thread(measure, result, outcome)
            if not self._is_abandoned:
                self._on_result(measured)
        except SDSegError as error:
            self.error = str(error)
        finally:
            self.is_writing = False
