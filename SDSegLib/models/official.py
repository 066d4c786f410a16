"""Convert an official SDSeg checkpoint to a model of the published family."""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..diffusion.description import DiffusionDescription
from ..errors import ModelError
from ..families.description import ModelDescription
from ..language import tr
from ..volume.expectation import Expectation
from ..volume.model_input import InputDescription
from ..volume.orientation import is_axes
from ..volume.structure import Structure
from .lightning_checkpoint import read_tensors
from .official_sizes import published_sizes

logger = logging.getLogger(__name__)

# Training and test of the reference code both map HU to [-1, 1] as 2 · (HU + 125) / 400 - 1; they
# differ only in the clipping. Test clips to this window.
BTCV_WINDOW = (-125.0, 275.0)

# A slice of the reference code is nibabel's array[:, :, k], so its rows follow the file's first
# axis and its columns the second. BTCV files are stored with x to the left and y to the front
# (nibabel "LAS"), so columns increase towards A, rows towards L and slices towards S.
BTCV_AXES = "ALS"

# The reference code resizes each 512 × 512 slice to the tile, regardless of its spacing; BTCV
# slices have 0.59 to 0.98 mm, so a tile pixel corresponds to 1.2 to 2.0 mm.
BTCV_SPACING = (1.5, 1.5)


@dataclass(frozen=True, eq=False)
class OfficialCheckpoint:
    """Content of an official checkpoint, with the names of this package.

    Attributes:
        network: Content of `network` in `model.json`.
        diffusion: Schedule, read from the checkpoint's betas.
        state_dict: Of `PublishedFamily` without `stored_noise`, whose size depends on the tile's.
        num_classes: Classes with background; 2 if the UNet is not class-conditional.
        used_ema: Whether the UNet's weights are the running averages.
    """

    network: dict[str, Any]
    diffusion: DiffusionDescription
    state_dict: dict[str, Tensor]
    num_classes: int
    used_ema: bool


def load_official(path: Path, *, num_heads: int = 8) -> OfficialCheckpoint:
    """Read an official checkpoint; no code that its pickle refers to is run.

    Args:
        path: The Lightning `.ckpt` file.
        num_heads: Attention heads of the UNet, which cannot be derived from its weights.

    Raises:
        ModelError: If the file is not such a checkpoint, is damaged, or is incomplete.
    """
    path = Path(path)
    tensors = read_tensors(path)
    unet, used_ema = _unet(tensors, path)
    autoencoder = _part(tensors, "first_stage_model.", path, leave_out="loss.")
    vision_encoder = _vision_encoder(tensors, path)
    config = published_sizes(autoencoder, vision_encoder, unet, num_heads=num_heads)
    state_dict = {
        f"{module}.{name}": value.detach().float()
        for module, weights in (
            ("autoencoder", autoencoder),
            ("vision_encoder", vision_encoder),
            ("unet", unet),
        )
        for name, value in weights.items()
    }
    for name, value in state_dict.items():
        if not torch.isfinite(value).all():
            raise ModelError(
                tr("'{name}' in {path} has values that are not numbers; copy it again.").format(
                    name=name, path=path
                )
            )
    state_dict["scale_factor"] = torch.tensor(_scale_factor(tensors, path))
    return OfficialCheckpoint(
        network=config.to_json(),
        diffusion=_schedule(tensors, path),
        state_dict=state_dict,
        num_classes=config.unet.num_classes or 2,
        used_ema=used_ema,
    )


