"""The foundation family: a U-Net that was trained on many CT, as a start for other models.

It segments nothing by itself. `SDSegLib.teaching` and `sdseg train --init` take the weights of its
U-Net for models of the direct and the compact family, and train new heads on them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from torch import Tensor

from ..errors import ModelError
from ..language import tr
from ..networks.segmentation_unet import SegmentationUNet, he_initialized
from .base import Family, NetworkPart, check_supervised, read_sizes
from .description import ModelDescription

HEADS = ("output_block.", "deep_supervision_heads.")
"""Parameters of the U-Net that a new model does not take over."""


@dataclass(frozen=True)
class FoundationConfig:
    """Sizes of the U-Net; `network` in `model.json`.

    Attributes:
        filters: Channels of each level; each but the first halves the size.
        supervised: Number of coarser levels with heads besides the finest.
        organs: Classes of the head for organs, with background.
        tissues: Classes of the head for tissues.
        restored: Channels of the head that restores hidden parts of the image.
    """

    filters: tuple[int, ...] = (28, 56, 112, 224, 320)
    supervised: int = 2
    organs: int = 8
    tissues: int = 7
    restored: int = 2

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> FoundationConfig:
        """Read `network`.

        Raises:
            ModelError: If an entry is unknown or does not fit.
        """
        config = read_sizes(cls, data)
        check_supervised(config.filters, config.supervised)
        return config

    @property
    def outputs(self) -> int:
        """Channels of all heads together."""
        return self.organs + self.tissues + self.restored

    @property
    def factor(self) -> int:
        """Divisor of the rows and columns of a tile."""
        return 2 ** (len(self.filters) - 1)


class FoundationFamily(Family):
    """A U-Net with the heads of the tasks on which it was trained."""

    DEFAULT_BATCH: ClassVar[dict[str, int]] = {"cuda": 64, "mps": 16, "cpu": 16}
    TRAINING = "SDSegLib.training.foundation"

    def __init__(self, description: ModelDescription) -> None:
        super().__init__(description)
        self.config = FoundationConfig.from_json(description.network)
        self.network = he_initialized(
            SegmentationUNet(
                description.input.channels,
                self.config.filters,
                self.config.outputs,
                self.config.supervised,
            )
        )

    def parts(self) -> tuple[NetworkPart, ...]:
        return (NetworkPart("network", (self.network,)),)

    def segment_slice(self, image: Tensor) -> Tensor:
        return self.network(image)

    def start_of(self, own: Mapping[str, Tensor], where: Path) -> dict[str, Tensor]:
        """Weights of another U-Net, with those of this one for all but its heads.

        Args:
            own: Weights of the other U-Net, by name.
            where: Folder of this model, for the message.

        Raises:
            ModelError: If the sizes differ.
        """
        given = {
            name: value
            for name, value in self.network.state_dict().items()
            if not name.startswith(HEADS)
        }
        different = [n for n, v in given.items() if n not in own or own[n].shape != v.shape]
        if different:
            raise ModelError(
                tr(
                    "The U-Net of {where} has other sizes ({different}); choose the same "
                    "filters, context slices and windows."
                ).format(where=where, different=different[0])
            )
        return {**own, **given}
