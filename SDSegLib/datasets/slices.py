"""Training samples and their augmentation by MONAI: tiles around tissue, or whole pictures."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.data import Dataset

from ..errors import InputError
from ..language import tr
from ..volume.model_input import InputDescription
from ..volume.sides import mirrored_axis
from ..volume.slices import context_positions
from ..volume.tiles import Tile, crop_tiles, tile_starts
from .case import Case

ORGAN_FRACTION = 0.6  # share of samples from slices with a random organ; others: any tissue
JITTER = 10  # pixels
MARGIN = 16  # pixels around a tile, so that rotation and scaling introduce no border
# Noise and shift are defined for a window of this width and are scaled for others.
WIDTH_HU = 400.0
NOISE_HU = 25.0
SHIFT_HU = 12.0
ELASTIC_GRID = 16  # pixels between the points that are shifted
CONTRAST_SHARE = 0.35  # of the samples, in which some soft tissue gets other HU
CONTRAST_AREAS = (3, 7)  # random values along a side of the field that areas come from
LEAST_CONTRAST = -0.1  # of the largest change: tissue gets darker as well, but hardly
SOFT_TISSUE_HU = (0.0, 30.0, 150.0, 350.0)  # from none of a change to all of it, and to none
KEYS = ("image", "label_map")


class SliceDataset(Dataset[dict[str, Tensor]]):
    """Samples that depend only on the seed and their number, so training resumes exactly.

    Rare organs are sampled as often as common ones. Each item has `image`, (S, H, W) in HU or grey
    values with the context slices, or (colours, H, W) of a picture in 0 … 255; `label_map` (H, W);
    and `drawn` (C,), true for background and each class that the label map is complete for.

    Args:
        cases: Patients on the model's grid, or pictures.
        description: Tile size, context and windows.
        num_classes: C, with background.
        seed: Seed of all random numbers.
        length: Number of samples.
        augment: Whether to apply `slice_augmentation` or `picture_augmentation`.
        mirrored: Table of labels after mirroring (`volume.sides.mirrored_labels`), to mirror every
            other sample; None for no mirroring.
        elastic: Largest shift in pixels of the control points of a coarse grid; 0 for none.
        contrast: Largest change of HU by `with_contrast`, in one of three samples; 0 for none.

    Raises:
        InputError: If no slice contains tissue, or slices cannot be mirrored.
    """

    def __init__(
        self,
        cases: list[Case],
        description: InputDescription,
        num_classes: int,
        seed: int,
        length: int,
        augment: bool = True,
        mirrored: np.ndarray | None = None,
        elastic: float = 0.0,
        contrast: float = 0.0,
    ) -> None:
        self.cases = cases
        self.description = description
        self.num_classes = num_classes
        self.seed = seed
        self.length = length
        self._noise = noise_scale(description.windows)
        if not augment:
            self.augment = None
        elif description.pictures is not None:
            self.augment = picture_augmentation(flips=description.pictures == "rgb")
        else:
            self.augment = slice_augmentation(description.size, self._noise, elastic)
        self._contrast = contrast if augment else 0.0
        self._mirrored = mirrored
        self._axis = 0 if mirrored is None else mirrored_axis(description)
        self.tissue = [
            (c, k)
            for c, case in enumerate(cases)
            for k, extent in enumerate(case.extents)
            if extent is not None
        ]
        if not self.tissue:
            raise InputError(tr("There is no slice with tissue to train on; check the images."))
        self.by_organ: dict[int, list[tuple[int, int]]] = {}
        for c, case in enumerate(cases):
            occurs = _occurrence(case.label_map)
            for label in sorted(case.drawn):
                found = [
                    (c, int(k))
                    for k in np.flatnonzero(occurs[:, label])
                    if case.extents[k] is not None
                ]
                if found:
                    self.by_organ.setdefault(label, []).extend(found)
        self.organs = sorted(self.by_organ)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self.seed, number))
        case_index, index = self._choose(random)
        case = self.cases[case_index]
        if self.description.pictures is not None:
            image, label_map = self._picture(case, random)
        else:
            image, label_map = self._slice(case, index, random)
        labels = label_map[0].round().long()
        known = [0, *case.drawn]
        if self._mirrored is not None and random.random() < 0.5:
            image, labels = image.flip(self._axis), labels.flip(self._axis)
            labels = torch.from_numpy(self._mirrored)[labels].long()
            known = [int(self._mirrored[label]) for label in known]
        drawn = torch.zeros(self.num_classes, dtype=torch.bool)
        drawn[known] = True
        return {"image": image, "label_map": labels, "drawn": drawn}

    def _choose(self, random: np.random.Generator) -> tuple[int, int]:
        if self.organs and random.random() < ORGAN_FRACTION:
            slices = self.by_organ[self.organs[random.integers(len(self.organs))]]
        else:
            slices = self.tissue
        return slices[random.integers(len(slices))]

    def _picture(self, case: Case, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        image = torch.from_numpy(case.image[0].astype(np.float32))
        label_map = torch.from_numpy(case.label_map.astype(np.float32))
        return self._varied(image, label_map, random)

    def _slice(self, case: Case, index: int, random: np.random.Generator) -> tuple[Tensor, Tensor]:
        label_map = torch.from_numpy(case.label_map[index].astype(np.float32))
        images = []
        for low, high, share in context_positions(
            index, len(case.image), case.spacing, self.description.slice_offsets_mm
        ):
            picture = case.image[low].astype(np.float32)
            if share > 0:
                picture = picture * (1 - share) + case.image[high] * share
            images.append(torch.from_numpy(picture))
        size = self.description.size
        margin = MARGIN if self.augment is not None else 0
        tile = self._tile(case, index, random, margin)
        bigger = (size[0] + 2 * margin, size[1] + 2 * margin)
        outside = self.description.outside
        image = crop_tiles(torch.stack(images)[None], [tile], bigger, outside)[0]
        label_map = crop_tiles(label_map[None, None], [tile], bigger, 0.0)[0]
        image, label_map = self._varied(image, label_map, random)
        if self.augment is not None:
            image = image + float(random.normal(0.0, SHIFT_HU * self._noise))
        if self._contrast > 0 and random.random() < CONTRAST_SHARE:
            image = with_contrast(image, label_map[0], self._contrast, random)
        return image, label_map

    def _varied(
        self, image: Tensor, label_map: Tensor, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        if self.augment is None:
            return image, label_map
        self.augment.set_random_state(seed=int(random.integers(2**31)))
        sample = self.augment({"image": image, "label_map": label_map})
        return _without_metadata(sample["image"]), _without_metadata(sample["label_map"])

    def _tile(self, case: Case, index: int, random: np.random.Generator, margin: int) -> Tile:
        """One of the tiles that inference would use here, with a small random shift."""
        extent = case.extents[index]
        if extent is None:
            raise ValueError(f"slice {index} of {case.name} holds no tissue")
        starts = []
        for n, size in enumerate(self.description.size):
            choices = tile_starts(extent[2 * n], extent[2 * n + 1], size)
            middle = (extent[2 * n] + extent[2 * n + 1] - size) // 2
            start = middle if random.random() < 0.5 else choices[random.integers(len(choices))]
            jitter = int(random.integers(-JITTER, JITTER + 1)) if self.augment is not None else 0
            starts.append(start + jitter - margin)
        return Tile(0, starts[0], starts[1])


def _occurrence(label_map: np.ndarray) -> np.ndarray:
    """Whether each value occurs in each slice: bool (K, 256)."""
    return np.array([np.bincount(part.ravel(), minlength=256) > 0 for part in label_map])


def noise_scale(windows: tuple[tuple[float, float], ...]) -> float:
    """Noise relative to that of CT in HU, derived from the narrowest window."""
    return min(high - low for low, high in windows) / WIDTH_HU


def slice_augmentation(size: tuple[int, int], scale: float, elastic: float = 0.0) -> Any:
    """Rotation, scaling, shear, noise and blur of a slice, which is then cropped to `size`.

    No left-right flip, because organs have sides (`sides` mirrors and swaps their labels).

    Args:
        size: Rows and columns of the central crop.
        scale: Result of `noise_scale`.
        elastic: Largest shift in pixels of the control points of a coarse grid; 0 for none.
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


