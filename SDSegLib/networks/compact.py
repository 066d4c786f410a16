"""The compact family's small networks: label-map autoencoder, light vision encoder, fusion.

The first two use space-to-depth: a block of pixels becomes channels of one position, so that every
convolution runs on a small grid.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from .codes import FIELD_LIMIT, LENGTH

GROUPS = 16
LOWEST_PROBABILITY = 1e-4


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions around a normalisation, added to the input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.SiLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class LabelMapAutoencoder(nn.Module):
    """Encodes a one-hot label map to one latent and decodes it to logits of all classes.

    Or a field of codes to a latent, and this to a field.

    Args:
        num_classes: Classes with background, C; or the length of codes.
        latent_channels: z.
        channels: Width.
        num_res_blocks: Residual blocks in encoder and decoder each.
        factor: Side in pixels of the block encoded by one latent position.
    """

    latent_mean: Tensor
    latent_std: Tensor

    def __init__(
        self,
        num_classes: int,
        latent_channels: int,
        channels: int,
        num_res_blocks: int,
        factor: int,
    ) -> None:
        super().__init__()
        block = num_classes * factor**2
        self.encoder = nn.Sequential(
            nn.PixelUnshuffle(factor),
            nn.Conv2d(block, channels, 1),
            *(ResidualBlock(channels) for _ in range(num_res_blocks)),
            nn.Conv2d(channels, latent_channels, 1),
        )
        self.decoder = nn.Sequential(
            nn.Conv2d(latent_channels, channels, 3, padding=1),
            *(ResidualBlock(channels) for _ in range(num_res_blocks)),
            nn.SiLU(),
            nn.Conv2d(channels, block, 1),
            nn.PixelShuffle(factor),
        )
        self.register_buffer("latent_mean", _row([0.0] * latent_channels))
        self.register_buffer("latent_std", _row([1.0] * latent_channels))

    def encode(self, one_hot: Tensor) -> Tensor:
        """One-hot label map (N, C, H, W) → standardised latent (N, z, H/f, W/f)."""
        return (self.encoder(one_hot) - self.latent_mean) / self.latent_std

    def decode(self, latent: Tensor) -> Tensor:
        """Standardised latent (N, z, H/f, W/f) → class logits (N, C, H, W)."""
        return self.decoder(latent * self.latent_std + self.latent_mean)


class Fusion(nn.Module):
    """Combines the decoded class probabilities with those of the vision encoder's own label map.

    The result is proportional to p_decoded^a · p_encoder^b; both exponents are learnt and start at
    0.5.

    Args:
        num_classes: Classes with background, C.
        factor: Side in pixels of the block encoded by one latent position, f.
    """

    def __init__(self, num_classes: int, factor: int) -> None:
        super().__init__()
        self.channels = num_classes * factor**2
        self.factor = factor
        self.exponents = nn.Parameter(torch.tensor([0.5, 0.5]))

    def forward(self, logits: Tensor, condition: Tensor) -> Tensor:
        """Class logits of the combination.

        Args:
            logits: Decoded logits, (N, C, H, W).
            condition: (N, K + C·f², H/f, W/f); the encoder's probabilities are its last channels.
        """
        decoded, encoder = self.exponents
        own = functional.pixel_shuffle(condition[:, -self.channels :], self.factor)
        return decoded * logits + encoder * self._logits(own)

    def _logits(self, own: Tensor) -> Tensor:
        return own.clamp(min=LOWEST_PROBABILITY).log()


class FieldFusion(Fusion):
    """The same for fields of codes, whose inner products with the codes are logits.

    Args:
        factor: As for `Fusion`.
    """

    def __init__(self, factor: int) -> None:
        super().__init__(LENGTH, factor)

    def _logits(self, own: Tensor) -> Tensor:
        return FIELD_LIMIT * own


class LightVisionEncoder(nn.Module):
    """Image to condition latent; most layers run on the latent grid.

    Args:
        in_channels: Windows × context slices.
        channels: Widths at half and at latent resolution.
        condition_channels: Channels of the condition latent.
        num_res_blocks: Residual blocks at each of the two resolutions.
        factor: Ratio of image to latent size, a multiple of 2.
    """

    def __init__(
        self,
        in_channels: int,
        channels: tuple[int, int],
        condition_channels: int,
        num_res_blocks: int,
        factor: int,
    ) -> None:
        super().__init__()
        half, latent = channels
        self.stem = nn.Sequential(
            nn.PixelUnshuffle(2), nn.Conv2d(4 * in_channels, half, 3, padding=1)
        )
        self.fine = nn.Sequential(*(ResidualBlock(half) for _ in range(num_res_blocks)))
        self.reduce = nn.Sequential(
            nn.PixelUnshuffle(factor // 2), nn.Conv2d(half * (factor // 2) ** 2, latent, 1)
        )
        self.coarse = nn.Sequential(*(ResidualBlock(latent) for _ in range(num_res_blocks)))
        self.out = nn.Sequential(nn.SiLU(), nn.Conv2d(latent, condition_channels, 1))

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, C, H, W) in [−1, 1] → condition latent (N, K, H/f, W/f)."""
        return self.out(self.coarse(self.reduce(self.fine(self.stem(image)))))


def one_hot(label_map: Tensor, num_classes: int) -> Tensor:
    """Label map (N, H, W) of integers → float one-hot (N, C, H, W)."""
    return functional.one_hot(label_map.long(), num_classes).movedim(-1, 1).float()


def _row(values: list[float]) -> Tensor:
    return torch.tensor(values).view(1, -1, 1, 1)
