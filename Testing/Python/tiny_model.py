"""A model folder with tiny random networks, so that tests run the whole path in seconds."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from SDSegLib.diffusion.description import DiffusionDescription
from SDSegLib.families.description import ModelDescription
from SDSegLib.volume.expectation import Expectation
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.structure import LEFT, RIGHT, Code, Structure

NETWORK: dict[str, Any] = {
    "factor": 4,
    "latent_channels": 8,
    "autoencoder_channels": 16,
    "autoencoder_blocks": 1,
    "encoder_channels": [16, 16],
    "encoder_blocks": 1,
    "condition_channels": 16,
    "unet_channels": 32,
    "unet_mult": [1],
    "unet_blocks": 1,
    "unet_attention": [],
    "unet_heads": 4,
    "dropout": 0.1,
}
INPUT = InputDescription(
    size=(32, 32),
    spacing=(4.0, 4.0),
    axes="LPS",
    windows=((-160.0, 240.0), (-1000.0, 1500.0)),
    slice_offsets_mm=(-3.0, 0.0, 3.0),
)
STRUCTURES = (
    Structure(1, "Brainstem", (230, 159, 0), Code("SCT", "15926001", "Brainstem")),
    Structure(2, "Spinal cord", (244, 214, 49), Code("SCT", "2748008", "Spinal cord")),
    Structure(
        3,
        "Right parotid gland",
        (86, 180, 233),
        Code("SCT", "45289007", "Parotid gland"),
        modifier=RIGHT,
    ),
    Structure(
        4,
        "Left parotid gland",
        (0, 114, 178),
        Code("SCT", "45289007", "Parotid gland"),
        modifier=LEFT,
    ),
    Structure(5, "Esophagus", (204, 121, 167), Code("SCT", "32849002", "Esophagus")),
    Structure(6, "Larynx", (0, 158, 115), Code("SCT", "4596009", "Larynx")),
    Structure(7, "Mandible", (241, 214, 145), Code("SCT", "91609006", "Mandible")),
)


def tiny_description(**changes: Any) -> ModelDescription:
    """Description of a compact model of seven head-and-neck structures, on 32 × 32 tiles of 4 mm.

    Args:
        changes: Fields of `ModelDescription` to replace; entries of `network` are merged into the
            tiny sizes unless another `family` is asked for.
    """
    if changes.get("family", "compact") == "compact":
        changes["network"] = {**NETWORK, **changes.get("network", {})}
    if isinstance(changes.get("expects"), dict):
        changes["expects"] = Expectation.from_json(changes["expects"])
    description = ModelDescription(
        name="tiny",
        title="Tiny random model",
        version="0.0.1",
        family="compact",
        summary="Random weights; its labels mean nothing.",
        network=NETWORK,
        diffusion=DiffusionDescription(prediction="z0"),
        input=INPUT,
        structures=STRUCTURES,
        expects=Expectation("CT", "head and neck"),
        licence="Apache-2.0",
    )
    return replace(description, **changes)


def write_tiny_model(folder: Path, **changes: Any) -> Path:
    """Write a model folder with random weights, the same ones each time; returns `folder`.

    Layers that start at zero get random weights too, so that labels depend on the image.
    """
    import torch

    from SDSegLib.families import build_family
    from SDSegLib.models.folder import write_model_folder

    description = tiny_description(**changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        family = build_family(description)
        for parameter in family.parameters():
            if not bool(parameter.any()):
                torch.nn.init.normal_(parameter, std=0.3)
    card = f"# {description.title}\n\n{description.summary}\n"
    write_model_folder(folder, description, family.state_dict(), card)
    return folder
