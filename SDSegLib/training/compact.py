"""Training of the compact family: label-map autoencoder first, then vision encoder and UNet.

All values of the preset are ours; those that were tried are in the training log of `head-neck-oar`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..diffusion.description import DiffusionDescription
from ..errors import InputError, ModelError
from ..families.compact import CompactConfig, CompactFamily
from ..families.description import ModelDescription
from ..families.direct import DirectFamily
from ..families.foundation import HEADS, FoundationFamily
from ..language import tr
from ..models.folder import load_networks
from ..networks.codes import LENGTH
from ..networks.compact import LabelMapAutoencoder, one_hot
from ..networks.segmentation_unet import VisionUNet
from ..volume.model_input import InputDescription
from .losses import deep_supervision, dice_and_cross_entropy, latent_l1, without_undrawn
from .recipe import LatentRecipe, Weights, sizes_to_json, widened, with_more_rows
from .settings import InputChoice, Preset, StageSettings, require
from .stage import Batch, Stage

MAGNITUDE_WEIGHT = 1e-3
STATISTICS_MOMENTUM = 0.02
STEM = "vision_encoder.stem.1.weight"
FIRST_CONVOLUTION = "unet.input_blocks.0.0.weight"

Channel = tuple[float, tuple[float, float]]
"""Content of an input channel: slice offset in mm, and window."""


@dataclass(frozen=True, kw_only=True)
class LabelMapAutoencoderSettings(StageSettings):
    """First stage of the compact family.

    Attributes:
        latent_noise: Standard deviation of noise added to the latent, relative to that of the
            latent itself; it makes the decoder robust to small errors of the UNet.
        further: Whether an autoencoder that the initial weights bring is trained further, as one
            is for structures that are new.
    """

    latent_noise: float = 0.05
    further: bool = False


@dataclass(frozen=True, kw_only=True)
class CompactSettings(StageSettings):
    """Second stage of the compact family.

    Attributes:
        last_timestep_share: Share of slices at t = T − 1, the timestep used for inference; the
            others are uniform over 0 … T − 1.
        latent_weight: Weight of the latent estimation loss beside Dice and cross-entropy of the
            decoded label map.
        encoder_weight: Weight of Dice and cross-entropy of the vision encoder's own logits at
            several levels (deep supervision), if the vision encoder is a U-Net.
        train_vision_encoder: Off to freeze the vision encoder at its initial weights.
        train_decoder: Whether the label-map decoder is trained further, on estimated latents.
    """

    last_timestep_share: float = 0.7
    latent_weight: float = 0.5
    encoder_weight: float = 1.0
    train_vision_encoder: bool = True
    train_decoder: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "last_timestep_share", 0 <= self.last_timestep_share <= 1, tr("from 0 to 1"))
        for name in ("latent_weight", "encoder_weight"):
            require(self, name, getattr(self, name) >= 0, tr("0 or more"))


COMPACT = Preset(
    name="compact",
    family="compact",
    summary=tr("All structures in one step and one decode; z0 prediction with losses on the map."),
    network=CompactConfig(
        factor=4,
        latent_channels=8,
        autoencoder_channels=64,
        autoencoder_blocks=2,
        encoder_filters=(28, 56, 112, 224, 320),
        encoder_supervised=2,
        encoder_skip=True,
        condition_channels=64,
        unet_channels=32,
        unet_mult=(1, 2, 3),
        unet_blocks=1,
        unet_attention=(4,),
        unet_heads=4,
        dropout=0.1,
    ),
    diffusion=DiffusionDescription(
        timesteps=1000,  # as in the paper
        beta_start=0.0015,  # as in the paper
        beta_end=0.0155,  # as in the paper
        prediction="sample",  # an epsilon prediction would be amplified 38.7 times at t = T − 1
    ),
    input=InputChoice(
        slice_offsets_mm=(-30.0, -12.0, -6.0, -3.0, 0.0, 3.0, 6.0, 12.0, 30.0),
    ),
    autoencoder=LabelMapAutoencoderSettings(
        steps=2300,
        batch=32,
        rate=2e-3,
        warm_up=200,
        weight_decay=0.0,
        ema_decay=0.99,
        latent_noise=0.05,
        seed=1,
    ),
    training=CompactSettings(
        steps=3000,
        batch=16,
        rate=8e-4,
        warm_up=200,
        weight_decay=0.01,
        ema_decay=0.998,
        last_timestep_share=0.7,
        latent_weight=0.5,
        validate_every=250,
        seed=2,
    ),
)

COMPACT_CODES = replace(
    COMPACT,
    name="compact-codes",
    summary="The same with a code for each structure, so that any number of them costs the same.",
    network=replace(COMPACT.network, codes=LENGTH),
    autoencoder=None,
)


class LabelMapAutoencoderStage(Stage):
    """Trains the label-map autoencoder; stores mean and standard deviation of the latent (buffers).

    Structures that were not drawn need no mask here: the autoencoder treats them as background, and
    the second stage excludes them from its losses.
    """

    KEEPS_FAMILY = False

    family: CompactFamily
    settings: LabelMapAutoencoderSettings

    def __init__(self, family: CompactFamily, settings: LabelMapAutoencoderSettings) -> None:
        super().__init__(family, ("autoencoder",), settings)
        self.criterion = dice_and_cross_entropy()

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        autoencoder = self._autoencoder
        label_map = batch["label_map"]
        raw = autoencoder.encoder(one_hot(label_map, self.family.num_classes))
        self._track(raw.detach().float())
        spread = raw.detach().std(dim=(0, 2, 3), keepdim=True)
        noisy = raw + self.settings.latent_noise * spread * torch.randn_like(raw)
        logits = autoencoder.decoder(noisy).float()
        reconstruction = self.criterion(logits, label_map[:, None])
        magnitude = raw.float().square().mean()
        return reconstruction + MAGNITUDE_WEIGHT * magnitude, {
            "reconstruction": reconstruction,
            "magnitude": magnitude,
        }

    def _track(self, raw: Tensor) -> None:
        """Update the running mean and standard deviation by channel, which standardise latents."""
        share = (
            1.0 if self.global_step == 0 else max(STATISTICS_MOMENTUM, 1 / (self.global_step + 1))
        )
        mean = raw.mean(dim=(0, 2, 3), keepdim=True)
        std = raw.std(dim=(0, 2, 3), keepdim=True)
        self._autoencoder.latent_mean.lerp_(mean, share)
        self._autoencoder.latent_std.lerp_(std, share)

    @property
    def _autoencoder(self) -> LabelMapAutoencoder:
        autoencoder = self.family.autoencoder
        assert isinstance(autoencoder, LabelMapAutoencoder)
        return autoencoder


class DiffusionStage(Stage):
    """Trains vision encoder and UNet through the frozen autoencoder.

    Latent estimation (SDSeg) with z0 prediction, plus losses on the decoded map.

    Args:
        family: The networks.
        settings: Budget, optimiser and weights of the losses.

    Raises:
        InputError: If the settings would leave a required network untrained.
    """

    FOR_ADAMW = (
        "vision_encoder.output_block",
        "vision_encoder.deep_supervision_heads",
        "unet.input_blocks.0",
        "unet.out",
    )

    family: CompactFamily
    settings: CompactSettings

    def __init__(self, family: CompactFamily, settings: CompactSettings) -> None:
        family.autoencoder.requires_grad_(False)
        family.vision_encoder.requires_grad_(settings.train_vision_encoder)
        family.autoencoder.decoder.requires_grad_(settings.train_decoder)
        trained = [
            *(["vision_encoder"] if settings.train_vision_encoder else []),
            "unet",
            *(["autoencoder"] if settings.train_decoder else []),
            *(["fusion"] if family.fusion is not None else []),
        ]
        super().__init__(family, tuple(trained), settings)
        self.criterion = dice_and_cross_entropy()
        self.supervised = None
        encoder = family.vision_encoder
        is_supervised = settings.train_vision_encoder and settings.encoder_weight > 0
        if isinstance(encoder, VisionUNet):
            if is_supervised:
                self.supervised = deep_supervision(len(encoder.deep_supervision_heads) + 1)
            else:  # training on several devices fails if no loss depends on a weight
                encoder.output_block.requires_grad_(False)
                encoder.deep_supervision_heads.requires_grad_(False)
                if encoder.skip and settings.train_vision_encoder:
                    raise InputError(
                        tr(
                            "training.encoder_weight is 0, so the vision encoder's own label map "
                            "would never be learnt; give it a weight or set "
                            "network.encoder_skip=false."
                        )
                    )

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        family = self.family
        label_map, drawn = batch["label_map"], batch["drawn"]
        with torch.no_grad():
            z0 = family.encode_label_map(label_map)
        timestep = self._timesteps(len(z0), z0.device)
        noise = torch.randn_like(z0)
        z_t = family.schedule.add_noise(z0, noise, timestep)
        condition, levels = self._condition(self.image(batch))
        prediction = family.predict(z_t, condition, timestep)
        estimate = family.schedule.estimate_z0(
            prediction, z_t, timestep, family.description.diffusion.prediction
        )
        given = family.autoencoder.decode(estimate).float()
        logits = family.class_logits(given).float()
        latent = latent_l1(estimate, z0, logits, drawn)
        decoded = self.criterion(without_undrawn(logits, drawn), label_map[:, None])
        total = decoded + self.settings.latent_weight * latent
        parts = {"latent": latent, "decoded": decoded}
        if family.fusion is not None:
            both = family.class_logits(family.fusion(given.detach(), condition)).float()
            parts["fused"] = self.criterion(without_undrawn(both, drawn), label_map[:, None])
            total = total + parts["fused"]
        if self.supervised is not None:
            known = [without_undrawn(family.class_logits(one).float(), drawn) for one in levels]
            parts["encoder"] = self.supervised(known, label_map[:, None].float())
            total = total + self.settings.encoder_weight * parts["encoder"]
        return total, parts

    def _condition(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The condition latent, and the vision encoder's own logits if they are supervised."""
        encoder = self.family.vision_encoder
        if self.supervised is not None and isinstance(encoder, VisionUNet):
            return encoder.with_logits(image)
        return self.family.condition(image), []

    def _timesteps(self, count: int, device: torch.device) -> Tensor:
        last = self.family.schedule.last_timestep
        anywhere = torch.randint(0, last + 1, (count,), device=device)
        at_end = torch.rand(count, device=device) < self.settings.last_timestep_share
        return torch.where(at_end, last, anywhere)


