"""Propagation for scripts, without an editor."""

import time
from typing import Any

import slicer
from SDSegSlicerLib.background import takeWorker
from slicer.i18n import tr as _

from SDSegLib.errors import CancelledError, InputError, SDSegError
from SDSegLib.mrml.edit_grid import image_with_slices, write_segment
from SDSegLib.mrml.last_prediction import with_slices_of
from SDSegLib.operations.propagate import PropagateOperation
from SDSegLib.propagation.options import AXES, PropagateOptions
from SDSegLib.propagation.result import Propagation
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

from .apply import rememberResult
from .requests import openedTarget
from .session import whyNothingCanBeComputed
from .target import Choices, Target, readTarget

_WAIT_SECONDS = 0.02


def propagateSegment(
    client: WorkerClient,
    place: tuple[Any, str, Any],
    slices: list[int] | None,
    axis: str | None,
    carry: str,
    correct: bool | None,
    device: str,
) -> tuple[int, ...]:
    """Carry a segment and write it; see `SDSegSlicerLogic.propagate`.

    Args:
        client: The worker.
        place: Segmentation node, ID of the segment, and volume node.
        slices: As there; likewise the others.
    """
    segmentationNode, segmentId, volumeNode = place
    if segmentationNode is None or volumeNode is None:
        raise InputError(_("Give a segmentation node and a volume node."))
    reason = whyNothingCanBeComputed()
    if reason:
        raise SDSegError(reason)
    PropagateOptions(axis=axis, carry=carry, device=device).check()
    choices = Choices(None if axis is None else AXES.index(axis), correct=correct)
    target = readTarget(segmentationNode, segmentId, volumeNode, choices)
    if slices is None and target.problem():
        raise InputError(target.problem())
    drawnAxis = target.bodyAxis if target.drawn.axis is None else target.drawn.axis
    options = PropagateOptions(
        slices=target.drawn.numbers if slices is None else tuple(slices),
        axis=AXES[drawnAxis],
        carry=carry,
        correct=target.drawn.correct,
        device=device,
    )
    result = _Run(client).result(target, options)
    if segmentationNode.GetScene() is None or volumeNode.GetScene() is None:
        raise InputError(_("The segmentation or the volume was removed meanwhile."))
    if not target.isSameDrawing(readTarget(segmentationNode, segmentId, volumeNode, choices)):
        raise InputError(
            _("The segment was changed meanwhile, so nothing was written; carry it again.")
        )
    mask = with_slices_of(result.part, target.mask, target.drawn.elsewhere)
    image = image_with_slices(
        segmentationNode, segmentId, target.grid, mask, result.axis, result.changed
    )
    write_segment(segmentationNode, segmentId, image)
    rememberResult(target, result)
    return result.unsure


class _Run:
    """One run on the worker, which a script waits for.

    Args:
        client: The worker.
    """

    givesWay = False

    def __init__(self, client: WorkerClient) -> None:
        self._client = client

    @property
    def isBusy(self) -> bool:
        return self._client.is_busy

    def stop(self) -> None:
        """Cancel it."""
        self._client.cancel()

    def result(self, target: Target, options: PropagateOptions) -> Propagation:
        """Start, and wait for the end; the application stays responsive meanwhile.

        Raises:
            SDSegError: If the worker is busy, or the run fails or is cancelled.
        """
        client = self._client
        if not takeWorker(client, self):
            raise SDSegError(_("A segmentation is going on; wait for its end, or cancel it."))
        client.start(openedTarget(client, target), PropagateOperation(options, target.mask))
        try:
            while client.is_busy:
                client.poll()
                slicer.app.processEvents()
                time.sleep(_WAIT_SECONDS)
        finally:  # also if the script is interrupted
            if client.is_busy:
                client.cancel()
        if client.state is State.CANCELLED:
            raise CancelledError(_("Cancelled; nothing was changed."))
        if client.state is not State.DONE:
            raise SDSegError(client.error)
        return client.result
