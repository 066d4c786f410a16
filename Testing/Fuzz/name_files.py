"""What numbers mean: files for `--names`, tables of DICOM names, nnU-Net's dataset.json."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from content import Content, content_of
from json_mutators import changed_json
from outcome import Outcome, outcome_within

from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.evaluation.cases import by_own_names, find_pairs, with_names
from SDSegLib.models.labels import read_names, read_structures
from SDSegLib.untrusted import is_plain

_NUMBERS = {"1": "Liver", "5": "Left kidney"}
_CODED = [
    {"label": 1, "name": "Liver", "color": [221, 130, 101],
     "type": {"scheme": "SCT", "value": "10200004", "meaning": "Liver"}},
    {"label": 2, "name": "Left kidney", "color": [185, 102, 83],
     "type": {"scheme": "SCT", "value": "64033007", "meaning": "Kidney"},
     "modifier": {"scheme": "SCT", "value": "7771000", "meaning": "Left"},
     "minimum_component_fraction": 0.1},
]  # fmt: skip


def write_good_data(folder: Path) -> Path:
    """Two cases in nnU-Net's layout, and one patient with a structure set."""
    from dataset_trees import write_nnunet
    from dicom_labels import write_good_structure_set

    write_nnunet(folder / "nnunet", ("a", "b"))
    path = folder / "nnunet" / "dataset.json"
    training = [{"image": f"./imagesTr/{name}.nii.gz"} for name in ("a", "b")]
    content = {"name": "Organs", **json.loads(path.read_bytes()), "training": training}
    _written(path, content)
    write_good_structure_set(folder / "dicom" / "p1")
    return folder


@dataclass
class NameFiles:
    """Files that say what numbers and names mean.

    Attributes:
        name: For the table.
        good: What `write_good_data` gave.
    """

    name: str
    good: Path

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage a file, and read data by it."""
        ways: tuple[Callable[[random.Random, Path], tuple[Callable[[], Content], Path]], ...] = (
            self._names, self._numbers, self._coded, self._table, self._description,
            self._description,
        )  # fmt: skip
        read, path = dice.choice(ways)(dice, folder)
        good = read()
        path.write_bytes(changed_json(path.read_bytes(), dice))

        def work() -> Outcome:
            found = read()
            for name in {part for key in found.parts for part in key}:
                if not is_plain(name):
                    raise AssertionError(f"control characters in {name!r}")
            return found.compared(good, False, folder)

        return outcome_within(work, folder)

    def _numbers(self, dice: random.Random, folder: Path) -> tuple[Callable[[], Content], Path]:
        path = _written(folder / "names.json", _NUMBERS)
        data = folder / "data"
        shutil.copytree(self.good / "nnunet", data)
        (data / "dataset.json").unlink()

        def read() -> Content:
            found = by_own_names(with_names(find_pairs(data), str(path)).pairs)
            return Content({} if found is None else {("", item.name): str(item.label)
                                                     for item in found[1]})  # fmt: skip

        return read, path

    def _names(self, dice: random.Random, folder: Path) -> tuple[Callable[[], Content], Path]:
        path = _written(folder / "names.json", _NUMBERS)
        return lambda: _structures(read_names(str(path))), path

    def _coded(self, dice: random.Random, folder: Path) -> tuple[Callable[[], Content], Path]:
        path = _written(folder / "names.json", _CODED)
        return lambda: _structures(read_structures(str(path))), path

    def _table(self, dice: random.Random, folder: Path) -> tuple[Callable[[], Content], Path]:
        from dicom_labels import TABLE

        path = _written(folder / "names.json", TABLE)
        data = folder / "data"
        shutil.copytree(self.good / "dicom", data)
        return lambda: content_of(open_dataset("dicom", data, names=str(path))), path

    def _description(self, dice: random.Random, folder: Path) -> tuple[Callable[[], Content], Path]:
        data = folder / "data"
        shutil.copytree(self.good / "nnunet", data)

        def read() -> Content:
            collection = open_dataset("nnunet", data)
            found = content_of(collection)
            texts = (collection.title, collection.modality or "", collection.source)
            return Content({**found.parts, **{("text", text): "" for text in texts}}, found.notes)

        return read, data / "dataset.json"


def _written(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def _structures(structures: object) -> Content:
    return Content({("", item.name): str(item.to_json()) for item in structures})  # type: ignore[attr-defined]
