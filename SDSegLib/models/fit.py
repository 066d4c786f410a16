"""Compare the installed models with a volume, and propose the best match."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import ModelError
from ..language import tr
from ..volume.appearance import check_appearance
from ..volume.checks import check_usable
from ..volume.finding import Finding
from ..volume.judgement import Measurements, judge_input, measure
from ..volume.volume import Volume
from .registry import InstalledModel, list_models

Level = Literal["fits", "doubtful", "unsuitable"]
_LEVELS: tuple[Level, ...] = ("fits", "doubtful", "unsuitable")


@dataclass(frozen=True)
class ModelFit:
    """How well one model matches a volume.

    Attributes:
        model: The model.
        level: "fits"; "doubtful": its results would probably be wrong; "unsuitable": the model is
            for another kind of image.
        reason: Reason for the level, in one sentence.
        is_contradicted: Whether the values of the image contradict the model; false if only the
            modality is not stated.
    """

    model: InstalledModel
    level: Level
    reason: str
    is_contradicted: bool = False


def rank_models(
    volume: Volume,
    models: Sequence[InstalledModel] | None = None,
    measured: Measurements | None = None,
) -> list[ModelFit]:
    """Compare a volume with the images that each model expects; the best match first.

    Among equal matches, models with a stated region come first, then the user's own, then the
    order of `list_models`.

    Args:
        volume: A usable volume, in HU if it is a CT.
        models: Models to compare; by default all installed ones.
        measured: Result of `measure(volume)` if it has already been computed.
    """
    known = list_models()[0] if models is None else list(models)
    measured = measured or measure(volume)
    fits = [_fit(model, volume, measured) for model in known]
    return sorted(
        fits,
        key=lambda fit: (
            _LEVELS.index(fit.level),
            fit.is_contradicted,
            not fit.model.description.expects.region,
            fit.model.bundled,
        ),
    )


def choose_model(
    volume: Volume,
    models: Sequence[InstalledModel] | None = None,
    measured: Measurements | None = None,
) -> ModelFit:
    """The model that matches a volume best, even if it is doubtful or unsuitable.

    Args:
        volume: As for `rank_models`.
        models: As for `rank_models`.
        measured: As for `rank_models`.

    Raises:
        ModelError: If no model for volumes is installed.
    """
    ranked = [
        fit
        for fit in rank_models(volume, models, measured)
        if fit.model.description.input.pictures is None
    ]
    if not ranked:
        raise ModelError(tr("No model is installed; install one from its zip file or folder."))
    return ranked[0]


@dataclass(frozen=True)
class Examination:
    """Information on a volume that a user interface shows before segmentation.

    Attributes:
        ranked: How well each model matches the volume, the best first; empty if the volume cannot
            be segmented at all.
        model: The requested model, or else the best one; None if there is none.
        findings: Findings against segmenting the volume with this model, the most severe first.
    """

    ranked: tuple[ModelFit, ...]
    model: InstalledModel | None
    findings: tuple[Finding, ...]

    @property
    def reason(self) -> str:
        """One sentence: how well the model matches the volume, or that no installed model does."""
        if self.ranked and all(fit.level != "fits" for fit in self.ranked):
            return tr("No installed model is for this image.")
        return next((fit.reason for fit in self.ranked if fit.model == self.model), "")

    @property
    def reasons(self) -> str:
        """How well each model matches the volume."""
        return " ".join(fit.reason for fit in self.ranked)


def examine(
    volume: Volume, models: Sequence[InstalledModel], wanted: str | None = None
) -> Examination:
    """Examine a volume for the requested model, or for the model that matches it best.

    This is slow for large volumes, so user interfaces call it in a thread.

    Args:
        volume: In HU if it is a CT.
        models: The installed models for volumes.
        wanted: Name of one of them; None or "" for the best match.
    """
    named = next((item for item in models if item.description.name == wanted), None)
    unusable = check_usable(volume)
    if unusable:
        return Examination((), named, tuple(unusable))
    measured = measure(volume)
    ranked = tuple(rank_models(volume, models, measured))
    model = named or (ranked[0].model if ranked else None)
    expects = None if model is None else model.description.expects
    return Examination(ranked, model, judge_input(volume, expects, measured))


def _fit(model: InstalledModel, volume: Volume, measured: Measurements) -> ModelFit:
    description = model.description
    expects, name = description.expects, description.title
    modality = expects.modality or "CT"
    if description.input.pictures is not None:
        return ModelFit(model, "unsuitable", tr("{name} is for 2-D pictures.").format(name=name))
    if volume.modality not in (None, modality):
        return ModelFit(
            model,
            "unsuitable",
            tr("{name} is for {modality}, the image is {volume_modality}.").format(
                name=name, modality=modality, volume_modality=volume.modality
            ),
        )
    if modality != "CT":
        level: Level = "fits" if volume.modality == modality else "doubtful"
        return ModelFit(
            model, level, tr("{name} is for {modality}.").format(name=name, modality=modality)
        )
    if measured.doubts:
        reason = tr("{name} is for CT; the values are not those of a CT.").format(name=name)
        return ModelFit(model, "doubtful", reason, is_contradicted=True)
    region = tr(" of the {region}").format(region=expects.region) if expects.region else ""
    if check_appearance(measured.appearance, expects):
        return ModelFit(
            model,
            "doubtful",
            tr(
                "{name} is for CT{region}; the measurements of the image are not those of one."
            ).format(name=name, region=region),
            is_contradicted=True,
        )
    return ModelFit(model, "fits", tr("{name} is for CT{region}.").format(name=name, region=region))
