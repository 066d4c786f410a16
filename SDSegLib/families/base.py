"""The small interface behind which all families stand."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.profiler import record_function

from ..diffusion.ddim import ddim
from ..diffusion.schedule import NoiseSchedule
from ..networks.compact import LabelMapAutoencoder
from ..networks.kl_autoencoder import KLAutoencoder
from ..networks.unet import DenoisingUNet
from .description import ModelDescription


class SegmentationFamily(nn.Module, ABC):
    """Latent diffusion segmentation: condition, one reverse step, decode.

    The pipeline calls `condition`, `single_step` and `probabilities`; training also calls
    `encode_label_map`. N is the batch, C the classes with background, z the latent channels.

    Args:
        description: Sizes, schedule and classes.
    """

    has_reverse_process = True
    stored_noise: Tensor
    vision_encoder: nn.Module
    unet: DenoisingUNet
    autoencoder: LabelMapAutoencoder | KLAutoencoder

    def __init__(self, description: ModelDescription) -> None:
        super().__init__()
        self.description = description
        self.schedule = NoiseSchedule(description.diffusion)
        generator = torch.Generator().manual_seed(0)
        self.register_buffer("stored_noise", torch.randn(self.latent_shape, generator=generator))

    @property
    def num_classes(self) -> int:
        """C: the structures and the background."""
        return len(self.description.structures) + 1

    @property
    @abstractmethod
    def latent_shape(self) -> tuple[int, int, int]:
        """(z, h, w) of one latent."""

    @abstractmethod
    def condition(self, image: Tensor) -> Tensor:
        """Condition latent of an image (N, channels, H, W) in [−1, 1]."""

    @abstractmethod
    def predict(
        self, z_t: Tensor, condition: Tensor, timestep: Tensor, class_id: Tensor | None = None
    ) -> Tensor:
        """What the UNet gives for a noisy latent: noise, z0 or v, as the description says."""

    @abstractmethod
    def encode_label_map(self, label_map: Tensor, class_id: Tensor | None = None) -> Tensor:
        """Latent z0 of label maps (N, H, W) with values 0 … C − 1."""

    @abstractmethod
    def probabilities(self, condition: Tensor, noise: Tensor, steps: int = 1) -> Tensor:
        """Reverse step and decoding: class probabilities (N, C, H, W), float32.

        Args:
            condition: As `condition` gives it.
            noise: z_T, (z, h, w) for all or (N, z, h, w).
            steps: UNet calls (DDIM); more than one only to compare the single step with.
        """

    def single_step(
        self, condition: Tensor, noise: Tensor, class_id: Tensor | None = None
    ) -> Tensor:
        """z0 estimated by one UNet call at t = T − 1 (SDSeg section 2.4), float32."""
        return self.reverse(condition, noise, 1, class_id)

    def reverse(
        self, condition: Tensor, noise: Tensor, steps: int, class_id: Tensor | None = None
    ) -> Tensor:
        """z0 after `steps` UNet calls (DDIM), to compare the single step with; float32."""
        with record_function("step"):
            return ddim(
                self.schedule,
                self.description.diffusion.prediction,
                lambda z_t, timestep: self.predict(z_t, condition, timestep, class_id),
                noise.expand(len(condition), *self.latent_shape),
                steps,
            )
