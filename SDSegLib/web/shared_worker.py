"""A worker of the page: the process that segmentation and Propagate use in turns, or a server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from ..operations.base import Operation
from ..volume.volume import Volume
from ..worker.access import ServerAccess
from ..worker.client import WorkerClient
from ..worker.run import VolumeInWorker

_POLL_SECONDS = 0.02


class SharedWorker:
    """Keeps one worker and the open CT in it; event loop's thread only.

    Args:
        server: A server that computes; None for a process of this computer.

    Attributes:
        client: The worker.
    """

    def __init__(self, server: ServerAccess | None = None) -> None:
        self.client = WorkerClient(server=server)
        self._opened: VolumeInWorker | None = None
        self._lock = asyncio.Lock()
        self._gives_way = False

    @asynccontextmanager
    async def turn(self, gives_way: bool = False) -> AsyncIterator[None]:
        """Wait until no one else uses the worker, and keep it until the end of the block.

        Args:
            gives_way: Whether the run in the block is cancelled when somebody waits who does not
                give way.
        """
        if not gives_way and self._gives_way:
            self.client.cancel()
        async with self._lock:
            self._gives_way = gives_way
            try:
                yield
            finally:
                self._gives_way = False

    async def run(
        self, volume: Volume, operation: Operation[Any], on_change: Callable[[], None]
    ) -> None:
        """Run an operation to its end; `client` then has the state, the result and the report.

        A volume with the voxels of the last run is not copied again.

        Args:
            volume: The CT.
            operation: What to do.
            on_change: Called after progress.

        Raises:
            SDSegError: If the input cannot be used.
        """
        if self._opened is None or self._opened.volume.array is not volume.array:
            self.forget_volume()
            self._opened = self.client.open(volume)
        self.client.start(self._opened, operation)
        on_change()
        while self.client.is_busy:
            await asyncio.sleep(_POLL_SECONDS)
            if self.client.poll():
                on_change()

    def warm_up(self, operation: Operation[Any]) -> None:
        """Load what an operation needs, unless a run is in progress."""
        self.client.warm_up(operation)

    def forget_volume(self) -> None:
        """Release the CT in the worker."""
        if self._opened is not None:
            self.client.close_volume(self._opened)
            self._opened = None

    def close(self) -> None:
        """End the worker process and free all shared memory."""
        self.forget_volume()
        self.client.close()
