"""Reconstruction of references by a compact model's label-map autoencoder.

A compact model decodes its label map from a latent estimated by its UNet, and the UNet is trained
on latents of references. So the Dice of references after encoding and decoding alone is about the
upper limit for such a model.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..datasets.cases import Case, check_suits, load_case, load_item
from ..datasets.collection import Collection, Item
from ..errors import InputError, ModelError
from ..families.base import SegmentationFamily
from ..families.compact import CompactFamily
from ..language import tr
from ..reading.files import read_volume
from ..volume.orientation import reorientation_to
from ..volume.tiles import blending_weights, crop_tiles, tiles_of, tissue_extents
from .cases import IMAGE, REFERENCE, CasePair
from .worst import ComparedCase, DisplayedCase

BATCH = 16
INSIDE_HU, OUTSIDE_HU = 0.0, -1024.0


def compact_only(family: SegmentationFamily) -> CompactFamily:
    """Return the family after checking that it has a label-map autoencoder.

    Raises:
        ModelError: If it is another family.
    """
    if isinstance(family, CompactFamily):
        return family
    raise ModelError(
        tr(
            "The model {model} is of the family {family}; only compact models encode "
            "whole label maps. Leave --autoencoder out for it."
        ).format(model=family.description.name, family=family.description.family)
    )


class AutoencoderComparison:
    """Compares the reference of a case on the model's grid with its own reconstruction.

    Only the overlap is compared. Without a collection each case must be a folder with `ct.nii.gz`
    and `organs.nii.gz`.

    Args:
        family: The model, on its device.
        collection: Data set of the cases; its labels must be those of the model.

    Raises:
        InputError: If the collection does not match the model; later if a file cannot be used.
    """

    def __init__(self, family: CompactFamily, collection: Collection | None = None) -> None:
        if collection is not None:
            check_suits(collection, family.description.input, family.num_classes)
        self._family = family
        self._collection = collection

    def __call__(self, pair: CasePair) -> ComparedCase:
        case = _case(pair, self._family, self._collection)
        rebuilt = reconstruct(self._family, case.label_map)
        spacing = _spacing(pair, case, self._family)
        image = np.moveaxis(case.image, 1, -1) if pair.is_2d else case.image
        displayed = DisplayedCase(pair.name, image, case.label_map, rebuilt, spacing)
        return ComparedCase(
            rebuilt, case.label_map, spacing, lambda: displayed, distances=False, notes=[]
        )


@torch.inference_mode()
def reconstruct(family: CompactFamily, label_map: np.ndarray, batch: int = BATCH) -> np.ndarray:
    """Encode and decode a label map on the model's grid, tile by tile.

    Args:
        family: The model; its device is used.
        label_map: uint8, (K, H, W), in the model's axes and spacing.
        batch: Slices per batch.

    Returns:
        uint8 of the same shape. Slices without a label remain empty.
    """
    known = np.where(label_map < family.num_classes, label_map, 0).astype(np.uint8)
    result = np.zeros_like(known)
    used = np.flatnonzero(known.any(axis=(1, 2)))
    for start in range(0, len(used), batch):
        some = used[start : start + batch]
        slices = torch.from_numpy(known[some]).to(family.stored_noise.device)
        result[some] = _reconstruct_slices(family, slices, batch).cpu().numpy()
    return result


def _reconstruct_slices(family: CompactFamily, slices: Tensor, batch: int) -> Tensor:
    """Reconstruct uint8 (n, H, W), each slice with a label; same shape and type."""
    size = family.description.input.size
    # Tiles are placed on tissue; here they are placed on the labels.
    extents = tissue_extents(torch.where(slices > 0, INSIDE_HU, OUTSIDE_HU))
    tiles = tiles_of(extents, size)
    count, height, width = slices.shape
    # A margin of one tile size holds the parts of tiles beyond the slice's border.
    canvas = torch.zeros(
        (count, family.num_classes, height + 2 * size[0], width + 2 * size[1]),
        device=slices.device,
    )
    weights = blending_weights(size, slices.device)
    for start in range(0, len(tiles), batch):
        some = tiles[start : start + batch]
        label_maps = crop_tiles(slices[:, None], some, size, outside=0)[:, 0]
        logits = family.class_logits(family.autoencoder.decode(family.encode_label_map(label_maps)))
        for tile, probability in zip(some, logits.float().softmax(dim=1), strict=True):
            row, column = tile.row + size[0], tile.column + size[1]
            target = canvas[tile.slice, :, row : row + size[0], column : column + size[1]]
            target += probability * weights
    inner = canvas[:, :, size[0] : size[0] + height, size[1] : size[1] + width]
    # Outside all tiles every class has 0, and argmax returns the first one, background.
    return inner.argmax(dim=1).to(torch.uint8)


def _case(pair: CasePair, family: CompactFamily, collection: Collection | None) -> Case:
    description, classes = family.description.input, family.num_classes
    if collection is None:
        return load_case(_case_folder(pair), description, classes)
    item = Item(pair.name, pair.required_image(), pair.reference)
    return load_item(item, collection, description, classes)


def _case_folder(pair: CasePair) -> Path:
    folder = pair.reference.parent
    if pair.reference.name != REFERENCE or pair.image != folder / IMAGE:
        raise InputError(
            tr(
                "The autoencoder is evaluated on a folder per case with {image} and "
                "{reference}; {pair} has {pair_reference}. Arrange the data so."
            ).format(
                image=IMAGE, reference=REFERENCE, pair=pair.name, pair_reference=pair.reference
            )
        )
    return folder


def _spacing(pair: CasePair, case: Case, family: CompactFamily) -> tuple[float, float, float]:
    """Spacing of the model's grid in mm along (k, j, i)."""
    description = family.description.input
    if pair.is_2d:
        return 1.0, 1.0, 1.0
    if description.spacing is not None:
        return case.spacing, *description.spacing
    geometry = read_volume(pair.reference, labels=True).geometry
    return reorientation_to(geometry, description.axes).spacing(geometry)
