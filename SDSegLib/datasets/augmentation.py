"""How training samples are varied, by MONAI's transforms: slices of CT, and pictures."""

from __future__ import annotations

from typing import Any

from torch import Tensor

# The noise below is for a window this wide; others see as much of it in their own values.
WIDTH_HU = 400.0
NOISE_HU = 25.0
SHIFT_HU = 12.0
ELASTIC_GRID = 16  # pixels between the points that are shifted
KEYS = ("image", "label_map")


def noise_scale(windows: tuple[tuple[float, float], ...]) -> float:
    """Noise relative to that of CT in HU: by the narrowest window."""
    return min(high - low for low, high in windows) / WIDTH_HU


def slice_augmentation(size: tuple[int, int], scale: float, elastic: float = 0.0) -> Any:
    """Rotation, scaling, shear, noise and blur of a slice; cuts it down to `size`.

    No left-right flip: organs have sides (`sides` mirrors and exchanges them).

    Args:
        size: Rows and columns to cut out of the middle.
        scale: As `noise_scale` gives it.
        elastic: Largest shift in pixels of the points of a coarse grid; 0 for none.
    """
    from monai.transforms import (
        Compose,
        Rand2DElasticd,
        RandAffined,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
    )

    moved: dict[str, Any] = {
        "keys": KEYS,
        "prob": 0.85,
        "rotate_range": 0.25,
        "scale_range": ((-0.18, 0.18), (-0.18, 0.18)),
        "shear_range": ((-0.08, 0.08), (-0.08, 0.08)),
        "spatial_size": size,
        "mode": ("bilinear", "nearest"),
        "padding_mode": "border",
    }
    grid = (ELASTIC_GRID, ELASTIC_GRID)
    return Compose(
        [
            Rand2DElasticd(spacing=grid, magnitude_range=(0.0, elastic), **moved)
            if elastic > 0
            else RandAffined(**moved),
            RandScaleIntensityd(keys="image", factors=0.05, prob=0.3),
            RandGaussianNoised(keys="image", prob=0.3, std=NOISE_HU * scale),
            RandGaussianSmoothd(keys="image", prob=0.15, sigma_x=(0.3, 0.8), sigma_y=(0.3, 0.8)),
        ]
    )


def picture_augmentation(flips: bool) -> Any:
    """Rotation, scaling, shift, brightness, contrast, colour cast, noise and blur of a picture.

    Args:
        flips: Whether to mirror too; right for photographs that have no fixed sides.
    """
    from monai.transforms import (
        Compose,
        RandAdjustContrastd,
        RandAffined,
        RandFlipd,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
        ThresholdIntensityd,
    )

    mirrored = [RandFlipd(keys=KEYS, prob=0.5, spatial_axis=axis) for axis in (0, 1)]
    return Compose(
        [
            *(mirrored if flips else []),
            RandAffined(
                keys=KEYS,
                prob=0.8,
                rotate_range=0.5,
                scale_range=((-0.2, 0.2), (-0.2, 0.2)),
                shear_range=((-0.1, 0.1), (-0.1, 0.1)),
                translate_range=(20, 20),
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            RandAdjustContrastd(keys="image", prob=0.3, gamma=(0.7, 1.4), retain_stats=False),
            RandScaleIntensityd(keys="image", factors=0.2, prob=0.5),
            RandScaleIntensityd(keys="image", factors=0.1, prob=0.3, channel_wise=True),
            RandGaussianNoised(keys="image", prob=0.2, std=6.0),
            RandGaussianSmoothd(keys="image", prob=0.15, sigma_x=(0.3, 1.2), sigma_y=(0.3, 1.2)),
            ThresholdIntensityd(keys="image", threshold=0.0, above=True, cval=0.0),
            ThresholdIntensityd(keys="image", threshold=255.0, above=False, cval=255.0),
        ]
    )


def plain(tensor: Tensor) -> Tensor:
    """A tensor without MONAI's metadata."""
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor
