"""What can be set about a training run of the compact family."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class CompactTraining:
    """Budget and optimiser of the two stages.

    Attributes:
        autoencoder_steps: Optimiser steps for the label-map autoencoder.
        autoencoder_batch: Label maps a step.
        autoencoder_rate: Its highest learning rate.
        latent_noise: Standard deviation of noise on its latent, relative to the latent's own, so
            that the decoder forgives small errors of the UNet.
        steps: Optimiser steps for vision encoder and UNet.
        batch: Slices a step.
        rate: Highest learning rate.
        warm_up: Steps until it is reached; afterwards it falls to zero along a cosine.
        weight_decay: Of AdamW.
        last_timestep_share: Share of samples at t = T − 1, where inference happens; the others are
            uniform over 0 … T − 1.
        latent_weight: Weight of the latent estimation loss beside Dice and cross-entropy.
        ema_decay: Of the averaged weights, which are the ones that ship.
        steps_per_block: Steps between checkpoints; a resumed run starts at a block's beginning.
        seed: Of everything random.
    """

    autoencoder_steps: int = 2300
    autoencoder_batch: int = 32
    autoencoder_rate: float = 2e-3
    latent_noise: float = 0.05
    steps: int = 3000
    batch: int = 16
    rate: float = 8e-4
    warm_up: int = 200
    weight_decay: float = 0.01
    last_timestep_share: float = 0.7
    latent_weight: float = 0.5
    ema_decay: float = 0.998
    steps_per_block: int = 100
    seed: int = 0
