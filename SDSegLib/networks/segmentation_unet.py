"""A 2-D U-Net with deep supervision: the network of the direct family, and the vision encoder of
the compact family.

Blocks, heads and initialisation are those of nnU-Net (Isensee et al. 2021), and outputs are those
of MONAI's DynUNet with the same weights, up to rounding. The code is plain PyTorch because
importing MONAI takes longer than segmenting a small CT.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .codes import limited

SLOPE = 0.01


class InstanceNorm(nn.InstanceNorm2d):
    """Instance normalisation with statistics of each slice, on a CPU by the code for groups.

    With one channel a group it is the same, and PyTorch's code for groups is faster on a CPU
    (Testing/Benchmarks/optimisations.py). Autocast would convert bfloat16 to float32 for it.
    """

    def forward(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return functional.group_norm(x, self.num_features, self.weight, self.bias, self.eps)


class ConvolutionBlock(nn.Module):
    """Two convolutions, each with instance normalisation and leaky ReLU."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm1 = InstanceNorm(outputs, affine=True)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm2 = InstanceNorm(outputs, affine=True)
        self.activation = nn.LeakyReLU(SLOPE, inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x)
        x = self.activation(self.norm1(x))
        x = self.conv2(x)  # a separate statement, so that its input is freed before the norm
        return self.activation(self.norm2(x))


class UpsamplingBlock(nn.Module):
    """Transposed convolution to twice the size, concatenated with the encoder's features."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.transp_conv = nn.ConvTranspose2d(inputs, outputs, 2, stride=2, bias=False)
        self.conv_block = ConvolutionBlock(2 * outputs, outputs, 1)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        return self.conv_block(torch.cat([self.transp_conv(x), skip], dim=1))


class SegmentationUNet(nn.Module):
    """Image to class logits, on the image grid and on coarser ones.

    Args:
        in_channels: Channels of the image.
        filters: Channels of each level; each but the first halves the size.
        num_classes: C, with background.
        supervised: Number of coarser levels with a head for deep supervision.
    """

    def __init__(
        self, in_channels: int, filters: tuple[int, ...], num_classes: int, supervised: int
    ) -> None:
        super().__init__()
        first, *others = filters
        self.input_block = ConvolutionBlock(in_channels, first, 1)
        steps = list(zip(filters, others, strict=False))
        self.downsamples = nn.ModuleList(ConvolutionBlock(a, b, 2) for a, b in steps[:-1])
        self.bottleneck = ConvolutionBlock(*steps[-1], 2)
        self.upsamples = nn.ModuleList(UpsamplingBlock(b, a) for a, b in reversed(steps))
        self.output_block = nn.Conv2d(first, num_classes, 1)
        self.deep_supervision_heads = nn.ModuleList(
            nn.Conv2d(filters[level + 1], num_classes, 1) for level in range(supervised)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, channels, H, W) → logits (N, C, H, W)."""
        return self.output_block(self.features(image)[0])

    def all_logits(self, image: Tensor) -> list[Tensor]:
        """Logits of the finest level and of the supervised ones, each on its own grid."""
        return self.heads(self.features(image))

    def features(self, image: Tensor) -> list[Tensor]:
        """Features of the decoder's levels, the finest first."""
        skips = [self.input_block(image)]
        for down in self.downsamples:
            skips.append(down(skips[-1]))
        hidden = self.bottleneck(skips[-1])
        decoded = []
        for up, skip in zip(self.upsamples, reversed(skips), strict=True):
            hidden = up(hidden, skip)
            decoded.append(hidden)
        return decoded[::-1]

    def heads(self, features: list[Tensor]) -> list[Tensor]:
        """Logits of the finest level and of the supervised ones from `features`."""
        finest, *coarser = features
        supervised = zip(self.deep_supervision_heads, coarser, strict=False)
        return [self.output_block(finest), *(head(level) for head, level in supervised)]

    def _load_from_state_dict(self, state_dict: Any, prefix: str, *args: Any) -> None:
        """Also accept the parameter names of MONAI's DynUNet, which earlier versions stored."""
        for name in [name for name in state_dict if name.startswith(prefix)]:
            renamed = prefix + without_monai_names(name.removeprefix(prefix))
            if renamed != name:
                state_dict[renamed] = state_dict.pop(name)
        super()._load_from_state_dict(state_dict, prefix, *args)


class VisionUNet(SegmentationUNet):
    """The same U-Net with its finest features as condition latent of a compact model.

    Args:
        in_channels: Windows × context slices.
        filters: As for `SegmentationUNet`.
        num_classes: Channels of the heads: C, with background, for logits of classes, or the length
            of their codes.
        supervised: As for `SegmentationUNet`.
        condition_channels: Channels of the condition latent, K.
        factor: Ratio of image to latent size, f.
        skip: Whether the class probabilities of the U-Net itself are appended to the condition
            latent, with each block of f × f pixels as channels of one position. No gradient flows
            back through them; they are trained only by the loss on `with_logits`.
        gives_field: Whether the heads give fields of codes, which are appended instead.
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
        gives_field: bool = False,
    ) -> None:
        super().__init__(in_channels, filters, num_classes, supervised)
        self.skip = skip
        self.gives_field = gives_field
        self.factor = factor
        self.condition = nn.Sequential(
            nn.PixelUnshuffle(factor), nn.Conv2d(filters[0] * factor**2, condition_channels, 1)
        )

    def forward(self, image: Tensor) -> Tensor:
        """Image (N, channels, H, W) in [−1, 1] → condition latent (N, K, H/f, W/f).

        With the skip it has K + C·f² channels.
        """
        finest = self.features(image)[0]
        return self._condition(finest, self.output_block(finest) if self.skip else None)

    def with_logits(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The condition latent, and logits of the finest level and of the supervised ones."""
        features = self.features(image)
        logits = self.heads(features)
        return self._condition(features[0], logits[0]), logits

    def _condition(self, finest: Tensor, logits: Tensor | None) -> Tensor:
        condition = self.condition(finest)
        if not self.skip or logits is None:
            return condition
        own = logits.detach().float()
        own = limited(own) if self.gives_field else own.softmax(dim=1)
        own = functional.pixel_unshuffle(own, self.factor)
        return torch.cat([condition, own.to(condition.dtype)], dim=1)


def he_initialized(network: SegmentationUNet) -> SegmentationUNet:
    """The network with convolutions initialised as in nnU-Net (He et al. 2015), biases zero."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.kaiming_normal_(layer.weight, a=SLOPE)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    return network


def without_monai_names(name: str) -> str:
    """Convert a parameter name of MONAI's DynUNet, which wraps each convolution twice."""
    return name.replace(".conv.conv.", ".").replace(".conv.", ".")
