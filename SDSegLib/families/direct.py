"""The direct family: a plain 2-D U-Net without diffusion, as a baseline for the other families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from ..networks.segmentation_unet import SegmentationUNet, he_initialized
from .base import NetworkPart, SegmentationFamily, check_supervised, read_sizes
from .description import ModelDescription


@dataclass(frozen=True)
class DirectConfig:
    """Sizes of the U-Net; `network` in `model.json`.

    Attributes:
        filters: Channels of each level; each but the first halves the size.
        supervised: Number of coarser levels with deep supervision besides the finest.
    """

    filters: tuple[int, ...] = (28, 56, 112, 224, 320)
    supervised: int = 2

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> DirectConfig:
        """Read `network`.

        Raises:
            ModelError: If an entry is unknown or the levels cannot be supervised.
        """
        config = read_sizes(cls, data)
        check_supervised(config.filters, config.supervised)
        return config

    @property
    def factor(self) -> int:
        """Divisor of the rows and columns of a tile."""
        return 2 ** (len(self.filters) - 1)


class DirectFamily(SegmentationFamily):
    """One network that computes class logits from the image.

    It shares tiles, windows, training data and evaluation with the other families. Its `condition`
    returns the logits; there is no latent and no noise.
    """

    DEFAULT_BATCH: ClassVar[dict[str, int]] = {"cuda": 64, "mps": 16, "cpu": 16}
    TRAINING = "SDSegLib.training.direct"

    def __init__(self, description: ModelDescription) -> None:
        super().__init__(description)
        self.config = DirectConfig.from_json(description.network)
        self.network = he_initialized(
            SegmentationUNet(
                description.input.channels,
                self.config.filters,
                self.num_classes,
                self.config.supervised,
            )
        )

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Also accept weights of earlier versions, which stored an unused noise with them."""
        state_dict.pop(f"{prefix}stored_noise", None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    def parts(self) -> tuple[NetworkPart, ...]:
        return (NetworkPart("network", (self.network,)),)

    def condition(self, image: Tensor) -> Tensor:
        return self.network(image)

    def probabilities(
        self, condition: Tensor, noise: Tensor | None = None, steps: int = 1
    ) -> Tensor:
        return condition.float().softmax(dim=1)
