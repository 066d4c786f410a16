"""Derive the sizes of the published networks from the shapes in an official checkpoint."""

from __future__ import annotations

import re
from collections.abc import Iterable

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..families.published import PublishedConfig
from ..language import tr
from ..networks.kl_autoencoder import KLAutoencoder, KLAutoencoderConfig, VisionEncoder
from ..networks.unet import DenoisingUNet, UNetConfig

Weights = dict[str, Tensor]


def published_sizes(
    autoencoder: Weights, vision_encoder: Weights, unet: Weights, *, num_heads: int
) -> PublishedConfig:
    """Sizes of networks into which all three state dicts fit exactly.

    Args:
        autoencoder: State dict of `KLAutoencoder`.
        vision_encoder: State dict of `VisionEncoder`.
        unet: State dict of `DenoisingUNet`.
        num_heads: Attention heads of the UNet; they cannot be derived from shapes.

    Raises:
        ModelError: If a parameter is missing, superfluous, or has an unexpected shape.
    """
    config = PublishedConfig(
        autoencoder=autoencoder_sizes(autoencoder), unet=unet_sizes(unet, num_heads)
    )
    with torch.device("meta"):
        _check_fit("autoencoder", KLAutoencoder(config.autoencoder), autoencoder)
        _check_fit(tr("vision encoder"), VisionEncoder(config.autoencoder), vision_encoder)
        _check_fit("UNet", DenoisingUNet(config.unet), unet)
    return config


def autoencoder_sizes(weights: Weights) -> KLAutoencoderConfig:
    """Sizes of the autoencoder that has these weights."""
    part = "autoencoder"
    conv_in = _shape(weights, "encoder.conv_in.weight", part)
    widths = [
        _shape(weights, f"encoder.down.{level}.block.0.conv1.weight", part)[0]
        for level in range(_count(weights, r"encoder\.down\.(\d+)\."))
    ]
    return KLAutoencoderConfig(
        ch=conv_in[0],
        ch_mult=_multiples(widths, conv_in[0], part),
        num_res_blocks=_count(weights, r"encoder\.down\.0\.block\.(\d+)\."),
        z_channels=_shape(weights, "decoder.conv_in.weight", part)[1],
        embed_dim=_shape(weights, "post_quant_conv.weight", part)[1],
        in_channels=conv_in[1],
        out_channels=_shape(weights, "decoder.conv_out.weight", part)[0],
    )


def unet_sizes(weights: Weights, num_heads: int) -> UNetConfig:
    """Sizes of the UNet that has these weights.

    Each level but the last has one decoder stage with a second residual block, so the number of
    levels is one more than the number of these blocks.
    """
    part = "UNet"
    conv_in = _shape(weights, "input_blocks.0.0.weight", part)
    levels = 1 + _count(
        weights, r"output_blocks\.(\d+)\.[1-9]\.in_layers\.2\.weight", distinct=True
    )
    stages = _count(weights, r"input_blocks\.(\d+)\.")
    if stages % levels or stages < 2 * levels:
        raise ModelError(
            tr(
                "The checkpoint's UNet has {stages} stages on {levels} levels, which is not the "
                "published form; only checkpoints of the published networks can be converted."
            ).format(stages=stages, levels=levels)
        )
    first_stages = [1 + level * (stages // levels) for level in range(levels)]
    widths = [
        _shape(weights, f"input_blocks.{stage}.0.in_layers.2.weight", part)[0]
        for stage in first_stages
    ]
    if num_heads < 1 or any(width % num_heads for width in widths):
        raise ModelError(
            tr(
                "{num_heads} attention heads do not divide the UNet's widths {widths}; give the "
                "number of heads the model was trained with (the published models have 8)."
            ).format(num_heads=num_heads, widths=widths)
        )
    labels = weights.get("label_emb.weight")
    return UNetConfig(
        in_channels=conv_in[1],
        out_channels=_shape(weights, "out.2.weight", part)[0],
        model_channels=conv_in[0],
        channel_mult=_multiples(widths, conv_in[0], part),
        num_res_blocks=stages // levels - 1,
        attention_resolutions=tuple(
            2**level
            for level, stage in enumerate(first_stages)
            if f"input_blocks.{stage}.1.qkv.weight" in weights
        ),
        num_heads=num_heads,
        num_classes=None if labels is None else len(labels),
    )


def _shape(weights: Weights, name: str, part: str) -> tuple[int, ...]:
    if name not in weights:
        raise ModelError(
            tr(
                "The checkpoint's {part} lacks '{name}', so it is incomplete or not of the "
                "published form; only checkpoints of the published networks can be converted."
            ).format(part=part, name=name)
        )
    shape = tuple(weights[name].shape)
    if len(shape) != 4:
        raise ModelError(
            tr("'{name}' of the checkpoint's {part} has shape {shape}, not 4 axes.").format(
                name=name, part=part, shape=shape
            )
        )
    return shape


def _count(weights: Iterable[str], pattern: str, distinct: bool = False) -> int:
    """Values of the pattern's group: one more than the largest, or their number."""
    found = {int(match[1]) for match in (re.match(pattern, name) for name in weights) if match}
    return len(found) if distinct else max(found, default=-1) + 1


def _multiples(widths: list[int], base: int, part: str) -> tuple[int, ...]:
    if not widths or any(width % base for width in widths):
        raise ModelError(
            tr(
                "The widths {widths} of the checkpoint's {part} are not multiples of {base}; "
                "only checkpoints of the published networks can be converted."
            ).format(widths=widths, part=part, base=base)
        )
    return tuple(width // base for width in widths)


def _check_fit(part: str, network: nn.Module, weights: Weights) -> None:
    expected = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    found = {name: tuple(value.shape) for name, value in weights.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise ModelError(
                tr(
                    "The checkpoint's {part} does not have the published form: '{name}' is "
                    "{found} and should be {expected}."
                ).format(
                    part=part,
                    name=name,
                    found=found.get(name, tr("missing")),
                    expected=expected.get(name, tr("absent")),
                )
            )