def official_description(
    checkpoint: OfficialCheckpoint,
    structures: tuple[Structure, ...],
    *,
    name: str,
    title: str,
    summary: str,
    version: str = "1",
    license: str = "",
    size: tuple[int, int] = (256, 256),
    window: tuple[float, float] = BTCV_WINDOW,
    axes: str = BTCV_AXES,
    spacing: tuple[float, float] | None = BTCV_SPACING,
    expects: Expectation | None = None,
    training: dict[str, Any] | None = None,
) -> ModelDescription:
    """Describe a converted checkpoint; values that are not in the file default to those of BTCV.

    Args:
        checkpoint: Result of `load_official`.
        structures: Labels 1 … N in the order of the classes it was trained on.
        name: Folder and command-line name.
        title: Display name.
        summary: One sentence on what it segments.
        version: Version of the weights.
        license: SPDX identifier of the license of the weights.
        size: Rows and columns of a tile.
        window: HU mapped to −1 and 1.
        axes: Patient directions in which columns, rows and slices of a tile increase. For slices
            `array[:, :, k]` of a file with nibabel's axis codes abc this is "bac"; check the codes
            of a training volume with `nibabel.aff2axcodes`.
        spacing: Row and column spacing of a tile in mm; None keeps that of each volume.
        expects: Modality and region; CT of the abdomen if not given.
        training: Data and citation, for the model card.

    Raises:
        ModelError: If the structures, axes, size or window do not fit.
    """
    if len(structures) != checkpoint.num_classes - 1:
        raise ModelError(
            tr(
                "The checkpoint segments {num_classes} structures, but {count} are named; name "
                "them all, in the order of its classes."
            ).format(num_classes=checkpoint.num_classes - 1, count=len(structures))
        )
    if not is_axes(axes):
        raise ModelError(
            tr("The axes {axes!r} do not name three patient directions, like 'ALS'.").format(
                axes=axes
            )
        )
    if window[0] >= window[1]:
        raise ModelError(
            tr("The window {window} HU is empty; give it as low, high.").format(window=window)
        )
    factor = 2 ** (len(checkpoint.network["autoencoder"]["ch_mult"]) - 1)
    unet_factor = factor * 2 ** (len(checkpoint.network["unet"]["channel_mult"]) - 1)
    if any(side < unet_factor or side % unet_factor for side in size):
        raise ModelError(
            tr(
                "The tile size {rows} × {columns} is not a multiple of {unet_factor} pixels, "
                "which these networks need."
            ).format(rows=size[0], columns=size[1], unet_factor=unet_factor)
        )
    description = ModelDescription(
        name=name,
        title=title,
        version=version,
        family="published",
        summary=summary,
        network=checkpoint.network,
        diffusion=checkpoint.diffusion,
        input=InputDescription(
            size=size,
            spacing=spacing,
            axes=axes,
            windows=(window,),
            repeat=checkpoint.network["autoencoder"]["in_channels"],
        ),
        structures=structures,
        expects=Expectation("CT", "abdomen") if expects is None else expects,
        training={} if training is None else training,
        license=license,
    )
    return ModelDescription.from_json(
        description.to_json(), where=tr("the description of '{name}'").format(name=name)
    )


