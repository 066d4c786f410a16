"""A KL autoencoder of binary maps, for the published family where no kl-f8 weights are given."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from ..families.published import PublishedFamily
from .class_draw import draw_classes, gaussian_latent
from .settings import KLAutoencoderSettings
from .stage import Batch, Stage


class KLAutoencoderStage(Stage):
    """Learns to reconstruct the binary maps that the second stage will encode.

    The paper takes a general autoencoder of photographs (kl-f8) instead; this one knows maps only.
    """

    KEEPS_FAMILY = False

    family: PublishedFamily
    settings: KLAutoencoderSettings

    def __init__(self, family: PublishedFamily, settings: KLAutoencoderSettings) -> None:
        super().__init__(family, ("autoencoder",), settings)

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        autoencoder = self.family.autoencoder
        class_id, _ = draw_classes(
            batch["label_map"], torch.ones_like(batch["drawn"]), self.family.is_class_conditional
        )
        picture = self.family.class_picture(batch["label_map"], class_id)
        moments = autoencoder.encode_moments(picture).float()
        decoded = autoencoder.decode(gaussian_latent(moments, sample=True)).float()
        reconstruction = functional.l1_loss(decoded, picture)
        mean, log_variance = moments.chunk(2, dim=1)
        log_variance = log_variance.clamp(-30.0, 20.0)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        divergence = divergence.sum(dim=(1, 2, 3)).mean() / picture[0].numel()
        total = reconstruction + self.settings.kl_weight * divergence
        return total, {"reconstruction": reconstruction, "divergence": divergence}
