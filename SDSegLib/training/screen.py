"""A line that says how far a stage is, what its losses are and how long it will take."""

from __future__ import annotations

import logging
import time
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 60


class StepBar(Callback):
    """Draws a bar on a terminal, and writes a line a minute elsewhere.

    Args:
        title: Name of the stage.
        steps: Of the stage.
        console: Where to; None for the log alone.
    """

    def __init__(self, title: str, steps: int, console: Console | None) -> None:
        self.title = title
        self.steps = steps
        self.console = console
        self._bar: Progress | None = None
        self._next_line = 0.0

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        if not trainer.is_global_zero or self.console is None or not self.console.is_terminal:
            return
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[losses]}"),
            console=self.console,
        )
        self._bar.start()
        self._task = self._bar.add_task(
            self.title, total=self.steps, completed=trainer.global_step, losses=""
        )

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if not trainer.is_global_zero:
            return
        step = trainer.global_step
        if self._bar is not None:
            self._bar.update(self._task, completed=step, losses=_text(outputs))
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + SECONDS_BETWEEN_LINES
            line = f"{self.title}: step {step} of {self.steps}, {_text(outputs)}"
            log.info(line)
            if self.console is not None:
                self.console.print(line, highlight=False, soft_wrap=True)

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        self._close()

    def on_exception(
        self, trainer: Trainer, module: LightningModule, exception: BaseException
    ) -> None:
        self._close()

    def _close(self) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _text(outputs: Any) -> str:
    return "  ".join(f"{name} {float(value):.4f}" for name, value in outputs.items())
