"""Begin with published weights: kl-f8, a latent diffusion model, SDSeg, or a model folder."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from ..errors import ModelError
from ..families.base import SegmentationFamily
from ..families.compact import CompactFamily
from ..families.description import ModelDescription
from ..families.direct import DirectFamily
from ..families.published import PublishedFamily
from ..models.folder import load_family
from ..models.lightning_checkpoint import read_tensors
from ..networks.vision_unet import VisionUNet, from_deep_unet

log = logging.getLogger(__name__)

FIRST_CONVOLUTION = "input_blocks.0.0.weight"
CLASS_EMBEDDING = "label_emb.weight"
STEM = "vision_encoder.stem.1.weight"

Weights = dict[str, Tensor]
Channel = tuple[float, tuple[float, float]]  # what a channel shows: slice offset in mm, and window


def begin_with(family: SegmentationFamily, sources: Iterable[Path]) -> set[str]:
    """Load what each source has for the family's networks.

    A model folder gives all of its weights, also to a compact model that sees other context slices
    or windows, or has the encoder's skip; one of the plain U-Net gives its weights to a vision
    encoder that is one, too. A checkpoint (only tensors are read from it) is recognised by its
    names: kl-f8 gives the autoencoder and a copy of its encoder to the vision encoder, as in the
    paper; a latent diffusion model gives its UNet, whose first convolution is widened with zeros
    for the condition; SDSeg's own gives all of that.

    Args:
        family: To change; the published one, unless all sources are model folders.
        sources: Model folders and checkpoint files, the later ones having the last word.

    Returns:
        What was given: "autoencoder", "vision_encoder", "unet", "scale_factor", "network".

    Raises:
        ModelError: If a source has nothing for this family, or does not fit.
    """
    given: set[str] = set()
    for source in sources:
        if source.is_dir():
            given |= _from_folder(family, source)
        else:
            given |= _from_checkpoint(family, source)
        log.info("began with %s", source)
    return given


def _from_folder(family: SegmentationFamily, folder: Path) -> set[str]:
    other = load_family(folder)
    if isinstance(other, DirectFamily) and isinstance(family, CompactFamily):
        return _encoder_from_direct(family, other, folder)
    if other.description.family != family.description.family:
        raise ModelError(
            f"{folder} is of the {other.description.family} family and cannot begin one of the "
            f"{family.description.family} family."
        )
    state = {name: value for name, value in other.state_dict().items() if name != "stored_noise"}
    if STEM in state:
        before, after = (_channel_names(one.description) for one in (other, family))
        state[STEM] = rearranged(state[STEM], before, after)
    if isinstance(family, CompactFamily) and family.fusion is not None:
        state = with_skip(state, family)
    try:
        family.load_state_dict(state | {"stored_noise": family.stored_noise})
    except RuntimeError as error:
        raise ModelError(
            f"The weights of {folder} do not fit ({str(error).splitlines()[1].strip()}); choose "
            "the same sizes and structures."
        ) from error
    parts = {name.partition(".")[0] for name in state}
    return parts & {"autoencoder", "vision_encoder", "unet", "scale_factor", "network"}


def with_skip(state: Weights, family: CompactFamily) -> Weights:
    """Weights of a model without the encoder's skip, for one that has it: what is new is unused."""
    first = f"unet.{FIRST_CONVOLUTION}"
    new = {name: value for name, value in family.state_dict().items() if name.startswith("fusion.")}
    wide = widened(state[first], family.unet.config.in_channels)
    return {**new, **state, first: wide}


def _encoder_from_direct(family: CompactFamily, other: DirectFamily, folder: Path) -> set[str]:
    """The vision encoder begins as a plain U-Net that was trained by itself."""
    encoder = family.vision_encoder
    own = encoder.state_dict()
    if not isinstance(encoder, VisionUNet):
        raise ModelError(
            f"{folder} is a plain U-Net, and the vision encoder here is none; give it the same "
            "sizes with network.encoder_filters."
        )
    weights = from_deep_unet(other.network.state_dict())
    fits = {name: value for name, value in weights.items() if name in own}
    if any(own[name].shape != value.shape for name, value in fits.items()) or any(
        name not in fits for name in own if not name.startswith("condition.")
    ):
        raise ModelError(
            f"The plain U-Net of {folder} does not fit the vision encoder; choose the same "
            "network.encoder_filters, slices, windows and structures."
        )
    encoder.load_state_dict({**own, **fits})
    return {"vision_encoder"}


def _channel_names(description: ModelDescription) -> list[Channel]:
    seen = description.input
    return [(offset, window) for offset in seen.slice_offsets_mm for window in seen.windows]


