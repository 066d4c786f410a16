"""The published family: the paper's networks, one binary map per latent and class."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.profiler import record_function

from ..errors import ModelError
from ..families.description import ModelDescription
from ..networks.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig
from ..networks.unet import DenoisingUNet, UNetConfig
from ..networks.vision_encoder import VisionEncoder
from .absent import EmptyMap
from .base import SegmentationFamily

Sizes = TypeVar("Sizes", KLAutoencoderConfig, UNetConfig)


@dataclass(frozen=True)
class PublishedConfig:
    """Sizes of the published family; `network` in `model.json`.

    Attributes:
        autoencoder: Of the autoencoder and the vision encoder.
        unet: Of the UNet; its `num_classes` counts the background and is None for a model with
            one structure.
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
            raise ModelError(f"The model's network sizes have unknown entries {sorted(unknown)}.")
        return cls(
            autoencoder=_sizes(KLAutoencoderConfig, data.get("autoencoder", {})),
            unet=_sizes(UNetConfig, data.get("unet", {})),
        )

    def to_json(self) -> dict[str, Any]:
        """The content of `network`, of JSON types only; `from_json` reads it back."""
        return json.loads(json.dumps(asdict(self, dict_factory=_without_none)))


class PublishedFamily(SegmentationFamily):
    """Vision encoder, UNet that predicts noise, and KL autoencoder of binary maps.

    With one structure the decoded picture is the probability of that structure. With more, the
    UNet and the decoder run once per class, background included.
    """

    autoencoder: KLAutoencoder
    scale_factor: Tensor

    def __init__(self, description: ModelDescription) -> None:
        self.config = PublishedConfig.from_json(description.network)
        super().__init__(description)
        classes = self.config.unet.num_classes
        if (classes or 2) != self.num_classes:
            raise ModelError(
                f"The model '{description.name}' has networks for {classes or 2} classes with "
                f"background, but names {len(description.structures)} structures; reinstall it."
            )
        self.autoencoder = KLAutoencoder(self.config.autoencoder)
        self.vision_encoder = VisionEncoder(self.config.autoencoder)
        self.unet = DenoisingUNet(self.config.unet)
        self.register_buffer("scale_factor", torch.tensor(1.0))
        self._empty_map: EmptyMap | None = None

        self.register_load_state_dict_post_hook(lambda *_: self._forget_empty_map())

    def train(self, mode: bool = True) -> PublishedFamily:
        """As for any module; other weights may follow, so what they gave is forgotten."""
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
        """Whether the UNet is told the class and runs once for each."""
        return self.config.unet.num_classes is not None

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
            class_id: (N,), the class to show; 0 shows anything but background, as the reference
                trains it. A model with one structure needs none.
        """
        return self.autoencoder.encode(self.class_picture(label_map, class_id)) * self.scale_factor

    def class_picture(self, label_map: Tensor, class_id: Tensor | None = None) -> Tensor:
        """One class's binary map as the autoencoder sees it: (N, channels, H, W), −1 or 1.

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

    def probabilities(self, condition: Tensor, noise: Tensor, steps: int = 1) -> Tensor:
        return self.combine(
            self._picture(self.reverse(condition, noise, steps, class_id))
            for class_id in self.class_ids(condition)
        )

    def _picture(self, z0: Tensor) -> Tensor:
        """`decode`; latents of classes that a slice does not show give the picture of nothing."""
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
        """How the autoencoder shows a class that is not there; found out once."""
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

        Pictures are reduced to one channel as they come, so memory holds one at a time.
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


def _sizes(kind: type[Sizes], data: dict[str, Any]) -> Sizes:
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}
    try:
        return kind(**values)
    except TypeError as error:
        raise ModelError(f"The model's network sizes are not valid: {error}.") from error
