"""How families are trained: the interface of their recipes, the presets, the initial weights.

A family names the module of its recipe in `Family.TRAINING`; the module's `RECIPE` is a `Recipe`.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..datasets.cases import Case
from ..datasets.collection import Collection
from ..datasets.slices import SliceDataset
from ..errors import InputError, ModelError
from ..families import FAMILIES, family_class
from ..families.base import Family
from ..families.description import ModelDescription
from ..language import tr
from ..models.folder import load_networks
from ..volume.model_input import InputDescription
from ..volume.sides import mirrored_axis, mirrored_labels
from .settings import Preset, StageSettings
from .stage import Stage

log = logging.getLogger(__name__)

Weights = dict[str, Tensor]
FORMER_NAMES = {"paper": "published", "paper-tiny": "published-tiny", "unet2d": "direct"}
"""Presets by the names that they had in earlier versions."""


class Recipe(ABC):
    """How one family is trained.

    Attributes:
        presets: Its presets; the first has the family's name.
    """

    presets: tuple[Preset, ...]

    @abstractmethod
    def fit_network(
        self, preset: Preset, seen: InputDescription, num_classes: int
    ) -> tuple[dict[str, Any], InputDescription, int]:
        """Fit the preset's network to the data.

        Args:
            preset: One of the family's presets, perhaps with changed values.
            seen: Input of the networks.
            num_classes: Number of classes, with background.

        Returns:
            `network` of `model.json`; the input, changed if the family needs it; the divisor of
            the tile size (rows and columns must be multiples of it).

        Raises:
            InputError: If network and data do not match.
        """

    @abstractmethod
    def main_stage(self, family: Any, settings: Any, given: set[str]) -> tuple[Stage, str]:
        """The main stage of the family, and the name of its folder.

        Args:
            family: Family to train.
            settings: `training` of the preset.
            given: As `begin_with` returns it.
        """

    @abstractmethod
    def forward(self, family: Any, image: Tensor) -> object:
        """Run the networks as a step of the main stage does, to count its memory."""

    def dataset(
        self, cases: list[Case], description: ModelDescription, settings: StageSettings
    ) -> Dataset:
        """Numbered samples for all steps of a stage."""
        return SliceDataset(
            cases,
            description.input,
            len(description.structures) + 1,
            settings.seed,
            settings.steps * settings.batch * settings.accumulate,
            augment=settings.augment,
            mirrored=mirrored_labels(description.structures) if settings.mirror else None,
            elastic=settings.elastic,
            contrast=settings.contrast,
        )

    def check_cases(self, cases: list[Case], description: ModelDescription) -> None:
        """Check whether the family can be trained on these cases.

        Raises:
            InputError: If not, with the reason. By default: structures that occur in none of the
                cases.
        """
        known = frozenset[int]().union(*(case.drawn for case in cases))
        missing = [item.name for item in description.structures if item.label not in known]
        if missing:
            raise InputError(
                tr(
                    "No case to train on knows about {missing}; leave them out of the data set "
                    "or add cases in which they are drawn."
                ).format(missing=", ".join(missing))
            )

    def begin_with_folder(self, family: Any, folder: Path) -> set[str]:
        """Load the weights of a model folder; see `begin_with`."""
        other = load_networks(folder)
        if other.description.family != family.description.family:
            raise ModelError(
                tr(
                    "{folder} is of the {family} family and cannot begin one of the "
                    "{wanted} family."
                ).format(
                    folder=folder,
                    family=other.description.family,
                    wanted=family.description.family,
                )
            )
        own = family.state_dict()
        noise = {name: own[name] for name in ("stored_noise",) if name in own}
        state = {name: v for name, v in other.state_dict().items() if name not in noise}
        try:
            family.load_state_dict(self.adapt(state, other, family) | noise)
        except RuntimeError as error:
            raise ModelError(
                tr(
                    "The weights of {folder} do not fit ({reason}); choose the same sizes and "
                    "structures."
                ).format(folder=folder, reason=str(error).splitlines()[1].strip())
            ) from error
        return {name.partition(".")[0] for name in state}

    def adapt(self, state: Weights, other: Any, family: Any) -> Weights:
        """Weights of another model of the family, adapted to the input of this one."""
        return state

    def begin_with_checkpoint(self, family: Any, path: Path) -> set[str]:
        """Load the tensors of a checkpoint file; see `begin_with`."""
        raise ModelError(
            tr(
                "{path} is a checkpoint file, and only the published family begins with one; "
                "name a model folder instead."
            ).format(path=path)
        )


class LatentRecipe(Recipe):
    """The recipe of a latent family, whose autoencoder is trained first unless it is given."""

    @abstractmethod
    def autoencoder_stage(self, family: Any, settings: Any) -> Stage:
        """The stage that trains `family.autoencoder`."""

    def after_autoencoder(self, family: Any, given: set[str]) -> None:
        """Copy weights of the trained autoencoder to other networks."""

    def forward(self, family: Any, image: Tensor) -> object:
        timestep = torch.zeros(1, dtype=torch.long, device=image.device)
        z_t = torch.empty(1, *family.latent_shape, device=image.device)
        condition = family.condition(image)
        return self.forward_latent(family, z_t, condition, timestep)

    @abstractmethod
    def forward_latent(
        self, family: Any, z_t: Tensor, condition: Tensor, timestep: Tensor
    ) -> object:
        """The part of `forward` after the condition is computed."""


def recipe_of(family: str) -> Recipe:
    """The recipe of a family.

    Raises:
        ModelError: If no family has this name.
    """
    return import_module(family_class(family).TRAINING).RECIPE


def presets() -> dict[str, Preset]:
    """The presets of all families, by name."""
    return {preset.name: preset for name in FAMILIES for preset in recipe_of(name).presets}


def find_preset(name: str) -> Preset:
    """The preset with this name, which may be a name from earlier versions.

    Raises:
        InputError: If there is none; it names the existing presets.
    """
    known = presets()
    name = FORMER_NAMES.get(name, name)
    if name not in known:
        raise InputError(
            tr("There is no preset {name!r}; choose one of {known}.").format(
                name=name, known=", ".join(known)
            )
        )
    return known[name]


def describe(
    preset: Preset, collection: Collection, proposed: InputDescription, name: str
) -> ModelDescription:
    """The `model.json` of the model that a run will produce.

    Args:
        preset: Preset to train it with.
        collection: The data.
        proposed: Input proposed for the data; settings of the preset override it.
        name: Name of the model.

    Raises:
        InputError: If tile, channels and networks do not fit together, or slices shall be mirrored
            and cannot be.
    """
    changes = {key: value for key, value in vars(preset.input).items() if value is not None}
    if proposed.pictures is not None:
        changes.pop("slice_offsets_mm", None)
        changes.pop("spacing", None)
    network, seen, factor = recipe_of(preset.family).fit_network(
        preset, replace(proposed, **changes), collection.num_classes
    )
    _check_size(seen.size, factor)
    stages = (preset.autoencoder, preset.training)
    if any(stage.mirror for stage in stages if stage is not None):
        mirrored_labels(collection.structures)
        mirrored_axis(seen)
    return ModelDescription(
        name=name,
        title=f"{collection.title}: {preset.name}",
        version="1",
        family=preset.family,
        summary=", ".join(item.name for item in collection.structures) + ".",
        network=network,
        diffusion=preset.diffusion,
        input=seen,
        structures=collection.structures,
        expects=collection.expects,
        training={"data": collection.title, "source": collection.source, "preset": preset.name},
    )


def begin_with(family: Family, sources: Iterable[Path]) -> set[str]:
    """Load the weights in each source that fit the family's networks.

    A model folder provides all of its weights, also for a compact model with other context slices
    or windows, or with the encoder's skip; a folder of the direct family provides its U-Net for a
    vision encoder that is a U-Net. A checkpoint (only tensors are read from it) is recognised by
    its tensor names: kl-f8 provides the autoencoder, and a copy of its encoder for the vision
    encoder, as in the paper; a latent diffusion model provides its UNet, whose first convolution is
    widened with zeros for the condition; an SDSeg checkpoint provides all of these.

    Args:
        family: Family to change; the published one, unless all sources are model folders.
        sources: Model folders and checkpoint files; later ones overwrite earlier ones.

    Returns:
        Names of the networks loaded, for example "autoencoder", "vision_encoder", "unet".

    Raises:
        ModelError: If a source has no weights for this family, or they do not fit.
    """
    recipe = recipe_of(family.description.family)
    given: set[str] = set()
    for source in sources:
        begin = recipe.begin_with_folder if source.is_dir() else recipe.begin_with_checkpoint
        given |= begin(family, source)
        log.info("began with %s", source)
    return given


def widened(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight (O, I, h, w) with more input channels; the new weights are zero.

    z_t is first in cat(z_t, condition), so the new channels are those of the condition.
    """
    missing = channels - weight.shape[1]
    if missing <= 0:
        return weight
    zeros = weight.new_zeros(weight.shape[0], missing, *weight.shape[2:])
    return torch.cat([weight, zeros], dim=1)


