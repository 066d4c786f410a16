"""One run from the click to the segmentation node: its settings and its steps."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from typing import Literal

from slicer import (
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
)
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError
from SDSegLib.inference.progress import Progress
from SDSegLib.mrml.results import PreparedResult, prepare_result, write_result
from SDSegLib.mrml.segmentation_node import check_target
from SDSegLib.mrml.sequences import SegmentationSequence, frames_of
from SDSegLib.mrml.volumes import box_from_roi, region_from_roi
from SDSegLib.operations.segment import SegmentOperation
from SDSegLib.options import RunOptions
from SDSegLib.review.summary import RunSummary, summarise
from SDSegLib.volume.oriented_box import OrientedBox
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

from .background import VOLUME_NAME, Background, openInWorker, takeWorker

_WAIT_SECONDS = 0.02
Changing = Callable[
    [vtkMRMLSegmentationNode, vtkMRMLScalarVolumeNode], AbstractContextManager[None]
]


@dataclass(frozen=True, eq=False)
class RunSettings:
    """Settings of a run at the click on Segment.

    Attributes:
        volumeNode: What to segment.
        options: How.
        roiNode: Box to segment in, in place of `options.region`; None to use `options.region`.
        segmentationNode: An existing segmentation to write into; None for a new one.
        mode: For an existing one: "update" these structures, or "replace" all.
        overwriteEdited: Whether edited segments may be overwritten.
        allFrames: Whether to segment all time points of a sequence.
    """

    volumeNode: vtkMRMLScalarVolumeNode
    options: RunOptions = field(default_factory=RunOptions)
    roiNode: vtkMRMLMarkupsROINode | None = None
    segmentationNode: vtkMRMLSegmentationNode | None = None
    mode: Literal["update", "replace"] = "update"
    overwriteEdited: bool = False
    allFrames: bool = True


class SegmentationRun:
    """Sends volumes to the worker and writes the results into the scene.

    It is used on the main thread only. Nodes may be removed at any time between two polls; the run
    is then cancelled and leaves the scene unchanged.

    Args:
        client: The worker; must not be busy.
        settings: What to do.
        changing: Called with an existing segmentation and the volume right before the former is
            changed; what it returns is left after the change, with the error if it fails.

    Attributes:
        state: State of the run.
        progress: Progress of the current frame.
        frame: Number of the current frame, from 0.
        frameCount: 1 for a plain volume.
        error: Once FAILED or CANCELLED, the cause and the remedy, or "".
        details: Once FAILED, for the log.
        resultNode: Once DONE, the written node.
        volumeNode: The volume that is segmented.
        settings: What to do.
        options: Options of the run, with the region in voxels.
        instabilityNode: Once DONE with several samples, the instability map.
        summary: Once DONE, the summary of the run.
        writeSeconds: Time for writing into the scene.
    """

    givesWay = False

    def __init__(
        self,
        client: WorkerClient,
        settings: RunSettings,
        changing: Changing = lambda segmentationNode, volumeNode: nullcontext(),
    ) -> None:
        self.state = State.IDLE
        self.progress: Progress | None = None
        self.frame = 0
        self.frameCount = 1
        self.error = ""
        self.details = ""
        self.resultNode: vtkMRMLSegmentationNode | None = None
        self.instabilityNode: vtkMRMLScalarVolumeNode | None = None
        self.volumeNode = settings.volumeNode
        self.summary: RunSummary | None = None
        self.writeSeconds = 0.0
        self.settings = settings
        self.options = settings.options
        self._client = client
        self._changing = changing
        self._scene = settings.volumeNode.GetScene()
        self._preparing: Background | None = None
        self._box: OrientedBox | None = None
        self._started = time.monotonic()
        self._frames = frames_of(settings.volumeNode) if settings.allFrames else None
        self._sequence: SegmentationSequence | None = None
        if self._frames is not None:
            self.frameCount = self._frames.count
            self._sequence = SegmentationSequence(self._frames)

    @property
    def isBusy(self) -> bool:
        return self.state.is_busy

    @property
    def server(self) -> str:
        """The server that computes, by host and port; "" for this computer."""
        access = self._client.server
        return "" if access is None else access.address.place

    @property
    def age(self) -> float:
        """Seconds since it was made, that is, since the click."""
        return time.monotonic() - self._started

    @property
    def isCancelling(self) -> bool:
        return self.isBusy and self._client.is_cancelling

    def start(self) -> None:
        """Send the first volume to the worker; returns at once.

        Raises:
            SDSegError: If the input cannot be used, or the worker is busy with another run.
        """
        settings = self.settings
        if settings.segmentationNode is not None:
            check_target(
                settings.segmentationNode,
                settings.volumeNode,
                settings.mode,
                settings.overwriteEdited,
            )
        if not takeWorker(self._client, self):
            raise SDSegError(
                _(
                    "A script's segmentation is going on; wait for its end, or end it with Free "
                    "memory under Advanced."
                )
            )
        if self._frames is not None and settings.segmentationNode is not None:
            raise SDSegError(
                _("The frames of a sequence go into a new segmentation; choose that as output.")
            )
        self._send()

    def poll(self) -> bool:
        """Take one step; call it every 30 to 100 ms.

        Returns:
            Whether anything has changed.
        """
        if not self.isBusy:
            return False
        if self._preparing is not None:
            if self._preparing.isDone:
                self._write(self._preparing)
                return True
            return False
        if not self.error and not self._nodesArePresent():
            self.cancel(_("Cancelled, because the volume or the segmentation was removed."))
        changed = self._client.poll()
        if self._client.is_busy:
            self.state = self._client.state
            self.progress = self._client.progress
            return changed
        if self._client.state is State.DONE and not self.error:
            self._prepare()
        elif self._client.state is State.FAILED:
            self.state, self.error = State.FAILED, self._client.error
            self.details = self._client.details
        else:
            self.state = State.CANCELLED
            self.error = self.error or _("Cancelled, because the worker was stopped.")
        return True

    def cancel(self, reason: str = "") -> None:
        """Stop; the state becomes CANCELLED within one batch.

        Args:
            reason: Message for the user if the user has not cancelled it.
        """
        self.error = reason or _("Cancelled; nothing was changed.")
        self._client.cancel()
        if self._preparing is not None or not self._client.is_busy:
            self._preparing = None
            self.state = State.CANCELLED

    def stop(self) -> None:
        """Cancel; see `cancel`."""
        self.cancel()

    def wait(self, processEvents: Callable[[], None] = lambda: None) -> None:
        """Poll until the end; for scripts."""
        while self.isBusy:
            self.poll()
            processEvents()
            time.sleep(_WAIT_SECONDS)

    def _send(self) -> None:
        settings = self.settings
        if settings.roiNode is not None:
            region = region_from_roi(settings.roiNode, settings.volumeNode)
            self._box = box_from_roi(settings.roiNode, settings.volumeNode)
            self.options = replace(settings.options, region=region)
        operation = SegmentOperation(self.options.check())
        if self._frames is None:
            self._client.start(openInWorker(self._client, settings.volumeNode), operation)
        else:
            volume = replace(self._frames.volume(self.frame), name=VOLUME_NAME)
            self._client.start(volume, operation)
        self.state = self._client.state
        self.progress = self._client.progress

    def _prepare(self) -> None:
        """Measure the result in a thread: it examines all of its voxels."""
        result, report = self._client.result, self._client.report
        if result is None or report is None:
            raise RuntimeError("the worker is done without a result")
        notes = (*(finding.message for finding in report.findings), *report.messages)
        box = self._box

        def measure() -> tuple[PreparedResult, RunSummary]:
            prepared = prepare_result(result, box)
            summary = summarise(
                prepared.segmentation, report.device, report.seconds, report.load_seconds, notes
            )
            return prepared, summary

        self._preparing = Background(measure, _("Measuring the result"))

    def _write(self, preparing: Background) -> None:
        """Write the result into the scene; only this step changes it."""
        self._preparing = None
        if not self._nodesArePresent():
            self.cancel(_("Cancelled, because the volume or the segmentation was removed."))
            return
        self.state = State.FAILED  # until the end, so that the run ends after any error
        self.error = _("The result could not be written; the error log says why.")
        started = time.monotonic()
        try:
            prepared, summary = preparing.take()
            if self._sequence is None:
                self._writeNode(prepared, summary)
            elif not self._writeFrame(self._sequence, prepared, summary):
                return
        except SDSegError as error:
            self.error = str(error)
            return
        finally:
            self.writeSeconds = time.monotonic() - started
        self.state, self.error = State.DONE, ""

    def _writeNode(self, prepared: PreparedResult, summary: RunSummary) -> None:
        settings = self.settings
        node = settings.segmentationNode
        with nullcontext() if node is None else self._changing(node, settings.volumeNode):
            written = write_result(
                prepared,
                settings.volumeNode,
                node=node,
                mode=settings.mode,
                overwrite_edited=settings.overwriteEdited,
            )
        self.resultNode = written.segmentation_node
        self.instabilityNode = written.instability_node
        self._finish(replace(summary, notes=(*summary.notes, *written.notes)), written.kept)

    def _writeFrame(
        self, sequence: SegmentationSequence, prepared: PreparedResult, summary: RunSummary
    ) -> bool:
        """Keep one frame and start the next; returns whether that was the last one."""
        sequence.add(self.frame, prepared.segmentation, prepared.labels)
        if self.frame + 1 < self.frameCount:
            self.frame += 1
            self.error = ""
            self._send()
            return False
        self.resultNode = sequence.finish()
        self._finish(summary, ())
        return True

    def _finish(self, summary: RunSummary, kept: tuple[str, ...]) -> None:
        seconds = time.monotonic() - self._started
        notes = summary.notes
        if self.frameCount > 1 and summary.slices:
            notes += (
                _("The slices to review are those of the last frame; there is no map of them."),
            )
        self.summary = replace(
            summary, kept=kept, frames=self.frameCount, seconds=seconds, notes=notes
        )

    def _nodesArePresent(self) -> bool:
        if self._frames is not None and not self._frames.is_present:
            return False
        nodes = (self.settings.volumeNode, self.settings.segmentationNode)
        return all(node is None or self._scene.IsNodePresent(node) for node in nodes)
