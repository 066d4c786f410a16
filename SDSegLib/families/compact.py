"""The compact family: one latent for the whole label map, so one UNet call and one decoder call."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor
from torch.profiler import record_function

from ..errors import ModelError
from ..language import tr
from ..networks.codes import (
    LENGTH,
    FieldAutoencoder,
    class_codes,
    code_field,
    code_logits,
    latent_channels,
)
from ..networks.compact import (
    FieldFusion,
    Fusion,
    LabelMapAutoencoder,
    LightVisionEncoder,
    one_hot,
)
from ..networks.segmentation_unet import VisionUNet
from ..networks.unet import DenoisingUNet, UNetConfig
from ..untrusted import shown
from .base import LatentFamily, NetworkPart, read_sizes
from .description import ModelDescription


@dataclass(frozen=True)
class CompactConfig:
    """Sizes of the compact family; `network` in `model.json`.

    Attributes:
        factor: Pixels per latent position along each side.
        latent_channels: z; with codes it follows from them and the factor instead.
        autoencoder_channels: Width of the label-map autoencoder, if there are no codes.
        autoencoder_blocks: Its residual blocks, in encoder and decoder each.
        encoder_channels: Widths of the vision encoder at half and at latent resolution.
        encoder_blocks: Its residual blocks at each resolution.
        encoder_filters: Channels of each level of a vision encoder that is a U-Net on the image
            grid; None for the light one, which uses the two entries above.
        encoder_supervised: Number of coarser levels of that U-Net with deep supervision.
        encoder_skip: Whether the class probabilities of this U-Net are part of the condition and
            are combined with the decoded label map.
        condition_channels: Channels of the condition latent.
        unet_channels: First width of the UNet.
        unet_mult: Widths of its levels in multiples of `unet_channels`.
        unet_blocks: Residual blocks per level.
        unet_attention: Downsampling rates of the latent at which attention is used.
        unet_heads: Attention heads.
        dropout: Dropout of the UNet during training.
        codes: Length of the codes of classes, 16, so that no network has a channel for each class
            and the autoencoder needs no training; None for one-hot label maps.
    """

    factor: int = 4
    latent_channels: int = 8
    autoencoder_channels: int = 96
    autoencoder_blocks: int = 2
    encoder_channels: tuple[int, int] = (48, 96)
    encoder_blocks: int = 2
    encoder_filters: tuple[int, ...] | None = None
    encoder_supervised: int = 2
    encoder_skip: bool = False
    condition_channels: int = 64
    unet_channels: int = 96
    unet_mult: tuple[int, ...] = (1, 2, 3)
    unet_blocks: int = 1
    unet_attention: tuple[int, ...] = (4,)
    unet_heads: int = 4
    dropout: float = 0.1
    codes: int | None = None

    @property
    def tile_factor(self) -> int:
        """Divisor of the rows and columns of a tile."""
        latent_side = self.factor * 2 ** (len(self.unet_mult) - 1)
        return math.lcm(latent_side, 2 ** max(0, len(self.encoder_filters or ()) - 1))

    @property
    def z(self) -> int:
        """Channels of a latent."""
        return self.latent_channels if self.codes is None else latent_channels(self.factor)

    def unet(self, skip_channels: int = 0) -> UNetConfig:
        return UNetConfig(
            in_channels=self.z + self.condition_channels + skip_channels,
            out_channels=self.z,
            model_channels=self.unet_channels,
            channel_mult=self.unet_mult,
            num_res_blocks=self.unet_blocks,
            attention_resolutions=self.unet_attention,
            num_heads=self.unet_heads,
            dropout=self.dropout,
        )


class CompactFamily(LatentFamily):
    """Vision encoder, UNet that predicts z0, and autoencoder of label maps.

    Label maps are one-hot, or fields of codes (`networks.codes`), which have the same number of
    channels for any number of classes.
    """

    DEFAULT_BATCH: ClassVar[dict[str, int]] = {"cuda": 64, "mps": 16, "cpu": 16}
    TRAINING = "SDSegLib.training.compact"

    autoencoder: LabelMapAutoencoder | FieldAutoencoder
    class_codes: Tensor | None

    def __init__(self, description: ModelDescription) -> None:
        self.config = read_sizes(CompactConfig, description.network)
        _check_codes(self.config.codes)
        super().__init__(description)
        config = self.config
        codes = None if config.codes is None else class_codes(self.num_classes)
        self.register_buffer("class_codes", codes, persistent=False)
        self.autoencoder = self._autoencoder()
        self.vision_encoder = self._vision_encoder(description.input.channels)
        self.fusion = self._fusion()
        skip_channels = 0 if self.fusion is None else self.fusion.channels
        self.unet = DenoisingUNet(config.unet(skip_channels))

    @property
    def map_channels(self) -> int:
        """Channels of a label map as networks see it: C, or the length of codes."""
        return self.num_classes if self.config.codes is None else self.config.codes

    def _autoencoder(self) -> LabelMapAutoencoder | FieldAutoencoder:
        config = self.config
        if config.codes is not None:
            return FieldAutoencoder(config.factor)
        return LabelMapAutoencoder(
            num_classes=self.num_classes,
            latent_channels=config.latent_channels,
            channels=config.autoencoder_channels,
            num_res_blocks=config.autoencoder_blocks,
            factor=config.factor,
        )

    def _vision_encoder(self, in_channels: int) -> VisionUNet | LightVisionEncoder:
        config = self.config
        if config.encoder_filters:
            most = len(config.encoder_filters) - 2
            if not 0 <= config.encoder_supervised <= most:
                raise ModelError(
                    tr(
                        "A vision encoder of {count} levels can supervise 0 to {most} coarser "
                        "ones, not {encoder_supervised}; change encoder_supervised or "
                        "encoder_filters."
                    ).format(
                        count=len(config.encoder_filters),
                        most=max(most, 0),
                        encoder_supervised=config.encoder_supervised,
                    )
                )
            return VisionUNet(
                in_channels=in_channels,
                filters=config.encoder_filters,
                num_classes=self.map_channels,
                supervised=config.encoder_supervised,
                condition_channels=config.condition_channels,
                factor=config.factor,
                skip=config.encoder_skip,
                gives_field=config.codes is not None,
            )
        return LightVisionEncoder(
            in_channels=in_channels,
            channels=config.encoder_channels,
            condition_channels=config.condition_channels,
            num_res_blocks=config.encoder_blocks,
            factor=config.factor,
        )

    def _fusion(self) -> Fusion | None:
        if not self.config.encoder_skip:
            return None
        if not self.config.encoder_filters:
            raise ModelError(
                tr(
                    "Only a vision encoder that is a U-Net sees a label map by itself; set "
                    "encoder_filters, or encoder_skip to false."
                )
            )
        if self.config.codes is not None:
            return FieldFusion(self.config.factor)
        return Fusion(self.num_classes, self.config.factor)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        rows, columns = self.description.input.size
        factor = self.config.factor
        return (self.config.z, rows // factor, columns // factor)

    def parts(self) -> tuple[NetworkPart, ...]:
        decoder = (self.autoencoder.decoder, *([] if self.fusion is None else [self.fusion]))
        return (
            NetworkPart(tr("vision encoder"), (self.vision_encoder,)),
            NetworkPart(tr("UNet, one reverse step"), (self.unet,)),
            NetworkPart("decoder", decoder),
            NetworkPart(
                tr("label-map encoder (training)"),
                (self.autoencoder.encoder,),
                lambda: self.encode_label_map(self.empty_label_map()),
            ),
        )

    def condition(self, image: Tensor) -> Tensor:
        return self.vision_encoder(image)

    def predict(
        self, z_t: Tensor, condition: Tensor, timestep: Tensor, class_id: Tensor | None = None
    ) -> Tensor:
        return self.unet(z_t, condition, timestep)

    def encode_label_map(self, label_map: Tensor, class_id: Tensor | None = None) -> Tensor:
        return self.autoencoder.encode(self.label_map_channels(label_map))

    def label_map_channels(self, label_map: Tensor) -> Tensor:
        """A label map (N, H, W) as networks see it: one-hot (N, C, H, W), or a field of codes."""
        if self.class_codes is None:
            return one_hot(label_map, self.num_classes)
        return code_field(label_map, self.class_codes)

    def class_logits(self, given: Tensor) -> Tensor:
        """Class logits (N, C, H, W) from what a network gives: these, or a field of codes."""
        return given if self.class_codes is None else code_logits(given, self.class_codes)

    def probabilities(
        self, condition: Tensor, noise: Tensor | None = None, steps: int = 1
    ) -> Tensor:
        z0 = self.reverse(condition, noise, steps).to(condition.dtype)
        with record_function("decode"):
            return self.decode(z0, condition).float().softmax(dim=1)

    def decode(self, z0: Tensor, condition: Tensor) -> Tensor:
        """Latent (N, z, h, w) and condition → class logits (N, C, H, W)."""
        decoded = self.autoencoder.decode(z0)
        fused = decoded if self.fusion is None else self.fusion(decoded, condition)
        return self.class_logits(fused)


def _check_codes(codes: object) -> None:
    """Check the length of codes in a description.

    Raises:
        ModelError: If there are no codes of this length.
    """
    if codes is not None and (type(codes) is not int or codes != LENGTH):
        raise ModelError(
            tr(
                "The codes of classes have {length} numbers, not {codes}; set network.codes to "
                "{length}, or leave it out for one channel a class."
            ).format(length=LENGTH, codes=shown(codes))
        )
