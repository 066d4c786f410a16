"""Training of the published family: SDSeg's own losses over a frozen KL autoencoder.

Sources of the preset values: [paper] Lin et al., MICCAI 2024 (arXiv 2406.18361), with the part of
its method; [configuration] the settings that its authors published with the code; [kl-f8] and
[LDM] the published models of Rombach et al. 2022 whose weights initialise the training; [ours] our
own choice.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..datasets.cases import Case
from ..diffusion.description import DiffusionDescription
from ..errors import InputError, ModelError
from ..families.description import ModelDescription
from ..families.published import PublishedConfig, PublishedFamily
from ..language import tr
from ..models.lightning_checkpoint import read_tensors
from ..networks.kl_autoencoder import KLAutoencoderConfig
from ..networks.unet import UNetConfig
from ..volume.model_input import InputDescription
from .checkpoints import entries_below
from .losses import error_of_known
from .recipe import LatentRecipe, Weights, widened
from .settings import InputChoice, Preset, StageSettings, require
from .stage import Batch, Stage

FIRST_CONVOLUTION = "input_blocks.0.0.weight"
CLASS_EMBEDDING = "label_emb.weight"

Fusion = Literal["concatenation", "cross-attention"]


@dataclass(frozen=True, kw_only=True)
class KLAutoencoderSettings(StageSettings):
    """First stage of the published family, for when no trained autoencoder is given.

    Attributes:
        kl_weight: Weight of the Kullback-Leibler term relative to the reconstruction loss, both
            per value of the picture.
    """

    kl_weight: float = 1e-6


@dataclass(frozen=True, kw_only=True)
class PublishedSettings(StageSettings):
    """SDSeg's own training.

    Attributes:
        noise_loss: Between predicted and drawn noise: "l1" as published, or "l2", which diffusion
            models are commonly trained with (DDPM).
        noise_weight: Weight of that loss.
        latent_weight: Weight of the latent estimation loss, L1 between estimated and true latent;
            0 trains without latent estimation.
        train_vision_encoder: Off for a frozen vision encoder.
        fusion: How the condition enters the UNet.
        sample_latent: Draw z0 from the autoencoder's Gaussian instead of taking its mean.
        absent_share: Share of slices for which an absent class is sampled (multi-class only).
    """

    noise_loss: Literal["l1", "l2"] = "l1"
    noise_weight: float = 1.0
    latent_weight: float = 1.0
    train_vision_encoder: bool = True
    fusion: Fusion = "concatenation"
    sample_latent: bool = True
    absent_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self, "absent_share", 0 <= self.absent_share <= 1, tr("from 0 to 1"))
        require(self, "latent_weight", self.latent_weight >= 0, tr("0 or more"))
        require(
            self,
            "noise_weight",
            self.noise_weight + self.latent_weight > 0,
            tr("above 0 for one loss"),
        )


PUBLISHED = Preset(
    name="published",
    family="published",
    summary=tr(
        "SDSeg as published: noise loss and latent estimation over a frozen KL autoencoder."
    ),
    network=PublishedConfig(
        autoencoder=KLAutoencoderConfig(
            ch=128,  # [kl-f8]
            ch_mult=(1, 2, 4, 4),  # [kl-f8]: downsampling by 8
            num_res_blocks=2,  # [kl-f8]
            z_channels=4,  # [kl-f8]
            embed_dim=4,  # [kl-f8]
        ),
        unet=UNetConfig(
            model_channels=192,  # [LDM] for LSUN churches, whose weights the UNet begins with
            channel_mult=(1, 2, 2, 4, 4),  # [LDM]
            num_res_blocks=2,  # [LDM]
            attention_resolutions=(1, 2, 4, 8),  # [LDM]
            num_heads=8,  # [LDM]
            dropout=0.2,  # [configuration]
        ),
    ),
    diffusion=DiffusionDescription(
        timesteps=1000,  # [configuration]
        beta_start=0.0015,  # [configuration]
        beta_end=0.0155,  # [configuration]
        prediction="epsilon",  # [paper] latent estimation: from the predicted noise
    ),
    input=InputChoice(
        slice_offsets_mm=(0.0,),  # [paper] single slices; their size, 256 × 256, is the data set's
    ),
    # The paper uses kl-f8 (--init); this stage only runs without it. All its values are [ours].
    autoencoder=KLAutoencoderSettings(
        steps=20_000,
        batch=4,
        rate=1e-4,
        warm_up=500,
        ema_decay=0.999,
        kl_weight=1e-6,  # as [kl-f8] was trained
    ),
    training=PublishedSettings(
        steps=100_000,  # [configuration]
        batch=4,  # [configuration]
        rate=1e-5,  # [configuration]; times the slices of a step:
        scale_rate=True,  # [configuration]
        warm_up=10_000,  # [configuration]
        decay="constant",  # [configuration]
        weight_decay=0.01,  # [configuration]: AdamW's own
        gradient_clip=0.0,  # [configuration]: none
        ema_decay=0.9999,  # [LDM]
        ema_warm_up=True,  # [LDM]
        noise_loss="l1",  # [paper]
        noise_weight=1.0,  # [paper] latent estimation: both losses count the same
        latent_weight=1.0,  # [paper] latent estimation, equation 5
        train_vision_encoder=True,  # [paper] trainable vision encoder
        fusion="concatenation",  # [paper] concatenate latent fusion
        sample_latent=True,  # [LDM]
        absent_share=0.0,  # [configuration]: a class that is present, at random
        augment=True,  # [ours]
        log_every=50,  # [ours]
        checkpoint_minutes=15.0,  # [ours]
        validate_every=2_000,  # [ours]
    ),
)

# The same method at a size that a CPU trains in minutes; for tests, teaching and ablations.
PUBLISHED_TINY = replace(
    PUBLISHED,
    name="published-tiny",
    summary="The paper's method with tiny networks: minutes on a processor, to see that it works.",
    network=PublishedConfig(
        autoencoder=KLAutoencoderConfig(ch=32, ch_mult=(1, 1, 2), num_res_blocks=1),
        unet=UNetConfig(
            model_channels=64,
            channel_mult=(1, 2),
            num_res_blocks=1,
            attention_resolutions=(1, 2),
            num_heads=4,
            dropout=0.0,
        ),
    ),
    autoencoder=replace(
        PUBLISHED.autoencoder, steps=800, batch=4, rate=2e-3, warm_up=20, ema_decay=0.98
    ),
    training=replace(
        PUBLISHED.training,
        steps=3000,
        batch=4,
        rate=1e-3,
        scale_rate=False,
        warm_up=50,
        decay="cosine",
        gradient_clip=1.0,
        ema_decay=0.99,
        log_every=10,
        checkpoint_minutes=1.0,
        validate_every=0,
    ),
)


class KLAutoencoderStage(Stage):
    """Trains a KL autoencoder of binary maps, for when no kl-f8 weights are given.

    The paper uses kl-f8, a general autoencoder of photographs; this one is for binary maps only.
    """

    KEEPS_FAMILY = False

    family: PublishedFamily
    settings: KLAutoencoderSettings

    def __init__(self, family: PublishedFamily, settings: KLAutoencoderSettings) -> None:
        super().__init__(family, ("autoencoder",), settings)

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        autoencoder = self.family.autoencoder
        class_id, _ = draw_classes(
            batch["label_map"], torch.ones_like(batch["drawn"]), self.family.is_class_conditional
        )
        picture = self.family.class_picture(batch["label_map"], class_id)
        moments = autoencoder.encode_moments(picture).float()
        decoded = autoencoder.decode(gaussian_latent(moments, sample=True)).float()
        reconstruction = functional.l1_loss(decoded, picture)
        mean, log_variance = moments.chunk(2, dim=1)
        log_variance = log_variance.clamp(-30.0, 20.0)
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)
        divergence = divergence.sum(dim=(1, 2, 3)).mean() / picture[0].numel()
        total = reconstruction + self.settings.kl_weight * divergence
        return total, {"reconstruction": reconstruction, "divergence": divergence}


class PublishedStage(Stage):
    """Trains the UNet, and the vision encoder unless it is frozen (SDSeg).

    Args:
        family: Networks, with a trained autoencoder.
        settings: Budget, optimiser and the paper's switches.
        measure_scale: Take `scale_factor` from the first batch; off if it came with the weights.
    """

    family: PublishedFamily
    settings: PublishedSettings

    def __init__(
        self, family: PublishedFamily, settings: PublishedSettings, measure_scale: bool = True
    ) -> None:
        family.autoencoder.requires_grad_(False)
        family.vision_encoder.requires_grad_(settings.train_vision_encoder)
        trained = ("vision_encoder", "unet") if settings.train_vision_encoder else ("unet",)
        super().__init__(family, trained, settings)
        self._measure_scale = measure_scale

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        family, settings = self.family, self.settings
        class_id, known = draw_classes(
            batch["label_map"], batch["drawn"], family.is_class_conditional, settings.absent_share
        )
        z0 = self._latent(batch["label_map"], class_id)
        timestep = torch.randint(0, family.schedule.last_timestep + 1, (len(z0),), device=z0.device)
        noise = torch.randn_like(z0)
        z_t = family.schedule.add_noise(z0, noise, timestep)
        condition = family.condition(self.image(batch))
        prediction = family.predict(z_t, condition, timestep, class_id).float()
        kind = family.description.diffusion.prediction
        estimate = family.schedule.estimate_z0(prediction, z_t, timestep, kind)
        target = family.schedule.target(z0, noise, timestep, kind)
        parts = {
            "noise": error_of_known(prediction, target, known, settings.noise_loss),
            "latent": error_of_known(estimate, z0, known),
        }
        total = settings.noise_weight * parts["noise"]
        if settings.latent_weight:
            total = total + settings.latent_weight * parts["latent"]
        return total, parts

    @torch.no_grad()
    def _latent(self, label_map: Tensor, class_id: Tensor | None) -> Tensor:
        family = self.family
        moments = family.autoencoder.encode_moments(family.class_picture(label_map, class_id))
        latent = gaussian_latent(moments.float(), self.settings.sample_latent)
        if self._measure_scale and self.global_step == 0:
            self._measure_scale = False
            spread = self.trainer.strategy.broadcast(latent.std())
            family.scale_factor.copy_(1.0 / spread)
        return latent * family.scale_factor


def draw_classes(
    label_map: Tensor, drawn: Tensor, conditional: bool, absent_share: float = 0.0
) -> tuple[Tensor | None, Tensor]:
    """Sample a class for each slice, at random among those present in it.

    The binary map of a drawn class is correct even if other classes were not drawn. Only class 0,
    "anything but background", is unknown for a patient whose label map lacks a structure: a pixel
    without a label may belong to that structure. Class 0 is never sampled for such a patient; a
    slice of this patient without any structure has weight 0.

    Args:
        label_map: (N, H, W), 0 … C − 1.
        drawn: (N, C), true where the class is known.
        conditional: Whether the UNet takes a class; a UNet for a single structure does not.
        absent_share: Probability of sampling a known class that is absent, where there is one.

    Returns:
        Class ids (N,) or None, and a float (N,) of 1 where the binary map is known.
    """
    if not conditional:
        return None, drawn[:, 1].float()
    present = torch.zeros_like(drawn)
    present.scatter_(1, label_map.flatten(1).long(), True)
    known = drawn.clone()
    known[:, 0] = drawn.all(dim=1)
    choices = present & known
    absent = ~present & known
    absent[:, 0] = False
    if absent_share > 0:
        wanted = torch.rand(len(drawn), device=drawn.device) < absent_share
        take = absent.any(dim=1) & (wanted | ~choices.any(dim=1))
        choices = torch.where(take[:, None], absent, choices)
    usable = choices.any(dim=1)
    weights = torch.where(usable[:, None], choices, torch.ones_like(choices)).float()
    class_id = torch.multinomial(weights, 1)[:, 0]
    return class_id, usable.float()


def gaussian_latent(moments: Tensor, sample: bool) -> Tensor:
    """The mean of a latent Gaussian, or a sample of it.

    Args:
        moments: Mean and log variance, stacked (N, 2e, h, w).
        sample: Draw instead of taking the mean.
    """
    mean, log_variance = moments.chunk(2, dim=1)
    if not sample:
        return mean
    return mean + (0.5 * log_variance.clamp(-30.0, 20.0)).exp() * torch.randn_like(mean)


class PublishedRecipe(LatentRecipe):
    """Two stages; can start from published checkpoints: kl-f8, latent diffusion, SDSeg."""

    presets = (PUBLISHED, PUBLISHED_TINY)

    def fit_network(
        self, preset: Preset, seen: InputDescription, num_classes: int
    ) -> tuple[dict[str, Any], InputDescription, int]:
        """One window, repeated for the channels of the photograph autoencoder."""
        sizes = preset.network.autoencoder
        single = replace(seen, windows=seen.windows[:1], repeat=1)
        if sizes.in_channels % single.channels:
            raise InputError(
                tr(
                    "The published family sees {in_channels} channels, and {channels} slices or "
                    "colours cannot fill them; set input.slice_offsets_mm=0."
                ).format(in_channels=sizes.in_channels, channels=single.channels)
            )
        attends = preset.training.fusion == "cross-attention"
        latent, condition = sizes.embed_dim, sizes.z_channels
        unet = replace(
            preset.network.unet,
            in_channels=latent if attends else latent + condition,
            out_channels=latent,
            num_classes=num_classes if num_classes > 2 else None,
            context_channels=condition if attends else None,
        )
        network = replace(preset.network, unet=unet)
        repeated = replace(single, repeat=sizes.in_channels // single.channels)
        return network.to_json(), repeated, network.tile_factor

    def autoencoder_stage(self, family: PublishedFamily, settings: KLAutoencoderSettings) -> Stage:
        return KLAutoencoderStage(family, settings)

    def after_autoencoder(self, family: PublishedFamily, given: set[str]) -> None:
        """Initialise the vision encoder with the autoencoder's encoder, as with kl-f8."""
        if "vision_encoder" not in given:
            family.vision_encoder.load_state_dict(
                {f"encoder.{k}": v for k, v in family.autoencoder.encoder.state_dict().items()},
                strict=False,
            )

    def main_stage(
        self, family: PublishedFamily, settings: PublishedSettings, given: set[str]
    ) -> tuple[Stage, str]:
        return PublishedStage(family, settings, "scale_factor" not in given), "diffusion"

    def forward_latent(
        self, family: PublishedFamily, z_t: Tensor, condition: Tensor, timestep: Tensor
    ) -> object:
        class_id = timestep if family.is_class_conditional else None
        return family.predict(z_t, condition, timestep, class_id)

    def check_cases(self, cases: list[Case], description: ModelDescription) -> None:
        """Also require a case with all structures drawn, because background is a class itself."""
        super().check_cases(cases, description)
        everything = frozenset(item.label for item in description.structures)
        if len(everything) < 2 or any(everything <= case.drawn for case in cases):
            return
        raise InputError(
            tr(
                "In none of the cases to train on are all structures drawn, so none says what is "
                "background, which the published family learns as a class of its own. Train the "
                "compact family, or leave out structures that are seldom drawn."
            )
        )

    def begin_with_checkpoint(self, family: PublishedFamily, path: Path) -> set[str]:
        return _begin_with_checkpoint(family, path)


