"""Training of the direct family: a plain U-Net with Dice and cross-entropy at several levels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import InputError
from ..families.direct import DirectConfig, DirectFamily
from ..families.foundation import HEADS, FoundationFamily
from ..language import tr
from ..models.folder import load_networks
from ..networks.segmentation_unet import without_monai_names
from ..volume.model_input import InputDescription
from .compact import COMPACT
from .losses import deep_supervision, without_undrawn
from .recipe import Recipe, Weights, sizes_to_json, with_more_rows
from .settings import Preset, StageSettings, require
from .stage import Batch, Stage


@dataclass(frozen=True, kw_only=True)
class DirectSettings(StageSettings):
    """Training of the plain U-Net.

    Attributes:
        heads_share: Share of the stage, at its beginning, in which only the heads learn. Their
            first gradients are those of random weights, which would spoil features that were
            learnt from many CT (Kumar et al. 2022, *Fine-tuning can distort pretrained features
            and underperform out-of-distribution*). On one device only.
    """

    heads_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "heads_share", 0 <= self.heads_share < 1, tr("0 up to below 1"))


# Slices, augmentation, steps, batch, warm-up and averaging are those of the compact preset, and the
# operations a slice are as many within a few percent (`sdseg cost`).
DIRECT = Preset(
    name="direct",
    family="direct",
    summary=tr("A plain 2-D U-Net with deep supervision, without diffusion, for comparison."),
    network=DirectConfig(filters=(28, 56, 112, 224, 320), supervised=2),
    input=COMPACT.input,
    training=DirectSettings(
        steps=COMPACT.training.steps,
        batch=COMPACT.training.batch,
        rate=1e-3,
        warm_up=COMPACT.training.warm_up,
        weight_decay=COMPACT.training.weight_decay,
        ema_decay=COMPACT.training.ema_decay,
        validate_every=COMPACT.training.validate_every,
        seed=COMPACT.training.seed,
    ),
)


class DirectStage(Stage):
    """Deep supervision as in nnU-Net: each level has half the weight of the next finer one."""

    FOR_ADAMW = ("network.output_block", "network.deep_supervision_heads")

    family: DirectFamily
    settings: DirectSettings

    def __init__(self, family: DirectFamily, settings: DirectSettings) -> None:
        super().__init__(family, ("network",), settings)
        self.criterion = deep_supervision(family.config.supervised + 1)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Resume runs of earlier versions, whose network had its parameters in another order."""
        super().on_load_checkpoint(checkpoint)
        prefix = "trained.network."
        names = [name.removeprefix(prefix) for name in checkpoint["state_dict"] if prefix in name]
        before = [without_monai_names(name) for name in names]
        order = [before.index(name) for name, _ in self.family.network.named_parameters()]
        for optimizer in checkpoint["optimizer_states"]:
            if "state" not in optimizer:  # Muon, which those versions did not have
                continue
            states = optimizer["state"]
            optimizer["state"] = {n: states[o] for n, o in enumerate(order) if o in states}

    def on_fit_start(self) -> None:
        """Refuse several devices, which would wait for gradients of all weights.

        Raises:
            InputError: If the heads are to learn first.
        """
        if self.settings.heads_share and self.trainer.world_size > 1:
            raise InputError(
                tr(
                    "training.heads_share={share:g} needs one device, not {count}; set it to 0."
                ).format(share=self.settings.heads_share, count=self.trainer.world_size)
            )

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        outputs = self._all_logits(self.image(batch))
        levels = [without_undrawn(logits.float(), batch["drawn"]) for logits in outputs]
        total = self.criterion(levels, batch["label_map"][:, None].float())
        return total, {"segmentation": total}

    def _all_logits(self, image: Tensor) -> list[Tensor]:
        network = self.family.network
        if self.done >= self.settings.heads_share:
            return network.all_logits(image)
        with torch.no_grad():
            features = network.features(image)
        return network.heads(features)


class DirectRecipe(Recipe):
    """One stage; model folders of the family can be continued."""

    presets = (DIRECT,)

    def fit_network(
        self, preset: Preset, seen: InputDescription, num_classes: int
    ) -> tuple[dict[str, Any], InputDescription, int]:
        return sizes_to_json(preset.network), seen, preset.network.factor

    def main_stage(
        self, family: DirectFamily, settings: DirectSettings, given: set[str]
    ) -> tuple[Stage, str]:
        return DirectStage(family, settings), "network"

    def forward(self, family: DirectFamily, image: Tensor) -> object:
        return family.network.all_logits(image)

    def begin_with_folder(self, family: DirectFamily, folder: Path) -> set[str]:
        other = load_networks(folder)
        if not isinstance(other, FoundationFamily):
            return super().begin_with_folder(family, folder)
        family.network.load_state_dict(other.start_of(family.network.state_dict(), folder))
        return {"network"}

    def adapt(self, state: Weights, other: DirectFamily, family: DirectFamily) -> Weights:
        names = [name for name in state if name.removeprefix("network.").startswith(HEADS)]
        return with_more_rows(state, family.state_dict(), names)


RECIPE = DirectRecipe()
