"""A whole training run: stages in order, each resumed where it was stopped, then a model folder."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ..datasets.cases import Case
from ..datasets.slices import SliceDataset
from ..errors import InputError
from ..families import build_family
from ..families.base import SegmentationFamily
from ..families.compact import CompactFamily
from ..families.description import ModelDescription
from ..families.direct import DirectFamily
from ..families.published import PublishedFamily
from ..version import VERSION
from ..volume.sides import mirrored_labels
from .autoencoder_stage import AutoencoderStage
from .diffusion_stage import DiffusionStage
from .direct_stage import DirectStage
from .export import write_model
from .initial import begin_with
from .kl_autoencoder_stage import KLAutoencoderStage
from .overrides import flattened
from .parts import is_saved, load_parts, save_parts
from .preset import AnyPreset
from .published_stage import PublishedStage
from .run import Machine, is_main_process, run_stage
from .settings import (
    CompactSettings,
    DirectSettings,
    KLAutoencoderSettings,
    LabelMapAutoencoderSettings,
    PublishedSettings,
    StageSettings,
)
from .stage import Stage

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Job:
    """What to train on what.

    Attributes:
        preset: Settings of all stages.
        description: The model that comes out.
        training: Cases to learn from, on the model's grid.
        held_out: Cases to validate on; may be empty.
        output: Folder of the run.
        sources: Weights to begin with; see `begin_with`.
    """

    preset: AnyPreset
    description: ModelDescription
    training: list[Case]
    held_out: list[Case]
    output: Path
    sources: tuple[Path, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How far a run came.

    Attributes:
        is_finished: Whether all stages are done.
        stage: The stage it ended in: "autoencoder" or "training".
        step: Optimiser steps of that stage.
        steps: That it has.
        model: The model folder, once finished.
        dice: Best Dice on the held-out cases, if there are any.
    """

    is_finished: bool
    stage: str
    step: int
    steps: int
    model: Path | None = None
    dice: float | None = None


def train(job: Job, machine: Machine) -> Outcome:
    """Run all stages that are not done yet, and write `model/` in the output folder.

    Raises:
        InputError: If data and preset do not go together.
        ModelError: If weights to begin with do not fit.
        OutputError: If something cannot be written.
    """
    check_drawn(job.training, job.description)
    torch.manual_seed(job.preset.training.seed)
    family = build_family(job.description)
    given = begin_with(family, job.sources)
    first = job.preset.autoencoder
    if first is not None and "autoencoder" not in given:
        outcome = _train_autoencoder(family, first, job, machine)
        if not outcome.is_finished:
            return outcome
        if isinstance(family, PublishedFamily):
            _copy_encoder(family, given)
    stage, folder = main_stage(family, job, given)
    outcome = _run(stage, "training", folder, job, machine)
    if not outcome.is_finished:
        return outcome
    model = job.output / "model"
    if is_main_process():
        write_model(model, folder, job.description, _facts(job, outcome))
    return Outcome(True, "training", outcome.step, outcome.steps, model, outcome.dice)


def check_drawn(cases: list[Case], description: ModelDescription) -> None:
    """Find out whether every class can be learnt from these cases.

    Raises:
        InputError: Naming what none of them shows.
    """
    known = frozenset[int]().union(*(case.drawn for case in cases))
    missing = [item.name for item in description.structures if item.label not in known]
    if missing:
        raise InputError(
            f"No case to train on knows about {', '.join(missing)}; leave them out of the data set "
            "or add cases in which they are drawn."
        )
    everything = frozenset(item.label for item in description.structures)
    if description.family != "published" or len(everything) < 2:
        return
    if not any(everything <= case.drawn for case in cases):
        raise InputError(
            "In none of the cases to train on are all structures drawn, so none says what is "
            "background, which the published family learns as a class of its own. Train the "
            "compact family, or leave out structures that are seldom drawn."
        )


def _train_autoencoder(
    family: SegmentationFamily, settings: StageSettings, job: Job, machine: Machine
) -> Outcome:
    """The first stage; its result is `autoencoder.pt`, which later runs only read."""
    done = job.output / "autoencoder.pt"
    network = family.autoencoder
    if is_saved(done):
        network.load_state_dict(load_parts(done))
        return Outcome(True, "autoencoder", settings.steps, settings.steps)
    stage: Stage
    if isinstance(settings, LabelMapAutoencoderSettings):
        assert isinstance(family, CompactFamily)
        stage = AutoencoderStage(family, settings)
    else:
        assert isinstance(settings, KLAutoencoderSettings)
        assert isinstance(family, PublishedFamily)
        stage = KLAutoencoderStage(family, settings)
    outcome = _run(stage, "autoencoder", job.output / "autoencoder", job, machine)
    if outcome.is_finished:
        network.load_state_dict(stage.averaged_network("autoencoder").state_dict())
        if is_main_process():
            save_parts(network.state_dict(), done, machine.part_megabytes)
    return outcome


def _copy_encoder(family: PublishedFamily, given: set[str]) -> None:
    """The vision encoder begins as the autoencoder's encoder, as with kl-f8."""
    if "vision_encoder" not in given:
        family.vision_encoder.load_state_dict(
            {f"encoder.{k}": v for k, v in family.autoencoder.encoder.state_dict().items()},
            strict=False,
        )


def main_stage(family: SegmentationFamily, job: Job, given: set[str]) -> tuple[Stage, Path]:
    """The stage that trains the family proper, and where it keeps its checkpoints."""
    settings = job.preset.training
    if isinstance(family, CompactFamily):
        assert isinstance(settings, CompactSettings)
        return DiffusionStage(family, settings), job.output / "diffusion"
    if isinstance(family, PublishedFamily):
        assert isinstance(settings, PublishedSettings)
        measure_scale = "scale_factor" not in given
        return PublishedStage(family, settings, measure_scale), job.output / "diffusion"
    assert isinstance(family, DirectFamily)
    assert isinstance(settings, DirectSettings)
    return DirectStage(family, settings), job.output / "network"


def _run(stage: Stage, name: str, folder: Path, job: Job, machine: Machine) -> Outcome:
    settings = stage.settings
    done = folder / "done.json"
    found = json.loads(done.read_text(encoding="utf-8")) if done.is_file() else None
    if found is None or (found["step"] < settings.steps and not found["has_stopped"]):
        dataset = SliceDataset(
            job.training,
            job.description.input,
            len(job.description.structures) + 1,
            settings.seed,
            settings.steps * settings.batch * settings.accumulate,
            augment=settings.augment,
            mirrored=mirrored_labels(job.description.structures) if settings.mirror else None,
            elastic=settings.elastic,
        )
        held_out = job.held_out if name == "training" and settings.validate_every else []
        found = run_stage(name, stage, dataset, held_out, folder, machine)
        if found["is_finished"] and is_main_process():
            done.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return Outcome(
        found["is_finished"], name, found["step"], settings.steps, dice=found["held_out_dice"]
    )


def _facts(job: Job, outcome: Outcome) -> dict[str, Any]:
    return {
        "sdseg": VERSION,
        "steps": outcome.step,
        "training_cases": len(job.training),
        "held_out_cases": len(job.held_out),
        "held_out_dice": outcome.dice,
        "began_with": [path.name for path in job.sources],
        "settings": flattened(job.preset),
    }
