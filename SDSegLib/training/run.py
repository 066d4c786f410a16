"""Run a stage with Lightning: numbered samples, checkpoints at any step, exact resume."""

from __future__ import annotations

import logging
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from torch.utils.data import DataLoader, Dataset, Sampler

from ..datasets.cases import Case
from .checkpoints import Checkpoints, PartsIO, damaged, is_saved
from .held_out import HeldOutDice
from .logs import CurveLogger, Journal, StepBar
from .stage import Stage

log = logging.getLogger(__name__)
SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True)
class Machine:
    """Device and time limit of a run; none of these values changes the trained weights.

    Attributes:
        accelerator: Lightning's name of the device: "auto", "cpu", "cuda", "mps".
        devices: Number of devices on each node; "auto" for all GPUs, or one CPU.
        nodes: Number of computers.
        strategy: Lightning's name of the parallel strategy, for example "ddp".
        precision: Lightning's, for example "bf16-mixed".
        workers: Processes that prepare slices.
        deadline: When to save and stop, on the clock of `time.monotonic`.
        is_stopped: Called after each step; true saves and stops.
        part_megabytes: Split checkpoints into parts of at most this size; None for one file.
        console: Console for the progress bar.
        report: Called after each step with its number and the losses.
    """

    accelerator: str = "auto"
    devices: int | str = "auto"
    nodes: int = 1
    strategy: str = "auto"
    precision: str = "32-true"
    workers: int = 0
    deadline: float | None = None
    is_stopped: Callable[[], bool] | None = None
    part_megabytes: float | None = None
    console: Console | None = None
    report: Callable[[int, dict[str, float]], None] | None = None


class StepSampler(Sampler[int]):
    """Endless sample numbers from a given step on; a step has the same ones in every run.

    Args:
        batch: Slices per batch on one device.
        first_batch: Batches that earlier runs used on each device.
        rank: Index of this device.
        world: Number of devices.
    """

    def __init__(self, batch: int, first_batch: int, rank: int = 0, world: int = 1) -> None:
        self.batch = batch
        self.first_batch = first_batch
        self.rank = rank
        self.world = world

    def __iter__(self) -> Iterator[int]:
        number = self.first_batch
        while True:
            start = (number * self.world + self.rank) * self.batch
            yield from range(start, start + self.batch)
            number += 1


def batches_from_here(stage: Stage, dataset: Dataset, workers: int) -> DataLoader:
    """Batches for a stage from its trainer's current step on."""
    settings, trainer = stage.settings, stage.trainer
    first = trainer.global_step * settings.accumulate
    return DataLoader(
        dataset,
        batch_size=settings.batch,
        sampler=StepSampler(settings.batch, first, trainer.global_rank, trainer.world_size),
        collate_fn=getattr(dataset, "collate", None),
        num_workers=workers,
        pin_memory=stage.device.type == "cuda",
    )


class Batches(LightningDataModule):
    """Creates the batches only after Lightning has restored the step of a checkpoint."""

    def __init__(self, stage: Stage, dataset: Dataset, workers: int) -> None:
        super().__init__()
        self.make = partial(batches_from_here, stage, dataset, workers)

    def train_dataloader(self) -> DataLoader:
        return self.make()


def is_main_process() -> bool:
    """Whether this process is the one that writes files and prints."""
    return int(getattr(rank_zero_only, "rank", 0)) == 0


