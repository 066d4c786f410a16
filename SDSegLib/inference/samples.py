"""Several noise samples for one image: mean probabilities and agreement."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..errors import InputError
from ..families.base import LatentFamily, SegmentationFamily
from ..language import tr

SEED = 1

Reduce = Callable[[Iterable[Tensor]], Tensor]
"""From the probabilities (N, C, H, W) of each noise sample in turn to the channels to keep."""


def check_steps(family: SegmentationFamily, steps: int) -> None:
    """Raise `InputError` unless a model can take that many reverse steps."""
    most = 1
    if isinstance(family, LatentFamily):
        most = family.schedule.last_timestep + 1
    elif steps > 1:
        raise InputError(
            tr(
                "The model '{model}' is a plain network without reverse steps; leave "
                "their number at 1."
            ).format(model=family.description.name)
        )
    if not 1 <= steps <= most:
        raise InputError(
            tr("{steps} reverse steps; 1 to {most} are possible.").format(steps=steps, most=most)
        )


def noises_of(family: SegmentationFamily, samples: int) -> list[Tensor | None]:
    """The model's stored z_T, and `samples` − 1 further ones, the same on every device.

    A family without a reverse process has one pass without noise, [None].

    Raises:
        InputError: If several are requested from such a family.
    """
    if not isinstance(family, LatentFamily):
        if samples > 1:
            raise InputError(
                tr(
                    "The model '{model}' is a plain network without noise, so all samples "
                    "would be equal; leave their number at 1."
                ).format(model=family.description.name)
            )
        return [None]
    generator = torch.Generator().manual_seed(SEED)
    others = [torch.randn(family.latent_shape, generator=generator) for _ in range(samples - 1)]
    stored = family.stored_noise
    return [stored, *(noise.to(stored.device, stored.dtype) for noise in others)]


def average_of(samples: Iterable[Tensor]) -> Tensor:
    """Mean class probabilities of one or several samples and, of several, their agreement.

    The agreement of two samples is the probability that classes drawn from the one and from the
    other are equal; here it is the mean over all pairs. Samples are summed one by one, so memory
    does not grow with their number.

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
    """The values of `average_of` for a certain background pixel: (channels,)."""
    values = torch.zeros(classes + (samples > 1))
    values[0] = 1
    values[classes:] = 1
    return values


def instability_of(agreement: Tensor) -> Tensor:
    """1 − agreement as uint8: 255 where any two samples certainly disagree."""
    return ((1 - agreement).clamp(0, 1) * 255).round().to(torch.uint8)


def expected_errors(probabilities: Tensor) -> Tensor:
    """Pixels of each structure that are expected to be wrong if each gets its likeliest class.

    Args:
        probabilities: Of background and structures, (C, H, W).

    Returns:
        (C − 1,): the sum of 1 − p over the pixels of a structure and of p over all others.
    """
    count = len(probabilities)
    given = probabilities.argmax(0)
    inside = torch.zeros(count, dtype=probabilities.dtype, device=probabilities.device)
    largest = probabilities.amax(0)
    inside.index_add_(0, given.flatten(), (1 - 2 * largest).flatten())
    return probabilities.sum((1, 2))[1:] + inside[1:]
