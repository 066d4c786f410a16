"""From a preset and a data set to the description of the model to train."""

from __future__ import annotations

import math
from dataclasses import asdict, replace
from typing import Any

from ..datasets.collection import Collection
from ..errors import InputError
from ..families.compact import CompactConfig
from ..families.description import Family, ModelDescription
from ..families.published import PublishedConfig
from ..networks.deep_unet import DeepUNetConfig
from ..volume.expectation import Expectation
from ..volume.model_input import InputDescription
from .preset import AnyPreset, InputChoice
from .settings import PublishedSettings


def describe(
    preset: AnyPreset, collection: Collection, proposed: InputDescription, name: str
) -> ModelDescription:
    """The `model.json` of the model that a run will give.

    Args:
        preset: How it is trained.
        collection: The data.
        proposed: What networks should see of the data, if the preset does not say otherwise.
        name: Of the model.

    Raises:
        InputError: If tile, channels and networks do not fit together.
    """
    seen = _chosen(proposed, preset.input)
    network: dict[str, Any]
    family: Family
    if isinstance(preset.network, PublishedConfig):
        family, seen = "published", _for_published(seen, preset.network)
        network = _published(preset, preset.network, collection.num_classes).to_json()
        factor = preset.network.autoencoder.factor * 2 ** (
            len(preset.network.unet.channel_mult) - 1
        )
    elif isinstance(preset.network, CompactConfig):
        family, network = "compact", _plain(preset.network)
        latent_side = preset.network.factor * 2 ** (len(preset.network.unet_mult) - 1)
        factor = math.lcm(latent_side, 2 ** max(0, len(preset.network.encoder_filters or ()) - 1))
    else:
        family, network = "direct", _plain(preset.network)
        factor = preset.network.factor
    _check_size(seen.size, factor)
    return ModelDescription(
        name=name,
        title=f"{collection.title}: {preset.name}",
        version="1",
        family=family,
        summary=", ".join(item.name for item in collection.structures) + ".",
        network=network,
        diffusion=preset.diffusion,
        input=seen,
        structures=collection.structures,
        expects=Expectation.from_json(collection.expects),
        training={"data": collection.title, "source": collection.source, "preset": preset.name},
    )


def _chosen(proposed: InputDescription, choice: InputChoice) -> InputDescription:
    changes = {name: value for name, value in vars(choice).items() if value is not None}
    if proposed.pictures is not None:
        changes.pop("slice_offsets_mm", None)
        changes.pop("spacing", None)
    return replace(proposed, **changes)


def _for_published(seen: InputDescription, network: PublishedConfig) -> InputDescription:
    """One window, repeated to the channels that the autoencoder of photographs has."""
    single = replace(seen, windows=seen.windows[:1], repeat=1)
    wanted = network.autoencoder.in_channels
    if wanted % single.channels:
        raise InputError(
            f"The published family sees {wanted} channels, and {single.channels} slices or colours "
            "cannot fill them; set input.slice_offsets_mm=0."
        )
    return replace(single, repeat=wanted // single.channels)


def _published(preset: AnyPreset, network: PublishedConfig, num_classes: int) -> PublishedConfig:
    assert isinstance(preset.training, PublishedSettings)
    latent, condition = network.autoencoder.embed_dim, network.autoencoder.z_channels
    attends = preset.training.fusion == "cross-attention"
    return replace(
        network,
        unet=replace(
            network.unet,
            in_channels=latent if attends else latent + condition,
            out_channels=latent,
            num_classes=num_classes if num_classes > 2 else None,
            context_channels=condition if attends else None,
        ),
    )


def _plain(network: CompactConfig | DeepUNetConfig) -> dict[str, Any]:
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in asdict(network).items()
    }


def _check_size(size: tuple[int, int], factor: int) -> None:
    if any(side < factor or side % factor for side in size):
        fitting = ",".join(str(max(factor, round(side / factor) * factor)) for side in size)
        raise InputError(
            f"Tiles of {size[0]} × {size[1]} pixels do not suit the networks, whose coarsest grid "
            f"has a point for {factor} of them; set input.size={fitting}."
        )