def with_more_rows(state: Weights, own: Weights, names: Iterable[str], rows: int = 1) -> Weights:
    """Weights of a model with fewer classes, whose heads get zeros for the classes that are new.

    Args:
        state: Weights of the other model, by name.
        own: Weights of this one, for the sizes.
        names: Weights and biases whose first dimension grows with the number of classes.
        rows: Entries of that dimension for each class; class by class.
    """
    wider = dict(state)
    for name in names:
        weight = state[name]
        missing = len(own[name]) - len(weight)
        if missing > 0 and missing % rows == 0:
            wider[name] = torch.cat([weight, weight.new_zeros(missing, *weight.shape[1:])])
    return wider


def sizes_to_json(network: Any) -> dict[str, Any]:
    """A flat dataclass of network sizes as JSON types."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(network).items()}


def _check_size(size: tuple[int, int], factor: int) -> None:
    if any(side < factor or side % factor for side in size):
        fitting = ",".join(str(max(factor, round(side / factor) * factor)) for side in size)
        raise InputError(
            tr(
                "Tiles of {rows} × {columns} pixels do not suit the networks, whose coarsest "
                "grid has a point for {factor} of them; set input.size={fitting}."
            ).format(rows=size[0], columns=size[1], factor=factor, fitting=fitting)
        )