class CompactRecipe(LatentRecipe):
    """Two stages; can start from compact models with other inputs, and from a `direct` U-Net."""

    presets = (COMPACT, COMPACT_CODES)

    def fit_network(
        self, preset: Preset, seen: InputDescription, num_classes: int
    ) -> tuple[dict[str, Any], InputDescription, int]:
        return sizes_to_json(preset.network), seen, preset.network.tile_factor

    def autoencoder_stage(
        self, family: CompactFamily, settings: LabelMapAutoencoderSettings
    ) -> Stage:
        return LabelMapAutoencoderStage(family, settings)

    def main_stage(
        self, family: CompactFamily, settings: CompactSettings, given: set[str]
    ) -> tuple[Stage, str]:
        return DiffusionStage(family, settings), "diffusion"

    def forward_latent(
        self, family: CompactFamily, z_t: Tensor, condition: Tensor, timestep: Tensor
    ) -> object:
        return family.decode(family.predict(z_t, condition, timestep), condition)

    def begin_with_folder(self, family: CompactFamily, folder: Path) -> set[str]:
        other = load_networks(folder)
        if isinstance(other, DirectFamily):
            return _encoder_from_direct(family, other, folder)
        if isinstance(other, FoundationFamily) and isinstance(family.vision_encoder, VisionUNet):
            own = family.vision_encoder.state_dict()
            family.vision_encoder.load_state_dict(other.start_of(own, folder))
            return {"vision_encoder"}
        return super().begin_with_folder(family, folder)

    def adapt(self, state: Weights, other: CompactFamily, family: CompactFamily) -> Weights:
        if STEM in state:
            before, after = (_channels(one.description) for one in (other, family))
            state = {**state, STEM: rearranged(state[STEM], before, after)}
        own = family.state_dict()
        if family.config.codes != other.config.codes:
            raise ModelError(
                tr(
                    "{model} has network.codes={codes} and cannot begin a model with "
                    "network.codes={wanted}; give both the same."
                ).format(
                    model=other.description.name,
                    codes=other.config.codes,
                    wanted=family.config.codes,
                )
            )
        if family.config.codes is None and family.num_classes > other.num_classes:
            state = _with_more_classes(state, own, family)
        if family.fusion is None:
            return state
        new = {name: value for name, value in own.items() if name.startswith("fusion.")}
        wide = widened(state[FIRST_CONVOLUTION], family.unet.config.in_channels)
        return {**new, **state, FIRST_CONVOLUTION: wide}


def _with_more_classes(state: Weights, own: Weights, family: CompactFamily) -> Weights:
    """Weights of a model with fewer classes; those of new classes begin at zero."""
    encoder = "autoencoder.encoder.1.weight"
    decoder = [name for name in state if name.startswith(_last_layer_of_decoder(own))]
    heads = [name for name in state if name.removeprefix("vision_encoder.").startswith(HEADS)]
    state = with_more_rows(state, own, heads)
    state = with_more_rows(state, own, decoder, family.config.factor**2)
    return {**state, encoder: widened(state[encoder], own[encoder].shape[1])}


def _last_layer_of_decoder(own: Weights) -> str:
    numbers = [int(n.split(".")[2]) for n in own if n.startswith("autoencoder.decoder.")]
    return f"autoencoder.decoder.{max(numbers)}."


def _encoder_from_direct(family: CompactFamily, other: DirectFamily, folder: Path) -> set[str]:
    """Initialise the vision encoder with a plain U-Net that was trained on its own."""
    encoder = family.vision_encoder
    if not isinstance(encoder, VisionUNet):
        raise ModelError(
            tr(
                "{folder} is a plain U-Net, and the vision encoder here is none; give it the "
                "same sizes with network.encoder_filters."
            ).format(folder=folder)
        )
    own = encoder.state_dict()
    given = {k: v for k, v in other.network.state_dict().items() if k in own}
    if any(own[name].shape != value.shape for name, value in given.items()) or any(
        name not in given for name in own if not name.startswith("condition.")
    ):
        raise ModelError(
            tr(
                "The plain U-Net of {folder} does not fit the vision encoder; choose the same "
                "network.encoder_filters, slices, windows and structures."
            ).format(folder=folder)
        )
    encoder.load_state_dict({**own, **given})
    return {"vision_encoder"}


def _channels(description: ModelDescription) -> list[Channel]:
    seen = description.input
    return [(offset, window) for offset in seen.slice_offsets_mm for window in seen.windows]


def rearranged(weight: Tensor, before: list[Channel], after: list[Channel]) -> Tensor:
    """Weights (O, 4·C, h, w) behind a pixel-unshuffle by 2, for other context slices or windows.

    Weights of channels that the earlier model did not have are zero, so both models initially give
    the same output.
    """
    each = weight.shape[1] // len(before)
    wide = weight.new_zeros(weight.shape[0], each * len(after), *weight.shape[2:])
    for new, name in enumerate(after):
        if name in before:
            old = before.index(name)
            wide[:, new * each : (new + 1) * each] = weight[:, old * each : (old + 1) * each]
    return wide


RECIPE = CompactRecipe()
