"""Run a stage with Lightning: numbered samples, a checkpoint a block, exact resume."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import torch
from lightning.pytorch import LightningDataModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint, TQDMProgressBar
from lightning.pytorch.loggers import CSVLogger
from torch.utils.data import DataLoader, Dataset, Sampler

from .stage import Stage

log = logging.getLogger(__name__)


class BlockSampler(Sampler[int]):
    """Sample numbers of one block of steps; which block is set before each epoch."""

    def __init__(self, samples_per_block: int) -> None:
        self.samples_per_block = samples_per_block
        self.block = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by Lightning with the epoch, which is the block."""
        self.block = epoch

    def __iter__(self) -> Iterator[int]:
        first = self.block * self.samples_per_block
        return iter(range(first, first + self.samples_per_block))

    def __len__(self) -> int:
        return self.samples_per_block


class Samples(LightningDataModule):
    """Training batches for one stage."""

    def __init__(self, dataset: Dataset, batch: int, steps_per_block: int, workers: int) -> None:
        super().__init__()
        self.dataset = dataset
        self.batch = batch
        self.sampler = BlockSampler(batch * steps_per_block)
        self.workers = workers

    def train_dataloader(self) -> DataLoader:
        return DataLoader(
            self.dataset,
            batch_size=self.batch,
            sampler=self.sampler,
            num_workers=self.workers,
            drop_last=True,
        )


def run_stage(
    stage: Stage,
    samples: Samples,
    folder: Path,
    steps_per_block: int,
    accelerator: str = "auto",
    precision: str = "32-true",
    max_minutes: float | None = None,
) -> bool:
    """Train until the stage's steps are done; go on from `folder/last.ckpt` if it is there.

    Args:
        stage: What to train.
        samples: Its batches.
        folder: Checkpoint and log go here.
        steps_per_block: Steps between checkpoints.
        accelerator: Lightning's name of the device.
        precision: Lightning's precision.
        max_minutes: Stop at a block's end after this time; the run can be resumed.

    Returns:
        Whether all steps are done.
    """
    blocks = -(-stage.steps // steps_per_block)
    checkpoint = ModelCheckpoint(
        dirpath=folder,
        filename="last",
        save_top_k=1,
        every_n_epochs=1,
        enable_version_counter=False,
    )
    trainer = Trainer(
        default_root_dir=folder,
        accelerator=accelerator,
        devices=1 if accelerator == "cpu" else "auto",
        precision=precision,  # type: ignore[arg-type]
        max_epochs=blocks,
        max_time=None if max_minutes is None else timedelta(minutes=max_minutes),
        gradient_clip_val=1.0,
        logger=CSVLogger(folder, name="log"),
        log_every_n_steps=10,
        callbacks=[checkpoint, TQDMProgressBar(refresh_rate=20)],
        enable_model_summary=False,
    )
    last = folder / "last.ckpt"
    torch.manual_seed(stage.seed)
    trainer.fit(stage, samples, ckpt_path=str(last) if last.exists() else None, weights_only=True)
    log.info("%d of %d blocks done", trainer.current_epoch, blocks)
    return trainer.current_epoch >= blocks
