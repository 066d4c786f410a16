"""Classes that a slice does not show, recognised in the latent so that they need no decoding.

Decoding is nine tenths of the published form's work for a class, and most slices show few classes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

SMALLEST_RADIUS = 2.0
"""Radius in pixels of the smallest structure that is told from nothing."""
_PLACES = (0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class EmptyMap:
    """What the autoencoder makes of a map without the class.

    A latent counts as empty if none of its values differs from this one by more than `tolerance`:
    half of what a disc of `SMALLEST_RADIUS` pixels changes, at the place where it changes least.
    So a latent is only taken for empty while it lies nearer to nothing than to the smallest
    structure.

    Attributes:
        latent: (1, z, h, w).
        picture: Decoded, (1, channels, H, W).
        tolerance: Largest difference of a value.
    """

    latent: Tensor
    picture: Tensor
    tolerance: float

    @classmethod
    def of(
        cls,
        encode: Callable[[Tensor], Tensor],
        decode: Callable[[Tensor], Tensor],
        size: tuple[int, int],
        device: torch.device,
    ) -> EmptyMap:
        """Ask the autoencoder about nothing and about small discs, ten maps in all.

        Args:
            encode: Maps (N, H, W) of 0 and 1 → latents.
            decode: Latents → pictures.
            size: Rows and columns of a map.
            device: Of the networks.
        """
        latent = encode(torch.zeros(1, *size, dtype=torch.long, device=device))
        discs = [encode(disc[None]) for disc in _discs(size, device)]
        smallest = min(float((disc - latent).abs().max()) for disc in discs)
        return cls(latent, decode(latent), smallest / 2)

    def matches(self, latents: Tensor) -> Tensor:
        """Which latents (N, z, h, w) are empty: (N,) of bool."""
        return (latents - self.latent).abs().amax(dim=(1, 2, 3)) <= self.tolerance


def _discs(size: tuple[int, int], device: torch.device) -> list[Tensor]:
    rows = torch.arange(size[0], device=device)[:, None]
    columns = torch.arange(size[1], device=device)[None, :]
    middles = [(round(size[0] * y), round(size[1] * x)) for y in _PLACES for x in _PLACES]
    return [((rows - y) ** 2 + (columns - x) ** 2 <= SMALLEST_RADIUS**2).long() for y, x in middles]