def rearranged(weight: Tensor, before: list[Channel], after: list[Channel]) -> Tensor:
    """Weights (O, 4·C, h, w) behind a pixel-unshuffle by 2, for other context slices or windows.

    Channels that the earlier model did not see begin at zero: at first both models give the same.
    """
    each = weight.shape[1] // len(before)
    wide = weight.new_zeros(weight.shape[0], each * len(after), *weight.shape[2:])
    for new, name in enumerate(after):
        if name in before:
            old = before.index(name)
            wide[:, new * each : (new + 1) * each] = weight[:, old * each : (old + 1) * each]
    return wide


def _from_checkpoint(family: SegmentationFamily, path: Path) -> set[str]:
    if not isinstance(family, PublishedFamily):
        raise ModelError(
            f"{path} is a checkpoint file, and only the published family begins with one; name a "
            "model folder instead."
        )
    tensors = read_tensors(path)
    given: set[str] = set()
    autoencoder = _beginning(tensors, "first_stage_model.") or tensors
    if "decoder.conv_in.weight" in autoencoder:
        _fit(family.autoencoder, autoencoder, path, "autoencoder")
        encoder = _beginning(autoencoder, "encoder.")
        _fit(family.vision_encoder.get_submodule("encoder"), encoder, path, "vision encoder")
        given |= {"autoencoder", "vision_encoder"}
    unet = _unet(tensors)
    if unet:
        _fit_unet(family, unet, path)
        given.add("unet")
    condition = _beginning(tensors, "cond_stage_model.")
    if "encoder.conv_in.weight" in condition and "out.weight" in condition:
        _fit(family.vision_encoder, condition, path, "vision encoder")
        given.add("vision_encoder")
        if "scale_factor" in tensors:
            family.scale_factor.copy_(tensors["scale_factor"])
            given.add("scale_factor")
    if not given:
        raise ModelError(
            f"{path} holds neither an autoencoder (decoder.*) nor a UNet "
            "(model.diffusion_model.*); give the checkpoint of kl-f8, of a latent diffusion model "
            "or of SDSeg."
        )
    return given


def _beginning(tensors: Weights, prefix: str) -> Weights:
    return {
        name.removeprefix(prefix): value
        for name, value in tensors.items()
        if name.startswith(prefix)
    }


def _unet(tensors: Weights) -> Weights:
    """The UNet's averaged weights where there are some, else its last ones."""
    weights = _beginning(tensors, "model.diffusion_model.")
    return {
        name: tensors.get("model_ema." + f"diffusion_model.{name}".replace(".", ""), value)
        for name, value in weights.items()
    }


def _fit_unet(family: PublishedFamily, weights: Weights, path: Path) -> None:
    unet = family.unet
    wanted = unet.get_parameter(FIRST_CONVOLUTION)
    first = weights.get(FIRST_CONVOLUTION)
    if first is not None and first.ndim == 4:
        weights = {**weights, FIRST_CONVOLUTION: widened(first, wanted.shape[1])}
    own = unet.state_dict()
    if CLASS_EMBEDDING in own and CLASS_EMBEDDING not in weights:
        weights = {**weights, CLASS_EMBEDDING: own[CLASS_EMBEDDING]}
    # Cross-attention is new beside an unconditional model's weights and begins as it is.
    new = {name: value for name, value in own.items() if ".cross." in name}
    _fit(unet, {**new, **weights}, path, "UNet")


def widened(weight: Tensor, channels: int) -> Tensor:
    """A convolution's weight (O, I, h, w) for more input channels, which begin at zero.

    z_t comes first in cat(z_t, condition), so the new channels are the condition's.
    """
    missing = channels - weight.shape[1]
    if missing <= 0:
        return weight
    zeros = weight.new_zeros(weight.shape[0], missing, *weight.shape[2:])
    return torch.cat([weight, zeros], dim=1)


def _fit(module: nn.Module, weights: Weights, path: Path, what: str) -> None:
    """Load a whole module; names that it does not have are the file's own business."""
    own = module.state_dict()
    for name, value in own.items():
        if name not in weights:
            raise ModelError(
                f"{path} lacks '{name}' of the {what}; its networks are of other form."
            )
        if weights[name].shape != value.shape:
            raise ModelError(
                f"'{name}' of the {what} is {tuple(weights[name].shape)} in {path}, but these "
                f"networks have {tuple(value.shape)}; set the sizes under network. accordingly."
            )
    module.load_state_dict({name: weights[name].float() for name in own})
