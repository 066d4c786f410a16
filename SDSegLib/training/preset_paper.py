"""Presets of the published family: the paper's own values, and a tiny form for a processor.

Where a value comes from: [paper] Lin et al., MICCAI 2024 (arXiv 2406.18361), with the part of its
method; [configuration] the settings that its authors published with the code; [kl-f8] and [LDM]
the published models of Rombach et al. 2022 whose weights the training begins with; [ours] our own.
"""

from __future__ import annotations

from dataclasses import replace

from ..diffusion.description import DiffusionDescription
from ..families.published import PublishedConfig
from ..networks.kl_autoencoder import KLAutoencoderConfig
from ..networks.unet import UNetConfig
from .preset import InputChoice, Preset
from .settings import KLAutoencoderSettings, PublishedSettings

PAPER = Preset(
    name="paper",
    summary="SDSeg as published: noise loss and latent estimation over a frozen KL autoencoder.",
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
        prediction="noise",  # [paper] latent estimation: from the predicted noise
    ),
    input=InputChoice(
        slice_offsets_mm=(0.0,),  # [paper] single slices; their size, 256 × 256, is the data set's
    ),
    # The paper takes kl-f8 (--init); this stage is only run without it. All of it is [ours].
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

# The same method at a size that a processor trains in minutes; for tests, teaching and ablations.
PAPER_TINY = replace(
    PAPER,
    name="paper-tiny",
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
        PAPER.autoencoder, steps=800, batch=4, rate=2e-3, warm_up=20, ema_decay=0.98
    ),
    training=replace(
        PAPER.training,
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
