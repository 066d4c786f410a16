"""Deterministic sampling with several steps, to compare the single step with.

Source: Song et al. 2021 (DDIM, eta = 0); timesteps spaced as in Lin et al. 2024 ("trailing").
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from .description import Prediction
from .schedule import NoiseSchedule


def ddim_timesteps(timesteps: int, steps: int) -> tuple[int, ...]:
    """`steps` evenly spaced timesteps that begin at `timesteps` − 1, falling.

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
        kind: What `predict` gives.
        predict: From z_t (N, z, h, w) and timestep (N,).
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
