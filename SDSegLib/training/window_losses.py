"""Losses of a window's masks and of the presence of the structure in its slices."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

EMPTY_WEIGHT = 0.05
"""Weight of a slice without the structure in the cross-entropy of its mask."""
_LEAST_AREA = 30.0  # pixels


def mask_losses(
    logits: Tensor, target: Tensor, known: Tensor, present: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy and Dice of the masks of the slices that are not known.

    The mask is learnt given that the structure is in the slice, so that slices without it hardly
    count; `presence_loss` teaches which these are. The cross-entropy of a slice is divided by the
    mean area of the structure in its window, and not by that of the crop.

    Args:
        logits: (B, D, S, S).
        target: The masks, 0 to 1.
        known: (B, D), true for known slices.
        present: (B, D), true where the structure is in the slice.
    """
    wanted = (~known).float()
    weight = wanted * torch.where(present, 1.0, EMPTY_WEIGHT)
    error = functional.binary_cross_entropy_with_logits(logits, target, reduction="none")
    area = target.sum((2, 3))
    holding = area > 0.5
    mean_area = area.sum(1, keepdim=True) / holding.sum(1, keepdim=True).clamp(min=1)
    entropy = error.sum((2, 3)) / (mean_area + _LEAST_AREA)
    chance = logits.sigmoid()
    both = (chance * target).sum((2, 3))
    dice = 1 - (2 * both + 1) / (chance.sum((2, 3)) + area + 1)
    return _mean(entropy, weight), _mean(dice, wanted * holding)


def presence_loss(logits: Tensor, known: Tensor, present: Tensor) -> Tensor:
    """Cross-entropy of the presence logits (B, D) of the slices that are not known."""
    error = functional.binary_cross_entropy_with_logits(logits, present.float(), reduction="none")
    return _mean(error, (~known).float())


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    return (values * weights).sum() / weights.sum().clamp(min=1)
