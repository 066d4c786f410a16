"""The networks of the propagate family: masks of all slices of a window from those that are known.

A window is a run of D parallel slices, some of them known. Both networks take the channels
(B, D, C, S, S) and numbers (B, D, F) of each slice, and give mask logits (B, D, S, S) and presence
logits (B, D), where presence means that the structure is in the slice at all. Convolutions are 2-D,
slice by slice; neighbouring slices exchange a part of their channels (as in the temporal shift
module, Lin et al. 2019), and at the smallest size every pixel reads the known slices by attention.

`DirectPropagation` adds its output to a geometric prior. `LatentPropagation` estimates the latent
of the mask from noise in one reverse step (SDSeg), and its decoder adds its output to the prior.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from .presence import PresenceHead

CHANNELS = (
    "wide_window",
    "soft_window",
    "own_window",
    "likelihood",
    "known",
    "known_mask",
    "linear_prior",
    "best_prior",
    "unmoved_prior",
    "has_prediction",
    "prediction",
    "image_before",
    "mask_before",
    "image_after",
    "mask_after",
)
"""What the networks see of each pixel, in this order; `propagation.features` computes it."""
NUMBERS = 44
"""How many numbers describe a slice besides its pixels."""
FACTOR = 8
"""Rows and columns of a crop are multiples of this."""
_SHIFTED = 8  # one part of so many of the channels comes from each neighbour
_HEADS = 4
_LATENT_FACTOR = 4
_PRIOR = CHANNELS.index("best_prior")


def exchange(x: Tensor, depth: int, step: int) -> Tensor:
    """Replace an eighth of the channels by those of an earlier slice, an eighth by a later one's.

    Args:
        x: (B·D, C, h, w).
        depth: D.
        step: Distance of the slices.
    """
    count, channels, rows, columns = x.shape
    part = channels // _SHIFTED
    window = x.view(count // depth, depth, channels, rows, columns)
    mixed = window.clone(memory_format=torch.preserve_format)
    mixed[:, :, : 2 * part] = 0
    if depth > step:
        mixed[:, step:, :part] = window[:, :-step, :part]
        mixed[:, :-step, part : 2 * part] = window[:, step:, part : 2 * part]
    return mixed.view(count, channels, rows, columns)


class SliceBlock(nn.Module):
    """Residual block whose channels are scaled and shifted by the embedded numbers of the slice.

    Args:
        channels: Width.
        embedded: Width of the embedded numbers.
        step: Distance of the slices that it exchanges with; 0 for none.
    """

    def __init__(self, channels: int, embedded: int, step: int) -> None:
        super().__init__()
        self.step = step
        self.first = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.second = nn.Conv2d(channels, channels, 3, padding=1)
        self.modulation = nn.Linear(embedded, 2 * channels)
        _start_at_zero(self.second)
        _start_at_zero(self.modulation)

    def forward(self, x: Tensor, embedded: Tensor, depth: int) -> Tensor:
        y = exchange(x, depth, self.step) if self.step else x
        y = self.norm(self.first(y))
        scale, shift = self.modulation(embedded).to(y.dtype)[:, :, None, None].chunk(2, 1)
        return x + self.second(functional.relu(torch.addcmul(shift, y, 1 + scale), inplace=True))


class KnownSliceAttention(nn.Module):
    """Every pixel of every slice reads all pixels of the known slices of its window."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.query = nn.Linear(channels, channels)
        self.key_value = nn.Linear(channels, 2 * channels)
        self.out = nn.Linear(channels, channels)
        _start_at_zero(self.out)

    def forward(self, x: Tensor, known: Tensor, depth: int) -> Tensor:
        """Args as for `exchange`; `known` as for the networks."""
        count, channels, rows, columns = x.shape
        batch, pixels = count // depth, rows * columns
        tokens = x.reshape(batch, depth, channels, pixels).transpose(2, 3)
        tokens = self.norm(tokens)
        read = known.clamp(min=0)[:, :, None, None].expand(-1, -1, pixels, channels)
        kept = tokens.gather(1, read).reshape(batch, -1, channels)
        query = self._by_head(self.query(tokens).reshape(batch, depth * pixels, channels))
        key, value = map(self._by_head, self.key_value(kept).chunk(2, 2))
        mask = None
        if batch > 1:  # windows of a batch may have different numbers of known slices
            mask = (known >= 0).repeat_interleave(pixels, 1)[:, None, None]
        y = functional.scaled_dot_product_attention(query, key, value, attn_mask=mask)
        y = y.transpose(1, 2).reshape(batch, depth, pixels, channels)
        return x + self.out(y).transpose(2, 3).reshape(count, channels, rows, columns)

    def _by_head(self, tokens: Tensor) -> Tensor:
        """(B, n, C) → (B, heads, n, C / heads)."""
        batch, count, channels = tokens.shape
        return tokens.view(batch, count, _HEADS, channels // _HEADS).transpose(1, 2)


class WindowEncoder(nn.Module):
    """Channels to features at full, half, quarter and eighth size.

    Args:
        channels: Indices of the channels that are used.
        widths: Channels at each size.
        blocks: Residual blocks at half and quarter size; one more at an eighth.
        steps: Distance of exchanged slices at half, quarter and eighth size; 0 for none.
        embedded: Width of the embedded numbers.
    """

    def __init__(
        self,
        channels: Sequence[int],
        widths: Sequence[int],
        blocks: int,
        steps: Sequence[int],
        embedded: int,
    ) -> None:
        super().__init__()
        self.channels = list(channels)
        full, half, quarter, eighth = widths
        self.stem = nn.Conv2d(len(self.channels), full, 3, padding=1)
        self.to_half = nn.Conv2d(full, half, 2, stride=2)
        self.to_quarter = nn.Conv2d(half, quarter, 2, stride=2)
        self.to_eighth = nn.Conv2d(quarter, eighth, 2, stride=2)
        self.at_half = nn.ModuleList(SliceBlock(half, embedded, steps[0]) for _ in range(blocks))
        self.at_quarter = nn.ModuleList(
            SliceBlock(quarter, embedded, steps[1]) for _ in range(blocks)
        )
        self.at_eighth = nn.ModuleList(
            SliceBlock(eighth, embedded, steps[2] * 2 ** (number % 2))
            for number in range(blocks + 1)
        )

    def forward(self, x: Tensor, embedded: Tensor, depth: int) -> tuple[Tensor, ...]:
        """Features (B·D, width, S, S), (…, S/2, S/2), (…, S/4, S/4), (…, S/8, S/8)."""
        full = functional.relu(self.stem(x[:, self.channels]))
        half = self.to_half(full)
        for block in self.at_half:
            half = block(half, embedded, depth)
        quarter = self.to_quarter(half)
        for block in self.at_quarter:
            quarter = block(quarter, embedded, depth)
        eighth = self.to_eighth(quarter)
        for block in self.at_eighth:
            eighth = block(eighth, embedded, depth)
        return full, half, quarter, eighth


@dataclass(frozen=True)
class Trunk:
    """Sizes that both forms have.

    Attributes:
        widths: Channels at full, half, quarter and eighth size.
        blocks: Residual blocks of a level on the way down.
        steps: Distance of exchanged slices at half, quarter and eighth size; 0 for none.
        attention: Whether the known slices are read by attention.
        without: Names of channels that are not used.
        embedded: Width of the embedded numbers.
        trust: Whether the weight of the prior depends on the slice's numbers, such as its distance
            from known slices.
    """

    widths: tuple[int, ...] = (16, 48, 80, 128)
    blocks: int = 2
    steps: tuple[int, ...] = (1, 1, 1)
    attention: bool = True
    without: tuple[str, ...] = ()
    embedded: int = 96
    trust: bool = False


class _Propagation(nn.Module):
    """What both forms have: embedded numbers, encoder, attention, the way up and the prior."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__()
        steps, embedded = trunk.steps, trunk.embedded
        full, half, quarter, eighth = trunk.widths
        used = [number for number, name in enumerate(CHANNELS) if name not in trunk.without]
        self.embedding = nn.Sequential(
            nn.Linear(NUMBERS, embedded), nn.ReLU(), nn.Linear(embedded, embedded), nn.ReLU()
        )
        self.encoder = WindowEncoder(used, trunk.widths, trunk.blocks, steps, embedded)
        self.attention = KnownSliceAttention(eighth) if trunk.attention else None
        self.bottom = SliceBlock(eighth, embedded, steps[2] * 2)
        self.up_quarter = nn.Conv2d(eighth, quarter, 1)
        self.at_quarter = SliceBlock(quarter, embedded, steps[1] * 2)
        self.at_half = SliceBlock(half, embedded, steps[0])
        self.up_full = nn.Conv2d(half, 4 * full, 1)
        self.presence = PresenceHead(quarter, eighth, embedded)
        self.prior = nn.Parameter(torch.tensor(4.0))
        self.trust = nn.Linear(embedded, 1) if trunk.trust else None
        if self.trust is not None:
            _start_at_zero(self.trust)

    def _deepest(self, eighth: Tensor, embedded: Tensor, known: Tensor, depth: int) -> Tensor:
        if self.attention is not None:
            eighth = self.attention(eighth, known, depth)
        return self.bottom(eighth, embedded, depth)

    def _weighted_prior(self, x: Tensor, embedded: Tensor) -> Tensor:
        """The best prior (B·D, S, S) as logits, float32."""
        prior = self.prior * x[:, _PRIOR]
        if self.trust is None:
            return prior
        return prior * self.trust(embedded).float().clamp(-2, 2).exp()[:, :, None]


class DirectPropagation(_Propagation):
    """A U-Net whose output is added to the prior."""

    def __init__(self, trunk: Trunk) -> None:
        super().__init__(trunk)
        full, half, quarter, _ = trunk.widths
        self.up_half = nn.Conv2d(quarter, half, 1)
        self.at_full = _last_layers(2 * full, full)

    def forward(self, channels: Tensor, numbers: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mask logits (B, D, S, S) and presence logits (B, D), float32.

        Args:
            channels: (B, D, C, S, S), in the order of `CHANNELS`.
            numbers: (B, D, F).
            known: Positions of the known slices in each window (B, K), −1 where there are fewer.
        """
        batch, depth, _, size, _ = channels.shape
        x = _slices(channels)
        embedded = self.embedding(numbers.flatten(0, 1))
        full, half, quarter, eighth = self.encoder(x, embedded, depth)
        deepest = self._deepest(eighth, embedded, known, depth)
        fine = self.at_quarter(quarter + _doubled(self.up_quarter(deepest)), embedded, depth)
        y = self.at_half(half + _doubled(self.up_half(fine)), embedded, depth)
        y = functional.pixel_shuffle(functional.relu(self.up_full(y)), 2)
        y = self.at_full(torch.cat([full, y], 1)).float()
        logits = y[:, 0] + self._weighted_prior(x, embedded)
        presence = self.presence(fine, deepest, embedded, logits, _flags(known, depth))
        return logits.view(batch, depth, size, size), presence


class MaskEncoder(nn.Module):
    """Latent of a mask at a quarter of its size, standardised so that it cannot vanish."""

    def __init__(self, latent: int, width: int = 64) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.PixelUnshuffle(_LATENT_FACTOR),
            nn.Conv2d(_LATENT_FACTOR**2, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, latent, 1),
        )
        self.norm = nn.BatchNorm2d(latent, affine=False)

    def forward(self, mask: Tensor) -> Tensor:
        """Masks (N, 1, S, S) of −1 and 1 → (N, z, S/4, S/4)."""
        return self.norm(self.layers(mask))


