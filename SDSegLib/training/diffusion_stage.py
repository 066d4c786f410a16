"""Second stage of the compact family: vision encoder and UNet, through the frozen autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor

from ..errors import InputError
from ..families.compact import CompactFamily
from ..networks.vision_unet import VisionUNet
from ..volume.slices import apply_windows
from .losses import deep_supervision, dice_and_cross_entropy, latent_l1, without_undrawn
from .settings import CompactSettings
from .stage import Batch, Stage


class DiffusionStage(Stage):
    """Latent estimation (SDSeg) with z0 prediction, plus losses on the decoded map.

    Args:
        family: The networks.
        settings: Budget, optimiser and weights of the losses.

    Raises:
        InputError: If the settings leave untrained what the networks build on.
    """

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
            else:  # several devices refuse weights that no loss depends on
                encoder.output_block.requires_grad_(False)
                encoder.deep_supervision_heads.requires_grad_(False)
                if encoder.skip and settings.train_vision_encoder:
                    raise InputError(
                        "training.encoder_weight is 0, so the vision encoder's own label map would "
                        "never be learnt; give it a weight or set network.encoder_skip=false."
                    )

    def losses(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
        family = self.family
        label_map, drawn = batch["label_map"], batch["drawn"]
        image = apply_windows(
            batch["image"], family.description.input.windows, family.description.input.repeat
        )
        with torch.no_grad():
            z0 = family.encode_label_map(label_map)
        timestep = self._timesteps(len(z0), z0.device)
        noise = torch.randn_like(z0)
        z_t = family.schedule.add_noise(z0, noise, timestep)
        condition, levels = self._condition(image)
        prediction = family.predict(z_t, condition, timestep)
        estimate = family.schedule.estimate_z0(
            prediction, z_t, timestep, family.description.diffusion.prediction
        )
        logits = family.autoencoder.decode(estimate).float()
        latent = latent_l1(estimate, z0, logits, drawn)
        decoded = self.criterion(without_undrawn(logits, drawn), label_map[:, None])
        total = decoded + self.settings.latent_weight * latent
        parts = {"latent": latent, "decoded": decoded}
        if family.fusion is not None:
            both = family.fusion(logits.detach(), condition).float()
            parts["fused"] = self.criterion(without_undrawn(both, drawn), label_map[:, None])
            total = total + parts["fused"]
        if self.supervised is not None:
            known = [without_undrawn(one.float(), drawn) for one in levels]
            parts["encoder"] = self.supervised(known, label_map[:, None].float())
            total = total + self.settings.encoder_weight * parts["encoder"]
        return total, parts

    def _condition(self, image: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The condition latent, and what the vision encoder says by itself if that is asked for."""
        encoder = self.family.vision_encoder
        if self.supervised is not None and isinstance(encoder, VisionUNet):
            return encoder.with_logits(image)
        return self.family.condition(image), []

    def _timesteps(self, count: int, device: torch.device) -> Tensor:
        last = self.family.schedule.last_timestep
        anywhere = torch.randint(0, last + 1, (count,), device=device)
        at_end = torch.rand(count, device=device) < self.settings.last_timestep_share
        return torch.where(at_end, last, anywhere)
