"""The published family's KL autoencoder, in the form of Stable Diffusion v1's f = 8 first stage,
and its vision encoder, which has the same encoder.

Source: Rombach et al. 2022 (latent diffusion), Esser et al. 2021 (the residual blocks). Module
names follow the published checkpoints, so their state dicts load without renaming.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32
EPSILON = 1e-6


@dataclass(frozen=True)
class KLAutoencoderConfig:
    """Sizes of the autoencoder and of the vision encoder, which has the same encoder.

    The networks are fully convolutional, so the image size is not included.

    Attributes:
        ch: Width of the first level.
        ch_mult: Width of each level in multiples of `ch`; each but the first halves the size.
        num_res_blocks: Residual blocks per level in the encoder; one more in the decoder.
        z_channels: Channels between encoder and decoder; the encoder outputs mean and log variance.
        embed_dim: Latent channels.
        in_channels: Channels of the image.
        out_channels: Channels of the decoded image.
    """

    ch: int = 128
    ch_mult: tuple[int, ...] = (1, 2, 4, 4)
    num_res_blocks: int = 2
    z_channels: int = 4
    embed_dim: int = 4
    in_channels: int = field(default=3, metadata={"derived": True})
    out_channels: int = field(default=3, metadata={"derived": True})

    @property
    def factor(self) -> int:
        """Pixels per latent position along each side."""
        return 2 ** (len(self.ch_mult) - 1)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels of each level, the finest first."""
        return tuple(self.ch * mult for mult in self.ch_mult)


