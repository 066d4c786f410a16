"""Training of the propagate family: windows of slices around structures of any kind."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, cast

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..datasets.shaped_volume import ShapedVolume
from ..diffusion.description import DiffusionDescription
from ..errors import InputError
from ..families.description import ModelDescription
from ..families.propagate import PropagateConfig, PropagateFamily
from ..language import tr
from ..networks.propagation import LatentPropagation, known_positions
from ..propagation.crops import CropSizes
from ..volume.expectation import Expectation
from ..volume.model_input import InputDescription
from .muon import BETAS
from .recipe import Recipe, sizes_to_json
from .settings import Optimiser, Preset, StageSettings, require
from .stage import Batch, Stage
from .window_losses import mask_losses, presence_loss
from .windows.dataset import Shapes, WindowBatches

HU_WINDOWS = ((-1000.0, 1500.0), (-160.0, 240.0))


@dataclass(frozen=True, kw_only=True)
class PropagateSettings(StageSettings):
    """Training on windows.

    A batch is `budget` slices of 64 × 64, so `batch` stays 1.

    Attributes:
        budget: Pixels of a batch, in slices of 64 × 64.
        depths: Slices of a window, drawn alike; a number that stands twice comes up twice as often.
        undrawn_share: Share of windows from volumes in which no organ was drawn.
        organ_share: Share of organs in windows from the other volumes.
        predicted_share: Share of corrections in windows of organs that a model predicted.
        dice_weight: Weight of the Dice loss.
        presence_weight: Weight of the loss on presence.
        latent_weight: Weight of the latent estimation loss and of the decoding of the true latent;
            form "latent" only.
    """

    optimizer: Optimiser = "muon"
    budget: int = 48
    depths: tuple[int, ...] = (8, 12, 17, 17)
    undrawn_share: float = 0.5
    organ_share: float = 0.4
    predicted_share: float = 0.5
    dice_weight: float = 0.5
    presence_weight: float = 0.5
    latent_weight: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        require(
            self, "batch", self.batch == 1, tr("1; training.budget sets the windows of a batch")
        )
        require(self, "budget", self.budget >= 1, tr("1 or more"))
        require(self, "depths", all(depth >= 4 for depth in self.depths), tr("4 or more each"))
        for name in ("undrawn_share", "organ_share", "predicted_share"):
            require(self, name, 0 <= getattr(self, name) <= 1, tr("from 0 to 1"))
        for name in ("dice_weight", "presence_weight", "latent_weight"):
            require(self, name, getattr(self, name) >= 0, tr("0 or more"))


PROPAGATE = Preset(
    name="propagate",
    family="propagate",
    summary=tr(
        "Carries masks from drawn slices to others; a U-Net that refines a geometric prior."
    ),
    network=PropagateConfig(
        widths=(16, 32, 64, 96),
        trust=True,
        fade=10,
        fade_power=0.15,
        correction_threshold=0.4,
        vote=0.3,
    ),
    training=PropagateSettings(
        steps=13000,
        batch=1,
        rate=2e-3,
        warm_up=100,
        decay="constant",
        cool_down=4000,
        weight_decay=0.01,
        ema_decay=0.998,
        ema_warm_up=True,
        checkpoint_minutes=2.0,
        seed=11,
    ),
)
PROPAGATE_LATENT = replace(
    PROPAGATE,
    name="propagate-latent",
    summary="The same by one reverse step to the latent of the mask, which is decoded.",
    network=replace(PROPAGATE.network, form="latent"),
)


class PropagateStage(Stage):
    """Losses on masks and presence; for the latent form also latent estimation, as in SDSeg.

    In the latent form, the encoder of masks and the denoiser are trained together. The latent that
    is estimated is the target's own, without gradient; the encoder learns by the decoding of the
    true latent.
    """

    AVERAGES_BUFFERS = True  # statistics of batch normalisation
    FOR_ADAMW = ("network.encoder.stem", "network.at_full.2")
    ADAMW_BETAS = BETAS

    family: PropagateFamily
    settings: PropagateSettings

    def __init__(self, family: PropagateFamily, settings: PropagateSettings) -> None:
        super().__init__(family, ("network",), settings)

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        network, settings = self.family.network, self.settings
        target, known, present = batch["target"], batch["known"], batch["present"]
        seen = (batch["channels"], batch["numbers"], known_positions(known))
        decoded = estimate = None
        if isinstance(network, LatentPropagation):
            with torch.no_grad():
                z0 = network.encode(target)
            noise = torch.randn_like(z0)
            logits, presence, estimate, decoded = network.estimate(*seen, noise, target)
        else:
            logits, presence = network(*seen)
        entropy, dice = mask_losses(logits.float(), target, known, present)
        end = presence_loss(presence.float(), known, present)
        total = entropy + settings.dice_weight * dice + settings.presence_weight * end
        parts = {"entropy": entropy, "dice": dice, "presence": end}
        if decoded is not None and estimate is not None:
            latent = torch.nn.functional.l1_loss(estimate.float(), z0.float())
            again, dice_again = mask_losses(decoded.float(), target, known, present)
            coded = again + settings.dice_weight * dice_again
            total = total + settings.latent_weight * (latent + coded)
            parts |= {"latent": latent, "decoded": dice_again}
        return total, parts


class PropagateRecipe(Recipe):
    """One stage on windows; its cases are `ShapedVolume`s, see `Training/propagate.py`."""

    presets = (PROPAGATE, PROPAGATE_LATENT)

    def fit_network(
        self, preset: Preset, seen: InputDescription, num_classes: int
    ) -> tuple[dict[str, Any], InputDescription, int]:
        raise InputError(
            tr(
                "The preset {preset} learns from structures of any kind on the voxels of each "
                "CT, and not from a data set on a model's grid; train it with "
                "Training/propagate.py."
            ).format(preset=preset.name)
        )

    def main_stage(
        self, family: PropagateFamily, settings: PropagateSettings, given: set[str]
    ) -> tuple[Stage, str]:
        return PropagateStage(family, settings), "network"

    def forward(self, family: PropagateFamily, image: Tensor) -> object:
        return family.segment_slice(image)

    def check_cases(self, cases: list[Any], description: ModelDescription) -> None:
        if not any(volume.shapes for volume in cases):
            raise InputError(tr("There is no structure to learn from; check the images."))

    def dataset(
        self, cases: list[Any], description: ModelDescription, settings: StageSettings
    ) -> Dataset:
        chosen = cast(PropagateSettings, settings)
        config = PropagateConfig.from_json(description.network)
        return WindowBatches(
            Shapes(
                cast(list[ShapedVolume], cases),
                chosen.undrawn_share,
                chosen.organ_share,
                chosen.predicted_share,
            ),
            CropSizes(config.crop_sizes, config.crop_coarsest),
            description.input.windows,
            chosen.depths,
            chosen.budget,
            chosen.seed,
            chosen.steps * chosen.accumulate,
        )


def describe_propagation(preset: Preset, name: str, title: str, data: str) -> ModelDescription:
    """The `model.json` of the model that a run of `preset` produces.

    Args:
        preset: Of this family, perhaps with changed values.
        name: Of the model.
        title: For display.
        data: What it was trained on, for the card.
    """
    side = preset.network.crop_sizes[-1]
    return ModelDescription(
        name=name,
        title=title,
        version="1",
        family="propagate",
        summary="Carries a mask from the slices on which it was drawn to the others.",
        network=sizes_to_json(preset.network),
        diffusion=DiffusionDescription(),
        input=InputDescription((side, side), None, "LPS", HU_WINDOWS),
        structures=(),
        expects=Expectation("CT"),
        training={"data": data, "source": "", "preset": preset.name},
    )


RECIPE = PropagateRecipe()
