"""The compact family's vision encoder as a U-Net on the image's own grid.

Its blocks are those of nnU-Net (Isensee et al. 2021) and of `deep_unet.DeepUNet`, so that such a
network, trained by itself, can be what a vision encoder begins with. They are written out here
because importing MONAI takes longer than segmenting a small CT.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

SLOPE = 0.01


class _Block(nn.Module):
    """Two convolutions, each with instance normalisation and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.InstanceNorm2d(outputs, affine=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = nn.InstanceNorm2d(outputs, affine=True)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.activation(self.norm1(self.conv1(x)))
        return self.activation(self.norm2(self.conv2(x)))


class _Up(nn.Module):
    """Twice the size, beside what the way down had there."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.transp_conv = nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
        self.conv_block = _Block(2 * outputs, outputs, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv_block(torch.cat([self.transp_conv(x), skip], dim=1))


class VisionUNet(nn.Module):
    """Image to condition latent through a U-Net, whose levels training can supervise.

    Args:
        in_channels: Windows × context slices.
        filters: Channels of each level; each but the first halves the size.
        num_classes: C, with background, of the logits that are supervised.
        supervised: Coarser levels that are supervised beside the finest.
        condition_channels: Channels of the condition latent, K.
        factor: Ratio of image to latent size, f.
        skip: Whether the class probabilities that the U-Net gives by itself follow the condition
            latent, each block of f × f pixels as channels of one position. No gradient goes back
            through them: they learn from `with_logits` alone.
    """

    def __init__(
        self,
        in_channels: int,
        filters: tuple[int, ...],
        num_classes: int,
        supervised: int,
        condition_channels: int,
        factor: int,
        skip: bool = False,
    ) -> None:
        super().__init__()
        self.skip = skip
        self.factor = factor
        first, *others = filters
        self.input_block = _Block(in_channels, first, 1)
        steps = list(zip(filters, others, strict=False))
        self.downsamples = nn.ModuleList(_Block(a, b, 2) for a, b in steps[:-1])
        self.bottleneck = _Block(*steps[-1], 2)
        self.upsamples = nn.ModuleList(_Up(b, a) for a, b in reversed(steps))
        self.output_block = nn.Conv2d(first, num_classes, 1)
        self.deep_supervision_heads = nn.ModuleList(
            nn.Conv2d(filters[level + 1], num_classes, 1) for level in range(supervised)
        )
        self.condition = nn.Sequential(
            nn.PixelUnshuffle(factor), nn.Conv2d(first * factor**2, condition_channels, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, channels, H, W) in [−1, 1] → condition latent (N, K, H/f, W/f).

        With the skip it has K + C·f² channels.
        """
        finest = way_up(self, image)[0]
        return self._condition(finest, self.output_block(finest) if self.skip else None)

    def with_logits(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The condition latent, and logits of the finest level and of the supervised ones."""
        finest, *coarser = way_up(self, image)
        heads = zip(self.deep_supervision_heads, coarser, strict=False)
        logits = [self.output_block(finest), *(head(one) for head, one in heads)]
        return self._condition(finest, logits[0]), logits

    def _condition(self, finest: Tensor, logits: Tensor | None) -> Tensor:
        condition = self.condition(finest)
        if not self.skip or logits is None:
            return condition
        own = functional.pixel_unshuffle(logits.detach().float().softmax(dim=1), self.factor)
        return torch.cat([condition, own.to(condition.dtype)], dim=1)


def way_up(network: Any, image: Tensor) -> list[Tensor]:
    """Features of a U-Net's way up, the finest first.

    Args:
        network: With the parts `input_block`, `downsamples`, `bottleneck` and `upsamples`, as
            MONAI's DynUNet names them.
        image: (N, channels, H, W).
    """
    skips = [network.input_block(image)]
    for down in network.downsamples:
        skips.append(down(skips[-1]))
    hidden = network.bottleneck(skips[-1])
    decoded = []
    for up, skip in zip(network.upsamples, reversed(skips), strict=True):
        hidden = up(hidden, skip)
        decoded.append(hidden)
    return decoded[::-1]


def from_deep_unet(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of a `DeepUNet`, as a `VisionUNet` names them; all but those of `condition`."""
    return {
        name.replace(".conv.conv.", ".").replace(".conv.", "."): value
        for name, value in weights.items()
    }
