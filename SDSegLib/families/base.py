"""Base classes of network families: one interface for all, one for latent diffusion.

In shapes N is the batch, C the number of classes with background, H × W a tile, z the number of
latent channels and h × w the size of a latent.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from ..diffusion.schedule import NoiseSchedule, ddim
from ..errors import ModelError
from ..language import tr
from ..networks.unet import DenoisingUNet
from .description import ModelDescription

Sizes = TypeVar("Sizes")
LARGEST_LATENT = 2**24
"""Numbers in one latent."""


@dataclass(frozen=True)
class NetworkPart:
    """One part of a family, as `sdseg cost` lists it.

    Attributes:
        name: Display name.
        networks: The modules of the part.
        run: Runs a part that is only used in training; None for a part used in inference.
    """

    name: str
    networks: tuple[nn.Module, ...]
    run: Callable[[], object] | None = None


class Family(nn.Module, ABC):
    """The networks of one model.

    Args:
        description: Network sizes, input and structures.
    """

    DEFAULT_BATCH: ClassVar[dict[str, int]]
    """Slices per batch by device type, at least for "cpu"."""
    TRAINING: ClassVar[str]
    """Name of the module whose `RECIPE` trains the family; imported only by training."""

    def __init__(self, description: ModelDescription) -> None:
        super().__init__()
        self.description = description

    @classmethod
    def default_batch(cls, device_type: str) -> int:
        """Slices per batch on a device: "cuda", "mps", "cpu"; the value of "cpu" on any other."""
        return cls.DEFAULT_BATCH.get(device_type, cls.DEFAULT_BATCH["cpu"])

    @property
    def num_classes(self) -> int:
        """C: the structures and the background."""
        return len(self.description.structures) + 1

    @abstractmethod
    def parts(self) -> tuple[NetworkPart, ...]:
        """All networks, in the order in which they process a slice."""

    @abstractmethod
    def segment_slice(self, image: Tensor) -> Tensor:
        """Segment one slice (1, channels, H, W); `sdseg cost` measures this on `empty_slice`."""

    def empty_slice(self) -> Tensor:
        """An image (1, channels, H, W) of zeros on the device of the weights."""
        seen = self.description.input
        device = next(self.parameters()).device
        return torch.zeros(1, seen.channels, *seen.size, device=device)


class SegmentationFamily(Family):
    """A family that computes the label map of a whole slice from its image alone."""

    @abstractmethod
    def condition(self, image: Tensor) -> Tensor:
        """Encode an image (N, channels, H, W) in [−1, 1]; computed once for all noises."""

    @abstractmethod
    def probabilities(
        self, condition: Tensor, noise: Tensor | None = None, steps: int = 1
    ) -> Tensor:
        """Class probabilities (N, C, H, W), float32.

        Args:
            condition: Result of `condition`.
            noise: z_T of a latent family, (z, h, w) for all slices or (N, z, h, w); by default
                the stored noise. A family without a reverse process ignores it.
            steps: UNet calls of the reverse process; a family without one runs a single pass.
        """

    def segment_slice(self, image: Tensor) -> Tensor:
        return self.probabilities(self.condition(image))


class LatentFamily(SegmentationFamily):
    """A family that segments by latent diffusion: condition, one reverse step, decoding.

    Its weights include `stored_noise`, the z_T (z, h, w) from which the reverse process starts, so
    that results do not depend on a random number generator.

    Args:
        description: Network sizes, noise schedule, input and structures.
    """

    stored_noise: Tensor
    vision_encoder: nn.Module
    unet: DenoisingUNet

    def __init__(self, description: ModelDescription) -> None:
        super().__init__(description)
        self.schedule = NoiseSchedule(description.diffusion)
        if math.prod(self.latent_shape) > LARGEST_LATENT:
            raise ModelError(
                tr(
                    "The network sizes give latents of {numbers:,} numbers; {largest_latent:,} "
                    "are possible."
                ).format(numbers=math.prod(self.latent_shape), largest_latent=LARGEST_LATENT)
            )
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("stored_noise", torch.randn(self.latent_shape, generator=generator))

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int, int]:
        """Shape (z, h, w) of one latent."""

    @abstractmethod
    def predict(
        self, z_t: Tensor, condition: Tensor, timestep: Tensor, class_id: Tensor | None = None
    ) -> Tensor:
        """Output of the UNet for a noisy latent: epsilon, sample or v, as in the description."""

    @abstractmethod
    def encode_label_map(self, label_map: Tensor, class_id: Tensor | None = None) -> Tensor:
        """Latent z0 of label maps (N, H, W) with values 0 … C − 1."""

    def reverse(
        self, condition: Tensor, noise: Tensor | None, steps: int, class_id: Tensor | None = None
    ) -> Tensor:
        """z0 after `steps` UNet calls (DDIM), float32.

        With one call, at t = T − 1, it is the single-step estimate (SDSeg section 2.4); more are
        only for comparison with it.
        """
        noise = self.stored_noise if noise is None else noise
        with record_function("step"):
            return ddim(
                self.schedule,
                self.description.diffusion.prediction,
                lambda z_t, timestep: self.predict(z_t, condition, timestep, class_id),
                noise.expand(len(condition), *self.latent_shape),
                steps,
            )

    def empty_label_map(self) -> Tensor:
        """A label map (1, H, W) of background on the device of the weights."""
        size, device = self.description.input.size, self.stored_noise.device
        return torch.zeros(1, *size, dtype=torch.long, device=device)


def segmentation_family(family: Family) -> SegmentationFamily:
    """Return the family after checking that it segments whole slices from the image alone.

    Raises:
        ModelError: If it needs more than the image.
    """
    if not isinstance(family, SegmentationFamily):
        raise ModelError(
            tr(
                "The model '{model}' is of the family {family}, which needs more than an "
                "image; choose a model that segments whole volumes."
            ).format(model=family.description.name, family=family.description.family)
        )
    return family


def read_sizes(kind: type[Sizes], data: dict[str, Any]) -> Sizes:
    """A dataclass of network sizes from an object of `model.json`; lists become tuples.

    Raises:
        ModelError: Naming the entry that is unknown.
    """
    values = {name: tuple(v) if isinstance(v, list) else v for name, v in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ModelError(
            tr("The model's network sizes are not valid: {error}.").format(error=error)
        ) from error


def check_supervised(filters: Sequence[int], supervised: int) -> None:
    """Check the number of coarser levels of a U-Net that have heads of their own.

    Raises:
        ModelError: If the U-Net has no such levels.
    """
    if not 1 <= supervised < len(filters) - 1:
        raise ModelError(
            tr(
                "A U-Net of {count} levels can supervise 1 to {filter_count} coarser ones, "
                "not {supervised}."
            ).format(count=len(filters), filter_count=len(filters) - 2, supervised=supervised)
        )
