"""The propagate family: it carries a mask from known slices to others, for any structure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from ..errors import ModelError
from ..language import tr
from ..networks.propagation import (
    CHANNELS,
    FACTOR,
    NUMBERS,
    DirectPropagation,
    LatentPropagation,
    Trunk,
)
from .base import Family, NetworkPart, read_sizes
from .description import ModelDescription

FORMS = ("direct", "latent")
LARGEST_CROP = 512
"""Rows and columns."""


@dataclass(frozen=True)
class PropagateConfig(Trunk):
    """Sizes of the network, its crops and its windows; `network` in `model.json`.

    The attributes of `Trunk` are the sizes that both forms of the network have.

    Attributes:
        form: "direct" or "latent"; see `networks.propagation`.
        latent_channels: Channels of the latent; form "latent" only.
        latent_skip: Whether the decoder also sees the condition; form "latent" only.
        noise: Factor of the noise; form "latent" only.
        crop_sizes: Rows and columns that a crop can have, ascending.
        crop_coarsest: For each size but the largest, the pixel in voxels up to which it is chosen.
        between: Slices from the first to the last known one of a window.
        beyond: Slices of a window past the last known one.
        behind: Slices that such a window looks back.
        presence_threshold: Probability below which a slice is left empty.
        fade: Slices over which a correction fades into the prediction.
        fade_power: Exponent of its weight there, which falls linearly with 1 and not at all with 0.
        correction_threshold: Probability from which a voxel of a corrected slice is inside.
        vote: Weight of the nearest drawn masks as they are, in the slices next to them. It falls
            with the distance between drawn slices to the power of one half, beyond them inversely.
    """

    form: str = "direct"
    latent_channels: int = 8
    latent_skip: bool = True
    noise: float = 1.0
    crop_sizes: tuple[int, ...] = (48, 64, 96)
    crop_coarsest: tuple[float, ...] = (0.6, 0.85)
    between: int = 20
    beyond: int = 12
    behind: int = 8
    presence_threshold: float = 0.2
    fade: int = 6
    fade_power: float = 1.0
    correction_threshold: float = 0.5
    vote: float = 0.0

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PropagateConfig:
        """Read `network`.

        Raises:
            ModelError: If an entry is unknown or not allowed.
        """
        config = read_sizes(cls, data)
        if config.form not in FORMS:
            raise ModelError(
                tr("The form {form!r} is none of {forms}.").format(
                    form=config.form, forms=", ".join(FORMS)
                )
            )
        unknown = sorted(set(config.without) - set(CHANNELS))
        if unknown:
            raise ModelError(
                tr("The channel {unknown!r} is none of {channels}.").format(
                    unknown=unknown[0], channels=", ".join(CHANNELS)
                )
            )
        sizes = config.crop_sizes
        if not sizes or list(sizes) != sorted(sizes) or any(size % FACTOR for size in sizes):
            raise ModelError(
                tr("Crop sizes {sizes} are not ascending multiples of {factor}.").format(
                    sizes=sizes, factor=FACTOR
                )
            )
        if sizes[-1] > LARGEST_CROP:
            raise ModelError(
                tr(
                    "The network sizes have crops of {size} pixels; {largest_crop} are possible."
                ).format(size=sizes[-1], largest_crop=LARGEST_CROP)
            )
        if len(config.crop_coarsest) != len(sizes) - 1:
            raise ModelError(
                tr(
                    "{count} crop sizes need {size_count} limits of their pixels, not "
                    "{crop_coarsest_count}."
                ).format(
                    count=len(sizes),
                    size_count=len(sizes) - 1,
                    crop_coarsest_count=len(config.crop_coarsest),
                )
            )
        return config


class PropagateFamily(Family):
    """The network that gives the masks of a window from those that are known.

    It segments nothing from the image alone; `propagation.carry.Propagator` runs it on a volume.
    """

    DEFAULT_BATCH: ClassVar[dict[str, int]] = {"cuda": 34, "cpu": 17}  # usual windows
    TRAINING = "SDSegLib.training.propagate"

    def __init__(self, description: ModelDescription) -> None:
        super().__init__(description)
        self.config = config = PropagateConfig.from_json(description.network)
        self.network: DirectPropagation | LatentPropagation
        if config.form == "direct":
            self.network = DirectPropagation(config)
        else:
            self.network = LatentPropagation(
                config,
                latent=config.latent_channels,
                skip=config.latent_skip,
                noise=config.noise,
                size=config.crop_sizes[-1],
            )

    def forward(self, channels: Tensor, numbers: Tensor, known: Tensor) -> tuple[Tensor, Tensor]:
        """Mask logits and presence logits; see `DirectPropagation.forward`."""
        return self.network(channels, numbers, known)

    def parts(self) -> tuple[NetworkPart, ...]:
        return (NetworkPart("network", (self.network,)),)

    def segment_slice(self, image: Tensor) -> Tensor:
        """Mask logits (N, S, S) of a window of N slices with the channels (N, C, S, S)."""
        device = image.device
        numbers = torch.zeros(1, len(image), NUMBERS, device=device)
        known = torch.zeros(1, 1, dtype=torch.long, device=device)
        return self(image[None], numbers, known)[0][0]

    def empty_slice(self) -> Tensor:
        size = self.config.crop_sizes[-1]
        device = next(self.parameters()).device
        return torch.zeros(1, len(CHANNELS), size, size, device=device)
