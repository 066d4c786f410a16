"""Losses that ignore structures which were not drawn."""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional

Norm = Literal["l1", "l2"]
NOT_DRAWN_LOGIT = -1e4


def without_undrawn(logits: Tensor, drawn: Tensor) -> Tensor:
    """Take classes out of the softmax for patients whose label map lacks them.

    A voxel of an undrawn organ is labelled background; without that organ's logit, a prediction of
    the organ there adds nothing to the loss.

    Args:
        logits: (N, C, H, W).
        drawn: (N, C), true where the class is known.
    """
    return logits.masked_fill(~drawn[:, :, None, None], NOT_DRAWN_LOGIT)


def dice_and_cross_entropy() -> Any:
    """MONAI's Dice (over the batch, without background) plus cross-entropy, default weights."""
    from monai.losses import DiceCELoss

    return DiceCELoss(
        include_background=False,
        to_onehot_y=True,
        softmax=True,
        batch=True,
        lambda_dice=1.0,
        lambda_ce=2.0,
        smooth_nr=1.0,
        smooth_dr=1.0,
    )


def deep_supervision(levels: int) -> Any:
    """`dice_and_cross_entropy` of logits at several levels, each half the weight of the next finer.

    As in nnU-Net (Isensee et al. 2021); takes a list of logits, the finest first.
    """
    from monai.losses import DeepSupervisionLoss

    weights = [0.5**level for level in range(levels)]
    return DeepSupervisionLoss(
        dice_and_cross_entropy(), weights=[weight / sum(weights) for weight in weights]
    )


def latent_l1(estimate: Tensor, z0: Tensor, logits: Tensor, drawn: Tensor) -> Tensor:
    """The latent estimation loss (SDSeg eq. 5), L1(z0_hat, z0), where z0 is known.

    Latent positions at which the model predicts an organ that this patient's label map lacks are
    excluded: there z0 encodes background only because the organ was not drawn.

    Args:
        estimate: z0_hat (N, z, h, w).
        z0: Latent of the drawn label map.
        logits: Decoded logits of all classes (N, C, H, W), before `without_undrawn`.
        drawn: (N, C).
    """
    with torch.no_grad():
        undrawn = logits.softmax(dim=1) * (~drawn[:, :, None, None])
        seen = undrawn.sum(dim=1, keepdim=True) > 0.3
        factor = logits.shape[-1] // z0.shape[-1]
        unknown = functional.max_pool2d(seen.float(), factor)
        known = 1 - functional.max_pool2d(unknown, 3, stride=1, padding=1)
    error = functional.l1_loss(estimate, z0, reduction="none") * known
    return error.sum() / (known.sum() * z0.shape[1]).clamp(min=1)


def error_of_known(prediction: Tensor, target: Tensor, known: Tensor, norm: Norm = "l1") -> Tensor:
    """Mean error over the slices whose target is known; 0 if none is.

    Args:
        prediction: (N, …).
        target: The same shape.
        known: (N,), 1 or 0.
        norm: "l1" for the absolute error, "l2" for its square.
    """
    error = prediction - target
    error = error.abs() if norm == "l1" else error.square()
    error = error.flatten(1).mean(dim=1)
    return (error * known).sum() / known.sum().clamp(min=1)
