"""A whole training run: stages in order, each resumed where it stopped, then a model folder."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..datasets.cases import Case
from ..families import build_family
from ..families.base import Family
from ..families.description import ModelDescription
from ..language import tr
from ..models.folder import write_model_folder
from ..untrusted import read_json, shown
from ..version import VERSION
from .checkpoints import damaged, entries_below, is_saved, load_parts, save_parts
from .overrides import flattened
from .recipe import LatentRecipe, begin_with, recipe_of
from .run import Machine, is_main_process, run_stage
from .settings import Preset, StageSettings
from .stage import Stage

log = logging.getLogger(__name__)

AVERAGED = "averaged.module."
FAMILY = "family."


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """A model to train and its data.

    Attributes:
        preset: Settings of all stages.
        description: The resulting model.
        training: What the recipe learns from, by default cases on the model's grid.
        held_out: Cases to validate on; may be empty.
        output: Folder of the run.
        sources: Initial weights; see `begin_with`.
        needs_all: Whether a structure that no case to train on knows about is an error.
    """

    preset: Preset
    description: ModelDescription
    training: list[Any]
    held_out: list[Case]
    output: Path
    sources: tuple[Path, ...] = ()
    needs_all: bool = True


@dataclass(frozen=True)
class TrainingProgress:
    """Progress of a run.

    Attributes:
        is_finished: Whether all stages are done.
        stage: The last stage that ran: "autoencoder" or "training".
        step: Optimiser steps of that stage.
        steps: Total steps of the stage.
        model: The model folder, once finished.
        dice: Best Dice on the held-out cases, if there are any.
    """

    is_finished: bool
    stage: str
    step: int
    steps: int
    model: Path | None = None
    dice: float | None = None


def train(job: TrainingJob, machine: Machine) -> TrainingProgress:
    """Run all unfinished stages, and write `model/` in the output folder.

    Raises:
        InputError: If data and preset do not match.
        ModelError: If the initial weights do not fit.
        OutputError: If something cannot be written.
    """
    recipe, preset = recipe_of(job.description.family), job.preset
    if job.needs_all:
        recipe.check_cases(job.training, job.description)
    torch.manual_seed(preset.training.seed)
    family = build_family(job.description)
    given = begin_with(family, job.sources)
    has_first_stage = preset.autoencoder is not None and (
        "autoencoder" not in given or getattr(preset.autoencoder, "further", False)
    )
    if isinstance(recipe, LatentRecipe) and has_first_stage and _has_weights(family):
        progress = _train_autoencoder(family, recipe, job, machine)
        if not progress.is_finished:
            return progress
        recipe.after_autoencoder(family, given)
    stage, folder = recipe.main_stage(family, preset.training, given)
    progress = _run(stage, "training", job.output / folder, job, machine)
    if not progress.is_finished:
        return progress
    model = job.output / "model"
    if is_main_process():
        write_model(model, job.output / folder, job.description, _facts(job, progress))
    return replace(progress, model=model)


def _has_weights(family: Family) -> bool:
    """Whether there is anything to train in the family's autoencoder."""
    return any(True for _ in family.get_submodule("autoencoder").parameters())


def _train_autoencoder(
    family: Family, recipe: LatentRecipe, job: TrainingJob, machine: Machine
) -> TrainingProgress:
    """The first stage; it writes `autoencoder.pt`, which later runs only read."""
    settings, done = job.preset.autoencoder, job.output / "autoencoder.pt"
    network = family.get_submodule("autoencoder")
    if is_saved(done):
        try:
            network.load_state_dict(load_parts(done))
        except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise damaged(done, error) from error
        return TrainingProgress(True, "autoencoder", settings.steps, settings.steps)
    stage = recipe.autoencoder_stage(family, settings)
    progress = _run(stage, "autoencoder", job.output / "autoencoder", job, machine)
    if progress.is_finished:
        network.load_state_dict(stage.averaged_network("autoencoder").state_dict())
        if is_main_process():
            save_parts(network.state_dict(), done, machine.part_megabytes)
    return progress


def _run(
    stage: Stage, name: str, folder: Path, job: TrainingJob, machine: Machine
) -> TrainingProgress:
    settings = stage.settings
    done = folder / "done.json"
    found = _read_done(done) if done.is_file() else None
    if found is None or not _is_enough(found, settings):
        recipe = recipe_of(job.description.family)
        dataset = recipe.dataset(job.training, job.description, settings)
        held_out = job.held_out if name == "training" and settings.validates else []
        found = run_stage(name, stage, dataset, held_out, folder, machine)
        if found["is_finished"] and is_main_process():
            done.write_text(json.dumps(found) + "\n", encoding="utf-8")
    return TrainingProgress(
        found["is_finished"], name, found["step"], settings.steps, dice=found["held_out_dice"]
    )


