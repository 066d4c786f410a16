"""What can be set about a stage of training; presets fill it in.

Every field is a plain number, word or switch, so that `--set training.rate=1e-4` can change it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Decay = Literal["cosine", "constant"]
Fusion = Literal["concatenation", "cross-attention"]


@dataclass(frozen=True, kw_only=True)
class StageSettings:
    """Budget, optimiser (AdamW) and averaged weights of one stage.

    Attributes:
        steps: Optimiser steps.
        batch: Slices a step, on each device.
        accumulate: Batches whose gradients are added up before each step.
        rate: Highest learning rate.
        scale_rate: Multiply `rate` by the slices of a step on all devices together.
        warm_up: Steps until the highest rate is reached.
        decay: Afterwards: "cosine" falls to zero at the last step, "constant" stays.
        weight_decay: Of AdamW.
        gradient_clip: Highest norm of all gradients together; 0 for no limit.
        ema_decay: Of the averaged weights (exponential moving average), which are what a model
            folder gets.
        ema_warm_up: Begin with a shorter average: decay at most (1 + n) / (10 + n) after n steps.
        augment: Rotate, scale, shift and blur slices at random.
        mirror: Mirror every other slice left to right, with paired structures exchanged.
        elastic: Largest shift, in pixels, of the points of a coarse grid by which augmented slices
            are deformed; 0 for none.
        seed: Of everything random.
        log_every: Steps between entries of the logs.
        checkpoint_minutes: Time between checkpoints; 0 for one after each step.
        validate_every: Steps between validations on the held-out cases; 0 for none.
        validation_slices: Slices of each held-out volume that a validation looks at.
        patience: Validations in a row without a better Dice after which training stops; 0 to go
            on to the last step.
    """

    steps: int
    batch: int
    accumulate: int = 1
    rate: float
    scale_rate: bool = False
    warm_up: int = 0
    decay: Decay = "cosine"
    weight_decay: float = 0.01
    gradient_clip: float = 1.0
    ema_decay: float = 0.998
    ema_warm_up: bool = False
    augment: bool = True
    mirror: bool = False
    elastic: float = 0.0
    seed: int = 0
    log_every: int = 10
    checkpoint_minutes: float = 5.0
    validate_every: int = 0
    validation_slices: int = 16
    patience: int = 0

    def __post_init__(self) -> None:
        """Refuse values that cannot be meant.

        Raises:
            ValueError: Naming the field, its value and what it may be.
        """
        for name in ("steps", "batch", "accumulate", "log_every", "validation_slices"):
            _require(self, name, getattr(self, name) >= 1, "1 or more")
        for name in ("warm_up", "validate_every", "patience", "seed", "checkpoint_minutes"):
            _require(self, name, getattr(self, name) >= 0, "0 or more")
        for name in ("weight_decay", "gradient_clip", "elastic"):
            _require(self, name, getattr(self, name) >= 0, "0 or more")
        _require(self, "rate", self.rate > 0, "above 0")
        _require(self, "ema_decay", 0 <= self.ema_decay < 1, "0 up to below 1")


@dataclass(frozen=True, kw_only=True)
class LabelMapAutoencoderSettings(StageSettings):
    """First stage of the compact family.

    Attributes:
        latent_noise: Standard deviation of noise on the latent, relative to the latent's own, so
            that the decoder forgives small errors of the UNet.
    """

    latent_noise: float = 0.05


@dataclass(frozen=True, kw_only=True)
class CompactSettings(StageSettings):
    """Second stage of the compact family.

    Attributes:
        last_timestep_share: Share of slices at t = T − 1, where inference happens; the others are
            uniform over 0 … T − 1.
        latent_weight: Weight of the latent estimation loss beside Dice and cross-entropy of the
            decoded label map.
        encoder_weight: Weight of Dice and cross-entropy of the logits that a vision encoder which
            is a U-Net gives at several levels (deep supervision).
        train_vision_encoder: Off to keep the vision encoder as it begins.
        train_decoder: Whether the decoder of label maps learns on, from estimated latents.
    """

    last_timestep_share: float = 0.7
    latent_weight: float = 0.5
    encoder_weight: float = 1.0
    train_vision_encoder: bool = True
    train_decoder: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self, "last_timestep_share", 0 <= self.last_timestep_share <= 1, "from 0 to 1")
        for name in ("latent_weight", "encoder_weight"):
            _require(self, name, getattr(self, name) >= 0, "0 or more")


@dataclass(frozen=True, kw_only=True)
class KLAutoencoderSettings(StageSettings):
    """First stage of the published family, for when no trained autoencoder is given.

    Attributes:
        kl_weight: Weight of the Kullback-Leibler term beside the reconstruction, both for a value
            of the picture.
    """

    kl_weight: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class PublishedSettings(StageSettings):
    """SDSeg's own training.

    Attributes:
        noise_loss: Between predicted and drawn noise: "l1" as published, or "l2", which diffusion
            models are commonly trained with (DDPM).
        noise_weight: Of that loss.
        latent_weight: Of the latent estimation loss, L1 between estimated and true latent; 0
            trains without latent estimation.
        train_vision_encoder: Off for a frozen vision encoder.
        fusion: How the condition enters the UNet.
        sample_latent: Draw z0 from the autoencoder's Gaussian instead of taking its mean.
        absent_share: Share of slices for which a class that is absent is drawn (multi-class only).
    """

    noise_loss: Literal["l1", "l2"] = "l1"
    noise_weight: float = 1.0
    latent_weight: float = 1.0
    train_vision_encoder: bool = True
    fusion: Fusion = "concatenation"
    sample_latent: bool = True
    absent_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self, "absent_share", 0 <= self.absent_share <= 1, "from 0 to 1")
        _require(self, "latent_weight", self.latent_weight >= 0, "0 or more")
        _require(
            self, "noise_weight", self.noise_weight + self.latent_weight > 0, "above 0 for one loss"
        )


@dataclass(frozen=True, kw_only=True)
class DirectSettings(StageSettings):
    """Training of the plain U-Net."""


def _require(settings: StageSettings, name: str, holds: bool, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name} is {getattr(settings, name)}; it must be {wanted}")
