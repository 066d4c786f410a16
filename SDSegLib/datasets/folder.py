"""The data set "folder": images and label maps in one of three layouts, labels as in the files."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import InputError
from ..language import tr
from ..models.labels import read_structures, structures_named
from ..reading.files import read_volume
from ..reading.pictures import LOSSY_SUFFIXES, PICTURE_SUFFIXES, read_mask
from ..volume.structure import LARGEST_LABEL, Structure
from .case_files import items_in
from .collection import SPLITS, Collection, Item, hold_out, of_patients, usual_share
from .files import (
    VOLUME_SUFFIXES,
    case_folders,
    existing_folder,
    has_colors,
    listed,
    load_in_threads,
    paired_items,
    refuse_missing,
)
from .nnunet import structures_beside
from .own_names import joined_structures, structures_of_files
from .proposal import picture_input
from .recipe import Absent, LabelRecipe, Rule, whole_numbers

log = logging.getLogger(__name__)

MOST_LABELS = 64
FOREGROUND = {1: "Foreground"}
IMAGE_FOLDERS = ("images", "image", "img", "Original")
LABEL_FOLDERS = ("labels", "masks", "label", "mask", "Ground Truth")
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
RULES = ("values", "positive", "bright", "green")


@dataclass(frozen=True)
class _FileNames:
    """Names of files and folders; None for the usual names.

    Attributes:
        images: Folder of images.
        labels: Folder of label maps.
        image: Name of the image in a case's folder.
        label: Name of the label map in a case's folder.
        label_suffix: Suffix of the label files' stems, after the image's stem.
    """

    images: str | None
    labels: str | None
    image: str | None
    label: str | None
    label_suffix: str


def folder(
    root: Path,
    *,
    images: str | None = None,
    labels: str | None = None,
    image: str | None = None,
    label: str | None = None,
    label_suffix: str = "",
    names: str | None = None,
    rule: Rule | None = None,
    absent: Absent = "background",
    modality: str | None = None,
    test: float = 0.0,
    validation: float | None = None,
    seed: int = 0,
    patients: str | None = None,
) -> Collection:
    """Pairs of image and label files.

    The layouts are: a folder of images beside one of label maps with the same names; a folder per
    case; 3D Slicer scenes; volumes beside `.seg.nrrd` files (see `case_files.items_in`); and
    folders `train`, `validation` and `test` with such cases in them.

    Args:
        root: Folder of the data set.
        images: Folder of the images; by default "images" and some other usual names.
        labels: Folder of the label maps; by default "labels" or "masks".
        image: Name of the image in a case's folder, for example "ct.nii.gz"; by default found by
            looking.
        label: Name of the label map in a case's folder.
        label_suffix: Suffix of label files after the image's name, for example "_mask".
        names: A label list included with SDSeg, or a JSON file {"1": "Liver"}; without it the
            label files are read to find the labels.
        rule: How masks are read, see `LabelRecipe`; by default chosen from the files.
        absent: "unknown" if a structure that a label map lacks may not have been drawn.
        modality: "CT", "MR" or another word.
        test: Share of the patients to hold out for the test.
        validation: Share of the other patients to hold out for validation; by default a fifth.
        seed: A different seed holds out other patients.
        patients: Regular expression that finds the patient in an item's name.
    """
    existing_folder(root)
    if rule is not None and rule not in RULES:
        raise InputError(
            tr("Unknown rule {rule!r}; choose one of {rules}.").format(
                rule=rule, rules=", ".join(RULES)
            )
        )
    parts = _parts(root, _FileNames(images, labels, image, label, label_suffix))
    notes = _leave_out_unlabelled(parts, root)
    _refuse_twice(parts)
    parts = {split: of_patients(items, patients) for split, items in parts.items()}
    if "test" not in parts:
        parts["train"], parts["test"] = hold_out(parts["train"], test, seed)
    if "validation" not in parts:
        share = usual_share(parts["train"]) if validation is None else validation
        parts["train"], parts["validation"] = hold_out(parts["train"], share, seed)
    items = [item for split in SPLITS for item in parts[split]]
    is_2d = _are_pictures(items, root)
    structures, recipe = _labels(items, is_2d, names, rule, absent, structures_beside(root))
    colored = is_2d and has_colors(items)
    return Collection(
        name="folder",
        title=root.resolve().name,
        dimensions=2 if is_2d else 3,
        channels=3 if colored else 1,
        modality=modality,
        structures=structures,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        recipe=recipe,
        input=picture_input(colored) if is_2d else None,
        source=tr("{folder}, split with seed {seed}").format(folder=root.resolve().name, seed=seed),
        notes=notes,
    )


def _parts(root: Path, names: _FileNames) -> dict[str, tuple[Item, ...]]:
    """The items of each split that has its own folder; without such folders, all as "train"."""
    found = {}
    for split, candidates in SPLIT_FOLDERS.items():
        for name in candidates:
            if (root / name).is_dir() and _holds_pairs(root / name, names):
                found[split] = tuple(_pairs(root / name, names))
                break
    if "train" in found:
        return found
    return {"train": tuple(_pairs(root, names))}


def _leave_out_unlabelled(parts: dict[str, tuple[Item, ...]], root: Path) -> tuple[str, ...]:
    """Take cases of a collection without a segmentation out of the splits, and say how many.

    Raises:
        InputError: If none is left to train on.
    """
    every = [item for items in parts.values() for item in items]
    for split, items in parts.items():
        parts[split] = tuple(item for item in items if item.label is not None)
    count = sum(item.label is None for item in every)
    if not count:
        return ()
    if not parts["train"]:
        raise InputError(
            tr("No case of {folder} has a segmentation yet; draw and correct some first.").format(
                folder=root
            )
        )
    return (
        tr("{count} of {total} cases have no segmentation yet and are left out.").format(
            count=count, total=len(every)
        ),
    )


def _holds_pairs(root: Path, names: _FileNames) -> bool:
    if names.image is not None:
        return any(root.glob(f"*/{names.image}"))
    if _sub_folder(root, names.images, IMAGE_FOLDERS) is not None:
        return True
    return names.images is None and bool(items_in(root))


def _pairs(root: Path, names: _FileNames) -> list[Item]:
    if names.image is not None or names.label is not None:
        return _case_folders(root, names)
    images = _sub_folder(root, names.images, IMAGE_FOLDERS)
    labels = _sub_folder(root, names.labels, LABEL_FOLDERS)
    if images is None and names.images is None and names.labels is None:
        found = items_in(root)
        if found:
            return found
    if images is None or labels is None:
        part, usual = ("images", IMAGE_FOLDERS) if images is None else ("labels", LABEL_FOLDERS)
        raise InputError(
            tr(
                "{folder} has no folder {names}; name it with {part}=NAME, or for a folder per "
                "case the files in it with image=FILE label=FILE."
            ).format(folder=root, names=getattr(names, part) or tr(" or ").join(usual), part=part)
        )
    suffixes = (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES)
    return paired_items(images, labels, root.resolve().name, suffixes, names.label_suffix)


def _case_folders(root: Path, names: _FileNames) -> list[Item]:
    if names.image is None or names.label is None:
        raise InputError(tr("For a folder per case give both: image=FILE and label=FILE."))
    cases = case_folders(root, names.image, names.label)
    items = [Item(case.name, case.image, case.label) for case in cases if case.image is not None]
    if not items:
        raise InputError(
            tr("{folder} has no case folders with {image}; check image=FILE.").format(
                folder=root, image=names.image
            )
        )
    absent = [f"{item.name}/{names.label}" for item in items if item.label is None]
    refuse_missing(absent, tr("Label files"), root)
    return items


def _sub_folder(root: Path, named: str | None, usual: Sequence[str]) -> Path | None:
    for name in usual if named is None else (named,):
        if (root / name).is_dir():
            return root / name
    return None


def _refuse_twice(parts: dict[str, tuple[Item, ...]]) -> None:
    names = [item.name for items in parts.values() for item in items]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError(
            tr(
                "{twice}: the same names are in several splits; an image that is learnt from "
                "cannot be tested on. Rename or remove them."
            ).format(twice=listed(twice))
        )


def _are_pictures(items: Sequence[Item], root: Path) -> bool:
    is_picture = [item.image.name.lower().endswith(PICTURE_SUFFIXES) for item in items]
    if any(is_picture) != all(is_picture):
        raise InputError(
            tr(
                "{folder} holds volumes and pictures together, such as {image} and {picture}; "
                "keep them in folders of their own."
            ).format(
                folder=root,
                image=items[is_picture.index(False)].image.name,
                picture=items[is_picture.index(True)].image.name,
            )
        )
    return all(is_picture)


def _labels(
    items: Sequence[Item],
    is_2d: bool,
    names: str | None,
    rule: Rule | None,
    absent: Absent,
    beside: Sequence[Structure],
) -> tuple[tuple, LabelRecipe]:
    own: tuple[Structure, ...] = ()
    if not is_2d and rule is None:
        own = joined_structures(items, structures_of_files(items))
    if names is None and not own:
        return labels_in(items, is_2d, rule, absent, beside)
    structures = own if names is None else read_structures(names)
    if own:
        pairs = tuple((item.name, item.label) for item in structures)
        return structures, LabelRecipe("names", absent=absent, names=pairs)
    if rule in (None, "values"):
        values = tuple((item.label, item.label) for item in structures)
        if is_2d and len(structures) == 1 and rule is None:
            return structures, labels_in(items, is_2d, rule, absent)[1]
        return structures, LabelRecipe("values", values, absent=absent)
    if len(structures) != 1:
        raise InputError(
            tr(
                "rule={rule} has one structure and background, but {names} names {count}; leave "
                "the rule out."
            ).format(rule=rule, names=names, count=len(structures))
        )
    return structures, LabelRecipe(rule, absent=absent)


def labels_in(
    items: Sequence[Item],
    is_2d: bool,
    rule: Rule | None,
    absent: Absent,
    beside: Sequence[Structure] = (),
) -> tuple[tuple[Structure, ...], LabelRecipe]:
    """Structures and recipe from the values in label files.

    Masks that are JPEG, or contain only 0 and 255, are read as binary masks of one structure; in
    all others each value is a structure.

    Args:
        items: Each with a label file.
        is_2d: Whether they are pictures.
        rule: Rule given by the user; None to choose it from the files.
        absent: For the recipe.
        beside: Structures that another file names, by their values.

    Raises:
        InputError: If the values cannot be labels.
    """
    foreground = structures_named(FOREGROUND)
    if rule not in (None, "values"):
        return foreground, LabelRecipe(rule, absent=absent)
    lossy = is_2d and any(_is_lossy(item) for item in items)
    if lossy and rule is None:
        return foreground, LabelRecipe("bright", absent=absent)
    log.info("reading the labels of %d files", len(items))
    found: set[int] = set().union(
        *load_in_threads(items, _picture_values if is_2d else _volume_values)
    )
    if is_2d and found == {0, 255} and rule is None:
        return foreground, LabelRecipe("bright", absent=absent)
    found.discard(0)
    if not found:
        raise InputError(
            tr("The label files ({names}) are all empty; check them.").format(
                names=listed(item.name for item in items)
            )
        )
    if len(found) > (MOST_LABELS if is_2d else LARGEST_LABEL):
        raise InputError(
            tr(
                "The label files hold {count} different values, too many for structures. If "
                "they are masks of black and white with blurred borders, say so with "
                "rule=bright; if some values are structures, name them with names=FILE."
            ).format(count=len(found))
        )
    values = {value: label for label, value in enumerate(sorted(found), start=1)}
    known = {item.label: item.name for item in beside}
    named = {label: known.get(value, f"label {value}") for value, label in values.items()}
    structures = foreground if found == {1} and not known else structures_named(named)
    return structures, LabelRecipe("values", tuple(values.items()), absent=absent)


def _is_lossy(item: Item) -> bool:
    return item.label is not None and item.label.suffix.lower() in LOSSY_SUFFIXES


def _picture_values(item: Item) -> set[int]:
    assert item.label is not None
    mask = read_mask(item.label)
    if mask.ndim == 3 and (mask != mask[..., :1]).any():
        raise InputError(
            tr(
                "{item} shows structures in colours; save their numbers as grey values or as a "
                "palette, or say with rule=bright or rule=green what is the structure."
            ).format(item=item.label)
        )
    return {int(value) for value in np.unique(mask)}


def _volume_values(item: Item) -> set[int]:
    assert item.label is not None
    array = read_volume(item.label, labels=True).array
    return set().union(*(np.unique(whole_numbers(part, item.label)).tolist() for part in array))