class ResidualBlock(nn.Module):
    """Two 3×3 convolutions, each after a normalisation and a swish."""

    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = _norm(channels)
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1)
        self.norm2 = _norm(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        if channels != out_channels:
            self.nin_shortcut = nn.Conv2d(channels, out_channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, h, w) → (N, out, h, w)."""
        hidden = self.conv1(functional.silu(self.norm1(x)))
        hidden = self.conv2(functional.silu(self.norm2(hidden)))
        if hasattr(self, "nin_shortcut"):
            x = self.nin_shortcut(x)
        return x + hidden


class AttentionBlock(nn.Module):
    """Self-attention over all positions with one head."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = _norm(channels)
        self.q = nn.Conv2d(channels, channels, 1)
        self.k = nn.Conv2d(channels, channels, 1)
        self.v = nn.Conv2d(channels, channels, 1)
        self.proj_out = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """x (N, C, h, w) → (N, C, h, w)."""
        hidden = self.norm(x)
        query, key, value = (
            layer(hidden).flatten(2).transpose(1, 2)[:, None] for layer in (self.q, self.k, self.v)
        )
        attended = functional.scaled_dot_product_attention(query, key, value)
        return x + self.proj_out(attended[:, 0].transpose(1, 2).reshape(x.shape))


class MiddleBlock(nn.Module):
    """Residual block, attention, residual block on the latent grid."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block_1 = ResidualBlock(channels, channels)
        self.attn_1 = AttentionBlock(channels)
        self.block_2 = ResidualBlock(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return self.block_2(self.attn_1(self.block_1(x)))


class Downsample(nn.Module):
    """3×3 convolution with stride 2, padded at the right and lower border only."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.pad(x, (0, 1, 0, 1)))


class Upsample(nn.Module):
    """Nearest neighbour to twice the size, then a 3×3 convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))


class EncoderLevel(nn.Module):
    """Residual blocks of one size; all levels but the deepest halve it afterwards."""

    def __init__(self, channels: int, out_channels: int, blocks: int, halves: bool) -> None:
        super().__init__()
        self.block = _residual_blocks(channels, out_channels, blocks)
        if halves:
            self.downsample = Downsample(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        return self.downsample(x) if hasattr(self, "downsample") else x


class DecoderLevel(nn.Module):
    """Residual blocks of one size; all levels but the finest double it afterwards."""

    def __init__(self, channels: int, out_channels: int, blocks: int, doubles: bool) -> None:
        super().__init__()
        self.block = _residual_blocks(channels, out_channels, blocks)
        if doubles:
            self.upsample = Upsample(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        x = self.block(x)
        return self.upsample(x) if hasattr(self, "upsample") else x


class Encoder(nn.Module):
    """Image to twice `z_channels` on a grid `factor` times smaller."""

    def __init__(self, config: KLAutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths
        self.conv_in = nn.Conv2d(config.in_channels, config.ch, 3, padding=1)
        self.down = nn.ModuleList(
            EncoderLevel(channels, out, config.num_res_blocks, level < len(widths) - 1)
            for level, (channels, out) in enumerate(
                zip((config.ch, *widths[:-1]), widths, strict=True)
            )
        )
        self.mid = MiddleBlock(widths[-1])
        self.norm_out = _norm(widths[-1])
        self.conv_out = nn.Conv2d(widths[-1], 2 * config.z_channels, 3, padding=1)

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, C, H, W) in [−1, 1] → (N, 2z, H/f, W/f)."""
        hidden = self.conv_in(image)
        for level in self.down:
            hidden = level(hidden)
        return self.conv_out(functional.silu(self.norm_out(self.mid(hidden))))


class Decoder(nn.Module):
    """Mirrors the encoder; `up` is numbered like `down`, so it runs from the last level to 0."""

    def __init__(self, config: KLAutoencoderConfig) -> None:
        super().__init__()
        widths = config.widths
        self.conv_in = nn.Conv2d(config.z_channels, widths[-1], 3, padding=1)
        self.mid = MiddleBlock(widths[-1])
        self.up = nn.ModuleList(
            DecoderLevel(channels, out, config.num_res_blocks + 1, level > 0)
            for level, (channels, out) in enumerate(
                zip((*widths[1:], widths[-1]), widths, strict=True)
            )
        )
        self.norm_out = _norm(widths[0])
        self.conv_out = nn.Conv2d(widths[0], config.out_channels, 3, padding=1)

    def forward(self, z: Tensor) -> Tensor:
        """(N, z, h, w) → image (N, C, h·f, w·f), about [−1, 1] but not limited to it."""
        hidden = self.mid(self.conv_in(z))
        for level in reversed(self.up):
            hidden = level(hidden)
        return self.conv_out(functional.silu(self.norm_out(hidden)))


class KLAutoencoder(nn.Module):
    """Encodes an image to a latent and decodes a latent to an image.

    Args:
        config: Sizes.
    """

    def __init__(self, config: KLAutoencoderConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = Encoder(config)
        self.decoder = Decoder(config)
        self.quant_conv = nn.Conv2d(2 * config.z_channels, 2 * config.embed_dim, 1)
        self.post_quant_conv = nn.Conv2d(config.embed_dim, config.z_channels, 1)

    def encode_moments(self, image: Tensor) -> Tensor:
        """Image (N, C, H, W) in [−1, 1] → mean and log variance, stacked: (N, 2e, H/f, W/f)."""
        return self.quant_conv(self.encoder(image))

    def encode(self, image: Tensor) -> Tensor:
        """The most likely latent (N, e, H/f, W/f), unscaled: the mean."""
        return self.encode_moments(image)[:, : self.config.embed_dim]

    def decode(self, latent: Tensor) -> Tensor:
        """Unscaled latent (N, e, h, w) → image (N, C, h·f, w·f)."""
        return self.decoder(self.post_quant_conv(latent))


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


def _norm(channels: int) -> nn.GroupNorm:
    return nn.GroupNorm(GROUPS, channels, eps=EPSILON)


def _residual_blocks(channels: int, out_channels: int, count: int) -> nn.Sequential:
    return nn.Sequential(
        *(
            ResidualBlock(out_channels if index else channels, out_channels)
            for index in range(count)
        )
    )
