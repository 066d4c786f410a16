"""Attention of the denoising UNet: to its own positions, and to those of a condition."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

GROUPS = 32


class AttentionBlock(nn.Module):
    """Self-attention over all positions; each head's q, k and v lie next to each other.

    Args:
        channels: Of the positions.
        num_heads: Attention heads.
        context_channels: Of a condition that is attended to afterwards; None without one.
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
    """Attention of all positions to the positions of a condition (Rombach et al. 2022)."""

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
