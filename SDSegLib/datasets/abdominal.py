"""AMOS, FLARE and WORD: abdominal CT in two folders, with the meaning of their labels."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from ..errors import InputError
from ..language import tr
from ..models.labels import structures_called
from .collection import Collection, Item, hold_out, usual_share
from .files import (
    VOLUME_SUFFIXES,
    existing_folder,
    files_by_channel,
    files_by_stem,
    refuse_missing,
)
from .recipe import Absent, LabelRecipe

Folders = Sequence[tuple[str, str]]
TRAINING: Folders = (("imagesTr", "labelsTr"),)
VALIDATION: Folders = (("imagesVa", "labelsVa"), ("imagesVal", "labelsVal"))
TEST: Folders = (("imagesTs", "labelsTs"),)
FLARE_TRAINING: Folders = (
    ("images", "labels"),
    ("imagesTr", "labelsTr"),
    ("imagesTr2200", "labelsTr2200"),
    ("FLARE22Train/images", "FLARE22Train/labels"),
    ("Training/FLARE22_LabeledCase50/images", "Training/FLARE22_LabeledCase50/labels"),
)
_FIRST_MR = 501
_NUMBER = re.compile(r"(\d+)$")

AMOS = (
    "Spleen", "Right kidney", "Left kidney", "Gallbladder", "Esophagus", "Liver", "Stomach",
    "Aorta", "Inferior vena cava", "Pancreas", "Right adrenal gland", "Left adrenal gland",
    "Duodenum", "Urinary bladder", "Prostate or uterus",
)  # fmt: skip
FLARE = (
    "Liver", "Right kidney", "Spleen", "Pancreas", "Aorta", "Inferior vena cava",
    "Right adrenal gland", "Left adrenal gland", "Gallbladder", "Esophagus", "Stomach", "Duodenum",
    "Left kidney",
)  # fmt: skip
FLARE_TUMOUR = "Tumor"
WORD = (
    "Liver", "Spleen", "Left kidney", "Right kidney", "Stomach", "Gallbladder", "Esophagus",
    "Pancreas", "Duodenum", "Colon", "Small intestine", "Adrenal glands", "Rectum",
    "Urinary bladder", "Left head of femur", "Right head of femur",
)  # fmt: skip


def amos(
    root: Path, *, modality: str = "CT", validation: float | None = None, seed: int = 0
) -> Collection:
    """AMOS 2022: `imagesTr`, `labelsTr`, `imagesVa`, `labelsVa`; numbers above 500 are MR."""
    if modality not in ("CT", "MR"):
        raise InputError(tr("modality={modality} is neither CT nor MR.").format(modality=modality))
    train, held = _pairs(root, TRAINING, "AMOS"), _pairs(root, VALIDATION, "AMOS", True)
    every = len(train) + len(held)
    train, held = (_of_modality(items, modality == "MR") for items in (train, held))
    left_out = every - len(train) - len(held)
    notes: tuple[str, ...] = ()
    if left_out:
        notes = (f"{left_out} images are {'CT' if modality == 'MR' else 'MR'} and are left out.",)
    return _collection(
        root,
        "amos",
        f"AMOS, {modality}",
        AMOS,
        (train, held, []),
        modality,
        validation,
        seed,
        notes,
    )


def flare(
    root: Path, *, absent: Absent = "background", validation: float | None = None, seed: int = 0
) -> Collection:
    """FLARE 2022, 13 organs; also FLARE 2023, of whose cases only some structures are drawn.

    Args:
        root: Folder with `images` and `labels`, or with the archive's own folders.
        absent: "unknown" for FLARE 2023, whose labels are partial and have tumors as well.
        validation: Share of the patients to hold out; by default a fifth.
        seed: A different seed holds out other patients.
    """
    names = FLARE if absent == "background" else (*FLARE, FLARE_TUMOUR)
    parts = (_pairs(root, FLARE_TRAINING, "FLARE"), (), ())
    return _collection(root, "flare", "FLARE", names, parts, "CT", validation, seed, absent=absent)


def word(root: Path, *, validation: float | None = None, seed: int = 0) -> Collection:
    """WORD, 16 organs: `imagesTr`, `imagesVal` and `imagesTs` with their label maps."""
    parts = (
        _pairs(root, TRAINING, "WORD"),
        _pairs(root, VALIDATION, "WORD", True),
        _pairs(root, TEST, "WORD", True),
    )
    return _collection(root, "word", "WORD", WORD, parts, "CT", validation, seed)


def pairs_in(images: Path, labels: Path) -> list[Item]:
    """Images, with or without nnU-Net's channel number, and label maps of the same names.

    Raises:
        InputError: Naming what is missing.
    """
    marks = files_by_stem(labels, VOLUME_SUFFIXES)
    by_case = files_by_channel(images, marks)
    refuse_missing([case for case in by_case if case not in marks], "Label maps", labels)
    refuse_missing([case for case in marks if case not in by_case], "Images", images)
    return [
        Item(case, next(iter(files.values())), marks[case])
        for case, files in sorted(by_case.items())
    ]


def _pairs(root: Path, folders: Folders, what: str, may_lack: bool = False) -> list[Item]:
    """The pairs of the first folders that are there."""
    existing_folder(root)
    for images, labels in folders:
        if (root / images).is_dir() and (root / labels).is_dir():
            items = pairs_in(root / images, root / labels)
            if items or may_lack:
                return items
            raise InputError(
                tr("{folder} has no images ({volume_suffixes}).").format(
                    folder=root / images, volume_suffixes=", ".join(VOLUME_SUFFIXES)
                )
            )
    if may_lack:
        return []
    known = " or ".join(f"{images} and {labels}" for images, labels in folders)
    raise InputError(
        tr("{folder} is not laid out as {what}: there are no folders {known}.").format(
            folder=root, what=what, known=known
        )
    )


def _of_modality(items: Sequence[Item], is_mr: bool) -> list[Item]:
    found = []
    for item in items:
        number = _NUMBER.search(item.name)
        if number is None:
            raise InputError(
                tr(
                    "{item} is not named as in AMOS (amos_0001), so it is unknown whether it is "
                    "CT or MR; keep the names."
                ).format(item=item.name)
            )
        if (int(number[1]) >= _FIRST_MR) == is_mr:
            found.append(item)
    return found


def _collection(
    root: Path,
    name: str,
    title: str,
    names: Sequence[str],
    parts: tuple[Sequence[Item], Sequence[Item], Sequence[Item]],
    modality: str,
    validation: float | None,
    seed: int,
    notes: tuple[str, ...] = (),
    absent: Absent = "background",
) -> Collection:
    train, held, test = (tuple(items) for items in parts)
    if not train:
        raise InputError(
            tr("{folder} holds no {modality} of {title} to train on.").format(
                folder=root, modality=modality, title=title
            )
        )
    if not held or validation is not None:
        share = usual_share(train) if validation is None else validation
        train, held = hold_out((*train, *held), share, seed)
    structures = structures_called(names)
    return Collection(
        name=name,
        title=title,
        dimensions=3,
        channels=1,
        modality=modality,
        structures=structures,
        train=train,
        validation=held,
        test=test,
        recipe=LabelRecipe(
            "values", tuple((item.label, item.label) for item in structures), absent=absent
        ),
        input=None,
        region="abdomen",
        source=f"{title}; its own splits or, where there are none, with seed {seed}",
        notes=notes,
    )
