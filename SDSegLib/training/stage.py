"""One stage of training as a Lightning module: optimiser, schedule, averaged weights, seeds."""

from __future__ import annotations

import math
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from ..datasets.cases import Case
from ..families.base import Family
from ..volume.slices import apply_windows
from .muon import MuonWithAdamW, all_but, convolutions_for_muon
from .settings import StageSettings
from .validation import dice_of

Batch = dict[str, Tensor]
SEEDS_APART = 1_000_003


class Stage(LightningModule):
    """Trains part of a family; subclasses define the losses.

    All random numbers of a step depend only on the stage's seed and the step's number, so a run
    resumed from a checkpoint gives the same weights as an uninterrupted one.

    Args:
        family: The networks. All of them are stored in checkpoints, or only the trained ones if
            `KEEPS_FAMILY` is false. Buffers are averaged too if `AVERAGES_BUFFERS` is true.
        trained: The networks of the family to optimise and to average, by attribute name.
        settings: Budget and optimiser.
    """

    KEEPS_FAMILY = True
    AVERAGES_BUFFERS = False
    FOR_ADAMW: tuple[str, ...] = ()
    """Layers that Muon leaves to AdamW, those next to input and output, named as in `trained`."""
    ADAMW_BETAS = (0.9, 0.999)
    """Where AdamW is the only optimiser."""

    family: Family
    averaged: AveragedModel

    def __init__(self, family: Family, trained: tuple[str, ...], settings: StageSettings) -> None:
        super().__init__()
        self.settings = settings
        self.trained = nn.ModuleDict({name: getattr(family, name) for name in trained})
        average = _warmed_up_ema if settings.ema_warm_up else get_ema_multi_avg_fn
        self.averaged = AveragedModel(
            self.trained,
            multi_avg_fn=average(settings.ema_decay),
            use_buffers=self.AVERAGES_BUFFERS,
        )
        self.averaged.requires_grad_(False)
        if self.KEEPS_FAMILY:
            self.family = family
        else:
            object.__setattr__(self, "family", family)
        self.has_learnt = False  # whether a step was taken in this run
        self._seconds_before = 0.0
        self._started: float | None = None

    @property
    def seconds(self) -> float:
        """How long the stage has been trained, in all runs together."""
        now = 0.0 if self._started is None else time.monotonic() - self._started
        return self._seconds_before + now

    @property
    def done(self) -> float:
        """Share of the stage that is behind, 0 … 1, by steps or by time, whichever is further."""
        return self._done_after(self.global_step)

    def _done_after(self, step: int) -> float:
        settings = self.settings
        share = step / settings.steps
        if settings.minutes:
            share = max(share, self.seconds / (60 * settings.minutes))
        return min(1.0, share)

    @abstractmethod
    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss to minimise, and its parts for the logs."""

    def image(self, batch: Batch) -> Tensor:
        """The batch's slices as network input: (N, channels, H, W) in [−1, 1]."""
        seen = self.family.description.input
        return apply_windows(batch["image"], seen.windows, seen.repeat)

    def held_out_dice(self, family: Any, case: Case) -> Tensor:
        """Dice of each structure (C − 1,) in a held-out case; NaN where it is not known."""
        return dice_of(family, case, self.settings.validation_slices, self.settings.batch)

    def training_step(self, batch: Batch, batch_idx: int) -> dict[str, Tensor]:
        total, parts = self.losses(batch)
        return {"loss": total, **{name: value.detach() for name, value in parts.items()}}

    def optimizer(self) -> Optimizer:
        """The optimiser of the trained networks, at its highest rate."""
        settings = self.settings
        rates = [settings.rate, settings.muon_rate]
        if settings.scale_rate:
            samples = settings.batch * settings.accumulate * self.trainer.world_size
            rates = [rate * samples for rate in rates]
        if settings.optimizer == "muon":
            weights = convolutions_for_muon(self.trained, self.FOR_ADAMW)
            others = all_but(self.trained, weights)
            return MuonWithAdamW(weights, others, rates[1], rates[0], settings.weight_decay)
        return torch.optim.AdamW(
            self.trained.parameters(),
            lr=rates[0],
            weight_decay=settings.weight_decay,
            betas=self.ADAMW_BETAS,
        )

    def configure_optimizers(self) -> Any:
        optimizer = self.optimizer()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, self._share_of_rate)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def _share_of_rate(self, step: int) -> float:
        settings = self.settings
        if step < settings.warm_up:
            return (step + 1) / settings.warm_up
        if settings.minutes:
            step = round(self._done_after(step) * settings.steps)
        if settings.decay == "constant":
            left = settings.steps - step
            return max(0.0, min(1.0, left / settings.cool_down)) if settings.cool_down else 1.0
        done = (step - settings.warm_up) / max(1, settings.steps - settings.warm_up)
        return 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done))))

    def on_train_start(self) -> None:
        """Start the clock of this run."""
        self._started = time.monotonic()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        """Seed the noise of this batch with its number."""
        accumulate = self.settings.accumulate
        number = self.global_step * accumulate + batch_idx % accumulate
        number = number * self.trainer.world_size + self.trainer.global_rank
        torch.manual_seed(self.settings.seed * SEEDS_APART + number)

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        self.averaged.update_parameters(self.trained)
        self.has_learnt = True

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Count the batch after which a checkpoint is saved as completed; Lightning does not."""
        checkpoint["seconds"] = self.seconds
        progress = checkpoint["loops"]["fit_loop"]["epoch_loop.batch_progress"]
        for part in ("total", "current"):
            progress[part]["completed"] = progress[part]["processed"]

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Go on with the clock of the run that saved the checkpoint."""
        self._seconds_before = float(checkpoint.get("seconds", 0.0))

    @contextmanager
    def averaged_weights(self) -> Iterator[Family]:
        """The family with the averaged weights in place of the current ones, for validation."""
        networks = self.family._modules
        current = {name: networks[name] for name in self.trained}
        networks.update({name: self.averaged_network(name) for name in self.trained})
        try:
            yield self.family
        finally:
            networks.update(current)

    def averaged_network(self, name: str) -> nn.Module:
        """A trained network with its averaged weights."""
        return self.averaged.module.get_submodule(name)

    def averaged_state(self) -> dict[str, Tensor]:
        """The averaged weights, named as in the family."""
        return dict(self.averaged.module.state_dict())


def _warmed_up_ema(decay: float) -> Callable[[Any, Any, Any], None]:
    """Moving average with a shorter window at first (as in the latent diffusion code)."""

    @torch.no_grad()
    def update(averages: list[Tensor], weights: list[Tensor], updates: Tensor | int) -> None:
        count = float(updates)
        share = 1 - min(decay, (1 + count) / (10 + count))
        for average, weight in zip(averages, weights, strict=True):
            if average.is_floating_point():
                average.lerp_(weight.to(average.dtype), share)
            else:
                average.copy_(weight)  # a counter

    return update
