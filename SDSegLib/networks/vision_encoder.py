"""The published family's vision encoder: the autoencoder's encoder and one 1×1 convolution."""

from __future__ import annotations

from torch import Tensor, nn

from .kl_autoencoder import Encoder, KLAutoencoderConfig


class VisionEncoder(nn.Module):
    """Image to condition latent (SDSeg section 2.2); trained, deterministic, never scaled.

    Args:
        config: Sizes of the autoencoder whose encoder it copies.
    """

    def __init__(self, config: KLAutoencoderConfig) -> None:
        super().__init__()
        self.encoder = Encoder(config)
        self.out = nn.Conv2d(2 * config.z_channels, config.z_channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, C, H, W) in [−1, 1] → condition latent (N, z, H/f, W/f)."""
        return self.out(self.encoder(image))
