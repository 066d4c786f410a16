"""Several noise samples for one image: mean probabilities and agreement."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from ..errors import InputError
from ..families.base import LatentFamily, SegmentationFamily
from ..language import tr
from ..volume.calibration import LEAST_STRUCTURE, Calibration

SEED = 1
_SMALLEST = 1e-5

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


def expected_errors(probabilities: Tensor, given: Tensor) -> Tensor:
    """Pixels of each structure that are expected to be wrong.

    Args:
        probabilities: Of background and structures, (C, H, W).
        given: Class that each pixel gets, (H, W).

    Returns:
        (C − 1,): the sum of 1 − p over the pixels of a structure and of p over all others.
    """
    count = len(probabilities)
    inside = torch.zeros(count, dtype=probabilities.dtype, device=probabilities.device)
    chance = probabilities.gather(0, given[None])
    inside.index_add_(0, given.flatten(), (1 - 2 * chance).flatten())
    return probabilities.sum((1, 2))[1:] + inside[1:]


def calibrated(probabilities: Tensor, calibration: Calibration | None) -> Tensor:
    """Class probabilities as chances; see `Calibration`.

    Args:
        probabilities: Of background and structures, (C, H, W); not changed.
        calibration: None to return them as they are.
    """
    if calibration is None:
        return probabilities
    near = probabilities[0] < 1 - LEAST_STRUCTURE
    some = probabilities[:, near].clamp(min=_SMALLEST).log()
    scale = probabilities.new_tensor(calibration.scale)[:, None]
    offset = probabilities.new_tensor(calibration.offset)[:, None]
    result = probabilities.clone()
    result[:, near] = (some * scale + offset).softmax(dim=0)
    return result


def expected_dice(probabilities: Tensor, given: Tensor) -> Tensor:
    """Dice that each structure of a slice is expected to have.

    Twice the expected overlap by the expected size of both together, as if pixels were independent.

    Args:
        probabilities: Of background and structures, (C, H, W).
        given: Class that each pixel gets, (H, W).

    Returns:
        (C − 1,); 0 where a structure is not given.
    """
    count = len(probabilities)
    sums = probabilities.new_zeros(2, count)
    chance = probabilities.gather(0, given[None]).flatten()
    sums[0].index_add_(0, given.flatten(), chance)
    sums[1].index_add_(0, given.flatten(), torch.ones_like(chance))
    both = sums[1] + probabilities.sum((1, 2))
    return (2 * sums[0] / both.clamp(min=_SMALLEST))[1:]
