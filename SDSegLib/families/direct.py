"""The direct family: a plain 2-D U-Net without diffusion, to compare the other two with."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..errors import ModelError
from ..networks.deep_unet import DeepUNet, DeepUNetConfig
from .base import SegmentationFamily
from .description import ModelDescription


class DirectFamily(SegmentationFamily):
    """One network from image to class logits, behind the interface of the diffusion families.

    So it shares tiles, windows, training data and evaluation with them. Its `condition` is the
    logits; the noise is ignored, and there is no latent.
    """

    has_reverse_process = False

    def __init__(self, description: ModelDescription) -> None:
        self.config = _config(description.network)
        super().__init__(description)
        self.network = DeepUNet(self.config, description.input.channels, self.num_classes)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        return (1, 1, 1)

    def condition(self, image: Tensor) -> Tensor:
        return self.network(image)

    def probabilities(self, condition: Tensor, noise: Tensor, steps: int = 1) -> Tensor:
        return condition.float().softmax(dim=1)

    def predict(
        self, z_t: Tensor, condition: Tensor, timestep: Tensor, class_id: Tensor | None = None
    ) -> Tensor:
        raise self._no_latents()

    def encode_label_map(self, label_map: Tensor, class_id: Tensor | None = None) -> Tensor:
        raise self._no_latents()

    def _no_latents(self) -> ModelError:
        return ModelError(
            f"The model '{self.description.name}' is a plain U-Net without latents; choose a model "
            "of the compact or the published family for this."
        )


def _config(network: dict[str, Any]) -> DeepUNetConfig:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in network.items()}
    try:
        config = DeepUNetConfig(**values)
    except TypeError as error:
        raise ModelError(f"The model's network sizes are not valid: {error}.") from error
    if not 1 <= config.supervised < len(config.filters) - 1:
        raise ModelError(
            f"A U-Net of {len(config.filters)} levels can supervise 1 to "
            f"{len(config.filters) - 2} coarser ones, not {config.supervised}."
        )
    return config
