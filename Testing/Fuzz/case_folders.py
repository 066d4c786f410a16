"""Case collections: a damaged `cases.json`, damaged cases, and links to somewhere else."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import mutators
import numpy as np
from content import Content, content_of, digest
from json_mutators import changed_json
from outcome import REFUSED, SILENT, Outcome, outcome_within
from supervision import PATIENT_ID, PATIENT_NAME

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.cases.findings import check_cases
from SDSegLib.cases.index import INDEX
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.teaching.cases import open_cases
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume

_FILES = ("ct.nii.gz", "segmentation.seg.nrrd", ".next.seg.nrrd", ".unfinished", "lock", "..")
_CHANGES = ("state", "patient", "add", "segmentation", "remove", "none", "none")


def write_good_collection(folder: Path) -> Path:
    """Two corrected cases of one patient each, and one that is to do."""
    collection = CaseCollection(folder)
    for number in range(3):
        volume = _ct(number)
        labels = _kidneys(volume) if number < 2 else None
        collection.add(volume, labels, patient=f"{PATIENT_NAME} {PATIENT_ID} {number}")
    return folder


def _ct(number: int) -> Volume:
    from case_parts import a_ct

    whole = a_ct(number)
    return Volume(whole.array, whole.geometry, name=PATIENT_NAME, modality="CT")


def _kidneys(volume: Volume) -> Segmentation:
    from case_parts import kidneys

    return kidneys(volume)


@dataclass
class CaseFolders:
    """Case collections, listed, read, taught from and changed.

    Attributes:
        name: For the table.
        good: A collection.
    """

    name: str
    good: Path
    _content: Content | None = field(default=None, init=False)

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage a collection; list, read and change it."""
        place = folder / "cases"
        shutil.copytree(self.good, place)
        if self._content is None:
            self._content = self._read(place)
        good = self._content
        elsewhere = folder / "elsewhere"
        shutil.copytree(self.good / "case-001", elsewhere)
        index = place / INDEX
        must_be_told = False
        if dice.random() < 0.65:
            index.write_bytes(changed_json(index.read_bytes(), dice))
        else:
            must_be_told = _damage(place, elsewhere, dice)
        change, kind = dice.choice(_CHANGES), dice.randrange(4)

        def work() -> Outcome:
            if change != "none":
                _change(place, change)
            way: Callable[[Path], Content] = (self._read, _taught, _listed, _as_data_set)[kind]
            found = way(place)
            if change != "none" or kind:
                return Outcome(REFUSED if not found.parts else "read as before")
            return found.compared(good, must_be_told, folder)

        may_change = () if change == "none" else (place,)
        return outcome_within(work, folder, may_change)

    @staticmethod
    def _read(place: Path) -> Content:
        parts, notes = {}, set()
        for case in CaseCollection(place).cases():
            volume = case.read_ct()
            parts[case.name, "image"] = digest(volume.array, volume.geometry)
            notes.update(volume.notes)
            parts[case.name, "state"], parts[case.name, "patient"] = case.state, case.patient
            if case.segmentation is None:
                continue
            labels = case.read_labels()
            notes.update(labels.notes)
            for item in labels.structures:
                parts[case.name, item.name] = digest(labels.mask(item), labels.geometry)
        return Content(parts, frozenset(notes))


def _taught(place: Path) -> Content:
    """What teaching would learn from."""
    found = open_cases(place)
    return Content({(name, "facts"): repr(facts) for name, facts in found.facts.items()})


def _listed(place: Path) -> Content:
    """What the list of the cases says."""
    collection = CaseCollection(place)
    notes = frozenset(item.message for item in check_cases(collection))
    collection.unknown_folders()
    return Content({(case.name, "size"): f"{case.megabytes}" for case in collection.cases()}, notes)


def _as_data_set(place: Path) -> Content:
    """The collection as a folder of cases."""
    return content_of(open_dataset("folder", place))


def _change(place: Path, change: str) -> None:
    """Change the collection as a user does."""
    collection = CaseCollection(place)
    first = next((case.name for case in collection.cases()), "case-001")
    if change == "state":
        collection.set_state(first, "left-out")
    elif change == "patient":
        collection.set_patient(first, "another")
    elif change == "add":
        volume = _ct(7)
        collection.add(volume, _kidneys(volume))
    elif change == "segmentation":
        labels = _kidneys(_ct(0))
        collection.set_segmentation(first, labels)
        if not np.array_equal(collection.case(first).read_labels().layers[0] > 0,
                              labels.label_map > 0):  # fmt: skip
            raise AssertionError(f"{SILENT}: another segmentation is read than was set")
    elif change == "remove":
        collection.remove(first)


def _damage(place: Path, elsewhere: Path, dice: random.Random) -> bool:
    """Damage files of a case; whether that can be noticed."""
    case = place / dice.choice(("case-001", "case-002"))
    file = case / dice.choice(("ct.nii.gz", "segmentation.seg.nrrd"))
    way = dice.randrange(8)
    if way == 0:
        file.write_bytes(mutators.anything(file.read_bytes(), dice))
    elif way == 1:
        file.unlink()
        return True
    elif way == 2:
        shutil.rmtree(case)
        case.symlink_to(elsewhere, target_is_directory=True)
    elif way == 3:
        shutil.copy(elsewhere / file.name, file)
    elif way == 4:
        (case / dice.choice(_FILES[2:5])).write_bytes(dice.choice((b"", b"x" * 100)))
    elif way == 5:
        shutil.copytree(elsewhere, place / dice.choice(("case-009", "x\ny", "\x1b[31m", "-rf")))
    elif way == 6:
        shutil.rmtree(case)
        return True
    else:
        file.unlink()
        file.symlink_to(elsewhere / file.name)
    return False
