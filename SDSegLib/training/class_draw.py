"""Which class each slice of the published family shows, and the latent of its binary map."""

from __future__ import annotations

import torch
from torch import Tensor


def draw_classes(
    label_map: Tensor, drawn: Tensor, conditional: bool, absent_share: float = 0.0
) -> tuple[Tensor | None, Tensor]:
    """Draw a class for each slice, at random among those present in it.

    A class's own binary map is right wherever that class was drawn, whatever else was not. Only
    class 0, "anything but background", is unknown for a patient that lacks a structure: a pixel
    without a label may belong to it. Such a patient is never asked for class 0; a slice of theirs
    with no structure in it counts nothing.

    Args:
        label_map: (N, H, W), 0 … C − 1.
        drawn: (N, C), true where the class is known.
        conditional: Whether the model is told the class; one of a single structure is not.
        absent_share: Probability of a known class that is absent, where there is one.

    Returns:
        Class ids (N,) or None, and a float (N,) of 1 where the binary map is known.
    """
    if not conditional:
        return None, drawn[:, 1].float()
    present = torch.zeros_like(drawn)
    present.scatter_(1, label_map.flatten(1).long(), True)
    known = drawn.clone()
    known[:, 0] = drawn.all(dim=1)
    choices = present & known
    absent = ~present & known
    absent[:, 0] = False
    if absent_share > 0:
        wanted = torch.rand(len(drawn), device=drawn.device) < absent_share
        take = absent.any(dim=1) & (wanted | ~choices.any(dim=1))
        choices = torch.where(take[:, None], absent, choices)
    usable = choices.any(dim=1)
    weights = torch.where(usable[:, None], choices, torch.ones_like(choices)).float()
    class_id = torch.multinomial(weights, 1)[:, 0]
    return class_id, usable.float()


def gaussian_latent(moments: Tensor, sample: bool) -> Tensor:
    """The mean of a latent Gaussian, or a sample of it.

    Args:
        moments: Mean and log variance, stacked (N, 2e, h, w).
        sample: Draw instead of taking the mean.
    """
    mean, log_variance = moments.chunk(2, dim=1)
    if not sample:
        return mean
    return mean + (0.5 * log_variance.clamp(-30.0, 20.0)).exp() * torch.randn_like(mean)
