"""Someone finds planning helpers among references, and measures and trains without them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from phantom import a_body
from tiny_model import INPUT

from SDSegLib.datasets.cases import load_items
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.datasets.doubtful import (
    FEATURES,
    check_references,
    cohort_of,
    measure_reference,
    read_cohort,
    read_set_aside,
)
from SDSegLib.errors import InputError
from SDSegLib.evaluation.cases import cases_of
from SDSegLib.teaching.cases import open_cases
from SDSegLib.teaching.measure import in_labels
from SDSegLib.volume.volume import Volume

NAMES = {1: "Cord", 2: "Gland"}
HELPER = "case-05"


def a_reference(number: int, body: Volume) -> np.ndarray:
    """A cord of 4 × 4 voxels on slices 2 … 7, and a gland; a little different in each case."""
    labels = np.zeros(body.array.shape, np.uint8)
    labels[2:8, 18:22, 20 + number % 3 : 24 + number % 3] = 1
    labels[3:7, 12 : 17 + number % 2, 28:34] = 2
    return labels


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    """Ten cases, in one of which the cord is a block through the whole neck and the air behind."""
    root = tmp_path / "fälle"
    root.mkdir()
    body = a_body()
    for number in range(10):
        labels = a_reference(number, body)
        folder = root / f"case-{number:02d}"
        folder.mkdir()
        if folder.name == HELPER:
            labels[2:8, 18:40, 4:44] = 1
        write(body, body.array, folder / "ct.nii.gz")
        write(body, labels, folder / "organs.nii.gz")
    (tmp_path / "names.json").write_text(json.dumps(NAMES), encoding="utf-8")
    return root


def write(body: Volume, array: np.ndarray, path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(body.geometry.spacing)
    image.SetOrigin(body.geometry.origin)
    sitk.WriteImage(image, str(path))


def sdseg(*words: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "SDSegLib", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "300"},
    )


def test_a_planning_helper_is_found_drawn_and_left_out(cases: Path, tmp_path: Path) -> None:
    names, found, pictures = tmp_path / "names.json", tmp_path / "found.json", tmp_path / "pictures"
    done = sdseg("references", cases, "--names", names, "-o", found, "--pictures", pictures)
    assert done.returncode == 0, done.stderr
    assert "1 of 20 references are set aside" in done.stderr
    assert HELPER in done.stdout
    assert "Cord" in done.stdout
    assert read_set_aside(found) == {HELPER: {"Cord"}}
    assert [path.name for path in pictures.iterdir()] == [f"01_{HELPER}_Cord.png"]

    # Other cases are compared with what is usual in these.
    other = tmp_path / "other.json"
    words = ("references", cases, "--names", names, "--cohort", found, "-o", other, "--json")
    content = json.loads(sdseg(*words).stdout)
    assert [(one["case"], one["structure"]) for one in content["set_aside"]] == [(HELPER, "Cord")]
    assert content["set_aside"][0]["why"][0]["value"] > content["set_aside"][0]["why"][0]["high"]
    refused = sdseg("references", cases, "--names", names, "-o", other)
    assert refused.returncode == 2
    assert "--overwrite" in refused.stderr

    # The figures of results that are right but for the helper.
    results = tmp_path / "results"
    results.mkdir()
    body = a_body()
    for number in range(10):
        write(body, a_reference(number, body), results / f"case-{number:02d}.nii.gz")
    words = ("evaluate", cases, "--predictions", results, "--names", names, "--set-aside", found)
    done = sdseg(*words, "-o", tmp_path / "report", "--pictures", 0, "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    cord, gland = (one["metrics"]["dice"] for one in content["structures"])
    assert cord["cases"] == 10
    assert cord["mean"] < 0.95
    assert gland["mean"] == 1.0
    cleaned = content["without_set_aside"]
    assert (cleaned["references"], cleaned["file"]) == (1, "found.json")
    assert cleaned["structures"][0]["metrics"]["dice"]["mean"] == 1.0
    assert cleaned["structures"][0]["metrics"]["dice"]["cases"] == 9


def test_an_error_leaves_no_empty_folder_for_pictures(cases: Path, tmp_path: Path) -> None:
    broken = sorted(cases.iterdir())[0] / "organs.nii.gz"
    broken.write_bytes(broken.read_bytes()[:100])
    pictures = tmp_path / "new" / "pictures"
    words = (cases, "--names", tmp_path / "names.json", "-o", tmp_path / "found.json")
    done = sdseg("references", *words, "--pictures", pictures)
    assert done.returncode != 0
    assert "organs.nii.gz" in done.stderr
    assert not pictures.parent.exists()

    pictures.mkdir(parents=True)  # the user's own stays
    assert sdseg("references", *words, "--pictures", pictures).returncode != 0
    assert pictures.is_dir()


def test_what_is_set_aside_is_not_learnt_and_not_measured(cases: Path, tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    names = str(tmp_path / "names.json")
    assert sdseg("references", cases, "--names", names, "-o", found).returncode == 0
    whole = open_dataset("folder", cases, names=names)
    clean = open_dataset("folder", cases, names=names, set_aside=str(found))
    assert clean.notes[-1] == "1 references count as not drawn, as found.json says."
    (item,) = [one for one in clean.items("all") if one.name == HELPER]
    (before,) = load_items([item], whole, INPUT, 3)
    (after,) = load_items([item], clean, INPUT, 3)
    assert 1 in before.drawn
    assert (before.label_map == 1).any()
    assert after.drawn == before.drawn - {1}
    assert not (after.label_map == 1).any()
    assert ((after.label_map == 2) == (before.label_map == 2)).all()
    (pair,) = [one for one in cases_of(clean, "all").pairs if one.name == HELPER]
    assert pair.unknown == {1}
    assert set(np.unique(pair.read_reference(pair.reference).array)) == {0, 2}


def test_teaching_neither_learns_nor_measures_what_is_set_aside(
    cases: Path, tmp_path: Path
) -> None:
    found, names = tmp_path / "found.json", str(tmp_path / "names.json")
    assert sdseg("references", cases, "--names", names, "-o", found).returncode == 0
    taught = open_cases(cases, options={"names": names, "set_aside": str(found)})
    assert len(taught.holders(1)) == 9
    assert HELPER not in taught.holders(1)
    assert HELPER in taught.holders(2)
    (pair,) = in_labels(taught.pairs([HELPER]), {1: 4, 2: 5})
    assert pair.unknown == {4}
    assert set(np.unique(pair.read_reference(pair.reference).array)) == {0, 5}


def test_a_structure_that_the_end_of_the_ct_cuts_off_may_be_short() -> None:
    body = a_body()
    measured = {
        f"case-{number}": measure_reference(body, a_reference(number, body), NAMES)
        for number in range(9)
    }
    short = a_reference(0, body)
    short[3:] = 0
    inside = measure_reference(body, short, NAMES)
    at_end = measure_reference(
        replace(body, array=body.array[:3], geometry=replace(body.geometry, shape=(3, 40, 48))),
        short[:3],
        NAMES,
    )
    cohort = cohort_of(measured.values())
    found = check_references({"inside": inside, "at end": at_end}, cohort, limit=4.0)
    assert [one.case for one in found.set_aside] == ["inside"]
    assert {doubt.feature for doubt in found.set_aside[0].doubts} >= {"foot_head_mm", "volume_ml"}


def test_measurements_are_in_mm_whatever_the_axes() -> None:
    body = a_body()
    labels = np.zeros(body.array.shape, np.uint8)
    labels[2:5, 10:14, 20:26] = 1
    values = measure_reference(body, labels, NAMES)["Cord"]
    step_i, step_j, step_k = body.geometry.spacing
    assert values["left_right_mm"] == pytest.approx(6 * step_i)
    assert values["front_back_mm"] == pytest.approx(4 * step_j)
    assert values["foot_head_mm"] == pytest.approx(3 * step_k)
    assert values["volume_ml"] == pytest.approx(3 * 4 * 6 * step_i * step_j * step_k / 1000)
    assert values["largest_piece"] == 1.0
    assert set(FEATURES) < set(values)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: path.write_text("{"), "is not what `sdseg references` writes"),
        (lambda path: path.write_text('{"format": 9}'), "it has not the format 1"),
        (lambda path: path.write_text('{"format": 1, "set_aside": [3]}'), "run that command again"),
        (lambda path: path.unlink(), "cannot be read"),
    ],
)
def test_a_damaged_file_is_named(
    spoil: Callable[[Path], object], words: str, tmp_path: Path
) -> None:
    path = tmp_path / "found.json"
    path.write_text("{}", encoding="utf-8")
    spoil(path)
    with pytest.raises(InputError, match=words) as caught:
        read_set_aside(path)
    assert str(path) in str(caught.value)
    with pytest.raises(InputError):
        read_cohort(path)


def test_too_few_references_and_files_of_other_data(cases: Path, tmp_path: Path) -> None:
    body = a_body()
    few = {"one": measure_reference(body, a_reference(0, body), NAMES)}
    with pytest.raises(InputError, match=r"No structure has 8 references \(at most 1"):
        check_references(few)
    with pytest.raises(InputError, match="A limit of nan cannot be used"):
        check_references(few, limit=float("nan"))
    other = tmp_path / "other.json"
    content = {"format": 1, "set_aside": [{"case": "nobody", "structure": "Cord", "why": []}]}
    other.write_text(json.dumps(content), encoding="utf-8")
    with pytest.raises(InputError, match="none of them is in"):
        open_dataset("folder", cases, names=str(tmp_path / "names.json"), set_aside=str(other))