def run_stage(
    title: str,
    stage: Stage,
    dataset: Dataset,
    held_out: list[Case],
    folder: Path,
    machine: Machine,
) -> dict[str, Any]:
    """Train until steps or minutes are over; go on from `folder/last.ckpt` if it exists.

    Args:
        title: Name of the stage, for the screen.
        stage: Stage to train.
        dataset: Numbered samples.
        held_out: Cases to validate on; may be empty.
        folder: Folder for checkpoints and logs.
        machine: Device and time limit.

    Returns:
        JSON types: `is_finished` (all steps taken, time over, or stopped early), `step`, `seconds`,
        `has_stopped` (early, because Dice no longer rose), `held_out_dice` (the best; None without
        validation).
    """
    settings = stage.settings
    last = folder / "last.ckpt"
    validation = HeldOutDice(held_out, folder / "best.ckpt", machine.part_megabytes)
    callbacks: list[Callback] = [
        Journal(settings.log_every),
        *([TimeBudget()] if settings.minutes else []),
        *([validation] if held_out else []),
        Checkpoints(last, settings.checkpoint_minutes, machine.deadline, machine.is_stopped),
        OwnRequestToTerminate(),
        StepBar(title, settings.steps, machine.console),
        *([StepReport(machine.report)] if machine.report is not None else []),
    ]
    trainer = Trainer(
        default_root_dir=folder,
        accelerator=machine.accelerator,
        devices=1
        if machine.devices == "auto" and machine.accelerator == "cpu"
        else machine.devices,
        num_nodes=machine.nodes,
        strategy=machine.strategy,
        precision=machine.precision,  # type: ignore[arg-type]
        max_epochs=-1,
        max_steps=settings.steps,
        accumulate_grad_batches=settings.accumulate,
        gradient_clip_val=settings.gradient_clip or None,
        benchmark=True,  # all slices have the same size
        limit_val_batches=0,
        use_distributed_sampler=False,
        plugins=[PartsIO(machine.part_megabytes)],
        logger=[
            CurveLogger(folder / "curve.csv"),
            TensorBoardLogger(folder, name="", version="tensorboard"),
        ],
        callbacks=callbacks,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    torch.manual_seed(settings.seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not have many workers.*")
        started = time.monotonic()
        batches = Batches(stage, dataset, machine.workers)
        _fit(trainer, stage, batches, last)
    log.info(
        "%s: step %d of %d, %.0f s",
        title,
        trainer.global_step,
        settings.steps,
        time.monotonic() - started,
    )
    return {
        "is_finished": stage.done >= 1 or validation.has_stopped,
        "step": trainer.global_step,
        "seconds": stage.seconds,
        "has_stopped": validation.has_stopped,
        "held_out_dice": validation.best if validation.best_step else None,
    }


def _fit(trainer: Trainer, stage: Stage, batches: Batches, last: Path) -> None:
    """Train, from a checkpoint if there is one.

    Raises:
        CheckpointError: If the checkpoint is not one of this stage.
    """
    if not is_saved(last):
        trainer.fit(stage, batches)
        return
    try:
        trainer.fit(stage, batches, ckpt_path=str(last))
    except torch.cuda.OutOfMemoryError:
        raise
    except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as e:
        if stage.has_learnt:
            raise
        raise damaged(last, e) from e


class StepReport(Callback):
    """Calls a function after each step."""

    def __init__(self, report: Callable[[int, dict[str, float]], None]) -> None:
        self._report = report

    def on_train_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._report(trainer.global_step, {name: float(value) for name, value in outputs.items()})


def quiet() -> None:
    """Suppress Lightning's own messages; plans and reports have the relevant information."""
    for name in ("lightning.pytorch", "lightning.fabric", "lightning"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for text in (
        ".*does not have many workers.*",
        ".*LeafSpec.*",
        ".*add the following callbacks.*",
        ".*`srun` command is available.*",
    ):
        warnings.filterwarnings("ignore", message=text)


class TimeBudget(Callback):
    """Ends a stage when its minutes are over; all devices stop after the same step."""

    def on_train_batch_end(
        self, trainer: Trainer, module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        is_over = module.done >= 1
        if trainer.world_size > 1:
            is_over = trainer.strategy.reduce_boolean_decision(is_over, all=False)
        if is_over:
            trainer.should_stop = True


class OwnRequestToTerminate(Callback):
    """Leaves SIGTERM to whoever handled it before the training, as `StopRequest` does.

    Lightning's handler ends the process with exit code 0 and no word, and if several processes
    learn together, before anything is saved.
    """

    def __init__(self) -> None:
        self._before = signal.getsignal(signal.SIGTERM)

    def on_train_start(self, trainer: Trainer, module: LightningModule) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        if is_main and callable(self._before):
            signal.signal(signal.SIGTERM, self._before)


class StopRequest:
    """Context in which the first Ctrl+C or request to terminate only sets a flag, so that a
    checkpoint can be saved; the second one has its usual effect.

    Attributes:
        number: Of the signal that came, or 0.
    """

    def __init__(self) -> None:
        self.number = 0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> StopRequest:
        self._before = {number: signal.signal(number, self._ask) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.number = number
        signal.signal(number, self._before[number])

    def is_set(self) -> bool:
        """Whether to save and stop."""
        return self.number > 0
