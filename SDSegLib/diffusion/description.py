"""The diffusion process of a model, as described in `model.json`; needs no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Prediction = Literal["epsilon", "sample", "v_prediction"]
"""Output of the UNet: the noise, the noise-free latent z0, or v (Salimans and Ho 2022)."""


@dataclass(frozen=True)
class DiffusionDescription:
    """Noise schedule and prediction type (SDSeg section 2; T and betas as published)."""

    timesteps: int = 1000
    beta_start: float = 0.0015
    beta_end: float = 0.0155
    prediction: Prediction = "epsilon"