def convert(
    path: Path, structures: tuple[Structure, ...], *, num_heads: int = 8, **described: Any
) -> tuple[ModelDescription, dict[str, Tensor]]:
    """Description and complete `PublishedFamily` state dict of an official checkpoint.

    Args:
        path: The Lightning `.ckpt` file.
        structures: Labels 1 … N in the order of the classes it was trained on.
        num_heads: Attention heads of the UNet.
        described: `name`, `title`, `summary` and other arguments of `official_description`.

    Raises:
        ModelError: As `load_official` and `official_description`.
    """
    checkpoint = load_official(path, num_heads=num_heads)
    description = official_description(checkpoint, structures, **described)
    sizes = checkpoint.network["autoencoder"]
    factor = 2 ** (len(sizes["ch_mult"]) - 1)
    shape = (sizes["embed_dim"], *(side // factor for side in description.input.size))
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    return description, {**checkpoint.state_dict, "stored_noise": noise}


def _part(
    tensors: dict[str, Tensor], prefix: str, path: Path, leave_out: str | None = None
) -> dict[str, Tensor]:
    part = {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix) and not (leave_out and name.startswith(prefix + leave_out))
    }
    if not part:
        raise ModelError(
            tr(
                "{path} has no '{prefix}*', so it is not a checkpoint of SDSeg; choose the "
                ".ckpt file that SDSeg's training wrote."
            ).format(path=path, prefix=prefix)
        )
    return part


def _unet(tensors: dict[str, Tensor], path: Path) -> tuple[dict[str, Tensor], bool]:
    """The UNet's averaged weights, or with a warning its last weights."""
    raw = _part(tensors, "model.diffusion_model.", path)
    averages = {
        name: tensors.get("model_ema." + f"diffusion_model.{name}".replace(".", "")) for name in raw
    }
    found = {name: value for name, value in averages.items() if value is not None}
    if not found:
        logger.warning(
            "%s has no averaged weights (model_ema); the last weights are used, which segment "
            "less well",
            path,
        )
        return raw, False
    if len(found) < len(raw):
        missing = next(name for name in raw if name not in found)
        raise ModelError(
            tr(
                "{path} lacks the averaged weights (model_ema) of '{missing}', so it is "
                "incomplete; copy it again."
            ).format(path=path, missing=missing)
        )
    return found, True


def _vision_encoder(tensors: dict[str, Tensor], path: Path) -> dict[str, Tensor]:
    """The condition encoder at any nesting level: an encoder and its 1×1 convolution.

    Recognised names are `P.encoder.*` with `P.out`, and `P.*` with `P.out` or `P.quant_conv`.
    """
    end = "conv_in.weight"
    candidates = [
        name.removesuffix(end)
        for name in tensors
        if name.endswith("." + end) and not name.startswith("first_stage_model.")
    ]
    candidates = [prefix for prefix in candidates if not prefix.endswith("decoder.")]
    if len(candidates) != 1:
        shown = ", ".join(f"'{prefix}*'" for prefix in candidates) or tr("none")
        raise ModelError(
            tr(
                "{path} should have one condition encoder beside the autoencoder, such as "
                "'cond_stage_model.encoder.*'; found: {shown}."
            ).format(path=path, shown=shown)
        )
    encoder = candidates[0]
    beside = encoder.removesuffix("encoder.")
    for out in (f"{beside}out.", f"{beside}quant_conv."):
        if out + "weight" in tensors:
            break
    else:
        raise ModelError(
            tr(
                "{path} lacks '{beside}out.weight', the last convolution of the condition "
                "encoder; only checkpoints of SDSeg with its vision encoder can be converted."
            ).format(path=path, beside=beside)
        )
    weights = {
        f"encoder.{name.removeprefix(encoder)}": value
        for name, value in tensors.items()
        if name.startswith(encoder) and not name.startswith(out)
    }
    return weights | {
        f"out.{name.removeprefix(out)}": value
        for name, value in tensors.items()
        if name.startswith(out)
    }


def _scale_factor(tensors: dict[str, Tensor], path: Path) -> float:
    if "scale_factor" not in tensors:
        raise ModelError(
            tr(
                "{path} has no 'scale_factor', without which its latents cannot be decoded; "
                "SDSeg saves it with every checkpoint, so use the original file."
            ).format(path=path)
        )
    stored = tensors["scale_factor"]
    value = stored.item() if stored.numel() == 1 else math.nan
    if not (math.isfinite(value) and value > 0):
        raise ModelError(
            tr("The 'scale_factor' in {path} is {value}, not a number above 0.").format(
                path=path, value=value
            )
        )
    return value


def _schedule(tensors: dict[str, Tensor], path: Path) -> DiffusionDescription:
    """Schedule of the checkpoint's betas, which must be linear in their square roots."""
    if "betas" not in tensors:
        logger.warning("%s has no betas; the published schedule is assumed", path)
        return DiffusionDescription()
    betas = tensors["betas"].double()
    if betas.ndim != 1 or len(betas) < 2 or not ((betas > 0) & (betas < 1)).all():
        raise ModelError(
            tr("The betas in {path} are not a noise schedule; copy it again.").format(path=path)
        )
    first, last = (float(f"{value:.6g}") for value in (betas[0].item(), betas[-1].item()))
    expected = torch.linspace(first**0.5, last**0.5, len(betas), dtype=torch.float64) ** 2
    if not torch.allclose(betas, expected, rtol=1e-4, atol=0.0):
        raise ModelError(
            tr(
                "The betas in {path} are not linear in their square roots, the only schedule "
                "that SDSeg knows; it cannot be converted."
            ).format(path=path)
        )
    return DiffusionDescription(
        timesteps=len(betas), beta_start=first, beta_end=last, prediction="epsilon"
    )
