"""Training samples: tiles around tissue, rare organs as often as common ones, CT augmentation."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..volume.model_input import InputDescription
from ..volume.slices import context_positions
from ..volume.tiles import Tile, cut, tile_starts
from .cases import Case

ORGAN_SHARE = 0.6
JITTER = 10
MARGIN = 16


class SliceDataset(Dataset[dict[str, Tensor]]):
    """Sample number n is the same picture in every run, whatever was drawn before it.

    So training resumes exactly by going on with the next number. Each item has `image` (S, H, W)
    in HU with the context slices, `label_map` (H, W) and `drawn` (C,), true for background and
    each class that this patient's label map holds.

    Args:
        cases: Patients on the model's grid.
        description: Tile size, context and windows.
        num_classes: C, with background.
        seed: Of everything random.
        length: Number of samples.
        augment: Rotation, scaling, noise and HU shifts. No left-right flip: organs have sides.
    """

    def __init__(
        self,
        cases: list[Case],
        description: InputDescription,
        num_classes: int,
        seed: int,
        length: int,
        augment: bool = True,
    ) -> None:
        self.cases = cases
        self.description = description
        self.num_classes = num_classes
        self.seed = seed
        self.length = length
        self.augment = _augmentation(description.size) if augment else None
        self.tissue = [
            (c, k)
            for c, case in enumerate(cases)
            for k, extent in enumerate(case.extents)
            if extent is not None
        ]
        self.by_organ: dict[int, list[tuple[int, int]]] = {}
        for c, case in enumerate(cases):
            for label in sorted(case.drawn):
                found = np.flatnonzero((case.label_map == label).any(axis=(1, 2)))
                self.by_organ.setdefault(label, []).extend(
                    (c, int(k)) for k in found if case.extents[k] is not None
                )
        self.organs = sorted(self.by_organ)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> dict[str, Tensor]:
        random = np.random.default_rng((self.seed, number))
        case_index, index = self._choose(random)
        case = self.cases[case_index]
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
        image = cut(torch.stack(images)[None], [tile], bigger, outside)[0]
        label_map = cut(label_map[None, None], [tile], bigger, 0.0)[0]
        if self.augment is not None:
            sample = {"image": image, "label_map": label_map}
            self.augment.set_random_state(seed=int(random.integers(2**31)))
            sample = self.augment(sample)
            image, label_map = _plain(sample["image"]), _plain(sample["label_map"])
            image = image + float(random.normal(0.0, 12.0))
        drawn = torch.zeros(self.num_classes, dtype=torch.bool)
        drawn[[0, *case.drawn]] = True
        return {"image": image, "label_map": label_map[0].round().long(), "drawn": drawn}

    def _choose(self, random: np.random.Generator) -> tuple[int, int]:
        if self.organs and random.random() < ORGAN_SHARE:
            slices = self.by_organ[self.organs[random.integers(len(self.organs))]]
        else:
            slices = self.tissue
        return slices[random.integers(len(slices))]

    def _tile(self, case: Case, index: int, random: np.random.Generator, margin: int) -> Tile:
        """One of the tiles that inference would use here, shifted a little."""
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


def _augmentation(size: tuple[int, int]) -> Any:
    from monai.transforms import (
        Compose,
        RandAffined,
        RandGaussianNoised,
        RandGaussianSmoothd,
        RandScaleIntensityd,
    )

    return Compose(
        [
            RandAffined(
                keys=("image", "label_map"),
                prob=0.85,
                rotate_range=0.25,
                scale_range=((-0.18, 0.18), (-0.18, 0.18)),
                shear_range=((-0.08, 0.08), (-0.08, 0.08)),
                spatial_size=size,
                mode=("bilinear", "nearest"),
                padding_mode="border",
            ),
            RandScaleIntensityd(keys="image", factors=0.05, prob=0.3),
            RandGaussianNoised(keys="image", prob=0.3, std=25.0),
            RandGaussianSmoothd(keys="image", prob=0.15, sigma_x=(0.3, 0.8), sigma_y=(0.3, 0.8)),
        ]
    )


def _plain(tensor: Tensor) -> Tensor:
    """A tensor without MONAI's metadata."""
    return tensor.as_tensor() if hasattr(tensor, "as_tensor") else tensor
