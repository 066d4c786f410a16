"""A preset: everything about a training run but the data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Generic, TypeVar

from ..diffusion.description import DiffusionDescription
from ..families.compact import CompactConfig
from ..families.published import PublishedConfig
from ..networks.deep_unet import DeepUNetConfig
from .settings import (
    CompactSettings,
    DirectSettings,
    KLAutoencoderSettings,
    LabelMapAutoencoderSettings,
    PublishedSettings,
)

Network = TypeVar("Network", CompactConfig, PublishedConfig, DeepUNetConfig)
First = TypeVar("First", LabelMapAutoencoderSettings, KLAutoencoderSettings, None)
Main = TypeVar("Main", CompactSettings, PublishedSettings, DirectSettings)


@dataclass(frozen=True)
class InputChoice:
    """What the networks see, where it differs from what the data set proposes.

    Attributes:
        size: Rows and columns of a tile.
        spacing: Row and column spacing in mm.
        windows: (low, high), each mapped to [−1, 1].
        slice_offsets_mm: Distances of the context slices of a volume.
    """

    size: tuple[int, int] | None = None
    spacing: tuple[float, float] | None = None
    windows: tuple[tuple[float, float], ...] | None = None
    slice_offsets_mm: tuple[float, ...] | None = None


@dataclass(frozen=True)
class Preset(Generic[Network, First, Main]):
    """One way to train one family.

    Attributes:
        name: For `--preset`.
        summary: One sentence on it.
        network: Sizes; what follows from the data (channels, classes) is filled in later.
        autoencoder: First stage; None if the family has none.
        training: Main stage.
        diffusion: Schedule and what the UNet predicts.
        input: What the networks see.
    """

    name: str
    summary: str
    network: Network
    autoencoder: First
    training: Main
    diffusion: DiffusionDescription = field(default_factory=DiffusionDescription)
    input: InputChoice = field(default_factory=InputChoice)


AnyPreset = (
    Preset[CompactConfig, LabelMapAutoencoderSettings, CompactSettings]
    | Preset[PublishedConfig, KLAutoencoderSettings, PublishedSettings]
    | Preset[DeepUNetConfig, None, DirectSettings]
)
