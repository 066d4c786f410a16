"""Training of the plain U-Net: Dice and cross-entropy at several levels."""

from __future__ import annotations

from torch import Tensor

from ..families.direct import DirectFamily
from ..volume.slices import apply_windows
from .losses import deep_supervision, without_undrawn
from .settings import DirectSettings
from .stage import Batch, Stage


class DirectStage(Stage):
    """Deep supervision as in nnU-Net: each level half the weight of the next finer one."""

    family: DirectFamily
    settings: DirectSettings

    def __init__(self, family: DirectFamily, settings: DirectSettings) -> None:
        super().__init__(family, ("network",), settings)
        self.criterion = deep_supervision(family.config.supervised + 1)

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        description = self.family.description.input
        image = apply_windows(batch["image"], description.windows, description.repeat)
        levels = [
            without_undrawn(logits.float(), batch["drawn"])
            for logits in self.family.network.all_logits(image)
        ]
        total = self.criterion(levels, batch["label_map"][:, None].float())
        return total, {"segmentation": total}
