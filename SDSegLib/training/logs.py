"""Progress of a stage: losses, rate, time and Dice as CSV, for TensorBoard and on the screen."""

from __future__ import annotations

import csv
import logging
import os
import re
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ..language import tr

log = logging.getLogger(__name__)
SECONDS_BETWEEN_LINES = 60
_STEP = re.compile(r"[0-9]{1,12}")


class CurveLogger(Logger):
    """One CSV file that a resumed run appends to; a step that is repeated has one row.

    Args:
        path: For example `curve.csv`; one row a logged step.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self._rows: dict[int, dict[str, str]] = {}
        self._columns = ["step"]
        self._started = False

    @property
    def name(self) -> str:
        return "curve"

    @property
    def version(self) -> int:
        return 0

    @rank_zero_only
    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Settings are kept in `settings.json` instead."""

    @rank_zero_only
    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        """Write the values of a step; rows of later steps, left by a killed run, are dropped."""
        number = 0 if step is None else step
        if not self._started:
            self._read_before(number)
        new = [name for name in metrics if name not in self._columns]
        known = number in self._rows
        self._columns += new
        row = self._rows.setdefault(number, {"step": str(number)})
        row.update({name: f"{float(value):.9g}" for name, value in metrics.items()})
        if new or known or not self._started:
            self._write_all()
        else:
            with self.path.open("a", newline="", encoding="utf-8") as stream:
                csv.DictWriter(stream, self._columns).writerow(row)
        self._started = True

    def _read_before(self, step: int) -> None:
        """Read the rows of the runs before; those that are damaged are left out."""
        if not self.path.is_file():
            return
        try:
            with self.path.open(newline="", encoding="utf-8") as stream:
                reader = csv.DictReader(stream)
                columns = list(reader.fieldnames or ["step"])
                rows = [row for row in reader if None not in row and None not in row.values()]
        except (OSError, ValueError, csv.Error):
            log.warning("%s is damaged and begins anew", self.path)
            return
        if "step" not in columns or len({*columns}) < len(columns):
            log.warning("%s is damaged and begins anew", self.path)
            return
        self._columns = columns
        for row in rows:
            if _STEP.fullmatch(row["step"]) and int(row["step"]) < step:
                self._rows[int(row["step"])] = row

    def _write_all(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        with fresh.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.DictWriter(stream, self._columns)
            writer.writeheader()
            writer.writerows(self._rows[number] for number in sorted(self._rows))
        os.replace(fresh, self.path)


def read_curve(path: Path) -> list[dict[str, float]]:
    """Rows of a `curve.csv`, by step; values that a row lacks are left out."""
    with path.open(newline="", encoding="utf-8") as stream:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(stream)
        ]


class Journal(Callback):
    """Passes losses, learning rate and seconds per step to the loggers.

    Losses are the means over all batches of a step, those of other devices as well.

    Args:
        every: Steps between entries.
    """

    def __init__(self, every: int) -> None:
        self.every = max(1, every)
        self._since = (time.monotonic(), -1)
        self._means: dict[str, torch.Tensor] = {}

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        number = trainer.accumulate_grad_batches
        for name, value in outputs.items():
            # Lightning has divided the loss, and nothing else.
            share = value.detach().float() / (1 if name == "loss" else number)
            self._means[name] = self._means[name] + share if name in self._means else share
        if (batch_idx + 1) % number:
            return
        means, self._means = self._means, {}
        step = trainer.global_step
        before, last = self._since
        if last >= 0 and step % self.every and step != trainer.max_steps:
            return
        now = time.monotonic()
        of_all = trainer.strategy.reduce(torch.stack(list(means.values())), reduce_op="mean")
        values = dict(zip(means, of_all.tolist(), strict=True))
        values["rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        if last >= 0:
            values["seconds_a_step"] = (now - before) / max(1, step - last)
        self._since = (now, step)
        for logger in trainer.loggers:
            logger.log_metrics(values, step)


class StepBar(Callback):
    """Draws a progress bar on a terminal; writes one line per minute elsewhere.

    Args:
        title: Name of the stage.
        steps: Total steps of the stage.
        console: Console to write to; None for the log alone.
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
            line = tr("{title}: step {step} of {steps}, {outputs}").format(
                title=self.title, step=step, steps=self.steps, outputs=_text(outputs)
            )
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
