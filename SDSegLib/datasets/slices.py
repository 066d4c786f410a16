"""Training samples: tiles around tissue or whole pictures, rare organs as often as common ones."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from ..errors import InputError
from ..volume.model_input import InputDescription
from ..volume.sides import mirrored_axis
from ..volume.slices import context_positions
from ..volume.tiles import Tile, cut, tile_starts
from .augmentation import SHIFT_HU, noise_scale, picture_augmentation, plain, slice_augmentation
from .case import Case

ORGAN_SHARE = 0.6
JITTER = 10
MARGIN = 16


class SliceDataset(Dataset[dict[str, Tensor]]):
    """Sample number n is the same picture in every run, whatever was drawn before it.

    So training resumes exactly by going on with the next number. Each item has `image`, (S, H, W)
    in HU or grey values with the context slices, or (colours, H, W) of a picture in 0 … 255; then
    `label_map` (H, W) and `drawn` (C,), true for background and each class that the label map
    knows about.

    Args:
        cases: Patients on the model's grid, or pictures.
        description: Tile size, context and windows.
        num_classes: C, with background.
        seed: Of everything random.
        length: Number of samples.
        augment: Whether to vary them; see `augmentation`.
        mirrored: What labels become in a mirror (`volume.sides.mirrored_labels`), to mirror every
            other sample; None for none.
        elastic: Largest shift in pixels of the points of a coarse grid; 0 for none.

    Raises:
        InputError: If there is no slice with tissue to draw from, or slices cannot be mirrored.
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
        self._mirrored = mirrored
        self._axis = 0 if mirrored is None else mirrored_axis(description)
        self.tissue = [
            (c, k)
            for c, case in enumerate(cases)
            for k, extent in enumerate(case.extents)
            if extent is not None
        ]
        if not self.tissue:
            raise InputError("There is no slice with tissue to train on; check the images.")
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
        if self.organs and random.random() < ORGAN_SHARE:
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
        image = cut(torch.stack(images)[None], [tile], bigger, outside)[0]
        label_map = cut(label_map[None, None], [tile], bigger, 0.0)[0]
        image, label_map = self._varied(image, label_map, random)
        if self.augment is not None:
            image = image + float(random.normal(0.0, SHIFT_HU * self._noise))
        return image, label_map

    def _varied(
        self, image: Tensor, label_map: Tensor, random: np.random.Generator
    ) -> tuple[Tensor, Tensor]:
        if self.augment is None:
            return image, label_map
        self.augment.set_random_state(seed=int(random.integers(2**31)))
        sample = self.augment({"image": image, "label_map": label_map})
        return plain(sample["image"]), plain(sample["label_map"])

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


def _occurrence(label_map: np.ndarray) -> np.ndarray:
    """For each slice and value whether it occurs: bool (K, 256)."""
    return np.array([np.bincount(part.ravel(), minlength=256) > 0 for part in label_map])
