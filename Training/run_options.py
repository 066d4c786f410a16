"""What the training scripts have in common: options of a run, and the run itself."""

from __future__ import annotations

import argparse
import logging
import sys
import time
from pathlib import Path

from rich.console import Console

from SDSegLib.training.job import TrainingJob, train
from SDSegLib.training.run import Machine, StopRequest

log = logging.getLogger("train")


def add_run_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that `run_until_stopped` reads, and those of the recipe and its start."""
    parser.add_argument(
        "--set", action="append", default=[], dest="changes", help="like training.steps=20000"
    )
    parser.add_argument("--start", type=Path, help="model folder whose weights to begin with")
    parser.add_argument("--accelerator", default="auto")
    parser.add_argument("--precision", default="32-true", help="bf16-mixed where it is fast")
    parser.add_argument("--workers", type=int, default=0, help="processes that prepare the data")
    parser.add_argument("--max-minutes", type=float, help="save and stop after this time")
    parser.add_argument(
        "--part-megabytes", type=float, help="split checkpoints into parts of at most this size"
    )


def deadline_of(arguments: argparse.Namespace) -> float | None:
    """When to stop, on the clock of `time.monotonic`, if time starts now."""
    minutes = arguments.max_minutes
    return None if minutes is None else time.monotonic() + 60 * minutes


def run_until_stopped(
    job: TrainingJob, arguments: argparse.Namespace, deadline: float | None
) -> None:
    """Train until the job is done, the deadline has passed or somebody stops the program.

    Args:
        job: What to train.
        arguments: With the options of `add_run_options`.
        deadline: Of `deadline_of`.
    """
    with StopRequest() as stop:
        progress = train(
            job,
            Machine(
                accelerator=arguments.accelerator,
                precision=arguments.precision,
                workers=arguments.workers,
                deadline=deadline,
                is_stopped=stop.is_set,
                part_megabytes=arguments.part_megabytes,
                console=Console(stderr=True) if sys.stderr.isatty() else None,
            ),
        )
    log.info("%s", progress)
