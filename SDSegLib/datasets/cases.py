"""Cases for training: items of a collection on a model's grid, in memory or from a cache folder."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..language import tr
from ..reading.files import read_volume
from ..reading.pictures import read_mask, read_picture
from ..volume.judgement import judge_input, refuse
from ..volume.model_input import InputDescription
from ..volume.placement import placed_on
from ..volume.volume import Volume
from .cache import cached
from .case import Case, picture_case, volume_case
from .collection import SPLITS, Collection, Item
from .files import load_in_threads
from .packed import is_packed, open_packed, read_packed
from .recipe import LabelRecipe

__all__ = ["Case", "load_case", "load_cases", "load_item", "load_items"]

log = logging.getLogger(__name__)

TOLERANCE_MM = 0.01
NARROWEST_HU = 50.0


def load_items(
    items: Sequence[Item],
    collection: Collection,
    description: InputDescription,
    num_classes: int,
    cache: Path | None = None,
) -> list[Case]:
    """Items of a collection on a model's grid, read by several threads.

    Args:
        items: Each with a label map.
        collection: Collection of the items.
        description: The grid; its `pictures` must suit the collection.
        num_classes: C of the collection, with background.
        cache: Folder for the arrays, so that they need not fit into memory and are computed once.
            An item is computed again if its files, the recipe or the grid change.

    Raises:
        InputError: Naming the file that cannot be used, or if the description does not suit.
    """
    check_suits(collection, description, num_classes)
    log.info("reading %d items of %s", len(items), collection.title)

    def load(item: Item) -> Case:
        def make() -> Case:
            return load_item(item, collection, description, num_classes)

        case = make() if cache is None else cached(cache, item, collection, description, make)
        return _not_drawn(case, collection.set_aside_in(item))

    return load_in_threads(items, load)


def _not_drawn(case: Case, labels: frozenset[int]) -> Case:
    """A case as if structures had not been drawn in it."""
    if not labels & case.drawn:
        return case
    kept = np.where(np.isin(case.label_map, sorted(labels)), np.uint8(0), case.label_map)
    return replace(case, label_map=kept, drawn=case.drawn - labels)


def load_item(
    item: Item, collection: Collection, description: InputDescription, num_classes: int
) -> Case:
    """Read one item and resample it to a model's grid; see `load_items`."""
    if is_packed(item.image):
        return read_packed(item.image, item.name, description)
    if item.label is None:
        raise InputError(
            tr("{item} of {collection} has no label map; leave it out.").format(
                item=item.name, collection=collection.title
            )
        )
    if collection.dimensions == 2:
        picture, mask = read_picture(item.image), read_mask(item.label)
        if picture.shape[:2] != mask.shape[:2]:
            raise InputError(
                tr(
                    "{image} has {shape} pixels, but its mask {item} has {other}; they "
                    "must be of one size."
                ).format(
                    image=item.image,
                    shape=_size(picture.shape),
                    item=item.label,
                    other=_size(mask.shape),
                )
            )
        labels = collection.recipe.of_mask(mask, item.label)
        drawn = collection.recipe.drawn(labels, num_classes)
        return picture_case(item.name, picture, labels, drawn, description)
    modality = collection.modality
    return _volume_item(
        item, collection.recipe, description, num_classes, modality, hounsfield=modality == "CT"
    )


def load_case(folder: Path, description: InputDescription, num_classes: int) -> Case:
    """Read `ct.nii.gz` and `organs.nii.gz` of a folder and resample them to the model's grid.

    Labels of `num_classes` and above count as background; absent ones as unknown.

    Raises:
        InputError: If a file is missing or the two do not share a grid.
    """
    values = tuple((value, value if value < num_classes else 0) for value in range(1, 256))
    recipe = LabelRecipe("values", values, absent="unknown")
    item = Item(folder.name, folder / "ct.nii.gz", folder / "organs.nii.gz")
    return _volume_item(item, recipe, description, num_classes, modality=None, hounsfield=True)


