"""First stage of the compact family: an autoencoder of whole label maps."""

from __future__ import annotations

import torch
from torch import Tensor

from ..families.compact import CompactFamily
from ..networks.compact import one_hot
from .losses import dice_and_cross_entropy
from .settings import LabelMapAutoencoderSettings
from .stage import Batch, Stage

MAGNITUDE_WEIGHT = 1e-3
STATISTICS_MOMENTUM = 0.02


class AutoencoderStage(Stage):
    """Learns to reconstruct label maps; keeps the latent's mean and spread as buffers.

    Label maps need no mask for undrawn structures: the autoencoder shows what was drawn, and the
    second stage decides what of it is known.
    """

    KEEPS_FAMILY = False

    family: CompactFamily
    settings: LabelMapAutoencoderSettings

    def __init__(self, family: CompactFamily, settings: LabelMapAutoencoderSettings) -> None:
        super().__init__(family, ("autoencoder",), settings)
        self.criterion = dice_and_cross_entropy()

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        autoencoder = self.family.autoencoder
        label_map = batch["label_map"]
        raw = autoencoder.encoder(one_hot(label_map, self.family.num_classes))
        self._track(raw.detach().float())
        spread = raw.detach().std(dim=(0, 2, 3), keepdim=True)
        noisy = raw + self.settings.latent_noise * spread * torch.randn_like(raw)
        logits = autoencoder.decoder(noisy).float()
        reconstruction = self.criterion(logits, label_map[:, None])
        magnitude = raw.float().square().mean()
        return reconstruction + MAGNITUDE_WEIGHT * magnitude, {
            "reconstruction": reconstruction,
            "magnitude": magnitude,
        }

    def _track(self, raw: Tensor) -> None:
        """Running mean and standard deviation by channel: what makes the latent standardised."""
        share = (
            1.0 if self.global_step == 0 else max(STATISTICS_MOMENTUM, 1 / (self.global_step + 1))
        )
        mean = raw.mean(dim=(0, 2, 3), keepdim=True)
        std = raw.std(dim=(0, 2, 3), keepdim=True)
        self.family.autoencoder.latent_mean.lerp_(mean, share)
        self.family.autoencoder.latent_std.lerp_(std, share)
