"""The layout of the TotalSegmentator data sets: a folder per case with one mask per structure."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from ..errors import InputError
from ..language import tr, trn
from ..models.labels import structures_called
from ..reading.mask_folder import MASKS, mask_files
from ..untrusted import shown
from ..volume.structure import LARGEST_LABEL
from ..volume.structure_names import plain_words
from .collection import SPLITS, Collection, Item, Split, hold_out, of_patients, usual_share
from .files import existing_folder, listed, refuse_missing
from .recipe import LabelRecipe

log = logging.getLogger(__name__)

IMAGE, TABLE = "ct.nii.gz", "meta.csv"
_LARGEST_TABLE = 2**24
_SPLITS: dict[str, Split] = {"train": "train", "val": "validation", "test": "test"}
# The parts that TotalSegmentator's own models were trained on; "organs" is what no other has.
_CARDIAC = (
    "heart", "aorta", "pulmonary", "brachiocephalic", "subclavian", "common_carotid", "atrial",
    "superior_vena", "inferior_vena", "portal_vein", "iliac_artery", "iliac_vena",
)  # fmt: skip
_MUSCLES = (
    "humerus", "scapula", "clavicula", "femur", "hip", "spinal_cord", "gluteus", "autochthon",
    "iliopsoas", "brain", "skull", "face",
)  # fmt: skip
_PARTS: dict[str, Callable[[str], bool]] = {
    "vertebrae": lambda stem: stem.startswith(("vertebrae", "sacrum")),
    "ribs": lambda stem: stem.startswith(("rib_", "sternum", "costal")),
    "cardiac": lambda stem: stem.startswith(_CARDIAC),
    "muscles": lambda stem: stem.startswith(_MUSCLES),
}
_ORGANS, _ALL = "organs", "total"


def totalsegmentator(
    root: Path,
    *,
    structures: str = _ALL,
    validation: float | None = None,
    seed: int = 0,
    patients: str | None = None,
) -> Collection:
    """TotalSegmentator: `s0000/ct.nii.gz` and `s0000/segmentations/*.nii.gz`.

    A structure whose mask is empty does not occur in the CT; one without a mask is unknown there.

    Args:
        root: The folder with the cases, and with `meta.csv` if its splits shall be used.
        structures: "organs", "vertebrae", "cardiac", "muscles" or "ribs", as the publication
            divides them; "total" for all; or names of masks, separated by commas.
        validation: Share of the patients to hold out where `meta.csv` names none; by default a
            fifth.
        seed: A different seed holds out other patients.
        patients: Regular expression that finds the patient in a case's name.
    """
    items = _items(existing_folder(root))
    found = sorted({stem for item in items for stem in mask_files(_masks(item))})
    order = {stem: n for n, stem in enumerate(_in_order(items))}
    stems = sorted(_chosen(structures, found), key=order.__getitem__)
    if len(stems) > LARGEST_LABEL:
        raise InputError(
            tr(
                "{count} structures are too many for one model; choose up to {largest_label} "
                "with structures=NAME,NAME."
            ).format(count=len(stems), largest_label=LARGEST_LABEL)
        )
    without = [item.name for item in items if not set(stems) & set(mask_files(_masks(item)))]
    items = [item for item in of_patients(items, patients) if item.name not in without]
    parts, notes = _splits(root / TABLE, items)
    if without:
        notes.append(
            trn(
                "{count} case has none of the masks and is left out: {names}.",
                "{count} cases have none of the masks and are left out: {names}.",
                len(without),
            ).format(count=len(without), names=listed(without))
        )
    if not parts["validation"]:
        share = usual_share(parts["train"]) if validation is None else validation
        parts["train"], parts["validation"] = hold_out(parts["train"], share, seed)
    lacking = [item.name for item in items if set(stems) - set(mask_files(_masks(item)))]
    if lacking:
        notes.append(
            trn(
                "{count} case lacks masks of some structures, which are unknown there: {names}.",
                "{count} cases lack masks of some structures, which are unknown there: {names}.",
                len(lacking),
            ).format(count=len(lacking), names=listed(lacking))
        )
    names = [plain_words(stem) for stem in stems]
    return Collection(
        name="totalsegmentator",
        title="TotalSegmentator" if structures == _ALL else f"TotalSegmentator, {structures}",
        dimensions=3,
        channels=1,
        modality="CT",
        structures=structures_called(names),
        train=parts["train"],
        validation=parts["validation"],
        test=parts["test"],
        recipe=LabelRecipe(
            "names", names=tuple((name, label) for label, name in enumerate(names, start=1))
        ),
        input=None,
        source=f"TotalSegmentator's layout; splits of {TABLE} or, where it names none, with seed "
        f"{seed}",
        notes=tuple(notes),
    )


def _items(root: Path) -> list[Item]:
    folders = sorted(path for path in root.iterdir() if (path / MASKS).is_dir())
    if not folders:
        raise InputError(
            tr(
                "{folder} has no cases in the layout of TotalSegmentator: folders like s0000 with "
                "{image} and a folder {masks}."
            ).format(folder=root, image=IMAGE, masks=MASKS)
        )
    missing = [folder.name for folder in folders if not (folder / IMAGE).is_file()]
    refuse_missing([f"{name}/{IMAGE}" for name in missing], "CT of TotalSegmentator's cases", root)
    empty = [folder.name for folder in folders if not mask_files(folder / MASKS)]
    refuse_missing([f"{name}/{MASKS}" for name in empty], "Masks of TotalSegmentator's cases", root)
    return [Item(folder.name, folder / IMAGE, folder / MASKS) for folder in folders]


def _masks(item: Item) -> Path:
    assert item.label is not None
    return item.label


def _in_order(items: Iterable[Item]) -> list[str]:
    """All masks, those of the first case in its own order first."""
    order: dict[str, None] = {}
    for item in items:
        order |= dict.fromkeys(mask_files(_masks(item)))
    return list(order)


def _chosen(structures: str, found: list[str]) -> list[str]:
    """Names of the masks that are wanted."""
    if structures == _ALL:
        return found
    if structures == _ORGANS:
        chosen = [stem for stem in found if not any(part(stem) for part in _PARTS.values())]
    elif structures in _PARTS:
        chosen = [stem for stem in found if _PARTS[structures](stem)]
    else:
        chosen = [word.strip() for word in structures.split(",") if word.strip()]
        unknown = [stem for stem in chosen if stem not in found]
        if unknown:
            raise InputError(
                tr(
                    "structures={structures}: there are no masks {unknown}. Give {value}, or "
                    "names of masks such as {found}."
                ).format(
                    structures=shown(structures),
                    unknown=listed(unknown),
                    value=", ".join((_ALL, _ORGANS, *_PARTS)),
                    found=listed(found),
                )
            )
    if not chosen:
        raise InputError(
            tr(
                "structures={structures}: no case has such masks; there are, for example, {found}."
            ).format(structures=structures, found=listed(found))
        )
    return list(dict.fromkeys(chosen))


def _splits(table: Path, items: list[Item]) -> tuple[dict[Split, tuple[Item, ...]], list[str]]:
    """The items of each split, and notes; all are "train" without a table."""
    by_name = _table(table) if table.is_file() else {}
    parts: dict[Split, list[Item]] = {split: [] for split in SPLITS}
    unnamed = []
    for item in items:
        split = by_name.get(item.name)
        if by_name and split is None:
            unnamed.append(item.name)
        parts[split or "train"].append(item)
    notes = []
    if unnamed:
        notes.append(
            f"{TABLE} names no split for {len(unnamed)} cases, which are used for training: "
            f"{listed(unnamed)}."
        )
    there = {item.name for item in items}
    absent = [name for name in by_name if name not in there]
    if absent:
        notes.append(f"{len(absent)} of {len(by_name)} cases of {TABLE} are not there.")
    if not parts["train"]:
        raise InputError(
            tr("{table} puts no case that is there into the split train; correct it.").format(
                table=table
            )
        )
    return {split: tuple(found) for split, found in parts.items()}, notes


def _table(path: Path) -> dict[str, Split]:
    """Split by case. Columns are separated by semicolons, as in the publication, or by commas."""
    try:
        with path.open("rb") as file:
            text = file.read(_LARGEST_TABLE).decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            tr("{path} cannot be read as a table in UTF-8; correct or remove it.").format(path=path)
        ) from error
    lines = text.splitlines()
    separator = ";" if lines and ";" in lines[0] else ","
    try:
        rows = list(csv.DictReader(lines, delimiter=separator))
    except csv.Error as error:
        raise InputError(
            tr("{path} is no table ({error}); correct or remove it.").format(path=path, error=error)
        ) from error
    if not rows or "image_id" not in rows[0] or "split" not in rows[0]:
        return {}
    found: dict[str, Split] = {}
    for row in rows:
        written = (row["split"] or "").strip()
        if written not in _SPLITS:
            raise InputError(
                tr("{path} has the split {written}; it should be {splits}.").format(
                    path=path, written=shown(written), splits=", ".join(_SPLITS)
                )
            )
        found[(row["image_id"] or "").strip()] = _SPLITS[written]
    return found
