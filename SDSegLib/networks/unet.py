"""The denoising UNet in the ADM form (Dhariwal and Nichol 2021), sized by a config.

Module names follow the published checkpoints, so their state dicts load without renaming. Both
latent families use it: the published one to predict epsilon, the compact one to predict z0.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32


@dataclass(frozen=True)
class UNetConfig:
    """Sizes of the denoising UNet; training computes the derived ones from the data.

    Attributes:
        in_channels: Channels of cat(z_t, condition); of z_t alone with cross-attention.
        out_channels: Latent channels.
        model_channels: Width of the first level.
        channel_mult: Width of each level in multiples of `model_channels`.
        num_res_blocks: Residual blocks per level in the encoder; one more in the decoder.
        attention_resolutions: Downsampling rates (1, 2, 4, …) at which attention is used.
        num_heads: Attention heads.
        dropout: Dropout in each residual block during training.
        num_classes: Size of the class embedding; None without one.
        context_channels: Channels of a condition that is used by cross-attention at every attention
            level (Rombach et al. 2022); None to concatenate it, as in SDSeg.
    """

    in_channels: int = field(default=8, metadata={"derived": True})
    out_channels: int = field(default=4, metadata={"derived": True})
    model_channels: int = 192
    channel_mult: tuple[int, ...] = (1, 2, 2, 4, 4)
    num_res_blocks: int = 2
    attention_resolutions: tuple[int, ...] = (1, 2, 4, 8)
    num_heads: int = 8
    dropout: float = 0.2
    num_classes: int | None = field(default=None, metadata={"derived": True})
    context_channels: int | None = field(default=None, metadata={"derived": True})


def timestep_embedding(timestep: Tensor, dimension: int) -> Tensor:
    """Sinusoidal embedding of timesteps (N,) to (N, dimension): cosines, then sines."""
    half = dimension // 2
    exponents = torch.arange(half, dtype=torch.float32, device=timestep.device) / half
    angles = timestep[:, None].float() * torch.exp(-math.log(10000.0) * exponents)
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


class ResidualBlock(nn.Module):
    """Two convolutions with the timestep as scale and shift of the second normalisation."""

    def __init__(
        self,
        channels: int,
        embedding_channels: int,
        out_channels: int,
        dropout: float,
        resample: str | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.in_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            nn.Conv2d(channels, out_channels, 3, padding=1),
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding_channels, 2 * out_channels))
        self.out_layers = nn.Sequential(
            nn.GroupNorm(GROUPS, out_channels),
            nn.SiLU(),
            nn.Dropout(dropout),
            zeroed(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = (
            nn.Identity() if channels == out_channels else nn.Conv2d(channels, out_channels, 1)
        )

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None = None) -> Tensor:
        """x (N, C, h, w), embedding (N, E) → (N, out, h', w'); the context is not used."""
        hidden = self.in_layers[1](self.in_layers[0](x))
        hidden = self.in_layers[2](self._resampled(hidden))
        scale, shift = self.emb_layers(embedding)[:, :, None, None].chunk(2, dim=1)
        hidden = self.out_layers[0](hidden) * (1 + scale) + shift
        return self.skip_connection(self._resampled(x)) + self.out_layers[1:](hidden)

    def _resampled(self, x: Tensor) -> Tensor:
        if self.resample == "down":
            return functional.avg_pool2d(x, 2)
        if self.resample == "up":
            return functional.interpolate(x, scale_factor=2.0, mode="nearest")
        return x


class AttentionBlock(nn.Module):
    """Self-attention over all positions; q, k and v of each head are adjacent channels.

    Args:
        channels: Channels of the positions.
        num_heads: Attention heads.
        context_channels: Channels of a condition for the cross-attention that follows; None
            without one.
    """

    def __init__(self, channels: int, num_heads: int, context_channels: int | None = None) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))
        if context_channels is not None:
            self.cross = CrossAttention(channels, context_channels, num_heads)

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None = None) -> Tensor:
        """x (N, C, h, w), context (N, K, h', w') → (N, C, h, w); the embedding is not used."""
        batch, channels, height, width = x.shape
        flat = x.reshape(batch, channels, height * width)
        qkv = self.qkv(self.norm(flat)).view(batch, self.num_heads, -1, height * width)
        query, key, value = qkv.transpose(2, 3).chunk(3, dim=-1)
        attended = functional.scaled_dot_product_attention(query, key, value)
        attended = attended.transpose(2, 3).reshape(batch, channels, height * width)
        flat = flat + self.proj_out(attended)
        if context is not None:
            flat = self.cross(flat, context.flatten(2))
        return flat.view(x.shape)


class CrossAttention(nn.Module):
    """Attention from all positions to the positions of a condition (Rombach et al. 2022)."""

    def __init__(self, channels: int, context_channels: int, num_heads: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.GroupNorm(GROUPS, channels)
        self.query = nn.Conv1d(channels, channels, 1)
        self.key_value = nn.Conv1d(context_channels, 2 * channels, 1)
        self.proj_out = zeroed(nn.Conv1d(channels, channels, 1))

    def forward(self, flat: Tensor, context: Tensor) -> Tensor:
        """Positions (N, C, L) and condition (N, K, M) → (N, C, L)."""
        query = self._by_head(self.query(self.norm(flat)))
        key, value = map(self._by_head, self.key_value(context).chunk(2, dim=1))
        attended = functional.scaled_dot_product_attention(query, key, value)
        return flat + self.proj_out(attended.transpose(2, 3).reshape(flat.shape))

    def _by_head(self, x: Tensor) -> Tensor:
        """(N, C, L) → (N, heads, L, C / heads)."""
        return x.unflatten(1, (self.num_heads, -1)).transpose(2, 3)


def zeroed(layer: nn.Module) -> nn.Module:
    """The layer with all its parameters set to zero."""
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)
    return layer


class Stage(nn.ModuleList):
    """Blocks in sequence; blocks that use the embedding and the context receive them."""

    def forward(self, x: Tensor, embedding: Tensor, context: Tensor | None = None) -> Tensor:
        for block in self:
            x = block(x) if isinstance(block, nn.Conv2d) else block(x, embedding, context)
        return x


class DenoisingUNet(nn.Module):
    """Predicts epsilon, z0 or v from z_t, a condition, the timestep and optionally a class.

    Args:
        config: Sizes.
    """

    def __init__(self, config: UNetConfig) -> None:
        super().__init__()
        self.config = config
        base = config.model_channels
        embedding_channels = 4 * base
        self.time_embed = nn.Sequential(
            nn.Linear(base, embedding_channels),
            nn.SiLU(),
            nn.Linear(embedding_channels, embedding_channels),
        )
        if config.num_classes is not None:
            self.label_emb = nn.Embedding(config.num_classes, embedding_channels)

        def residual(channels: int, out: int, resample: str | None = None) -> ResidualBlock:
            return ResidualBlock(channels, embedding_channels, out, config.dropout, resample)

        def attention(channels: int) -> AttentionBlock:
            return AttentionBlock(channels, config.num_heads, config.context_channels)

        def with_attention(block: ResidualBlock, channels: int, rate: int) -> Stage:
            if rate not in config.attention_resolutions:
                return Stage([block])
            return Stage([block, attention(channels)])

        channels, rate = base, 1
        self.input_blocks = nn.ModuleList(
            [Stage([nn.Conv2d(config.in_channels, base, 3, padding=1)])]
        )
        widths = [channels]
        deepest = len(config.channel_mult) - 1
        for level, mult in enumerate(config.channel_mult):
            for _ in range(config.num_res_blocks):
                block = residual(channels, mult * base)
                channels = mult * base
                self.input_blocks.append(with_attention(block, channels, rate))
                widths.append(channels)
            if level < deepest:
                self.input_blocks.append(Stage([residual(channels, channels, "down")]))
                widths.append(channels)
                rate *= 2

        self.middle_block = Stage(
            [
                residual(channels, channels),
                attention(channels),
                residual(channels, channels),
            ]
        )

        self.output_blocks = nn.ModuleList()
        for level, mult in reversed(list(enumerate(config.channel_mult))):
            for index in range(config.num_res_blocks + 1):
                block = residual(channels + widths.pop(), mult * base)
                channels = mult * base
                stage = with_attention(block, channels, rate)
                if level and index == config.num_res_blocks:
                    stage.append(residual(channels, channels, "up"))
                    rate //= 2
                self.output_blocks.append(stage)

        self.out = nn.Sequential(
            nn.GroupNorm(GROUPS, channels),
            nn.SiLU(),
            zeroed(nn.Conv2d(channels, config.out_channels, 3, padding=1)),
        )

    def forward(
        self, z_t: Tensor, condition: Tensor, timestep: Tensor, class_id: Tensor | None = None
    ) -> Tensor:
        """Predict from a noisy latent.

        Args:
            z_t: Noisy latent (N, C, h, w).
            condition: Condition latent (N, K, h, w), for concatenation or cross-attention.
            timestep: (N,) integers in 0 … T − 1.
            class_id: (N,) integers, for a class-conditional UNet.

        Returns:
            (N, out_channels, h, w).
        """
        return self.from_embedding(z_t, condition, self.embed(timestep, class_id))

    def embed(self, timestep: Tensor, class_id: Tensor | None = None) -> Tensor:
        """Embedding (N, 4 · model_channels) of timestep and class."""
        sines = timestep_embedding(timestep, self.config.model_channels)
        embedding = self.time_embed(sines.to(self._weight_type))
        if class_id is not None:
            embedding = embedding + self.label_emb(class_id)
        return embedding

    def from_embedding(self, z_t: Tensor, condition: Tensor, embedding: Tensor) -> Tensor:
        """`forward` with the embedding computed beforehand; it may be (1, E) for a whole batch."""
        context = None
        if self.config.context_channels is None:
            hidden = torch.cat([z_t, condition], dim=1).to(self._weight_type)
        else:
            hidden, context = z_t.to(self._weight_type), condition.to(self._weight_type)
        skips = []
        for stage in self.input_blocks:
            hidden = stage(hidden, embedding, context)
            skips.append(hidden)
        hidden = self.middle_block(hidden, embedding, context)
        for stage in self.output_blocks:
            hidden = stage(torch.cat([hidden, skips.pop()], dim=1), embedding, context)
        return self.out(hidden)

    @property
    def _weight_type(self) -> torch.dtype:
        return next(self.time_embed.parameters()).dtype
