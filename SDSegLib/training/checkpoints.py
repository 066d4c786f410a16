"""When a stage saves and stops: every few minutes, when time is up, when asked to, at its end."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.plugins.io import CheckpointIO

from .parts import load_parts, remove_parts, save_parts

log = logging.getLogger(__name__)


class PartsIO(CheckpointIO):
    """Lets Lightning keep its checkpoints as `save_parts` does.

    Args:
        megabytes: Largest part; None for one file.
    """

    def __init__(self, megabytes: float | None) -> None:
        self.megabytes = megabytes

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None
    ) -> None:
        save_parts(checkpoint, Path(path), self.megabytes)

    def load_checkpoint(
        self, path: Any, map_location: Any = None, weights_only: bool | None = None
    ) -> dict[str, Any]:
        return load_parts(Path(path))

    def remove_checkpoint(self, path: Any) -> None:
        remove_parts(Path(path))


class Checkpoints(Callback):
    """Saves `last.ckpt` so that no more than some minutes are ever lost.

    Args:
        path: The checkpoint.
        every_minutes: Time between checkpoints; 0 for one after each step.
        deadline: When to save and stop, as `time.monotonic` counts; None to go on.
        is_stopped: Asked after each step; true saves and stops.
    """

    def __init__(
        self,
        path: Path,
        every_minutes: float,
        deadline: float | None = None,
        is_stopped: Callable[[], bool] | None = None,
    ) -> None:
        self.path = path
        self.every = 60 * every_minutes
        self.deadline = deadline
        self.is_stopped = is_stopped or (lambda: False)
        self._next = time.monotonic() + self.every
        self._saved = -1

    def on_train_batch_end(
        self, trainer: Trainer, module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        now = time.monotonic()
        stop = self.is_stopped() or (self.deadline is not None and now >= self.deadline)
        save = stop or trainer.should_stop or now >= self._next
        if trainer.world_size > 1:
            stop = trainer.strategy.reduce_boolean_decision(stop, all=False)
            save = trainer.strategy.reduce_boolean_decision(save or stop, all=False)
        if save:
            self._save(trainer)
        if stop:
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, module: LightningModule) -> None:
        if self._saved != trainer.global_step:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved = trainer.global_step
        self._next = time.monotonic() + self.every
        log.info("step %d saved to %s", trainer.global_step, self.path)
