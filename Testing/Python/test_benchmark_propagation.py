"""The benchmark of carried masks: its figures are right, and sets for test are kept apart."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import save_volume

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


def test_sets_for_test_need_to_be_asked_for(data: Path, tmp_path: Path) -> None:
    words = ("--data", str(data), "--sets")
    assert "the set abdomen is to report, with --report" in run(*words, "abdomen").stderr
    assert "the set organs is to choose by" in run(*words, "organs", "--report").stderr
    assert "there is no set bones" in run(*words, "bones").stderr
    assert "--report needs --output" in run(*words, "validation", "--report").stderr
    output = tmp_path / "looks"
    done = run(*words, "validation", "--report", "--parts", "sets", "--output", str(output))
    assert done.returncode != 0 or "validation" in done.stdout
    (look,) = (output / "looks.txt").read_text(encoding="utf-8").splitlines()
    assert "validation; parts sets" in look
