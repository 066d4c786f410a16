"""What a model says of its diffusion process."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Prediction = Literal["noise", "z0", "v"]


@dataclass(frozen=True)
class DiffusionDescription:
    """The noise schedule and what the UNet predicts (paper section 2; T and betas as published)."""

    timesteps: int = 1000
    beta_start: float = 0.0015
    beta_end: float = 0.0155
    prediction: Prediction = "noise"
