"""From a finished run to a model folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor

from ..families import build_family
from ..families.description import ModelDescription
from ..models.folder import write_model_folder
from .parts import is_saved, load_parts

AVERAGED = "averaged.module."
FAMILY = "family."


def weights_of(
    folder: Path, description: ModelDescription, use_best: bool = True
) -> tuple[dict[str, Tensor], int]:
    """The state dict of a family from the checkpoints of its main stage.

    Averaged weights are those of the best validation, or the last ones without one; networks that
    were not trained are as the stage kept them.

    Args:
        folder: Of the stage, with `last.ckpt` and perhaps `best.ckpt`.
        description: The model.
        use_best: Take those of the best validation.

    Returns:
        Weights, and the step that they are of.

    Raises:
        InputError: If there is no checkpoint.
    """
    last = load_parts(folder / "last.ckpt")
    state, step = last["state_dict"], int(last["global_step"])
    weights = build_family(description).state_dict()
    weights.update(_beginning(state, FAMILY))
    if use_best and is_saved(folder / "best.ckpt"):
        best = load_parts(folder / "best.ckpt")
        weights.update(best["state"])
        step = int(best["step"])
    else:
        weights.update(_beginning(state, AVERAGED))
    return weights, step


def write_model(
    folder: Path, stage_folder: Path, description: ModelDescription, facts: dict[str, Any]
) -> ModelDescription:
    """Write the model folder of a run.

    Args:
        folder: Where; replaced if it exists.
        stage_folder: Of the main stage.
        description: The model.
        facts: On its training, added to `training` in `model.json`.

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
    held_out = training.get("held_out_dice")
    chosen = (
        "There were no held-out cases to choose by."
        if held_out is None
        else f"While training, Dice on {training['held_out_cases']} held-out cases was "
        f"{held_out:.3f} for the weights of step {training['weights_of_step']}, which are these. "
        "It looks at one tile of some slices, so it says which weights are better, not how good "
        "the model is."
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
        f"## Licence\n\n{description.licence or 'Not stated; the data may set terms.'}\n"
    )


def _beginning(state: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }
