"""The preset of the compact family: label-map autoencoder first, then vision encoder and UNet.

All values are ours; those that were tried are in the training log of `head-neck-oar`.
"""

from __future__ import annotations

from ..diffusion.description import DiffusionDescription
from ..families.compact import CompactConfig
from .preset import InputChoice, Preset
from .settings import CompactSettings, LabelMapAutoencoderSettings

COMPACT = Preset(
    name="compact",
    summary="All structures in one step and one decode; z0 prediction with losses on the map.",
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
        timesteps=1000,  # as the paper's
        beta_start=0.0015,  # as the paper's
        beta_end=0.0155,  # as the paper's
        prediction="z0",  # a noise prediction would be amplified 38.7 times at t = T − 1
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
