"""Requests for previews to the worker that is shared with Segment: the newest one counts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import qt
from SDSegSlicerLib.background import (
    openInWorker,
    openVolume,
    takeWorker,
    usesWorker,
    voxelsKey,
    workerHere,
)
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError
from SDSegLib.inference.progress import Progress
from SDSegLib.mrml.edit_grid import volume_on_grid
from SDSegLib.operations.propagate import PropagateOperation
from SDSegLib.propagation.result import Propagation
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State, VolumeInWorker

from .target import Target

_POLL_MS = 20


@dataclass(frozen=True, eq=False)
class Request:
    """What to compute.

    Attributes:
        target: The segment as it was drawn.
        operation: With its mask and drawn slices.
    """

    target: Target
    operation: PropagateOperation


class PreviewRequests:
    """Sends requests; an older one is cancelled, and its result is never shown.

    It gives way to Segment, and waits until that has ended.

    Args:
        onChange: Called when there is progress.
        onResult: Called with a request and its result.
        onError: Called with a sentence for the user.

    Attributes:
        progress: Of the request that is being computed.
    """

    givesWay = True

    def __init__(
        self,
        onChange: Callable[[], None],
        onResult: Callable[[Request, Propagation], None],
        onError: Callable[[str], None],
    ) -> None:
        self.progress: Progress | None = None
        self._onChange, self._onResult, self._onError = onChange, onResult, onError
        self._client: WorkerClient | None = None
        self._sent: Request | None = None
        self._isDropped = False
        self._isTold = False  # that somebody else uses the worker
        self._wanted: Request | None = None
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)

    @property
    def isBusy(self) -> bool:
        """Whether a request is in the worker, maybe a cancelled one."""
        client = self._client
        return client is not None and usesWorker(client, self) and client.is_busy

    @property
    def isPending(self) -> bool:
        """Whether a result is still to come."""
        return self._wanted is not None or (self._sent is not None and not self._isDropped)

    @property
    def isWaiting(self) -> bool:
        """Whether somebody else uses the worker."""
        return self._wanted is not None and not self.isBusy

    def ask(self, request: Request) -> None:
        """Compute this request, and none that was asked for earlier."""
        self._wanted = request
        self._drop()
        self._timer.start()
        self._poll()

    def cancel(self) -> None:
        """Compute nothing."""
        self._wanted = None
        self._drop()

    def stop(self) -> None:
        """Give way: the request that is being computed is asked for again later."""
        if not self._isDropped:
            self._wanted = self._wanted or self._sent
        self._drop()

    def _drop(self) -> None:
        if self.isBusy and self._client is not None:
            self._client.cancel()
        self._isDropped = True
        self.progress = None

    def _poll(self) -> None:
        if self._sent is not None and not self._hasEnded(self._sent):
            return
        if self._sent is not None:  # who was given the result has asked for the next one
            return
        if self._wanted is None:
            self._timer.stop()
            return
        client = workerHere()
        if not takeWorker(client, self):
            if not self._isTold:
                self._isTold = True
                self._onChange()
            return
        self._isTold = False
        request, self._wanted = self._wanted, None
        try:
            client.start(openedTarget(client, request.target), request.operation)
        except SDSegError as error:
            self._onError(str(error))
            return
        self._client, self._sent, self._isDropped = client, request, False
        self.progress = client.progress
        self._onChange()

    def _hasEnded(self, request: Request) -> bool:
        """Take a step of the request in the worker."""
        client = self._client
        if client is None or not usesWorker(client, self):
            self._sent = None
            return True
        hasChanged = client.poll()
        if client.is_busy:
            self.progress = None if self._isDropped else client.progress
            if hasChanged:
                self._onChange()
            return False
        self._sent, self.progress = None, None
        if self._isDropped:
            return True
        if client.state is State.DONE:
            self._onResult(request, client.result)
        elif client.state is State.FAILED:
            self._onError(client.error)
        else:
            self._onError(_("The preview was cancelled, because the worker was stopped."))
        return True


def openedTarget(client: WorkerClient, target: Target) -> VolumeInWorker:
    """The target's volume on its grid, in the worker.

    Raises:
        InputError: If the volume cannot be used.
    """
    node, grid = target.volumeNode, target.grid
    if grid.is_volumes:
        return openInWorker(client, node)
    key: tuple[Any, ...] = (
        f"{node.GetID()} on {target.segmentationNode.GetID()}",
        voxelsKey(node),
        target.places,
        grid.first,
        grid.geometry.shape,
        grid.geometry.affine_lps.tobytes(),
    )
    return openVolume(client, key, lambda: volume_on_grid(node, target.segmentationNode, grid))
