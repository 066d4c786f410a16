"""Whether a structure is in a slice at all, from what its mask would cover there."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

_WIDTH = 48
_FACTOR = 4  # of the mask's size to that of the fine features
_LEAST_AREA = 0.05


class PresenceHead(nn.Module):
    """Presence logits from the features under the mask, beside it, and of the known slices.

    What lies under a mask is compared with what lies under the known ones, and slices of a window
    are read in order from both ends.

    Args:
        fine: Channels of the features at a quarter of the mask's size.
        deep: Channels of the features at an eighth.
        embedded: Width of the embedded numbers.
    """

    def __init__(self, fine: int, deep: int, embedded: int) -> None:
        super().__init__()
        self.look = nn.Conv2d(fine, _WIDTH, 1)
        self.of_slice = nn.Linear(3 * _WIDTH + 2 * deep + embedded + 3, 2 * _WIDTH)
        self.along = nn.GRU(2 * _WIDTH, _WIDTH, bidirectional=True, batch_first=True)
        self.verdict = nn.Linear(4 * _WIDTH, 1)

    def forward(
        self, fine: Tensor, deep: Tensor, embedded: Tensor, logits: Tensor, known: Tensor
    ) -> Tensor:
        """Presence logits (B, D), float32. No gradient reaches the mask logits.

        Args:
            fine: (B·D, C, S/4, S/4).
            deep: (B·D, C', S/8, S/8).
            embedded: (B·D, E).
            logits: Of the mask, (B·D, S, S).
            known: 1 for known slices and 0 for others, (B, D), float32.
        """
        batch, depth = known.shape
        logits = logits.detach().float()
        chance = logits.sigmoid()
        under = functional.avg_pool2d(chance[:, None], _FACTOR)
        beside = functional.max_pool2d(under, 5, 1, 2) * (1 - under)
        seen = self.look(fine).float()
        inside = _mean_over(seen, under)
        share = known / known.sum(1, keepdim=True).clamp(min=1)
        by_slice = inside.view(batch, depth, _WIDTH)
        drawn = (by_slice * share[:, :, None]).sum(1, keepdim=True)
        area = chance.flatten(1).sum(1)
        described = [
            inside,
            _mean_over(seen, beside),
            (by_slice - drawn).view(batch * depth, _WIDTH),
            deep.mean((2, 3)).float(),
            deep.amax((2, 3)).float(),
            embedded.float(),
            torch.stack(
                [
                    logits.flatten(1).amax(1) / 8,
                    area.add(1).log() / 6,
                    chance.flatten(1).amax(1),
                ],
                1,
            ),
        ]
        noticed = functional.relu(self.of_slice(torch.cat(described, 1))).float()
        noticed = noticed.view(batch, depth, 2 * _WIDTH)
        with torch.autocast("cuda" if noticed.is_cuda else "cpu", enabled=False):
            read, _ = self.along(noticed)
            return self.verdict(torch.cat([read, noticed], 2))[:, :, 0]


def _mean_over(features: Tensor, weight: Tensor) -> Tensor:
    """Mean of features (N, C, h, w) with weights (N, 1, h, w) → (N, C)."""
    return (features * weight).sum((2, 3)) / weight.sum((2, 3)).add(_LEAST_AREA)
