"""Several noises for one image: their mean, and how far they agree."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..errors import InputError
from ..families.base import SegmentationFamily

SEED = 1

Reduce = Callable[[Iterable[Tensor]], Tensor]
"""From the probabilities (N, C, H, W) of each noise, as they come, to what is kept of them."""


def check_steps(family: SegmentationFamily, steps: int) -> None:
    """Raise `InputError` unless a model can take that many reverse steps."""
    most = family.schedule.last_timestep + 1
    if not 1 <= steps <= most:
        raise InputError(f"{steps} reverse steps; 1 to {most} are possible.")
    if steps > 1 and not family.has_reverse_process:
        raise InputError(
            f"The model '{family.description.name}' is a plain network without reverse steps; "
            "leave their number at 1."
        )


def noises_of(family: SegmentationFamily, samples: int) -> list[Tensor]:
    """The model's stored z_T, and `samples` − 1 others that are the same on every device."""
    generator = torch.Generator().manual_seed(SEED)
    others = [torch.randn(family.latent_shape, generator=generator) for _ in range(samples - 1)]
    stored = family.stored_noise
    return [stored, *(noise.to(stored.device, stored.dtype) for noise in others)]


def average_of(samples: Iterable[Tensor]) -> Tensor:
    """Mean class probabilities of one or several samples and, of several, their agreement.

    The agreement of two samples is the chance that a class drawn from the probabilities of the one
    is that drawn from the other's; here it is the mean over all pairs. Samples are added up as they
    come, so memory does not grow with them.

    Args:
        samples: Probabilities (N, C, H, W).

    Returns:
        (N, C, H, W) for one sample, else (N, C + 1, H, W) with the agreement last; float32.
    """
    coming = iter(samples)
    total, count = next(coming).float(), 1
    squares = None
    for probability in coming:
        if squares is None:
            squares = total.square().sum(dim=1, keepdim=True)
        probability = probability.float()
        total = total + probability
        squares = squares + probability.square().sum(dim=1, keepdim=True)
        count += 1
    if squares is None:
        return total
    agreement = total.square().sum(dim=1, keepdim=True) - squares
    return torch.cat([total / count, agreement / (count * (count - 1))], dim=1)


def background(classes: int, samples: int) -> Tensor:
    """What `average_of` gives for a pixel that is surely background: (channels,)."""
    values = torch.zeros(classes + (samples > 1))
    values[0] = 1
    values[classes:] = 1
    return values


def instability_of(agreement: Tensor) -> Tensor:
    """uint8 of an agreement 0 … 1: 255 where any two noises disagree for sure."""
    return ((1 - agreement).clamp(0, 1) * 255).round().to(torch.uint8)
