"""A plain 2-D U-Net with deep supervision, of MONAI's DynUNet blocks: what nnU-Net would train.

Source: Isensee et al. 2021 (nnU-Net).
"""

from __future__ import annotations

from dataclasses import dataclass

from monai.networks.nets import DynUNet
from torch import Tensor

from .vision_unet import way_up


@dataclass(frozen=True)
class DeepUNetConfig:
    """Sizes of the plain U-Net; `network` in `model.json` of the direct family.

    Attributes:
        filters: Channels of each level; each but the first halves the size.
        supervised: Coarser levels that training supervises beside the finest.
    """

    filters: tuple[int, ...] = (28, 56, 112, 224, 320)
    supervised: int = 2

    @property
    def factor(self) -> int:
        """What a tile's sides must be multiples of."""
        return 2 ** (len(self.filters) - 1)


class DeepUNet(DynUNet):
    """Image to class logits; in training the logits of coarser levels too.

    MONAI's blocks, heads and initialisation are used as they are. Only the way through them is
    written anew, because MONAI's keeps every weight under two names and heads in a shared list.

    Args:
        config: Sizes.
        in_channels: Of the image.
        num_classes: C, with background.
    """

    def __init__(self, config: DeepUNetConfig, in_channels: int, num_classes: int) -> None:
        levels = len(config.filters)
        super().__init__(
            spatial_dims=2,
            in_channels=in_channels,
            out_channels=num_classes,
            kernel_size=[3] * levels,
            strides=[1] + [2] * (levels - 1),
            upsample_kernel_size=[2] * (levels - 1),
            filters=list(config.filters),
            deep_supervision=True,
            deep_supr_num=config.supervised,
        )
        del self.skip_layers

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, channels, H, W) → logits (N, C, H, W)."""
        return self.all_logits(image)[0]

    def all_logits(self, image: Tensor) -> list[Tensor]:
        """Logits of the finest level and of the supervised ones, each on its own grid."""
        finest, *coarser = way_up(self, image)
        heads = self.deep_supervision_heads if self.training else []
        coarse = [head(one) for head, one in zip(heads, coarser, strict=False)]
        return [self.output_block(finest), *coarse]
