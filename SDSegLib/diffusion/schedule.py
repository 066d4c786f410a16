"""The noise schedule: betas linear in √β, conversion between epsilon, sample and v, and DDIM.

Sources: Ho et al. 2020 (forward process), Salimans and Ho 2022 (v), SDSeg section 2 (single step),
Song et al. 2021 (DDIM, eta = 0), with timesteps spaced as in Lin et al. 2024 ("trailing").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from .description import DiffusionDescription, Prediction


class NoiseSchedule(nn.Module):
    """Square roots of ᾱ_t (cumulative product) and 1 − ᾱ_t; computed as float64, stored as float32.

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
        """The latent estimate (SDSeg eq. 4) from the output of the UNet, in float32.

        At t = T − 1 an epsilon prediction is amplified 38.7 times, so the subtraction is never
        done in half precision.
        """
        if kind == "sample":
            return prediction.float()
        signal, sigma = self._levels(timestep, z_t)
        if kind == "v_prediction":
            return signal * z_t.float() - sigma * prediction.float()
        return (z_t.float() - sigma * prediction.float()) / signal

    def estimate_noise(self, z0: Tensor, z_t: Tensor, timestep: Tensor) -> Tensor:
        """The noise (epsilon) that was added to `z0` to obtain `z_t`."""
        signal, sigma = self._levels(timestep, z_t)
        return (z_t.float() - signal * z0.float()) / sigma

    def target(self, z0: Tensor, noise: Tensor, timestep: Tensor, kind: Prediction) -> Tensor:
        """The training target of a UNet that predicts `kind`, for `z0` and `noise`."""
        if kind == "sample":
            return z0
        if kind == "epsilon":
            return noise
        signal, sigma = self._levels(timestep, z0)
        return signal * noise - sigma * z0

    def _levels(self, timestep: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
        shape = (-1,) + (1,) * (like.ndim - 1)
        return self.signal[timestep].view(shape), self.noise[timestep].view(shape)


def ddim_timesteps(timesteps: int, steps: int) -> tuple[int, ...]:
    """`steps` evenly spaced timesteps in descending order from `timesteps` − 1.

    Raises:
        ValueError: If `steps` is not in 1 … `timesteps`.
    """
    if not 1 <= steps <= timesteps:
        raise ValueError(f"{steps} steps; 1 to {timesteps} are possible")
    return tuple(round(timesteps * left / steps) - 1 for left in range(steps, 0, -1))


def ddim(
    schedule: NoiseSchedule,
    kind: Prediction,
    predict: Callable[[Tensor, Tensor], Tensor],
    noise: Tensor,
    steps: int,
) -> Tensor:
    """z0 (N, z, h, w) in float32 after `steps` UNet calls; with one, the single-step estimate.

    Args:
        schedule: Noise levels of the timesteps.
        kind: Prediction type of `predict`.
        predict: Function of z_t (N, z, h, w) and timestep (N,).
        noise: z_T (N, z, h, w).
        steps: UNet calls.

    Raises:
        ValueError: If `steps` is not in 1 … T.
    """
    times = [
        torch.full((len(noise),), time, device=noise.device)
        for time in ddim_timesteps(schedule.last_timestep + 1, steps)
    ]
    z_t = noise
    for time, following in zip(times, [*times[1:], None], strict=True):
        z0 = schedule.estimate_z0(predict(z_t, time), z_t, time, kind)
        if following is not None:
            estimated_noise = schedule.estimate_noise(z0, z_t, time)
            z_t = schedule.add_noise(z0, estimated_noise, following)
    return z0
