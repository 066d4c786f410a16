"""The benchmark of carried masks: its figures are right, and sets for test are kept apart."""

from __future__ import annotations

import json
import runpy
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_trees import save_volume

from SDSegLib.datasets.collection import Item
from SDSegLib.families import build_family
from SDSegLib.models.folder import write_model_folder
from SDSegLib.models.registry import find_model, propagation_model
from SDSegLib.propagation.load import load_propagator
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.doubt import SliceDoubt
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume

BENCHMARK = Path(__file__).parents[1] / "Benchmarks" / "propagate.py"
SHAPE = (26, 36, 40)

pytestmark = pytest.mark.slow


def run(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(BENCHMARK), *words]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A held-out patient whose organ is a slanting tube, so that copying a slice is wrong."""
    k, j, i = np.indices(SHAPE)
    organ = ((j - 10 - 0.6 * k) ** 2 + (i - 20) ** 2 < 36) & (k >= 3) & (k < 23)
    hu = np.random.default_rng(0).normal(0, 20, SHAPE) + 100 * organ
    hu[:, :2], hu[:, -2:] = -1000, -1000
    folder = tmp_path / "head_neck_oar" / "train" / "pt_5"
    save_volume(hu.astype(np.int16), folder / "ct.nii.gz", spacing=(2.5, 2.5, 3.0))
    save_volume(organ.astype(np.uint8), folder / "organs.nii.gz", spacing=(2.5, 2.5, 3.0))
    other = tmp_path / "head_neck_oar" / "train" / "pt_1"
    other.mkdir()
    return tmp_path


@pytest.fixture
def small_model(tmp_path: Path) -> Path:
    """A model that carries masks, with random weights and much smaller than the bundled one."""
    described = propagation_model(None).description
    smaller: dict[str, Any] = {"widths": [8, 8, 16, 16], "blocks": 1, "embedded": 16}
    smaller |= {"crop_sizes": [16, 24], "crop_coarsest": [1.5]}
    described = replace(described, network={**described.network, **smaller})
    weights = build_family(described).state_dict()
    write_model_folder(tmp_path / "small", described, weights, "", overwrite=True)
    return tmp_path / "small"


def test_it_measures_the_model_beside_its_rivals(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    words = ("--data", str(data), "--sets", "organs", "--parts", "sets,unsteady")
    done = run(*words, "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert "propagate 0" in done.stdout
    assert "| every 4th | 1 |" in done.stdout
    rows = json.loads((output / "rows.json").read_text(encoding="utf-8"))
    (row,) = rows["organs"]
    assert (row["volume"], row["name"]) == ("pt_5", "Brainstem")
    scored = {name: [one["slice"] for one in part] for name, part in row["slices"].items()}
    assert scored["every 4"] == [z for z in range(4, 22) if z % 4 != 3]
    assert scored["every 16"] == [z for z in range(4, 22) if z != 19]
    assert scored["middle"] == [z for z in range(3, 23) if z != 13]
    assert scored["end up"] == [*range(19, 26)]
    assert scored["end down"] == [6, 5, 4, 3, 2, 1, 0]
    means = {
        method: np.mean([one["dice"][method] for one in row["slices"]["every 4"]])
        for method in ("network", "contours", "distances", "nearest")
    }
    assert means["distances"] > 0.95  # a tube is what it is made for
    assert means["nearest"] < means["distances"] - 0.02
    assert means["network"] > means["nearest"]
    shaken = rows["organs, unsteady"][0]["slices"]["every 4"]
    assert np.mean([one["dice"]["distances"] for one in shaken]) < means["distances"] - 0.03
    assert (output / "tables.md").read_text(encoding="utf-8").count("| every 8th |") == 2


def test_a_structure_on_which_a_rival_is_better_counts_against_the_model(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    from propagation_tables import every_table

    better = {"network": 0.9, "contours": 0.7, "distances": 0.8, "nearest": 0.6}
    worse = {"network": 0.7, "contours": 0.5, "distances": 0.4, "nearest": 0.8}
    rows = [{"slices": {"every 4": [{"slice": 5, "dice": one}]}} for one in (better, worse, better)]
    (line,) = every_table(rows).splitlines()[2:]
    assert line == "| every 4th | 3 | 0.833 | 0.633 | 0.667 | 0.667 | 67 % |"


def test_lost_slices_are_counted_at_the_end_and_around_a_middle_slice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    from propagation_tables import end_table

    def slices(*states: tuple[bool, bool]) -> list[dict[str, bool]]:
        return [{"holds": holds, "is_empty": is_empty} for holds, is_empty in states]

    up = slices((True, False), (True, True), (False, True), (False, True), (False, False))
    down = slices((True, False), (True, False), (False, True))
    middle = slices((True, False), (True, False), (True, True), (True, False), (True, False))
    rows = [{"slices": {"end up": up, "end down": down, "middle": middle}}]
    (line,) = end_table(rows).splitlines()[2:]
    assert line == "| 75 % | 25.0 % | 4 | 4 | 20.0 % | 5 |"


@dataclass(frozen=True)
class FoundBefore:
    """Stands for head-neck-oar, which finds nothing in a made image."""

    result: Segmentation

    def segment(self, volume: Volume) -> Segmentation:
        return self.result


def test_slices_are_corrected_in_the_order_that_the_model_proposes(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))
    import propagation_corrections

    folder = data / "head_neck_oar" / "train" / "pt_5"
    truth = read_volume(folder / "organs.nii.gz")
    structures = find_model("head-neck-oar").description.structures
    organ = next(place for place, item in enumerate(structures) if item.label == 1)
    found, doubt = truth.array.copy(), np.zeros((len(structures), SHAPE[0]), np.float32)
    found[6, :, :20] = found[14, :15] = 0  # half of the tube, and less
    doubt[organ, [6, 10, 14]] = 5, 9, 30  # the model is sure of its greatest error
    doubt[:organ, 20] = doubt[organ + 1 :, 20] = 50
    before = Segmentation(found, truth.geometry, structures, doubt=SliceDoubt(0, doubt))
    monkeypatch.setattr(propagation_corrections, "load_segmenter", lambda name: FoundBefore(before))
    item = Item("pt_5", folder / "ct.nii.gz", folder / "organs.nii.gz")
    propagator = load_propagator(propagation_model(None), "cpu")
    (row,) = propagation_corrections.corrections(item, propagator)

    def dice_with(*corrected: int) -> float:
        mask = found.copy()
        mask[[*corrected]] = truth.array[[*corrected]]
        return 2 * np.count_nonzero(mask & truth.array) / (mask.sum() + truth.array.sum())

    assert dice_with(6) > dice_with(14) > dice_with()
    assert row["before"] == pytest.approx(dice_with())
    alone = [dice_with(14), dice_with(14, 10), dice_with(14, 10, 6)]
    assert row["proposed"]["alone"] == pytest.approx(alone)
    assert row["worst"]["alone"] == pytest.approx([dice_with(6), 1, 1])
    assert row["random"]["alone"][0] < dice_with(6)
    for way in ("proposed", "worst", "random"):
        assert row[way]["carried"][0] > row[way]["alone"][0]


def test_sets_for_test_need_to_be_asked_for(
    data: Path,
    tmp_path: Path,
    small_model: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(str(BENCHMARK.parent))

    def refusal(*words: str) -> str:
        monkeypatch.setattr(sys, "argv", [str(BENCHMARK), "--data", str(data), "--sets", *words])
        with pytest.raises(SystemExit):
            runpy.run_path(str(BENCHMARK), run_name="__main__")
        return capsys.readouterr().err

    assert "the set abdomen is to report, with --report" in refusal("abdomen")
    assert "the set organs is to choose by" in refusal("organs", "--report")
    assert "there is no set bones" in refusal("bones")
    assert "--report needs --output" in refusal("validation", "--report")
    output = tmp_path / "looks"
    patients = data / "head_neck_oar"
    shutil.copytree(patients / "train" / "pt_5", patients / "validation" / "pt_9")
    words = ("--data", str(data), "--model", str(small_model), "--sets", "validation")
    done = run(*words, "--report", "--parts", "sets", "--output", str(output))
    assert done.returncode == 0, done.stderr
    assert "### validation" in done.stdout
    assert "| every 4th | 1 |" in done.stdout
    (look,) = (output / "looks.txt").read_text(encoding="utf-8").splitlines()
    assert "validation; parts sets" in look