def _read_done(path: Path) -> dict[str, Any]:
    """What `run_stage` gave for a stage that is finished.

    Raises:
        CheckpointError: If it is damaged.
    """
    kinds: dict[str, tuple[type, ...]] = {
        "is_finished": (bool,),
        "has_stopped": (bool,),
        "step": (int,),
        "held_out_dice": (int, float, type(None)),
    }
    try:
        found = read_json(path)
        if not isinstance(found, dict):
            raise ValueError(tr("it is no object"))
        for name, allowed in kinds.items():
            if type(found[name]) not in allowed:
                raise ValueError(
                    tr("{name} is {shown}").format(name=name, shown=shown(found[name]))
                )
        if type(found.get("seconds", 0.0)) not in (int, float):
            raise ValueError(tr("seconds is {shown}").format(shown=shown(found["seconds"])))
        return found
    except KeyError as error:
        raise damaged(path, ValueError(tr("it lacks {error}").format(error=error))) from error
    except (OSError, ValueError) as error:
        raise damaged(path, error) from error


def _is_enough(found: dict[str, Any], settings: StageSettings) -> bool:
    """Whether a finished stage is also finished by settings that may have been raised since."""
    if found["has_stopped"] or found["step"] >= settings.steps:
        return True
    return bool(settings.minutes) and found.get("seconds", 0.0) >= 60 * settings.minutes


def _facts(job: TrainingJob, progress: TrainingProgress) -> dict[str, Any]:
    return {
        "sdseg": VERSION,
        "steps": progress.step,
        "training_cases": len(job.training),
        "held_out_cases": len(job.held_out),
        "held_out_dice": progress.dice,
        "began_with": [path.name for path in job.sources],
        "settings": flattened(job.preset),
    }


def weights_of(
    folder: Path, description: ModelDescription, use_best: bool = True
) -> tuple[dict[str, Tensor], int]:
    """The state dict of a family from the checkpoints of its main stage.

    Averaged weights are those of the best validation, or the last ones if there was no validation;
    networks that were not trained are taken from the stage's checkpoint.

    Args:
        folder: Folder of the stage, with `last.ckpt` and perhaps `best.ckpt`.
        description: The model.
        use_best: Take the weights of the best validation.

    Returns:
        Weights, and the step at which they were saved.

    Raises:
        InputError: If there is no checkpoint.
        CheckpointError: If it is damaged, or of another network.
    """
    path = folder / "last.ckpt"
    last, family = load_parts(path), build_family(description)
    try:
        state, step = last["state_dict"], int(last["global_step"])
        family.load_state_dict(entries_below(state, FAMILY))
        averaged = entries_below(state, AVERAGED)
        if use_best and is_saved(folder / "best.ckpt"):
            path = folder / "best.ckpt"
            best = load_parts(path)
            averaged, step = best["state"], int(best["step"])
        family.load_state_dict(averaged, strict=False)
    except (AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise damaged(path, error) from error
    return family.state_dict(), step


def write_model(
    folder: Path, stage_folder: Path, description: ModelDescription, facts: dict[str, Any]
) -> ModelDescription:
    """Write the model folder of a run.

    Args:
        folder: The model folder; replaced if it exists.
        stage_folder: Folder of the main stage.
        description: The model.
        facts: Facts on its training, added to `training` in `model.json`.

    Raises:
        InputError: If there is no checkpoint.
        OutputError: If it cannot be written.
    """
    weights, step = weights_of(stage_folder, description)
    described = replace(
        description, training={**description.training, **facts, "weights_of_step": step}
    )
    return write_model_folder(folder, described, weights, card(described), overwrite=True)


def card(description: ModelDescription) -> str:
    """Text of `MODEL_CARD.md`."""
    training = description.training
    structures = "\n".join(f"- {item.label}: {item.name}" for item in description.structures)
    structures = structures or "Of any kind; it carries a mask that is given."
    held_out = training.get("held_out_dice")
    chosen = (
        "There were no held-out cases to choose by; these are the weights of the last step."
        if held_out is None
        else f"While training, Dice on {training['held_out_cases']} held-out cases was "
        f"{held_out:.3f} for the weights of step {training['weights_of_step']}, which are these. "
        "It was measured on one tile of some slices, so it says which weights are better, not how "
        "good the model is."
    )
    return (
        f"# {description.title}\n\n{description.summary}\n\nNot a medical device.\n\n"
        f"## Structures\n\n{structures}\n\n"
        f"## Data\n\n{training['data']}. {training['source']}\n\n"
        f"{training['training_cases']} cases to train on, "
        f"{training['held_out_cases']} held out.\n\n"
        f"## Training\n\nPreset `{training['preset']}`, {training['steps']} steps. {chosen} All "
        "settings are in `model.json`.\n\n"
        "## Quality\n\nNot measured. `sdseg evaluate` measures it on cases with references.\n\n"
        f"## Licence\n\n{description.license or 'Not stated; the data may set terms.'}\n"
    )
