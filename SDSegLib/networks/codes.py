"""Label maps of any number of classes as fields of codes, and latents of such fields.

Each class has a fixed unit vector, its code. A label map becomes a field of `LENGTH` numbers a
pixel, whatever the number of classes, and logits are inner products of a field with the codes. The
codes are those of a Kerdock set: 288 vectors of which any two are opposite, orthogonal, or at an
angle with a cosine of ±1/4 (Calderbank et al., Proc. London Math. Soc. 75 (1997) 436–480). The
first 144 hold no opposite pairs. All their numbers are 0, ±1/4 or ±1, exact in every floating-point
type. A class keeps its code when others are added.

A latent describes each block of f × f pixels by the mean of its codes and by two products of a
vector of codes with a weight for each pixel. That is exact for blocks of up to three classes, and
near the best such description of the others. It has no weights and needs no training.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

LENGTH = 16
"""Numbers of a code."""
MOST = 288
"""How many classes can have a code."""
PRODUCTS = 2
"""How many vectors of codes with weights of pixels describe a block besides its mean."""
FIELD_LIMIT = 12.0
"""Norm to which fields are limited where a network reads them; logits differ by as much."""
CERTAINTY = 16.0
"""Factor of decoded fields: logit of a pixel's class where a latent is exact; others have at most a
quarter of it."""
SPREAD = 0.25
"""Numbers of latents are divided by this, so that those of most borders are around 1."""
_BITS = 4
_FORMS = (0, 12, 22, 27, 39, 41, 53, 58)
"""Quadratic forms: six bits each for the products of two of four bits, any two of which differ by a
form of full rank."""
_ITERATIONS = 4
_LEAST = 1e-6
_UPWARDS = (-4.0, *(1 / n for n in range(2, LENGTH + 1)))
"""Direction in which vectors of a latent point, so that their signs are the same everywhere: from
the background, whose code comes first, to any structure."""


def class_codes(count: int) -> Tensor:
    """Codes of the first classes, background first: float32 (count, LENGTH), rows of norm 1.

    Raises:
        ValueError: If there are not so many.
    """
    if not 0 < count <= MOST:
        raise ValueError(f"{count} classes have no codes; 1 to {MOST} have")
    return torch.tensor(_kerdock()[:count], dtype=torch.float32, device="cpu")


def code_field(label_map: Tensor, codes: Tensor) -> Tensor:
    """Code of each pixel's class: label map (N, H, W) of integers → float (N, LENGTH, H, W)."""
    return functional.embedding(label_map.long(), codes).movedim(-1, 1).contiguous()


def code_logits(field: Tensor, codes: Tensor) -> Tensor:
    """Inner products with all codes: (N, LENGTH, H, W) → class logits (N, C, H, W)."""
    return functional.conv2d(field, codes[:, :, None, None].to(field.dtype))


def limited(field: Tensor) -> Tensor:
    """A field (N, LENGTH, H, W) as input of a network, with norms of at most 1; `FIELD_LIMIT` times
    smaller if it is small enough.
    """
    return field / field.norm(dim=1, keepdim=True).clamp(min=FIELD_LIMIT)


def latent_channels(factor: int) -> int:
    """z of a latent for blocks of `factor` × `factor` pixels."""
    return LENGTH + PRODUCTS * (LENGTH + factor**2)


class FieldAutoencoder(nn.Module):
    """Encodes a field of codes to a latent and decodes it, without weights.

    Args:
        factor: Side in pixels of the block encoded by one latent position, f.
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.encoder = FieldEncoder(factor)
        self.decoder = FieldDecoder(factor)

    def encode(self, field: Tensor) -> Tensor:
        """Field (N, LENGTH, H, W) of a label map → latent (N, z, H/f, W/f)."""
        return self.encoder(field)

    def decode(self, latent: Tensor) -> Tensor:
        """Latent (N, z, H/f, W/f) → field (N, LENGTH, H, W), times `CERTAINTY`."""
        return self.decoder(latent)


class FieldEncoder(nn.Module):
    """The first half of `FieldAutoencoder`."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, field: Tensor) -> Tensor:
        count, _, rows, columns = field.shape
        f = self.factor
        blocks = functional.pixel_unshuffle(field.float(), f)
        blocks = blocks.view(count, LENGTH, f * f, rows // f, columns // f)
        background = _background(field)
        mean = blocks.mean(dim=2)
        rest = blocks - mean[:, :, None]
        parts = [mean - background]
        for _ in range(PRODUCTS):
            vector, weights = _product(rest)
            rest = rest - vector[:, :, None] * weights[:, None]
            parts += [vector, weights]
        return torch.cat(parts, dim=1) / SPREAD


class FieldDecoder(nn.Module):
    """The second half of `FieldAutoencoder`."""

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, latent: Tensor) -> Tensor:
        pixels = self.factor**2
        sizes = [LENGTH, *([LENGTH, pixels] * PRODUCTS)]
        mean, *products = (latent * SPREAD).split(sizes, dim=1)
        blocks = (mean + _background(latent))[:, :, None]
        for vector, weights in zip(products[::2], products[1::2], strict=True):
            blocks = blocks + vector[:, :, None] * weights[:, None]
        return functional.pixel_shuffle(CERTAINTY * blocks.flatten(1, 2), self.factor)


def _product(rest: Tensor) -> tuple[Tensor, Tensor]:
    """The product that takes most of the rest of blocks away, by power iterations.

    Args:
        rest: (N, LENGTH, f², h, w).

    Returns:
        Vectors (N, LENGTH, h, w) and weights of pixels (N, f², h, w), of the same norm; zeros where
        nothing is left.
    """
    farthest = rest.square().sum(dim=1, keepdim=True).argmax(dim=2, keepdim=True)
    vector = rest.gather(2, farthest.expand(-1, LENGTH, -1, -1, -1))[:, :, 0]
    for _ in range(_ITERATIONS):
        weights = _unit((rest * vector[:, :, None]).sum(dim=1))
        vector = (rest * weights[:, None]).sum(dim=2)
    upwards = vector.new_tensor(_UPWARDS).view(1, -1, 1, 1)
    sign = torch.where((vector * upwards).sum(dim=1, keepdim=True) < 0, -1.0, 1.0)
    share = vector.norm(dim=1, keepdim=True).clamp(min=_LEAST**2).sqrt()
    return sign * vector / share, sign * weights * share


def _unit(values: Tensor) -> Tensor:
    return values / values.norm(dim=1, keepdim=True).clamp(min=_LEAST)


def _background(like: Tensor) -> Tensor:
    """The first code, (1, LENGTH, 1, 1)."""
    return torch.eye(LENGTH, 1, device=like.device, dtype=like.dtype).view(1, LENGTH, 1, 1)


@lru_cache(maxsize=1)
def _kerdock() -> np.ndarray:
    """All codes: the unit vectors, a basis of each form, then the opposites of these 144."""
    points = (np.arange(LENGTH)[:, None] >> np.arange(_BITS)) & 1
    signs = (points @ points.T) % 2
    pairs = [(i, j) for i in range(_BITS) for j in range(i)]
    bases = [np.eye(LENGTH)]
    for form in _FORMS:
        chosen = [points[:, i] * points[:, j] for n, (i, j) in enumerate(pairs) if form >> n & 1]
        quadratic = np.sum(chosen, axis=0, dtype=int) if chosen else np.zeros(LENGTH, int)
        bases.append((-1.0) ** (signs + quadratic) / 4)
    lines = np.concatenate(bases)
    return np.concatenate([lines, -lines])
