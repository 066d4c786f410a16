"""Settings of a training run: the settings of a stage, and the presets that provide their values.

Every setting is a number, a word, a Boolean or several numbers, so that
`--set training.rate=1e-4` can change it.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal

from ..diffusion.description import DiffusionDescription
from ..language import tr

Decay = Literal["cosine", "constant"]
Optimiser = Literal["adamw", "muon"]
FIRST_STAGE_SHARE = 0.3


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """Budget, optimiser and averaged weights of one stage.

    Attributes:
        steps: Optimiser steps; with `minutes` at most.
        minutes: Time in which the stage ends with a model, however many steps that gives; the rate
            falls with the time. 0 to take all steps. Pauses between runs do not count.
        batch: Slices per step, on each device.
        accumulate: Batches whose gradients are added up before each step.
        optimizer: "adamw", or "muon" for the weights of convolutions with AdamW for all others.
        rate: Highest learning rate of AdamW.
        muon_rate: Highest learning rate of Muon.
        scale_rate: Multiply `rate` by the slices of a step on all devices together.
        warm_up: Steps until the highest rate is reached.
        decay: Rate after warm-up: "cosine" falls to zero at the last step, "constant" stays.
        cool_down: Last steps over which a constant rate falls to zero along a straight line.
        weight_decay: Weight decay of both.
        gradient_clip: Highest norm of all gradients together; 0 for no limit.
        ema_decay: Decay of the averaged weights (exponential moving average), which are written
            to the model folder.
        ema_warm_up: Start with a shorter average: decay at most (1 + n) / (10 + n) after n steps.
        augment: Rotate, scale, shift and blur slices at random.
        mirror: Mirror every other slice left to right, and swap the labels of paired structures.
        elastic: Largest shift, in pixels, of the control points of the elastic deformation of
            augmented slices; 0 for none.
        contrast: Largest change in HU of some soft tissue in one of three slices; 0 for none.
        seed: Seed of all random numbers.
        log_every: Steps between entries of the logs.
        checkpoint_minutes: Time between checkpoints; 0 for one after each step.
        validate_every: Steps between validations on the held-out cases; 0 for none.
        validations: Validations at equal shares of the stage, besides those of `validate_every`.
        validation_slices: Slices of each held-out volume that a validation uses.
        patience: Validations in a row without a better Dice after which training stops; 0 to
            continue to the last step.
    """

    steps: int
    minutes: float = 0.0
    batch: int
    accumulate: int = 1
    optimizer: Optimiser = "adamw"
    rate: float
    muon_rate: float = 5e-3
    scale_rate: bool = False
    warm_up: int = 0
    decay: Decay = "cosine"
    cool_down: int = 0
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_decay: float = 0.998
    ema_warm_up: bool = False
    augment: bool = True
    mirror: bool = False
    elastic: float = 0.0
    contrast: float = 0.0
    seed: int = 0
    log_every: int = 10
    checkpoint_minutes: float = 5.0
    validate_every: int = 0
    validations: int = 0
    validation_slices: int = 16
    patience: int = 0

    @property
    def validates(self) -> bool:
        """Whether held-out cases are needed."""
        return bool(self.validate_every or self.validations)

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            ValueError: Naming the field, its value and the allowed values.
        """
        for name in ("steps", "batch", "accumulate", "log_every", "validation_slices"):
            require(self, name, getattr(self, name) >= 1, tr("1 or more"))
        for name in (
            "minutes",
            "warm_up",
            "cool_down",
            "validate_every",
            "validations",
            "patience",
            "seed",
            "checkpoint_minutes",
        ):
            require(self, name, getattr(self, name) >= 0, tr("0 or more"))
        for name in ("weight_decay", "gradient_clip", "elastic", "contrast"):
            require(self, name, getattr(self, name) >= 0, tr("0 or more"))
        require(self, "rate", self.rate > 0, tr("above 0"))
        require(self, "muon_rate", self.muon_rate > 0, tr("above 0"))
        require(self, "ema_decay", 0 <= self.ema_decay < 1, tr("0 up to below 1"))


def require(settings: StageSettings, name: str, holds: bool, wanted: str) -> None:
    """Raise `ValueError` with the name and value of a setting unless a condition holds."""
    if not holds:
        raise ValueError(
            tr("{name} is {settings}; it must be {wanted}").format(
                name=name, settings=getattr(settings, name), wanted=wanted
            )
        )


@dataclass(frozen=True)
class InputChoice:
    """Input of the networks, where it differs from the data set's proposal.

    Attributes:
        size: Rows and columns of a tile.
        spacing: Row and column spacing in mm.
        windows: (low, high), each mapped to [−1, 1].
        slice_offsets_mm: Distances of the context slices of a volume.
    """

    size: tuple[int, int] | None = None
    spacing: tuple[float, float] | None = None
    windows: tuple[tuple[float, float], ...] | None = None
    slice_offsets_mm: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Preset:
    """A preset of one family: all settings of a training run except the data.

    Attributes:
        name: For `--preset`.
        family: The family to train.
        summary: One-sentence description.
        network: The family's configuration; values that follow from the data (channels, classes)
            are filled in later.
        training: Main stage.
        autoencoder: First stage; None if the family has none.
        diffusion: Noise schedule and prediction type.
        input: Input of the networks.
    """

    name: str = field(metadata={"derived": True})
    family: str = field(metadata={"derived": True})
    summary: str = field(metadata={"derived": True})
    network: Any
    training: Any
    autoencoder: Any = None
    diffusion: DiffusionDescription = field(default_factory=DiffusionDescription)
    input: InputChoice = field(default_factory=InputChoice)


def within_minutes(preset: Preset, minutes: float) -> Preset:
    """A preset whose stages take some time together, whatever the number of steps.

    Args:
        preset: With steps as the most that are taken.
        minutes: A first stage gets `FIRST_STAGE_SHARE` of it.
    """
    first = preset.autoencoder
    if first is None:
        return replace(preset, training=replace(preset.training, minutes=minutes))
    own = FIRST_STAGE_SHARE * minutes
    return replace(
        preset,
        autoencoder=replace(first, minutes=own),
        training=replace(preset.training, minutes=minutes - own),
    )
