"""A plain folder of images and their label maps, volumes or pictures, in any of three forms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..errors import InputError
from ..models.labels import read_structures
from ..reading.pictures import PICTURE_SUFFIXES
from .collection import SPLITS, Collection, Item
from .finding import VOLUME_SUFFIXES, files_by_stem, has_colors, refuse_missing, shown
from .guessing import labels_in
from .recipe import Absent, LabelRecipe, Rule
from .splits import hold_out, usual_share
from .two_dimensions import picture_input

IMAGE_FOLDERS = ("images", "image", "img", "Original")
LABEL_FOLDERS = ("labels", "masks", "label", "mask", "Ground Truth")
SPLIT_FOLDERS = {
    "train": ("train", "training"),
    "validation": ("validation", "val", "valid"),
    "test": ("test", "testing"),
}
RULES = ("values", "positive", "bright", "green")


@dataclass(frozen=True)
class _Where:
    """How the files are called; None for what is usual.

    Attributes:
        images: Folder of images.
        labels: Folder of label maps.
        image: Name of the image in a case's folder.
        label: Name of the label map in a case's folder.
        label_suffix: What the names of label files have behind those of the images.
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
    """Pairs of files.

    The forms are: a folder of images beside one of label maps with the same names; folders
    `train`, `validation` and `test` with such pairs in them; a folder per case.

    Args:
        root: Where.
        images: Folder of the images; "images" and some other usual names without it.
        labels: Folder of the label maps; "labels" or "masks" without it.
        image: Name of the image in a case's folder, for example "ct.nii.gz".
        label: Name of the label map in a case's folder.
        label_suffix: What label files have behind the image's name, for example "_mask".
        names: Label list that comes along, or a JSON file {"1": "Liver"}; without it the label
            files are read, to see what is in them.
        rule: How masks are read, see `LabelRecipe`; seen from the files without it.
        absent: "unknown" if a structure that a label map lacks may not have been drawn.
        modality: "CT", "MR" or another word.
        test: Share of the patients to hold back for the test.
        validation: Share of the other patients to hold back for validation; a fifth without it.
        seed: Another one holds back others.
        patients: Regular expression that finds the patient in an item's name.
    """
    if not root.is_dir():
        raise InputError(f"The data folder {root} does not exist; check the spelling.")
    if rule is not None and rule not in RULES:
        raise InputError(f"Unknown rule {rule!r}; choose one of {', '.join(RULES)}.")
    where = _Where(images, labels, image, label, label_suffix)
    parts = _parts(root, where)
    _refuse_twice(parts)
    if "test" not in parts:
        parts["train"], parts["test"] = hold_out(parts["train"], test, seed, patients)
    if "validation" not in parts:
        share = usual_share(parts["train"], patients) if validation is None else validation
        parts["train"], parts["validation"] = hold_out(parts["train"], share, seed, patients)
    items = [item for split in SPLITS for item in parts[split]]
    is_flat = _is_flat(items, root)
    structures, recipe = _labels(items, is_flat, names, rule, absent)
    colored = is_flat and has_colors(items)
    return Collection(
        name="folder",
        title=root.resolve().name,
        dimensions=2 if is_flat else 3,
        channels=3 if colored else 1,
        modality=modality,
        structures=structures,
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        recipe=recipe,
        input=picture_input(colored) if is_flat else None,
        source=f"{root.resolve().name}, split with seed {seed}",
    )


def _parts(root: Path, where: _Where) -> dict[str, tuple[Item, ...]]:
    """The items of each split that is a folder of its own, else all as "train"."""
    found = {}
    for split, candidates in SPLIT_FOLDERS.items():
        for name in candidates:
            if (root / name).is_dir() and _holds_pairs(root / name, where):
                found[split] = tuple(_pairs(root / name, where))
                break
    if "train" in found:
        return found
    return {"train": tuple(_pairs(root, where))}


def _holds_pairs(root: Path, where: _Where) -> bool:
    if where.image is not None:
        return any(root.glob(f"*/{where.image}"))
    return _sub_folder(root, where.images, IMAGE_FOLDERS) is not None


def _pairs(root: Path, where: _Where) -> list[Item]:
    if where.image is not None or where.label is not None:
        return _case_folders(root, where)
    images = _sub_folder(root, where.images, IMAGE_FOLDERS)
    labels = _sub_folder(root, where.labels, LABEL_FOLDERS)
    if images is None or labels is None:
        part, usual = ("images", IMAGE_FOLDERS) if images is None else ("labels", LABEL_FOLDERS)
        raise InputError(
            f"{root} has no folder {getattr(where, part) or ' or '.join(usual)}; name it with "
            f"{part}=NAME, or for a folder per case the files in it with image=FILE label=FILE."
        )
    suffixes = (*VOLUME_SUFFIXES, *PICTURE_SUFFIXES)
    have, marks = files_by_stem(images, suffixes), files_by_stem(labels, suffixes)
    end = where.label_suffix
    if images == labels:
        have = {stem: path for stem, path in have.items() if not end or not stem.endswith(end)}
    refuse_missing([stem + end for stem in have if stem + end not in marks], "Label files", labels)
    if images != labels:
        wanted = {stem + end for stem in have}
        refuse_missing([stem for stem in marks if stem not in wanted], "Images", images)
    if not have:
        raise InputError(f"{images} has no images ({', '.join(suffixes)}).")
    return [Item(stem, path, marks[stem + end]) for stem, path in sorted(have.items())]


def _case_folders(root: Path, where: _Where) -> list[Item]:
    if where.image is None or where.label is None:
        raise InputError("For a folder per case give both: image=FILE and label=FILE.")
    cases = sorted(path.parent for path in root.glob(f"*/{where.image}"))
    if not cases:
        raise InputError(f"{root} has no case folders with {where.image}; check image=FILE.")
    absent = [f"{case.name}/{where.label}" for case in cases if not (case / where.label).is_file()]
    refuse_missing(absent, "Label files", root)
    return [Item(case.name, case / where.image, case / where.label) for case in cases]


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
            f"{shown(twice)}: the same names are in several splits; an image that is learnt from "
            "cannot be tested on. Rename or remove them."
        )


def _is_flat(items: Sequence[Item], root: Path) -> bool:
    flat = [item.image.name.lower().endswith(PICTURE_SUFFIXES) for item in items]
    if any(flat) != all(flat):
        raise InputError(
            f"{root} holds volumes and pictures together, such as "
            f"{items[flat.index(False)].image.name} and {items[flat.index(True)].image.name}; keep "
            "them in folders of their own."
        )
    return all(flat)


def _labels(
    items: Sequence[Item], is_flat: bool, names: str | None, rule: Rule | None, absent: Absent
) -> tuple[tuple, LabelRecipe]:
    if names is None:
        return labels_in(items, is_flat, rule, absent)
    structures = read_structures(names)
    if rule in (None, "values"):
        values = tuple((item.label, item.label) for item in structures)
        if is_flat and len(structures) == 1 and rule is None:
            return structures, labels_in(items, is_flat, rule, absent)[1]
        return structures, LabelRecipe("values", values, absent=absent)
    if len(structures) != 1:
        raise InputError(
            f"rule={rule} tells one structure from background, but {names} names "
            f"{len(structures)}; leave the rule out."
        )
    return structures, LabelRecipe(rule, absent=absent)