def _begin_with_checkpoint(family: PublishedFamily, path: Path) -> set[str]:
    tensors = read_tensors(path)
    given: set[str] = set()
    autoencoder = entries_below(tensors, "first_stage_model.") or tensors
    if "decoder.conv_in.weight" in autoencoder:
        _fit(family.autoencoder, autoencoder, path, "autoencoder")
        encoder = entries_below(autoencoder, "encoder.")
        _fit(family.vision_encoder.get_submodule("encoder"), encoder, path, tr("vision encoder"))
        given |= {"autoencoder", "vision_encoder"}
    unet = _unet(tensors)
    if unet:
        _fit_unet(family, unet, path)
        given.add("unet")
    condition = entries_below(tensors, "cond_stage_model.")
    if "encoder.conv_in.weight" in condition and "out.weight" in condition:
        _fit(family.vision_encoder, condition, path, tr("vision encoder"))
        given.add("vision_encoder")
        if "scale_factor" in tensors:
            family.scale_factor.copy_(tensors["scale_factor"])
            given.add("scale_factor")
    if not given:
        raise ModelError(
            tr(
                "{path} holds neither an autoencoder (decoder.*) nor a UNet "
                "(model.diffusion_model.*); give the checkpoint of kl-f8, of a latent diffusion "
                "model or of SDSeg."
            ).format(path=path)
        )
    return given


def _unet(tensors: Weights) -> Weights:
    """The UNet's averaged weights if the checkpoint has them, else its last ones."""
    weights = entries_below(tensors, "model.diffusion_model.")
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
    # An unconditional model has no cross-attention weights; these keep their initialisation.
    new = {name: value for name, value in own.items() if ".cross." in name}
    _fit(unet, {**new, **weights}, path, "UNet")


def _fit(module: nn.Module, weights: Weights, path: Path, what: str) -> None:
    """Load all tensors of a module; further tensors in the file are ignored."""
    own = module.state_dict()
    for name, value in own.items():
        if name not in weights:
            raise ModelError(
                tr("{path} lacks '{name}' of the {what}; its networks are of other form.").format(
                    path=path, name=name, what=what
                )
            )
        if weights[name].shape != value.shape:
            raise ModelError(
                tr(
                    "'{name}' of the {what} is {shape} in {path}, but these networks have "
                    "{expected}; set the sizes under network. accordingly."
                ).format(
                    name=name,
                    what=what,
                    shape=tuple(weights[name].shape),
                    path=path,
                    expected=tuple(value.shape),
                )
            )
    module.load_state_dict({name: weights[name].float() for name in own})


RECIPE = PublishedRecipe()
