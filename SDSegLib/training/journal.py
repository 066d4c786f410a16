"""What a run writes down: losses, rate, time and Dice as CSV, and for TensorBoard."""

from __future__ import annotations

import csv
import os
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers.logger import Logger
from lightning.pytorch.utilities import rank_zero_only


class CurveLogger(Logger):
    """One CSV file that goes on when the run does; a step that is repeated is written once.

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
        """Write the values of a step; rows of later steps, from before a kill, are dropped."""
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
        if not self.path.is_file():
            return
        with self.path.open(newline="", encoding="utf-8") as stream:
            reader = csv.DictReader(stream)
            self._columns = list(reader.fieldnames or ["step"])
            for row in reader:
                if row["step"].isdigit() and int(row["step"]) < step:
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
    """Hands losses, learning rate and seconds a step to the loggers.

    Args:
        every: Steps between entries.
    """

    def __init__(self, every: int) -> None:
        self.every = max(1, every)
        self._since = (time.monotonic(), -1)

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        step = trainer.global_step
        before, last = self._since
        if last >= 0 and step % self.every and step != trainer.max_steps:
            return
        now = time.monotonic()
        values = {name: float(value) for name, value in outputs.items()}
        values["rate"] = trainer.optimizers[0].param_groups[0]["lr"]
        if last >= 0:
            values["seconds_a_step"] = (now - before) / max(1, step - last)
        self._since = (now, step)
        for logger in trainer.loggers:
            logger.log_metrics(values, step)
