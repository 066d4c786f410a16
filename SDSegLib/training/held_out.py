"""Dice of held-out cases during training: single step, averaged weights, stored noise."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Callback
from torch import Tensor

from ..datasets.cases import Case
from .checkpoints import save_parts
from .stage import Stage
from .validation import mean_dice

log = logging.getLogger(__name__)


class HeldOutDice(Callback):
    """Validates at regular steps, saves the best averaged weights, and stops early.

    Args:
        cases: Held back from training.
        best: File for the best weights.
        megabytes: Largest part of that file; None for one file.
    """

    def __init__(self, cases: list[Case], best: Path, megabytes: float | None) -> None:
        self.cases = cases
        self.path = best
        self.megabytes = megabytes
        self.best = -1.0
        self.best_step = 0
        self.without_gain = 0
        self.has_stopped = False
        self.shares = 0

    def on_train_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if (batch_idx + 1) % trainer.accumulate_grad_batches:
            return
        if not self._is_time(trainer, module):
            return
        step = trainer.global_step
        dice, by_structure = self._score(trainer, module)
        names = [item.id for item in module.family.description.structures]
        values = {"dice": dice}
        values |= {f"dice {n}": float(v) for n, v in zip(names, by_structure, strict=True)}
        for logger in trainer.loggers:
            logger.log_metrics(values, step)
        log.info("step %d: Dice %.4f on %d held-out cases", step, dice, len(self.cases))
        self._judge(trainer, module, dice)

    def _is_time(self, trainer: Trainer, module: Stage) -> bool:
        settings, step = module.settings, trainer.global_step
        is_end = trainer.should_stop or step == settings.steps
        shares = int(module.done * settings.validations)
        if trainer.world_size > 1:
            shares = int(trainer.strategy.broadcast(shares))
        is_share, self.shares = shares > self.shares, shares
        return (
            is_end
            or is_share
            or bool(settings.validate_every and not step % settings.validate_every)
        )

    def _score(self, trainer: Trainer, module: Stage) -> tuple[float, Tensor]:
        rank, world = trainer.global_rank, trainer.world_size
        rows = torch.zeros(len(self.cases), module.family.num_classes - 1, device=module.device)
        module.eval()
        with module.averaged_weights() as family, trainer.precision_plugin.val_step_context():
            for number in range(rank, len(self.cases), world):
                rows[number] = module.held_out_dice(family, self.cases[number]).to(rows)
        module.train()
        if world > 1:
            rows = trainer.strategy.reduce(rows, reduce_op="sum")
        return mean_dice(rows.cpu())

    def _judge(self, trainer: Trainer, module: Stage, dice: float) -> None:
        if dice > self.best:
            self.best, self.best_step, self.without_gain = dice, trainer.global_step, 0
            if trainer.is_global_zero:
                content = {"step": self.best_step, "dice": dice, "state": module.averaged_state()}
                save_parts(content, self.path, self.megabytes)
            return
        self.without_gain += 1
        patience = module.settings.patience
        if patience and self.without_gain >= patience and not trainer.should_stop:
            log.info("no better Dice in %d validations; stopping", patience)
            self.has_stopped = True
            trainer.should_stop = True

    def state_dict(self) -> dict[str, Any]:
        return {
            "best": self.best,
            "best_step": self.best_step,
            "without_gain": self.without_gain,
            "has_stopped": self.has_stopped,
            "shares": self.shares,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)
