"""The practice patients of the tutorial: alike, but not the same, and the same in each run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "Testing"))

from make_practice import BRAIN, practice_patient, write_patient  # noqa: E402

from SDSegLib.cases.collection import CaseCollection  # noqa: E402
from SDSegLib.operations.propagate import propagate  # noqa: E402
from SDSegLib.reading.files import read_volume  # noqa: E402
from SDSegLib.volume.volume import Volume  # noqa: E402


@pytest.fixture(scope="module")
def patients() -> list[tuple[Volume, np.ndarray]]:
    return [practice_patient(number) for number in (1, 2)]


def test_a_number_always_gives_the_same_patient(patients: list[tuple[Volume, np.ndarray]]) -> None:
    volume, brain = practice_patient(2)
    assert np.array_equal(volume.array, patients[1][0].array)
    assert np.array_equal(brain, patients[1][1])


def test_patients_differ(patients: list[tuple[Volume, np.ndarray]]) -> None:
    (one, _), (other, _) = patients
    assert one.geometry.shape != other.geometry.shape
    assert one.geometry.spacing != other.geometry.spacing


def test_the_brain_is_one_piece_that_can_be_drawn(
    patients: list[tuple[Volume, np.ndarray]],
) -> None:
    for volume, brain in patients:
        assert brain.shape == volume.array.shape
        assert 300 < brain.sum() * volume.geometry.voxel_volume_ml < 800
        assert 0 < np.median(volume.array[brain]) < 60
        pieces, count = ndimage.label(brain, np.ones((3, 3, 3)))
        assert np.bincount(pieces.ravel())[1:].max() > 0.99 * brain.sum(), count
        holding = np.flatnonzero(brain.any(axis=(1, 2)))
        assert len(holding) == len(brain) - holding[0]  # from its lower end to the last slice
        assert holding[0] > 8


def test_a_brain_whose_ends_are_not_drawn_is_not_carried_into_the_neck(
    patients: list[tuple[Volume, np.ndarray]],
) -> None:
    volume, brain = patients[0]
    lowest = int(np.flatnonzero(brain.any(axis=(1, 2)))[0])
    drawn = np.zeros_like(brain)
    drawn[[lowest + 3, lowest + 10]] = brain[[lowest + 3, lowest + 10]]
    result = propagate(volume, drawn, device="cpu")
    found = result.mask > 0
    assert not found[: lowest - 4].any()
    assert 2 * np.count_nonzero(found & brain) > 0.9 * (found.sum() + brain.sum())
    assert set(range(lowest - 4, lowest)) & set(result.unsure)  # where it is to be looked at


def test_files_become_cases(tmp_path: Path) -> None:
    ct, drawn = write_patient(tmp_path, 1, labels=True)
    added = CaseCollection(tmp_path / "cases").add(ct, drawn)
    assert [item.name for item in added.case.structures] == [BRAIN.name]
    assert not added.findings
    assert read_volume(ct).geometry.matches(practice_patient(1)[0].geometry)


def test_the_command_writes_ct_alone_unless_labels_are_asked_for(tmp_path: Path) -> None:
    script = str(ROOT / "Testing" / "make_practice.py")
    subprocess.run([sys.executable, script, str(tmp_path), "--patients", "1"], check=True)
    assert [path.name for path in tmp_path.iterdir()] == ["patient-1.nii.gz"]
