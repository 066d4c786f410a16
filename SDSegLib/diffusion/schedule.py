"""The noise schedule: betas linear in √β, and the algebra between noise, z0 and v.

Source: Ho et al. 2020 (forward process), Salimans and Ho 2022 (v), SDSeg section 2.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from ..diffusion.description import DiffusionDescription, Prediction


class NoiseSchedule(nn.Module):
    """Square roots of the cumulative products ᾱ_t and 1 − ᾱ_t, computed in float64, kept float32.

    Args:
        description: Number of timesteps T and the first and last beta.
    """

    signal: Tensor
    noise: Tensor

    def __init__(self, description: DiffusionDescription) -> None:
        super().__init__()
        roots = torch.linspace(
            description.beta_start**0.5,
            description.beta_end**0.5,
            description.timesteps,
            dtype=torch.float64,
        )
        alphas_cumprod = torch.cumprod(1.0 - roots**2, dim=0)
        self.register_buffer("signal", alphas_cumprod.sqrt().float(), persistent=False)
        self.register_buffer("noise", (1.0 - alphas_cumprod).sqrt().float(), persistent=False)

    @property
    def last_timestep(self) -> int:
        """T − 1, the timestep of the single reverse step."""
        return len(self.signal) - 1

    def add_noise(self, z0: Tensor, noise: Tensor, timestep: Tensor) -> Tensor:
        """z_t = √ᾱ_t · z0 + √(1 − ᾱ_t) · noise; latents (N, C, h, w), timestep (N,)."""
        signal, sigma = self._levels(timestep, z0)
        return signal * z0 + sigma * noise

    def estimate_z0(
        self, prediction: Tensor, z_t: Tensor, timestep: Tensor, kind: Prediction
    ) -> Tensor:
        """The latent estimate (SDSeg eq. 4) from what the UNet predicted, in float32.

        At t = T − 1 a noise prediction is amplified 38.7 times, so the subtraction is never done
        in half precision.
        """
        if kind == "z0":
            return prediction.float()
        signal, sigma = self._levels(timestep, z_t)
        if kind == "v":
            return signal * z_t.float() - sigma * prediction.float()
        return (z_t.float() - sigma * prediction.float()) / signal

    def estimate_noise(self, z0: Tensor, z_t: Tensor, timestep: Tensor) -> Tensor:
        """The noise that, with `z0`, makes up `z_t`."""
        signal, sigma = self._levels(timestep, z_t)
        return (z_t.float() - signal * z0.float()) / sigma

    def target(self, z0: Tensor, noise: Tensor, timestep: Tensor, kind: Prediction) -> Tensor:
        """What a UNet that predicts `kind` should give for `z0` and `noise`."""
        if kind == "z0":
            return z0
        if kind == "noise":
            return noise
        signal, sigma = self._levels(timestep, z0)
        return signal * noise - sigma * z0

    def _levels(self, timestep: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1,) + (1,) * (like.ndim - 1)
        return self.signal[timestep].view(shape), self.noise[timestep].view(shape)
