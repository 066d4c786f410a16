"""One stage of training as a Lightning module: optimiser, schedule and averaged weights."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn


class Stage(LightningModule):
    """Trains part of a family; subclasses give the loss.

    Args:
        trained: The modules to optimise.
        steps: Optimiser steps in all; the learning rate is zero after them.
        rate: Highest learning rate.
        warm_up: Steps until it is reached.
        weight_decay: Of AdamW.
        ema_decay: Of the averaged weights.
        seed: Of noise and dropout.
    """

    def __init__(
        self,
        trained: nn.Module,
        steps: int,
        rate: float,
        warm_up: int,
        weight_decay: float,
        ema_decay: float,
        seed: int,
    ) -> None:
        super().__init__()
        self.trained = trained
        self.steps = steps
        self.rate = rate
        self.warm_up = warm_up
        self.weight_decay = weight_decay
        self.seed = seed
        self.averaged = torch.optim.swa_utils.AveragedModel(
            trained, multi_avg_fn=torch.optim.swa_utils.get_ema_multi_avg_fn(ema_decay)
        )
        self.averaged.requires_grad_(False)

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.AdamW(
            self.trained.parameters(), lr=self.rate, weight_decay=self.weight_decay
        )
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share_of_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _share_of_rate(self, step: int) -> float:
        if step < self.warm_up:
            return (step + 1) / self.warm_up
        done = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, done)))

    def on_train_epoch_start(self) -> None:
        """A block's random numbers depend on its number alone, so a resumed run repeats them."""
        torch.manual_seed(self.seed * 1_000_003 + self.current_epoch)

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.averaged.update_parameters(self.trained)

    def log_losses(self, **losses: Tensor) -> None:
        self.log_dict(dict(losses), prog_bar=True, on_step=True)
