"""Numbered batches of training windows, each a function of the seed and its number alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from ...datasets.shaped_volume import ShapedVolume, is_organ
from ...datasets.shapes import Shape
from ...errors import InputError
from ...language import tr
from ...propagation.crops import CropSizes
from .example import HuWindows, Plan, Window, make_window, plan_window
from .slices import draw_slices

LEAST_WINDOWS = 2
_BUDGET_SIDE = 64


class Shapes:
    """Volumes to draw structures from.

    Args:
        volumes: With their structures.
        undrawn_share: Share of windows from volumes without organs, if there are both kinds.
        organ_share: Share of organs in the windows from volumes that have them.
        predicted_share: Share of corrections in the windows of organs that a model predicted.

    Raises:
        InputError: If there is no structure at all.
    """

    def __init__(
        self,
        volumes: Sequence[ShapedVolume],
        undrawn_share: float,
        organ_share: float,
        predicted_share: float,
    ) -> None:
        usable = [volume for volume in volumes if volume.shapes]
        if not usable:
            raise InputError(tr("There is no structure to learn from; check the images."))
        self.drawn = [volume for volume in usable if volume.organs]
        self.undrawn = [volume for volume in usable if not volume.organs]
        weights = np.sqrt([len(volume.shapes) for volume in self.undrawn])
        self._weights = weights / max(weights.sum(), 1)
        self._undrawn_share = undrawn_share
        self._organ_share = organ_share
        self._predicted_share = predicted_share

    def draw(self, random: np.random.Generator) -> tuple[ShapedVolume, Shape, Shape | None]:
        """A volume, one of its structures, and perhaps what a model gave of it."""
        if self.undrawn and (not self.drawn or random.random() < self._undrawn_share):
            volume = self.undrawn[int(random.choice(len(self.undrawn), p=self._weights))]
            return volume, _one_of(volume.shapes, random), None
        volume = _one_of(self.drawn, random)
        made = [shape for shape in volume.shapes if not is_organ(shape)]
        is_made = made and random.random() >= self._organ_share
        shape = _one_of(made if is_made else volume.organs, random)
        predictions = volume.predictions_of(shape)
        if predictions and random.random() < self._predicted_share:
            return volume, shape, _one_of(predictions, random)
        return volume, shape, None


def _one_of(choices: Sequence[Any], random: np.random.Generator) -> Any:
    return choices[int(random.integers(len(choices)))]


class WindowBatches(Dataset[Window]):
    """Batches of windows of equal depth and crop size.

    Item n holds as many windows as the budget allows for its depth and size, at least two. How
    often a depth and size comes up makes up for that, so that windows have the shares that drawing
    them one by one would give.

    Args:
        shapes: To draw from.
        sizes: Of the crops.
        windows: Two HU windows of the network's input.
        depths: Slices of a window, drawn alike; a number may stand more than once.
        budget: Pixels of a batch, in slices of 64 × 64.
        seed: Of all random numbers.
        length: Number of batches.
    """

    def __init__(
        self,
        shapes: Shapes,
        sizes: CropSizes,
        windows: HuWindows,
        depths: Sequence[int],
        budget: int,
        seed: int,
        length: int,
    ) -> None:
        self.shapes = shapes
        self.sizes = sizes
        self.windows = windows
        self.depths = tuple(depths)
        self.budget = budget
        self.seed = seed
        self.length = length

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, number: int) -> Window:
        random = np.random.default_rng((self.seed, number))
        while True:
            depth = self.depths[int(random.integers(len(self.depths)))]
            plan = self._plan(depth, random)
            size = plan.crops.size
            if random.random() * self.count(depth, size) >= LEAST_WINDOWS:
                continue
            first = make_window(plan, self.windows, random)
            if first is not None:
                break
        batch = [first]
        while len(batch) < self.count(depth, size):
            plan = self._plan(depth, random)
            if plan.crops.size == size:
                window = make_window(plan, self.windows, random)
                batch += [window] if window is not None else []
        return {name: torch.stack([window[name] for window in batch]) for name in first}

    @staticmethod
    def collate(items: list[Window]) -> Window:
        """For a loader that takes one item at a time, which is a batch already."""
        (item,) = items
        return item

    def count(self, depth: int, size: int) -> int:
        """Windows of a batch."""
        return max(round(self.budget / depth * (_BUDGET_SIDE / size) ** 2), LEAST_WINDOWS)

    def _plan(self, depth: int, random: np.random.Generator) -> Plan:
        """A usable plan; draws until there is one."""
        while True:
            volume, shape, prediction = self.shapes.draw(random)
            run = draw_slices(volume, shape, depth, random, prediction)
            plan = None if run is None else plan_window(run, self.sizes, random)
            if plan is not None:
                return plan
