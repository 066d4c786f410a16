"""A family as a newcomer would add it: it needs the mask of a neighbouring slice beside the image.

It is no `SegmentationFamily`, and all that it brings is in this file.
"""

from __future__ import annotations

from typing import Any

import torch
from phantom import a_body
from tiny_model import INPUT
from torch import Tensor, nn
from torch.utils.data import Dataset

from SDSegLib.families.base import Family, NetworkPart
from SDSegLib.families.description import ModelDescription
from SDSegLib.training.recipe import Recipe
from SDSegLib.training.settings import Preset, StageSettings
from SDSegLib.training.stage import Stage


class PropagatingFamily(Family):
    """One convolution from image and neighbouring mask to a mask."""

    DEFAULT_BATCH = {"cpu": 3}  # noqa: RUF012
    TRAINING = __name__

    def __init__(self, description: ModelDescription) -> None:
        super().__init__(description)
        width = description.network["width"]
        self.first = nn.Conv2d(description.input.channels + 1, width, 3, padding=1)
        self.last = nn.Conv2d(width, 1, 1)

    def forward(self, image: Tensor, mask: Tensor) -> Tensor:
        return self.last(self.first(torch.cat([image, mask], dim=1)).relu())

    def parts(self) -> tuple[NetworkPart, ...]:
        return (NetworkPart("propagation", (self.first, self.last)),)

    def segment_slice(self, image: Tensor) -> Tensor:
        return self(image, image[:, :1])


class MaskPairs(Dataset):
    """Slices of a body, of which the mask of the next one is wanted."""

    def __init__(self) -> None:
        self.masks = torch.from_numpy(a_body((6, 32, 32)).array > -500).float()

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        place = number % (len(self.masks) - 1)
        image = self.masks[place + 1].expand(INPUT.channels, -1, -1) + torch.randn(1)
        return {"image": image, "mask": self.masks[None, place], "wanted": self.masks[place + 1]}


class PropagationStage(Stage):
    family: PropagatingFamily

    def losses(self, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        logits = self.family(batch["image"], batch["mask"])[:, 0]
        loss = nn.functional.binary_cross_entropy_with_logits(logits, batch["wanted"])
        return loss, {"mask": loss}

    def held_out_dice(self, family: PropagatingFamily, case: Any) -> Tensor:
        return torch.full((family.num_classes - 1,), 0.5)


class PropagationRecipe(Recipe):
    presets = (
        Preset(
            name="neighbour",
            family="neighbour",
            summary="For tests.",
            network={"width": 4},
            training=StageSettings(steps=30, batch=4, rate=5e-2, validate_every=10),
        ),
    )

    def fit_network(self, preset: Preset, seen: Any, num_classes: int) -> tuple[Any, Any, int]:
        return dict(preset.network), seen, 1

    def main_stage(self, family: Any, settings: Any, given: set[str]) -> tuple[Stage, str]:
        return PropagationStage(family, ("first", "last"), settings), "propagation"

    def dataset(self, *_: Any) -> Dataset:
        return MaskPairs()

    def forward(self, family: PropagatingFamily, image: Tensor) -> object:
        return family.segment_slice(image)


RECIPE = PropagationRecipe()
