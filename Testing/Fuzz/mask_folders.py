"""Cases in the layout of TotalSegmentator: a CT, a folder of masks, and a table of splits."""

from __future__ import annotations

import gzip
import os
import random
import shutil
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import mutators
import numpy as np
from content import Content, content_of
from outcome import Outcome, outcome_within
from supervision import PATIENT_NAME

from SDSegLib.datasets.catalogue import open_dataset

SHAPE = (5, 12, 14)
MASKS = ("kidney_left", "kidney_right", "liver", "vertebrae_L5")
_TABLE = "image_id;age;split\ns0000;61;train\ns0001;67;val\n"
_NAMES = (
    "liver.nii", "liver.nrrd", "Liver.nii.gz", ".nii.gz", "-rf.nii.gz", "a\nb.nii.gz",
    "\x1b[31m.nii.gz", "\udcff.nii.gz", "x" * 240 + ".nii.gz", "CON.nii.gz", "9" * 60 + ".nii.gz",
    "\u202egnp.nii.gz", "²³.nii.gz", " .nii.gz", "liver liver.nii.gz", "left_left.nii.gz",
)  # fmt: skip
_LINES = (
    "s0001;1;train", "s0000;1;test", "s0000;1;other", "s0000", ";;", "s0009;1;train", "\0", '"',
    "s0000;1;" + "A" * 200_000, "s0000;1;train;more;and;more", "\ufeffs0000;1;val", "s0000,1,val",
    "\x1b[31m;1;train", f"s0001;1;{PATIENT_NAME}"[:8] + "train",
)  # fmt: skip


def write_good_masks(folder: Path) -> Path:
    """Two cases with four masks each, the last of which is empty."""
    from dataset_trees import save_volume

    for number in range(2):
        case = folder / f"s000{number}"
        values = ((np.arange(np.prod(SHAPE)) * 37 + number) % 2000 - 1000).astype(np.int16)
        save_volume(values.reshape(SHAPE), case / "ct.nii.gz")
        for place, name in enumerate(MASKS):
            mask = np.zeros(SHAPE, np.uint8)
            if place < 3:
                mask[1:4, 1 + 3 * place : 4 + 3 * place, 2:9] = 1
            save_volume(mask, case / "segmentations" / f"{name}.nii.gz")
    (folder / "meta.csv").write_text(_TABLE, encoding="utf-8")
    return folder


@dataclass
class MaskFolders:
    """Cases with folders of masks, read as data set "totalsegmentator".

    Attributes:
        name: For the table.
        good: A folder of cases.
    """

    name: str
    good: Path
    _content: Content | None = field(default=None, init=False)

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage a mask, a CT, a folder or the table, and read all cases."""
        root = folder / "root"
        shutil.copytree(self.good, root)
        if self._content is None:
            self._content = self._read(root)
        good = self._content
        must_be_told = _damage(root, dice)

        def read() -> Outcome:
            return self._read(root).compared(good, must_be_told, folder)

        return outcome_within(read, folder)

    def _read(self, root: Path) -> Content:
        return content_of(open_dataset("totalsegmentator", root))


def _damage(root: Path, dice: random.Random) -> bool:
    """Whether the damage can be noticed."""
    case = root / dice.choice(("s0000", "s0001"))
    masks = case / "segmentations"
    mask = masks / f"{dice.choice(MASKS[:3])}.nii.gz"
    way = dice.randrange(13)
    if way < 3:
        victim = mask if dice.random() < 0.8 else case / "ct.nii.gz"
        victim.write_bytes(mutators.anything(victim.read_bytes(), dice))
        return True
    if way == 3:
        data = gzip.decompress(mask.read_bytes())
        how = dice.choice((mutators.flip_bits, mutators.set_bytes))
        mask.write_bytes(gzip.compress(how(data, dice, 0, dice.choice((352, len(data))))))
        return False
    if way == 4:
        data = gzip.decompress(mask.read_bytes())
        damaged = dice.choice((mutators.cut, mutators.append, mutators.insert))(data, dice)
        mask.write_bytes(gzip.compress(damaged))
        return False
    if way == 5:
        mask.unlink()
        return True
    if way == 6:
        _try(lambda: mask.rename(masks / dice.choice(_NAMES)))
        return False
    if way == 7:
        _try(lambda: shutil.copy(mask, masks / dice.choice(_NAMES)))
        return False
    if way == 8:
        for number in range(dice.choice((100, 300))):
            shutil.copy(mask, masks / f"rib_left_{number}.nii.gz")
        return False
    if way == 9:
        return _other_file(mask, case, dice)
    if way == 10:
        shutil.copy(case / "ct.nii.gz", mask)
        return True
    table = root / "meta.csv"
    if way == 11:
        lines = _TABLE.splitlines()
        lines.insert(dice.randrange(len(lines) + 1), dice.choice(_LINES))
        table.write_text("\n".join(lines), encoding="utf-8")
    else:
        table.write_bytes(mutators.anything(_TABLE.encode(), dice))
    return False


def _other_file(mask: Path, case: Path, dice: random.Random) -> bool:
    """Something else in the place of a mask."""
    mask.unlink()
    way = dice.randrange(5)
    if way == 0:
        mask.mkdir()
    elif way == 1:
        mask.symlink_to(mask)
    elif way == 2:
        mask.symlink_to(case / "segmentations" / "absent.nii.gz")
    elif way == 3:
        mask.write_bytes(b"")
    else:
        os.mkfifo(mask)
    return True


def _try(work: object) -> None:
    """Do what a file system may refuse, such as a name."""
    with suppress(OSError):
        work()  # type: ignore[operator]
