"""SDSeg's own training: noise loss and latent estimation loss over a frozen KL autoencoder."""

from __future__ import annotations

import torch
from torch import Tensor

from ..families.published import PublishedFamily
from ..volume.slices import apply_windows
from .class_draw import draw_classes, gaussian_latent
from .losses import error_of_known
from .settings import PublishedSettings
from .stage import Batch, Stage


class PublishedStage(Stage):
    """Trains the UNet, and the vision encoder unless it is frozen (SDSeg).

    Args:
        family: With a trained autoencoder.
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
        image = apply_windows(
            batch["image"], family.description.input.windows, family.description.input.repeat
        )
        class_id, known = draw_classes(
            batch["label_map"], batch["drawn"], family.is_class_conditional, settings.absent_share
        )
        z0 = self._latent(batch["label_map"], class_id)
        timestep = torch.randint(0, family.schedule.last_timestep + 1, (len(z0),), device=z0.device)
        noise = torch.randn_like(z0)
        z_t = family.schedule.add_noise(z0, noise, timestep)
        condition = family.condition(image)
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
