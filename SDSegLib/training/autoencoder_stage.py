"""First stage of the compact family: an autoencoder of whole label maps."""

from __future__ import annotations

import torch
from torch import Tensor

from ..families.compact import CompactFamily
from ..networks.compact import one_hot
from .losses import dice_and_cross_entropy
from .settings import CompactTraining
from .stage import Stage

MAGNITUDE_WEIGHT = 1e-3
STATISTICS_MOMENTUM = 0.02


class AutoencoderStage(Stage):
    """Learns to reconstruct label maps; keeps the latent's mean and spread as buffers."""

    def __init__(self, family: CompactFamily, settings: CompactTraining) -> None:
        super().__init__(
            family.autoencoder,
            settings.autoencoder_steps,
            settings.autoencoder_rate,
            min(settings.warm_up, settings.autoencoder_steps // 10 + 1),
            0.0,
            0.99,
            settings.seed,
        )
        self.autoencoder = family.autoencoder
        self.num_classes = family.num_classes
        self.latent_noise = settings.latent_noise
        self.criterion = dice_and_cross_entropy()

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        autoencoder = self.autoencoder
        label_map = batch["label_map"]
        raw = autoencoder.encoder(one_hot(label_map, self.num_classes))
        self._track(raw.detach())
        spread = raw.detach().std(dim=(0, 2, 3), keepdim=True)
        noisy = raw + self.latent_noise * spread * torch.randn_like(raw)
        logits = autoencoder.decoder(noisy)
        reconstruction = self.criterion(logits, label_map[:, None])
        magnitude = raw.square().mean()
        self.log_losses(reconstruction=reconstruction, magnitude=magnitude)
        return reconstruction + MAGNITUDE_WEIGHT * magnitude

    def _track(self, raw: Tensor) -> None:
        """Running mean and standard deviation by channel: what makes the latent standardised."""
        share = (
            1.0 if self.global_step == 0 else max(STATISTICS_MOMENTUM, 1 / (self.global_step + 1))
        )
        mean = raw.mean(dim=(0, 2, 3), keepdim=True)
        std = raw.std(dim=(0, 2, 3), keepdim=True)
        self.autoencoder.latent_mean.lerp_(mean, share)
        self.autoencoder.latent_std.lerp_(std, share)