def load_cases(root: Path, description: InputDescription, num_classes: int) -> list[Case]:
    """All case folders below `root`, sorted by name; or all cases of a packed file."""
    if is_packed(root):
        packed = open_packed(root)
        names = sorted(item.name for split in SPLITS for item in getattr(packed, split))
        return load_in_threads(names, lambda name: read_packed(root, name, description))
    folders = sorted(path.parent for path in root.glob("*/ct.nii.gz"))
    if not folders:
        raise InputError(
            tr("{folder} has no case folders with ct.nii.gz and organs.nii.gz.").format(folder=root)
        )
    log.info("reading %d cases from %s", len(folders), root)
    return load_in_threads(folders, lambda folder: load_case(folder, description, num_classes))


def check_suits(collection: Collection, description: InputDescription, num_classes: int) -> None:
    """Check that a model's input matches a collection.

    Raises:
        InputError: Naming the property that does not match.
    """
    if num_classes != collection.num_classes:
        raise InputError(
            tr(
                "The model has {num_classes} structures, but {collection} has {count}; choose a "
                "model or a data set with the same."
            ).format(
                num_classes=num_classes - 1,
                collection=collection.title,
                count=len(collection.structures),
            )
        )
    if (description.pictures is None) == (collection.dimensions == 2):
        what = tr("2-D pictures") if collection.dimensions == 2 else tr("volumes")
        raise InputError(
            tr(
                "{collection} consists of {what}, and the model's input does not; its entry "
                "'pictures' is {pictures!r}."
            ).format(collection=collection.title, what=what, pictures=description.pictures)
        )


def _volume_item(
    item: Item,
    recipe: LabelRecipe,
    description: InputDescription,
    num_classes: int,
    modality: str | None,
    hounsfield: bool,
) -> Case:
    volume, labels, _ = read_labelled(item, recipe, modality, hounsfield)
    drawn = recipe.drawn(labels, num_classes, item.label)
    return volume_case(item.name, volume, labels, drawn, description, num_classes, hounsfield)


def read_labelled(
    item: Item, recipe: LabelRecipe, modality: str | None, hounsfield: bool
) -> tuple[Volume, np.ndarray, tuple[str, ...]]:
    """Read a volume and its label map, which has to lie on the same voxels.

    Args:
        item: With a label map.
        recipe: How values become labels.
        modality: DICOM modality; only of "CT" the values are judged.
        hounsfield: Whether values that are no HU are refused.

    Returns:
        The volume, labels on its grid, and what the user should know about the label map.

    Raises:
        InputError: Naming the file that cannot be used.
    """
    if item.label is None:
        raise InputError(tr("{item} has no label map; leave it out.").format(item=item.name))
    volume = read_volume(item.image, item.series)
    label_map = recipe.read(item.label, item.image, item.series)
    # Programs store named segments only as far as they reach; a map of numbers covers its image.
    partly = recipe.rule == "names"
    labels = placed_on(label_map.array, label_map.geometry, volume.geometry, TOLERANCE_MM, partly)
    if labels is None:
        raise InputError(
            tr(
                "The label map {item} ({shape} voxels) is not on the grid of its image {image} "
                "({other}); resample it there."
            ).format(
                item=item.label,
                shape=_size(label_map.array.shape),
                image=item.image,
                other=_size(volume.array.shape),
            )
        )
    notes = label_map.notes
    if np.count_nonzero(labels) < np.count_nonzero(label_map.array):
        notes = (*notes, tr("The segmentation reaches beyond the image and was cut there."))
    for note in notes:
        log.warning("%s: %s", item.name, note)
    if modality == "CT":
        findings = judge_input(volume)
        refuse(findings)
        for finding in findings:
            log.warning("%s: %s", item.name, finding.message)
    if hounsfield:
        _refuse_normalised(volume, item.image)
    return volume, labels, notes


def _refuse_normalised(volume: Volume, path: Path) -> None:
    """Reject values in a narrow range, which rounding to whole HU would make equal."""
    if not np.issubdtype(volume.array.dtype, np.floating):
        return
    low, high = float(np.nanmin(volume.array)), float(np.nanmax(volume.array))
    if high - low < NARROWEST_HU:
        raise InputError(
            tr(
                "The values of {path} lie between {low:g} and {high:g}, so they are not HU but "
                "were normalised; give the CT in HU, or use the data set 'folder' with "
                "modality=other."
            ).format(path=path, low=low, high=high)
        )


def _size(shape: tuple[int, ...]) -> str:
    sides = shape[:2] if len(shape) == 3 and shape[2] == 3 else shape
    return " × ".join(str(side) for side in reversed(sides))
