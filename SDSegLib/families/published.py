"""The published family: the paper's networks, one binary map per latent and class."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.profiler import record_function

from ..errors import ModelError
from ..language import tr
from ..networks.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig, VisionEncoder
from ..networks.unet import DenoisingUNet, UNetConfig
from .base import LatentFamily, NetworkPart, read_sizes
from .description import ModelDescription

SMALLEST_RADIUS = 2.0
"""Radius in pixels of the smallest structure that is distinguished from an empty map."""
_CENTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class PublishedConfig:
    """Sizes of the published family; `network` in `model.json`.

    Attributes:
        autoencoder: Sizes of the autoencoder and the vision encoder.
        unet: Sizes of the UNet; its `num_classes` includes the background and is None for a model
            with one structure.
    """

    autoencoder: KLAutoencoderConfig = field(default_factory=KLAutoencoderConfig)
    unet: UNetConfig = field(default_factory=UNetConfig)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> PublishedConfig:
        """Read `network`; entries left out keep the paper's values.

        Raises:
            ModelError: Naming the entry that is unknown.
        """
        unknown = set(data) - {"autoencoder", "unet"}
        if unknown:
            raise ModelError(
                tr("The model's network sizes have unknown entries {unknown}.").format(
                    unknown=sorted(unknown)
                )
            )
        return cls(
            autoencoder=read_sizes(KLAutoencoderConfig, data.get("autoencoder", {})),
            unet=read_sizes(UNetConfig, data.get("unet", {})),
        )

    @property
    def tile_factor(self) -> int:
        """Divisor of the rows and columns of a tile."""
        return self.autoencoder.factor * 2 ** (len(self.unet.channel_mult) - 1)

    def to_json(self) -> dict[str, Any]:
        """The content of `network`, of JSON types only; `from_json` reads it back."""
        return json.loads(json.dumps(asdict(self, dict_factory=_without_none)))


@dataclass(frozen=True, eq=False)
class EmptyMap:
    """Latent and decoded picture of a map in which the class is absent.

    Decoding takes nine tenths of the published family's computation for a class, and most slices
    contain few classes, so latents that match this one are not decoded. A latent matches if no
    value differs by more than `tolerance`, which is half the largest change caused by a disc of
    `SMALLEST_RADIUS` pixels, at the position where that change is smallest. So no structure of
    that size or larger is left out.

    Attributes:
        latent: (1, z, h, w).
        picture: Decoded picture, (1, channels, H, W).
        tolerance: Largest difference of a value.
    """

    latent: Tensor
    picture: Tensor
    tolerance: float

    @classmethod
    def of(
        cls,
        encode: Callable[[Tensor], Tensor],
        decode: Callable[[Tensor], Tensor],
        size: tuple[int, int],
        device: torch.device,
    ) -> EmptyMap:
        """Encode an empty map and nine small discs.

        Args:
            encode: Maps (N, H, W) of 0 and 1 → latents.
            decode: Latents → pictures.
            size: Rows and columns of a map.
            device: The device of the networks.
        """
        latent = encode(torch.zeros(1, *size, dtype=torch.long, device=device))
        discs = [encode(disc[None]) for disc in _discs(size, device)]
        smallest = min(float((disc - latent).abs().max()) for disc in discs)
        return cls(latent, decode(latent), smallest / 2)

    def matches(self, latents: Tensor) -> Tensor:
        """Whether each latent (N, z, h, w) is empty: bool (N,)."""
        return (latents - self.latent).abs().amax(dim=(1, 2, 3)) <= self.tolerance


class PublishedFamily(LatentFamily):
    """Vision encoder, UNet that predicts noise, and KL autoencoder of binary maps.

    With one structure the decoded picture is the probability of that structure. With more, the
    UNet and the decoder run once per class, background included.
    """

    DEFAULT_BATCH: ClassVar[dict[str, int]] = {"cuda": 16, "mps": 4, "cpu": 2}
    TRAINING = "SDSegLib.training.published"

    autoencoder: KLAutoencoder
    scale_factor: Tensor

    def __init__(self, description: ModelDescription) -> None:
        self.config = PublishedConfig.from_json(description.network)
        super().__init__(description)
        classes = self.config.unet.num_classes
        if (classes or 2) != self.num_classes:
            raise ModelError(
                tr(
                    "The model '{model}' has networks for {classes} classes with "
                    "background, but names {count} structures; reinstall it."
                ).format(
                    model=description.name,
                    classes=classes or 2,
                    count=len(description.structures),
                )
            )
        self.autoencoder = KLAutoencoder(self.config.autoencoder)
        self.vision_encoder = VisionEncoder(self.config.autoencoder)
        self.unet = DenoisingUNet(self.config.unet)
        self.register_buffer("scale_factor", torch.tensor(1.0))
        self._empty_map: EmptyMap | None = None

        self.register_load_state_dict_post_hook(lambda *_: self._forget_empty_map())

    def train(self, mode: bool = True) -> PublishedFamily:
        """As for any module; the cached `EmptyMap` is dropped, because the weights may change."""
        self._forget_empty_map()
        return super().train(mode)

    def _forget_empty_map(self) -> None:
        self._empty_map = None

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        rows, columns = self.description.input.size
        sizes = self.config.autoencoder
        return (sizes.embed_dim, rows // sizes.factor, columns // sizes.factor)

    @property
    def is_class_conditional(self) -> bool:
        """Whether the UNet is class-conditional and runs once per class."""
        return self.config.unet.num_classes is not None

    def parts(self) -> tuple[NetworkPart, ...]:
        networks = self.autoencoder
        class_id = self.empty_label_map()[:, 0, 0] if self.is_class_conditional else None
        return (
            NetworkPart(tr("vision encoder"), (self.vision_encoder,)),
            NetworkPart(tr("UNet, one reverse step"), (self.unet,)),
            NetworkPart("decoder", (networks.post_quant_conv, networks.decoder)),
            NetworkPart(
                tr("label-map encoder (training)"),
                (networks.encoder, networks.quant_conv),
                lambda: self.encode_label_map(self.empty_label_map(), class_id),
            ),
        )

    def condition(self, image: Tensor) -> Tensor:
        return self.vision_encoder(image)

    def predict(
        self, z_t: Tensor, condition: Tensor, timestep: Tensor, class_id: Tensor | None = None
    ) -> Tensor:
        if not self.is_class_conditional:
            return self.unet(z_t, condition, timestep)
        if class_id is None:
            raise ValueError("a class-conditional model needs class_id")
        return self.unet(z_t, condition, timestep, class_id)

    def encode_label_map(self, label_map: Tensor, class_id: Tensor | None = None) -> Tensor:
        """Scaled latent (N, z, h, w) of one class's binary map.

        Args:
            label_map: (N, H, W) with values 0 … C − 1.
            class_id: (N,), the class of the map; 0 means anything but background, as in the
                training of the reference code. A model with one structure needs none.
        """
        return self.autoencoder.encode(self.class_picture(label_map, class_id)) * self.scale_factor

    def class_picture(self, label_map: Tensor, class_id: Tensor | None = None) -> Tensor:
        """One class's binary map as autoencoder input: (N, channels, H, W), −1 or 1.

        Args:
            label_map: (N, H, W) with values 0 … C − 1.
            class_id: As for `encode_label_map`.
        """
        if class_id is None:
            if self.is_class_conditional:
                raise ValueError("a class-conditional model needs class_id")
            class_id = label_map.new_ones(len(label_map))
        wanted = class_id[:, None, None]
        shown = torch.where(wanted == 0, label_map != 0, label_map == wanted)
        picture = (2.0 * shown.to(self._autoencoder_type) - 1.0)[:, None]
        return picture.expand(-1, self.config.autoencoder.in_channels, -1, -1)

    def decode(self, z0: Tensor) -> Tensor:
        """Scaled latent (N, z, h, w) → picture (N, channels, H, W), about [−1, 1], float32."""
        latent = z0.float() / self.scale_factor.float()
        with record_function("decode"):
            return self.autoencoder.decode(latent.to(self._autoencoder_type)).float()

    def probabilities(
        self, condition: Tensor, noise: Tensor | None = None, steps: int = 1
    ) -> Tensor:
        return self.combine(
            self._picture(self.reverse(condition, noise, steps, class_id))
            for class_id in self.class_ids(condition)
        )

    def _picture(self, z0: Tensor) -> Tensor:
        """As `decode`, but latents of absent classes return the stored picture of an empty map."""
        if not self.is_class_conditional or z0.is_meta:
            return self.decode(z0)
        empty = self.empty_map(z0.device)
        shown = ~empty.matches(z0)
        picture = empty.picture.expand(len(z0), -1, -1, -1)
        if bool(shown.any()):
            picture = picture.clone()
            picture[shown] = self.decode(z0[shown])
        return picture

    def empty_map(self, device: torch.device) -> EmptyMap:
        """Latent and picture of an absent class; computed once per weights and device."""
        if self._empty_map is None or self._empty_map.latent.device != device:
            self._empty_map = EmptyMap.of(
                lambda maps: self.encode_label_map(maps, maps.new_ones(len(maps))).float(),
                self.decode,
                self.description.input.size,
                device,
            )
        return self._empty_map

    def class_ids(self, condition: Tensor) -> list[Tensor | None]:
        """The `class_id` of each UNet call that a batch needs, in the order `combine` expects."""
        if not self.is_class_conditional:
            return [None]
        return [
            torch.full((len(condition),), number, device=condition.device)
            for number in range(self.num_classes)
        ]

    def combine(self, pictures: Iterable[Tensor]) -> Tensor:
        """Decoded pictures, one per entry of `class_ids` → probabilities (N, C, H, W).

        Each picture is reduced to one channel on arrival, so only one is in memory at a time.
        """
        if not self.is_class_conditional:
            (picture,) = pictures
            foreground = ((picture + 1.0) / 2.0).clamp(0.0, 1.0).mean(dim=1)
            return torch.stack([1.0 - foreground, foreground], dim=1)
        maps = [picture.mean(dim=1) for picture in pictures]
        maps[0] = -maps[0]
        return torch.stack(maps, dim=1).softmax(dim=1)

    @property
    def _autoencoder_type(self) -> torch.dtype:
        return self.autoencoder.post_quant_conv.weight.dtype


def _without_none(entries: list[tuple[str, Any]]) -> dict[str, Any]:
    return {name: value for name, value in entries if value is not None}


def _discs(size: tuple[int, int], device: torch.device) -> list[Tensor]:
    rows = torch.arange(size[0], device=device)[:, None]
    columns = torch.arange(size[1], device=device)[None, :]
    middles = [(round(size[0] * y), round(size[1] * x)) for y in _CENTERS for x in _CENTERS]
    return [((rows - y) ** 2 + (columns - x) ** 2 <= SMALLEST_RADIUS**2).long() for y, x in middles]
