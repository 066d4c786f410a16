"""Dice of a case on its model's grid, for validation during training."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from ..datasets.cases import Case
from ..families.base import SegmentationFamily
from ..networks.compact import one_hot
from ..volume.model_input import InputDescription
from ..volume.slices import apply_windows, context_positions
from ..volume.tiles import Tile, crop_tiles

if TYPE_CHECKING:
    pass

log = logging.getLogger(__name__)


def slices_of(case: Case, description: InputDescription, most: int) -> dict[str, Tensor]:
    """Evenly spaced slices of a case, each as the tile at the centre of its tissue.

    Args:
        case: On the model's grid.
        description: Tile size and context.
        most: Largest number of slices; fewer if fewer contain tissue.

    Returns:
        `image` (K, S, H, W) and `label_map` (K, H, W).
    """
    tissue = [k for k, extent in enumerate(case.extents) if extent is not None]
    places = np.linspace(0, len(tissue) - 1, min(most, len(tissue))).round().astype(int)
    images, label_maps = [], []
    for index in (tissue[place] for place in places):
        tile = _middle(case.extents[index], description.size)
        image = _with_context(case, index, description)
        label_map = torch.from_numpy(case.label_map[index].astype(np.float32))
        images.append(crop_tiles(image[None], [tile], description.size, description.outside)[0])
        label_maps.append(crop_tiles(label_map[None, None], [tile], description.size, 0.0)[0, 0])
    return {"image": torch.stack(images), "label_map": torch.stack(label_maps).long()}


def _middle(extent: tuple[int, int, int, int] | None, size: tuple[int, int]) -> Tile:
    r0, r1, c0, c1 = extent or (0, 0, 0, 0)
    return Tile(0, (r0 + r1 - size[0]) // 2, (c0 + c1 - size[1]) // 2)


def _with_context(case: Case, index: int, description: InputDescription) -> Tensor:
    """(S, H, W): the slice and its neighbours, or the colours of a picture."""
    if case.image.ndim == 4:
        return torch.from_numpy(case.image[index].astype(np.float32))
    planes = []
    for low, high, share in context_positions(
        index, len(case.image), case.spacing, description.slice_offsets_mm
    ):
        plane = case.image[low].astype(np.float32) * (1 - share)
        planes.append(torch.from_numpy(plane + case.image[high].astype(np.float32) * share))
    return torch.stack(planes)


@torch.no_grad()
def dice_of(
    family: SegmentationFamily,
    case: Case,
    most: int,
    batch: int,
    noises: Sequence[Tensor | None] = (None,),
    steps: int = 1,
) -> Tensor:
    """Dice of each structure over all used slices of a case; NaN where it is not known.

    Dice is not known for a structure that does not occur in the case or was not drawn in it.

    Args:
        family: Family with its networks, on their device.
        case: On the family's grid.
        most: Largest number of slices to use.
        batch: Slices per batch.
        noises: Initial noises to average probabilities over; by default the family's stored one.
        steps: UNet calls of the reverse process.

    Returns:
        (C − 1,) on the CPU.
    """
    sample = slices_of(case, family.description.input, most)
    labels = [
        total.argmax(dim=1).cpu()
        for total in _probabilities(family, sample["image"], batch, noises, steps)
    ]
    return _dice(torch.cat(labels), sample["label_map"], case, family.num_classes)


@torch.no_grad()
def dice_by_offset(
    family: SegmentationFamily, case: Case, offsets: Sequence[float], most: int, batch: int
) -> Tensor:
    """The same, if a constant were added to the logits of all structures.

    Args:
        family: Family with its networks, on their device.
        case: On the family's grid.
        offsets: Constants; 0 for the family as it is.
        most: Largest number of slices to use.
        batch: Slices per batch.

    Returns:
        (offsets, C − 1) on the CPU.
    """
    sample = slices_of(case, family.description.input, most)
    labels: list[list[Tensor]] = [[] for _ in offsets]
    for total in _probabilities(family, sample["image"], batch):
        drawn, structure = total[:, 1:].max(dim=1)
        for found, offset in zip(labels, offsets, strict=True):
            is_drawn = drawn * math.exp(offset) > total[:, 0]
            found.append(torch.where(is_drawn, structure + 1, 0).cpu())
    rows = [
        _dice(torch.cat(found), sample["label_map"], case, family.num_classes) for found in labels
    ]
    return torch.stack(rows)


def _probabilities(
    family: SegmentationFamily,
    images: Tensor,
    batch: int,
    noises: Sequence[Tensor | None] = (None,),
    steps: int = 1,
) -> Iterator[Tensor]:
    """Class probabilities (N, C, H, W) of each batch, summed over the noises."""
    description = family.description.input
    device = next(family.parameters()).device
    for image in images.split(batch):
        image = apply_windows(image.to(device), description.windows, description.repeat)
        condition = family.condition(image)
        yield torch.as_tensor(
            sum(family.probabilities(condition, noise, steps) for noise in noises)
        )


def _dice(labels: Tensor, wanted: Tensor, case: Case, num_classes: int) -> Tensor:
    """Dice of each structure (C − 1,) over slices (K, H, W); NaN where it is not known."""
    from monai.metrics import compute_dice

    found, wanted = (
        one_hot(label_map, num_classes).movedim(1, 0)[None] for label_map in (labels, wanted)
    )
    dice = compute_dice(found, wanted, include_background=False, ignore_empty=True)[0]
    unknown = [label for label in range(1, num_classes) if label not in case.drawn]
    dice[[label - 1 for label in unknown]] = torch.nan
    return dice


def mean_dice(rows: Tensor) -> tuple[float, Tensor]:
    """Mean Dice of each structure over the cases, then over the structures; (cases, C − 1)."""
    by_structure = rows.nanmean(dim=0)
    return float(by_structure.nanmean()), by_structure