def with_contrast(
    image: Tensor, label_map: Tensor, largest: float, random: np.random.Generator
) -> Tensor:
    """A slice in which some soft tissue is brighter or darker, as with another contrast agent.

    Areas of any shape are changed, and one of the structures by itself. Air, fat and bone stay.

    Args:
        image: HU (S, H, W).
        label_map: (H, W).
        largest: Largest change in HU.
        random: Of the sample.
    """
    points = tuple(int(n) for n in random.integers(*CONTRAST_AREAS, size=2))
    coarse = torch.from_numpy(random.normal(0.0, 4.0, (1, 1, *points)).astype(np.float32))
    field = functional.interpolate(coarse, label_map.shape, mode="bicubic", align_corners=True)[
        0, 0
    ]
    change = torch.sigmoid(field) * float(largest * random.uniform(LEAST_CONTRAST, 1.0))
    labels = [int(label) for label in torch.unique(label_map) if label > 0]
    if labels and random.random() < 0.5:
        chosen = label_map == labels[random.integers(len(labels))]
        change = change + chosen * float(largest * random.uniform(LEAST_CONTRAST, 1.0))
    none_below, all_from, all_to, none_above = SOFT_TISSUE_HU
    rising = (image - none_below) / (all_from - none_below)
    falling = (none_above - image) / (none_above - all_to)
    return image + change * torch.minimum(rising, falling).clamp(0.0, 1.0)


def picture_augmentation(flips: bool) -> Any:
    """Rotation, scaling, shift, brightness, contrast, colour cast, noise and blur of a picture.

    Args:
        flips: Whether to mirror as well; suitable for photographs without fixed sides.
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


def _without_metadata(tensor: Tensor) -> Tensor:
    """A tensor without MONAI's metadata."""
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor
