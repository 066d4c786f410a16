"""The button that segments and cancels, the bar below it, and what came of it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from ..inference.progress import Progress
from ..volume.coverage import check_coverage
from ..worker.outcome import State
from ..worker.request import Request
from .desk import Desk
from .formatting import seconds_text, time_left_text
from .model_panel import ModelPanel
from .page_state import Action, Answer
from .run_controller import RunController
from .summary import Measured

REVIEW_SAMPLES = 5
# What a model makes of such images means nothing; the user is asked.
_DOUBTFUL = ("modality", "range", "hu-offset", "coverage")


class RunPanel:
    """Starts runs, asks before it overwrites edits, and writes results into the scene.

    Args:
        desk: Shared parts.
        models: What to run.
        after_result: Called when a result is in the scene.
    """

    def __init__(self, desk: Desk, models: ModelPanel, after_result: Callable[[], None]) -> None:
        self._desk = desk
        self._models = models
        self._after_result = after_result
        self._overwrite: tuple[str, ...] = ()
        self.controller = RunController(self.draw, self._write)
        self.draw()

    def actions(self) -> dict[str, Action]:
        """By the names that the page calls them."""
        return {
            "segment": self.segment,
            "cancel": self.controller.cancel,
            "measure": self._measure,
        }

    async def segment(self) -> None:
        """Segment what is open; asks first if the image is no CT or edits are in the way."""
        study, page = self._desk.study, self._desk.page
        if study.volume_node is None or self.controller.is_busy:
            return
        if not self._models.structures:
            page.tell("Tick at least one structure.", "warning")
            return
        doubts = await self._doubts()
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
        self.controller.start(
            Request(
                volume=study.volume(),
                model=self._models.path,
                structures=tuple(item.name for item in self._models.structures),
                device=self._models.device,
                mirror=self._models.mirror,
                samples=self._models.samples,
            )
        )

    def warm_up(self) -> None:
        """Load the model before it is asked for, so that the first run begins at once."""
        if not self.controller.is_busy:
            self.controller.client.warm_up(
                self._models.path, self._models.device, self._models.mirror
            )

    def draw(self) -> None:
        """Show where the run is."""
        client, is_busy = self.controller.client, self.controller.is_busy
        summary = self._desk.study.summary
        text, share = self._progress(client.state, client.progress) if is_busy else ("", None)
        outcome = ""
        if summary is not None:
            outcome = f"{seconds_text(summary.seconds)} on {summary.device.partition(':')[0]}"
        self._desk.page.show(
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
        """What is being done, and the share that is done if it can be told."""
        if self.controller.is_writing or state is State.DONE:
            return "Writing the result…", 1.0
        if self.controller.client.is_cancelling:
            return "Stopping after the slices that are being computed…", None
        if state is State.STARTING or progress is None:
            return "Loading the model; later runs skip this…", None
        if progress.total == 0:
            return progress.message or "Reading the image…", None
        share = progress.done / progress.total
        if progress.message:
            return progress.message, share
        text = f"Slice {progress.done} of {progress.total}"
        if progress.seconds_left is not None:
            text += f", about {time_left_text(progress.seconds_left)} left"
        return text, share

    def _notes(self) -> list[str]:
        summary = self._desk.study.summary
        if summary is None:
            return []
        known = {finding.message for finding in self._desk.study.findings}
        notes = [note for note in summary.notes if note not in known]
        if summary.missing:
            notes.append(f"Not found: {', '.join(summary.missing)}.")
        if summary.kept:
            notes.append(f"Kept as you edited them: {', '.join(summary.kept)}.")
        return notes

    async def _measure(self) -> None:
        """Segment again with several samples, to learn where the result is unsure."""
        if self._models.samples == 1:
            self._models.set_samples(REVIEW_SAMPLES)
        await self.segment()

    async def _doubts(self) -> list[str]:
        """What speaks against segmenting this image with this model."""
        study = self._desk.study
        coverage = await asyncio.to_thread(check_coverage, study.opened(), self._models.expects)
        return [
            finding.message for finding in [*study.findings, *coverage] if finding.kind in _DOUBTFUL
        ]

    async def _wants_doubtful(self, doubts: list[str]) -> bool:
        answer = await self._desk.page.ask(
            "Does this image fit?",
            " ".join(doubts),
            Answer("no", "Do not segment", primary=True),
            Answer("yes", "Segment anyway"),
        )
        return answer == "yes"

    async def _what_about(self, names: tuple[str, ...]) -> str:
        return await self._desk.page.ask(
            "Keep your edits?",
            f"You edited {', '.join(names)}. A new run can leave them as they are and renew the "
            "other structures, or overwrite them too. Undo brings either back.",
            Answer("keep", "Keep my edits", primary=True),
            Answer("overwrite", "Overwrite them"),
            Answer("", "Cancel"),
        )

    def _write(self, measured: Measured) -> None:
        with self._desk.editor.one_step():
            self._desk.study.write(measured, self._overwrite)
        self._after_result()