class LatentPropagation(_Propagation):
    """One reverse step from noise to the latent of the mask, and its decoder.

    Args:
        trunk: Sizes that both forms have.
        latent: Channels z of the latent.
        skip: Whether the decoder also sees the encoder's features and the prior.
        noise: Factor of the noise.
        size: Rows and columns of the largest crop.
    """

    stored_noise: Tensor

    def __init__(
        self,
        trunk: Trunk,
        latent: int = 8,
        skip: bool = True,
        noise: float = 1.0,
        size: int = 96,
    ) -> None:
        super().__init__(trunk)
        full, half, quarter, eighth = trunk.widths
        self.skip, self.noise = skip, noise
        self.mask_encoder = MaskEncoder(latent)
        self.join = nn.Conv2d(quarter + latent, quarter, 3, padding=1)
        self.down = nn.Conv2d(quarter, eighth, 2, stride=2)
        self.to_latent = nn.Conv2d(quarter, latent, 1)
        self.from_latent = nn.Conv2d(latent, half, 3, padding=1)
        self.at_full = _last_layers((2 if skip else 1) * full, full)
        generator = torch.Generator().manual_seed(0)
        side = size // _LATENT_FACTOR
        self.register_buffer("stored_noise", torch.randn(latent, side, side, generator=generator))

    def forward(
        self, channels: Tensor, numbers: Tensor, known: Tensor, noise: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """As `DirectPropagation.forward`.

        Args:
            channels: As above.
            numbers: As above.
            known: As above.
            noise: z_T (B·D, z, S/4, S/4); by default a corner of the stored noise for all slices.
        """
        logits, presence, _, _ = self.estimate(channels, numbers, known, noise)
        return logits, presence

    def estimate(
        self,
        channels: Tensor,
        numbers: Tensor,
        known: Tensor,
        noise: Tensor | None = None,
        target: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
        """As `forward`; also the estimated latent and, in training, the target's decoding.

        Args:
            channels: As for `forward`.
            numbers: As for `forward`.
            known: As for `forward`.
            noise: As for `forward`.
            target: True masks (B, D, S, S) of 0 and 1.

        Returns:
            Mask logits, presence logits, z0 (B·D, z, S/4, S/4), and the mask logits decoded from
            the true latent; None without a target.
        """
        batch, depth, _, size, _ = channels.shape
        x = _slices(channels)
        embedded = self.embedding(numbers.flatten(0, 1))
        full, half, quarter, eighth = self.encoder(x, embedded, depth)
        if noise is None:
            side = size // _LATENT_FACTOR
            noise = self.stored_noise[:, :side, :side].expand(batch * depth, -1, -1, -1)
        y = self.join(torch.cat([quarter, noise.to(quarter.dtype) * self.noise], 1))
        eighth = eighth + self.down(functional.relu(y))
        deepest = self._deepest(eighth, embedded, known, depth)
        y = y + quarter + _doubled(self.up_quarter(deepest))
        fine = self.at_quarter(y, embedded, depth)
        z0 = self.to_latent(fine)
        prior = self._weighted_prior(x, embedded)
        logits = self._decode(z0, full, half, prior, embedded, depth)
        presence = self.presence(fine, deepest, embedded, logits, _flags(known, depth))
        decoded = None
        if target is not None:
            true = self.encode(target).to(z0.dtype)
            decoded = self._decode(true, full.detach(), half.detach(), prior, embedded, depth)
            decoded = decoded.view(batch, depth, size, size)
        return logits.view(batch, depth, size, size), presence, z0, decoded

    def encode(self, masks: Tensor) -> Tensor:
        """Latents z0 (N, z, S/4, S/4) of masks (…, S, S) of 0 and 1."""
        size = masks.shape[-1]
        return self.mask_encoder(2.0 * masks.reshape(-1, 1, size, size) - 1.0)

    def _decode(
        self, z0: Tensor, full: Tensor, half: Tensor, prior: Tensor, embedded: Tensor, depth: int
    ) -> Tensor:
        y = _doubled(self.from_latent(z0))
        y = self.at_half(y + half if self.skip else y, embedded, depth)
        y = functional.pixel_shuffle(functional.relu(self.up_full(y)), 2)
        y = self.at_full(torch.cat([full, y], 1) if self.skip else y).float()[:, 0]
        return y + prior if self.skip else y


def known_positions(is_known: Tensor) -> Tensor:
    """Flags (B, D) of windows → positions (B, K) in order, −1 where a window has fewer than K."""
    most = int(is_known.sum(1).max())
    order = torch.argsort(is_known.float(), dim=1, descending=True, stable=True)[:, :most]
    return torch.where(is_known.gather(1, order), order, -1)


def _flags(known: Tensor, depth: int) -> Tensor:
    """Positions (B, K), −1 for none → 1 for known slices and 0 for others, (B, D), float32."""
    flags = torch.zeros(len(known), depth + 1, device=known.device)
    return flags.scatter(1, known % (depth + 1), 1.0)[:, :depth]


def _slices(channels: Tensor) -> Tensor:
    return channels.flatten(0, 1).contiguous(memory_format=torch.channels_last)


def _last_layers(inputs: int, width: int) -> nn.Sequential:
    layers = nn.Sequential(
        nn.Conv2d(inputs, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, 1, 3, padding=1)
    )
    _start_at_zero(layers[-1])
    return layers


def _start_at_zero(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        nn.init.zeros_(parameter)


def _doubled(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2, mode="nearest")
