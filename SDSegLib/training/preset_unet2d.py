"""The preset of the direct family: a plain 2-D U-Net, to compare the compact family with.

Slices, augmentation, steps, batch, warm-up and averaging are those of the compact preset, and the
operations a slice are as many within a few percent (`sdseg cost`). Blocks, initialisation and deep
supervision are nnU-Net's (Isensee et al. 2021) as MONAI has them.
"""

from __future__ import annotations

from ..networks.deep_unet import DeepUNetConfig
from .preset import Preset
from .preset_compact import COMPACT
from .settings import DirectSettings

UNET2D = Preset(
    name="unet2d",
    summary="A plain 2-D U-Net with deep supervision, without diffusion: the rival.",
    network=DeepUNetConfig(filters=(28, 56, 112, 224, 320), supervised=2),
    input=COMPACT.input,
    autoencoder=None,
    training=DirectSettings(
        steps=COMPACT.training.steps,
        batch=COMPACT.training.batch,
        rate=1e-3,
        warm_up=COMPACT.training.warm_up,
        weight_decay=COMPACT.training.weight_decay,
        ema_decay=COMPACT.training.ema_decay,
        validate_every=COMPACT.training.validate_every,
        seed=COMPACT.training.seed,
    ),
)
