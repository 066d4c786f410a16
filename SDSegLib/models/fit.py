"""How well the installed models suit a volume, and which one to propose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import ModelError
from ..volume.appearance import check_appearance, measure_appearance
from ..volume.checks import check_values
from ..volume.volume import Volume
from .registry import InstalledModel, list_models

Level = Literal["fits", "doubtful", "unsuitable"]
_LEVELS: tuple[Level, ...] = ("fits", "doubtful", "unsuitable")


@dataclass(frozen=True)
class ModelFit:
    """How well one model suits a volume.

    Attributes:
        model: The model.
        level: "fits"; "doubtful": its results would probably mean nothing; "unsuitable": it is for
            another kind of image.
        reason: Why, in one sentence.
    """

    model: InstalledModel
    level: Level
    reason: str


def rank_models(volume: Volume, models: Sequence[InstalledModel] | None = None) -> list[ModelFit]:
    """Compare a volume with what each model is for, the best first.

    Of models that suit equally well, those with a stated region come first, then the user's own,
    then the order of `list_models`.

    Args:
        volume: Usable, in HU if it is a CT.
        models: To choose from; by default all that are installed.
    """
    known = list_models()[0] if models is None else list(models)
    doubts = check_values(volume) if volume.modality in (None, "CT") else []
    measured = measure_appearance(volume) if not doubts else {}
    fits = [_fit(model, volume, bool(doubts), measured) for model in known]
    return sorted(
        fits,
        key=lambda fit: (
            _LEVELS.index(fit.level),
            not fit.model.description.expects.region,
            fit.model.bundled,
        ),
    )


def choose_model(volume: Volume, models: Sequence[InstalledModel] | None = None) -> ModelFit:
    """The model that suits a volume best, even if that is doubtful or unsuitable.

    Raises:
        ModelError: If no model for volumes is installed.
    """
    ranked = [
        fit for fit in rank_models(volume, models) if fit.model.description.input.pictures is None
    ]
    if not ranked:
        raise ModelError("No model is installed; install one with: sdseg models install FILE.")
    return ranked[0]


def no_model_sentence(ranked: Sequence[ModelFit]) -> str:
    """What to tell the user when no model suits the image."""
    reasons = " ".join(fit.reason for fit in ranked) or "None is installed."
    return f"No installed model is for this image. {reasons} Install a model that is."


def _fit(
    model: InstalledModel, volume: Volume, is_doubtful: bool, measured: dict[str, float]
) -> ModelFit:
    description = model.description
    expects, name = description.expects, description.title
    if description.input.pictures is not None:
        return ModelFit(model, "unsuitable", f"{name} is for 2-D pictures.")
    if volume.modality not in (None, expects.modality):
        return ModelFit(
            model,
            "unsuitable",
            f"{name} is for {expects.modality}, the image is {volume.modality}.",
        )
    if expects.modality != "CT":
        level: Level = "fits" if volume.modality == expects.modality else "doubtful"
        return ModelFit(model, level, f"{name} is for {expects.modality}.")
    if is_doubtful:
        return ModelFit(model, "doubtful", f"{name} is for CT; the values are not those of a CT.")
    region = f" of the {expects.region}" if expects.region else ""
    if check_appearance(volume, expects, measured):
        return ModelFit(
            model, "doubtful", f"{name} is for CT{region}; the image does not measure like one."
        )
    return ModelFit(model, "fits", f"{name} is for CT{region}.")
