"""Runs: the button that segments and cancels, the progress bar, and the outcome."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence

from ..errors import SDSegError
from ..inference.progress import Progress
from ..language import tr
from ..mrml.results import PreparedResult, prepare_result
from ..operations.segment import SegmentOperation
from ..options import RunOptions
from ..review.formatting import seconds_text, time_left_text
from ..review.summary import RunSummary, summarise
from ..volume.finding import Finding, of_severity
from ..volume.judgement import refuse
from ..volume.volume import Volume
from ..worker.client import WorkerClient
from ..worker.run import State
from .model_panel import ModelPanel
from .page_context import Action, Answer, PageContext
from .server_panel import ServerPanel
from .shared_worker import SharedWorker

_log = logging.getLogger(__name__)
REVIEW_SAMPLES = 5


class RunController:
    """Controls runs that segment the whole CT.

    Args:
        worker: The worker of this computer.
        on_change: Called after a change that must be drawn.
        on_result: Called with a result, on the event loop; it writes into the scene.
        on_server_failure: Called after a server has failed, with the volume and the options.

    Attributes:
        error: Cause and remedy if the last run failed; or "".
        is_writing: Whether a result is being measured and written.
    """

    def __init__(
        self,
        worker: SharedWorker,
        on_change: Callable[[], None],
        on_result: Callable[[PreparedResult, RunSummary], None],
        on_server_failure: Callable[[Volume, RunOptions], None],
    ) -> None:
        self.error = ""
        self.is_writing = False
        self._worker = worker
        self._on_change = on_change
        self._on_result = on_result
        self._on_server_failure = on_server_failure
        self._task: asyncio.Task[None] | None = None
        self._is_abandoned = False

    @property
    def client(self) -> WorkerClient:
        """The worker of the current or last run."""
        return self._worker.client

    @property
    def is_busy(self) -> bool:
        """Whether a run is in progress, writing into the scene included."""
        return self._task is not None and not self._task.done()

    def start(self, volume: Volume, options: RunOptions, worker: SharedWorker) -> None:
        """Begin a run.

        Args:
            volume: The CT.
            options: How.
            worker: What computes it.

        Raises:
            SDSegError: If a run is in progress.
        """
        if self.is_busy:
            raise SDSegError(tr("A segmentation is going on; wait for its end, or cancel it."))
        self.error = ""
        self._worker = worker
        self._is_abandoned = False
        self._task = asyncio.get_running_loop().create_task(self._run(volume, options))
        self._on_change()

    def cancel(self) -> None:
        """Cancel the run; nothing in the scene is changed."""
        if not self.is_busy:
            return
        self._is_abandoned = True
        self.client.cancel()
        self._on_change()

    async def stop(self) -> None:
        """Cancel and wait for the end."""
        if self._task is not None and self.is_busy:
            self.cancel()
            await self._task

    def abandon(self) -> None:
        """The worker is about to end: discard the run's result."""
        self._is_abandoned = True

    async def _run(self, volume: Volume, options: RunOptions) -> None:
        async with self._worker.turn():
            try:
                if not self._is_abandoned:
                    await self._worker.run(volume, SegmentOperation(options), self._on_change)
                    await self._finish()
                    if self.error and self.client.server is not None:
                        self._on_server_failure(volume, options)
            except SDSegError as error:
                self.error = str(error)
        asyncio.get_running_loop().call_soon(self._on_change)

    async def _finish(self) -> None:
        if self.client.state is State.FAILED:
            self.error = self.client.error
            _log.error("the run failed: %s\n%s", self.client.error, self.client.details)
        elif self.client.state is State.DONE and not self._is_abandoned:
            await self._write()

    async def _write(self) -> None:
        result, report = self.client.result, self.client.report
        if result is None or report is None:
            raise RuntimeError("the worker is done without a result")
        notes = (*(finding.message for finding in report.findings), *report.messages)
        self.is_writing = True
        self._on_change()
        try:
            prepared = await asyncio.to_thread(prepare_result, result)
            summary = await asyncio.to_thread(
                summarise, result, report.device, report.seconds, report.load_seconds, notes
            )
            if not self._is_abandoned:
                self._on_result(prepared, summary)
        finally:
            self.is_writing = False


class RunPanel:
    """Starts runs, asks before it overwrites edits, and writes results into the scene.

    Args:
        context: Shared parts.
        worker: The worker of this computer.
        server: What computes the next run.
        models: The options.
        examine: Returns the findings about the CT for the chosen model.
        after_result: Called after a result was written into the scene.
    """

    def __init__(
        self,
        context: PageContext,
        worker: SharedWorker,
        server: ServerPanel,
        models: ModelPanel,
        examine: Callable[[], Awaitable[Sequence[Finding]]],
        after_result: Callable[[], None],
    ) -> None:
        self._context = context
        self._worker = worker
        self._server = server
        self._models = models
        self._examine = examine
        self._after_result = after_result
        self._overwrite: tuple[str, ...] = ()
        self.controller = RunController(worker, self.draw, self._write, self._after_server_failure)
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "segment": self.segment,
            "cancel": self.controller.cancel,
            "measure": self._measure,
        }

    async def segment(self) -> None:
        """Segment the open CT; asks first if it may not fit or if segments were edited."""
        study, page = self._context.study, self._context.page
        if study.volume_node is None or self.controller.is_busy:
            return
        if not self._models.structures:
            page.tell(tr("Tick at least one structure."), "warning")
            return
        findings = await self._examine()
        refuse(findings)
        doubts = [finding.message for finding in of_severity(findings, "ask")]
        if doubts and not await self._wants_doubtful(doubts):
            return
        edited = study.edited_among(self._models.structures)
        self._overwrite = ()
        if edited:
            names = tuple(item.name for item in edited)
            answer = await self._what_about(names)
            if answer not in ("keep", "overwrite"):
                return
            self._overwrite = names if answer == "overwrite" else ()
        if self.controller.is_busy:
            return
        page.clear_messages()
        self.controller.start(study.volume(), self._models.options, self._server.worker)

    def _after_server_failure(self, volume: Volume, options: RunOptions) -> None:
        self._context.page.run(self._go_on_here(volume, options))

    async def _go_on_here(self, volume: Volume, options: RunOptions) -> None:
        """This computer takes the place of a server that has failed, if the user agrees."""
        answer = await self._context.page.ask(
            tr("The server has failed"),
            tr("{error} Compute on this computer this time?").format(error=self.controller.error),
            Answer("yes", tr("Compute here"), primary=True),
            Answer("no", tr("No")),
        )
        if answer == "yes" and not self.controller.is_busy:
            self.controller.start(volume, options, self._worker)

    def warm_up(self) -> None:
        """Load the model in advance, so that the first run begins at once."""
        if not self.controller.is_busy:
            options = self._models.options
            wanted = RunOptions(model=options.model, device=options.device)
            self._worker.warm_up(SegmentOperation(wanted))

    def draw(self) -> None:
        """Show the state of the run."""
        client, is_busy = self.controller.client, self.controller.is_busy
        summary = self._context.study.summary
        text, share = self._progress(client.state, client.progress) if is_busy else ("", None)
        outcome = ""
        if summary is not None:
            outcome = tr("{seconds} on {device}").format(
                seconds=seconds_text(summary.seconds), device=summary.device.partition(":")[0]
            )
        self._context.page.show(
            run={
                "busy": is_busy,
                "cancelling": is_busy and client.is_cancelling,
                "text": text,
                "share": share,
                "error": "" if is_busy else self.controller.error,
                "outcome": outcome,
                "device": "" if summary is None else summary.device,
                "model": "" if summary is None else summary.model,
                "notes": [] if summary is None else self._notes(),
            }
        )

    def _progress(self, state: State, progress: Progress | None) -> tuple[str, float | None]:
        """Current step and finished fraction; None if unknown."""
        if self.controller.is_writing or state is State.DONE:
            return tr("Writing the result…"), 1.0
        if self.controller.client.is_cancelling:
            return tr("Stopping after the slices that are being computed…"), None
        if state is State.STARTING and self.controller.client.server is not None:
            waiting = "" if progress is None else progress.message
            return waiting or tr("Sending the image to the server…"), None
        if state is State.STARTING or progress is None:
            return tr("Loading the model; later runs skip this…"), None
        if progress.total == 0:
            return progress.message or tr("Reading the image…"), None
        share = progress.done / progress.total
        if progress.message:
            return progress.message, share
        text = tr("Slice {done} of {total}").format(done=progress.done, total=progress.total)
        if progress.seconds_left is not None:
            text += tr(", about {seconds_left} left").format(
                seconds_left=time_left_text(progress.seconds_left)
            )
        return text, share

    def _notes(self) -> list[str]:
        summary = self._context.study.summary
        if summary is None:
            return []
        known = {finding.message for finding in self._context.study.findings}
        notes = [note for note in summary.notes if note not in known]
        if summary.missing:
            notes.append(tr("Not found: {missing}.").format(missing=", ".join(summary.missing)))
        if summary.kept:
            notes.append(
                tr("Kept as you edited them: {kept}.").format(kept=", ".join(summary.kept))
            )
        return notes

    async def _measure(self) -> None:
        """Segment again with several samples, to measure the instability of the result."""
        if self._models.options.samples == 1:
            self._models.set_samples(REVIEW_SAMPLES)
        await self.segment()

    async def _wants_doubtful(self, doubts: list[str]) -> bool:
        answer = await self._context.page.ask(
            tr("Does this image fit?"),
            " ".join(doubts),
            Answer("no", tr("Do not segment"), primary=True),
            Answer("yes", tr("Segment anyway")),
        )
        return answer == "yes"

    async def _what_about(self, names: tuple[str, ...]) -> str:
        return await self._context.page.ask(
            tr("Keep your edits?"),
            tr(
                "You edited {names}. A new run can leave them as they are and renew the other "
                "structures, or overwrite them too. Undo brings either back."
            ).format(names=", ".join(names)),
            Answer("keep", tr("Keep my edits"), primary=True),
            Answer("overwrite", tr("Overwrite them")),
            Answer("", tr("Cancel")),
        )

    def _write(self, result: PreparedResult, summary: RunSummary) -> None:
        with self._context.editor.one_step():
            self._context.study.write(result, summary, self._overwrite)
        self._after_result()
