"""Training of the foundation family: organs, tissues and hidden parts of many CT at several scales.

Three tasks share one U-Net: the label maps of organs where there are any, the tissue of each pixel
(`datasets.tissues`), and the values of blocks that are hidden from it (masked image modelling,
He et al. 2022, as a convolutional network can do it).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ..datasets.case import Case
from ..datasets.slices import SliceDataset
from ..datasets.tissues import TISSUES, tissues
from ..diffusion.description import DiffusionDescription
from ..errors import InputError
from ..families.description import ModelDescription
from ..families.foundation import FoundationConfig, FoundationFamily
from ..language import tr
from ..volume.expectation import Expectation
from ..volume.model_input import InputDescription
from .compact import COMPACT
from .losses import dice_and_cross_entropy, without_undrawn
from .recipe import Recipe, sizes_to_json
from .settings import Optimiser, Preset, StageSettings, require
from .stage import Batch, Stage

HU_WINDOWS = ((-160.0, 240.0), (-1000.0, 1500.0))
_ORGAN_BITS = 4
_MOST_ORGANS = 2**_ORGAN_BITS
_HIDDEN_PIXELS = 16  # side of a hidden block


@dataclass(frozen=True, kw_only=True)
class FoundationSettings(StageSettings):
    """Weights of the tasks and shares of the samples.

    Attributes:
        organ_share: Share of samples from slices with a random organ.
        undrawn_share: Share of samples from CT in which no organ was drawn.
        hidden_samples: Share of samples with hidden blocks.
        hidden_share: Share of the blocks that are hidden in them.
        tissue_weight: Weight of the loss on tissues, beside that on organs.
        restored_weight: Weight of the loss on hidden blocks.
    """

    optimizer: Optimiser = "muon"
    organ_share: float = 0.55
    undrawn_share: float = 0.3
    hidden_samples: float = 0.5
    hidden_share: float = 0.4
    tissue_weight: float = 0.4
    restored_weight: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("organ_share", "undrawn_share", "hidden_samples", "hidden_share"):
            require(self, name, 0 <= getattr(self, name) <= 1, tr("from 0 to 1"))
        for name in ("tissue_weight", "restored_weight"):
            require(self, name, getattr(self, name) >= 0, tr("0 or more"))


FOUNDATION = Preset(
    name="foundation",
    family="foundation",
    summary=tr("A U-Net trained on many CT, as a start for models of other structures."),
    network=FoundationConfig(filters=COMPACT.network.encoder_filters),
    input=replace(COMPACT.input, size=(128, 128), windows=HU_WINDOWS),
    training=FoundationSettings(
        steps=3600,
        batch=16,
        rate=2e-3,
        warm_up=100,
        decay="constant",
        cool_down=1260,
        weight_decay=0.01,
        gradient_clip=3.0,
        ema_decay=0.998,
        ema_warm_up=True,
        checkpoint_minutes=3.0,
        seed=11,
    ),
)


def with_tissues(case: Case, pixel_mm: float, organs: Sequence[int]) -> Case:
    """A case whose label map also holds the tissues, in the upper bits of each value.

    Args:
        case: On an axial grid.
        pixel_mm: Row and column spacing.
        organs: Labels to keep; the others count as not drawn.

    Raises:
        InputError: If a label does not fit beside the tissues.
    """
    if max(organs, default=0) >= _MOST_ORGANS:
        raise InputError(
            tr("Label {organs} is too large; {most_organs} organs are possible.").format(
                organs=max(organs), most_organs=_MOST_ORGANS - 1
            )
        )
    kept = np.where(np.isin(case.label_map, list(organs)), case.label_map, 0)
    found = tissues(case.image, case.spacing * pixel_mm**2)
    label_map = (kept | (found << _ORGAN_BITS)).astype(np.uint8)
    return replace(case, label_map=label_map, drawn=case.drawn & frozenset(organs))


class ScaledSlices(SliceDataset):
    """Samples of cases of `with_tissues`, which may be the same CT at several pixel spacings.

    Args:
        cases: Cases.
        description: Tile, windows and context; its spacing is not used.
        settings: Shares of the samples, seed and number.
    """

    def __init__(
        self, cases: list[Case], description: InputDescription, settings: FoundationSettings
    ) -> None:
        length = settings.steps * settings.batch * settings.accumulate
        super().__init__(cases, description, 256, settings.seed, length, settings.augment)
        self.shares = (settings.organ_share, settings.organ_share + settings.undrawn_share)
        self.by_organ, self.undrawn = {}, []
        for number, case in enumerate(cases):
            organs = case.label_map & (_MOST_ORGANS - 1)
            usable = [k for k, extent in enumerate(case.extents) if extent is not None]
            if not case.drawn:
                self.undrawn.append([(number, k) for k in usable])
            for label in sorted(case.drawn):
                found = [(number, k) for k in usable if (organs[k] == label).any()]
                if found:
                    self.by_organ.setdefault(label, []).extend(found)
        self.organs = sorted(self.by_organ)

    def _choose(self, random: np.random.Generator) -> tuple[int, int]:
        place = random.random()
        slices = self.tissue
        if self.organs and place < self.shares[0]:
            slices = self.by_organ[self.organs[random.integers(len(self.organs))]]
        elif self.undrawn and place < self.shares[1]:
            slices = self.undrawn[random.integers(len(self.undrawn))]
        return slices[random.integers(len(slices))]


class FoundationStage(Stage):
    """Dice and cross-entropy of organs and tissues at several levels, L1 of hidden blocks."""

    FOR_ADAMW = ("network.output_block", "network.deep_supervision_heads")

    family: FoundationFamily
    settings: FoundationSettings

    def __init__(self, family: FoundationFamily, settings: FoundationSettings) -> None:
        super().__init__(family, ("network",), settings)
        self.criterion = dice_and_cross_entropy()
        weights = [0.5**level for level in range(family.config.supervised + 1)]
        self.weights = [weight / sum(weights) for weight in weights]

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        config, settings = self.family.config, self.settings
        image = self.image(batch)
        hidden = self._hidden(image)
        outputs = [one.float() for one in self.family.network.all_logits(image * (1 - hidden))]
        drawn = batch["drawn"][:, : config.organs]
        organ, tissue = image.new_zeros(()), image.new_zeros(())
        for output, weight in zip(outputs, self.weights, strict=True):
            step = image.shape[-1] // output.shape[-1]
            label_map = batch["label_map"][:, None, ::step, ::step]
            organs = without_undrawn(output[:, : config.organs], drawn)
            kinds = output[:, config.organs : config.organs + config.tissues]
            organ = organ + weight * self.criterion(organs, label_map & (_MOST_ORGANS - 1))
            tissue = tissue + weight * self.criterion(kinds, label_map >> _ORGAN_BITS)
        restored = outputs[0][:, -config.restored :]
        error = (restored - self._middle(image)).abs() * hidden
        restoring = error.sum() / (hidden.sum() * config.restored).clamp(min=1)
        total = organ + settings.tissue_weight * tissue + settings.restored_weight * restoring
        return total, {"organs": organ, "tissues": tissue, "restored": restoring}

    def _hidden(self, image: Tensor) -> Tensor:
        """Blocks that are hidden: 1 or 0, (N, 1, H, W)."""
        rows, columns = (side // _HIDDEN_PIXELS for side in image.shape[-2:])
        blocks = torch.rand(len(image), 1, rows, columns, device=image.device)
        chosen = torch.rand(len(image), 1, 1, 1, device=image.device) < self.settings.hidden_samples
        hidden = (blocks < self.settings.hidden_share) & chosen
        return functional.interpolate(hidden.float(), size=image.shape[-2:], mode="nearest")

    def _middle(self, image: Tensor) -> Tensor:
        """The windows of the slice itself, without its neighbours."""
        seen = self.family.description.input
        first = seen.slice_offsets_mm.index(0.0) * len(seen.windows)
        return image[:, first : first + len(seen.windows)]


class FoundationRecipe(Recipe):
    """One stage on cases of `with_tissues`; see `Training/foundation.py`."""

    presets = (FOUNDATION,)

    def fit_network(
        self, preset: Preset, seen: InputDescription, num_classes: int
    ) -> tuple[dict[str, Any], InputDescription, int]:
        raise InputError(
            tr(
                "The preset {preset} learns from many CT at several scales and not from one "
                "data set; train it with Training/foundation.py."
            ).format(preset=preset.name)
        )

    def main_stage(
        self, family: FoundationFamily, settings: FoundationSettings, given: set[str]
    ) -> tuple[Stage, str]:
        return FoundationStage(family, settings), "network"

    def forward(self, family: FoundationFamily, image: Tensor) -> object:
        return family.network.all_logits(image)

    def check_cases(self, cases: list[Case], description: ModelDescription) -> None:
        if not cases:
            raise InputError(tr("There is no CT to learn from."))

    def dataset(self, cases: list[Case], description: ModelDescription, settings: Any) -> Dataset:
        return ScaledSlices(cases, description.input, settings)


def describe_foundation(preset: Preset, name: str, title: str, data: str) -> ModelDescription:
    """The `model.json` of the model that a run of `preset` produces.

    Args:
        preset: Of this family, perhaps with changed values.
        name: Of the model.
        title: For display.
        data: What it was trained on, for the card.
    """
    network = replace(preset.network, tissues=len(TISSUES), restored=len(HU_WINDOWS))
    chosen = {key: value for key, value in vars(preset.input).items() if value is not None}
    return ModelDescription(
        name=name,
        title=title,
        version="1",
        family="foundation",
        summary=preset.summary,
        network=sizes_to_json(network),
        diffusion=DiffusionDescription(),
        input=InputDescription(spacing=None, axes="LPS", outside=-1024.0, **chosen),
        structures=(),
        expects=Expectation("CT"),
        training={"data": data, "source": "", "preset": preset.name},
    )


RECIPE = FoundationRecipe()
