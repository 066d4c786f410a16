"""The scripts and notebooks in `examples` do what they say, on small real data."""

from __future__ import annotations

import csv
import json
import runpy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from doc_blocks import ROOT
from doc_fixtures import template, world
from doc_world import in_this_world

from SDSegLib.reading.files import read_volume

__all__ = ["template", "world"]  # fixtures

EXAMPLES = ROOT / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
Run = Callable[..., str]


@pytest.fixture
def run(world: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run a script of `examples` in the folder of the small data; its standard output."""

    def start(name: str, *arguments: str) -> str:
        path = EXAMPLES / name
        monkeypatch.setattr(sys, "argv", [str(path), *arguments])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return start


@pytest.mark.slow
def test_segment(run: Run) -> None:
    shown = run("segment.py", "ct.nii.gz", "--output", "new.nii.gz", "--samples", "2")
    assert "head-neck-oar" in shown
    assert "Mandible" in shown
    labels, ct = read_volume("new.nii.gz", labels=True), read_volume("ct.nii.gz")
    assert labels.geometry.matches(ct.geometry)
    assert 7 in np.unique(labels.array)
    run("segment.py", "--output", "new.seg.nrrd", "--model", "my-model")
    assert Path("new.seg.nrrd").is_file()


@pytest.mark.slow
def test_batch(run: Run) -> None:
    Path("studies/broken.nii.gz").write_bytes(b"not an image")
    shown = run("batch.py", "studies", "--output", "new", "--model", "my-model")
    assert shown.count(": done") == 2
    assert "broken: " in shown
    with Path("new/volumes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 14
    assert {row["study"] for row in rows} == {"patient-0/ct", "patient-1/ct"}
    assert len(list(Path("new").rglob("*.nii.gz"))) == 2


@pytest.mark.slow
def test_propagate(run: Run) -> None:
    shown = run("propagate.py", "ct.nii.gz", "mask.nii.gz", "--output", "carried.nii.gz")
    assert "Drawn slices: 2 9" in shown
    drawn = read_volume("mask.nii.gz", labels=True).array != 0
    carried = read_volume("carried.nii.gz", labels=True).array != 0
    assert (carried[[2, 9]] == drawn[[2, 9]]).all()
    assert carried[3:9].any(axis=(1, 2)).all()
    assert not carried[[0, 1, 10, 11]].any()
    assert "Drawn slices:" in run("propagate.py", "--output", "jaw.nii.gz")


@pytest.mark.slow
@pytest.mark.train
def test_teach(run: Run) -> None:
    shown = run("teach.py", "taught-cases", "--minutes", "0.1", "--output", "new", "--threads", "1")
    assert "Dice" in shown
    assert Path("new/model.json").is_file()
    assert "Spleen" in run("segment.py", "ct.nii.gz", "--model", "new", "--output", "new.nii.gz")


@pytest.mark.slow
def test_evaluate(run: Run) -> None:
    pytest.importorskip("monai", reason="needs the extra evaluate")
    shown = run("evaluate.py", "data", "--model", "my-model")
    assert "Dice" in shown
    assert "2 cases" in shown


@pytest.mark.slow
def test_dicom_seg(run: Run) -> None:
    shown = run("dicom_seg.py", "dicom-folder", "--output", "new.dcm", "--model", "my-model")
    assert "1 series" in shown
    assert Path("new.dcm").is_file()


def test_each_example_is_told_and_tested() -> None:
    told = (EXAMPLES / "README.md").read_text(encoding="utf-8")
    tests = Path(__file__).read_text(encoding="utf-8")
    for path in EXAMPLES.glob("*.py"):
        assert f"[{path.name}]" in told
        assert f'"{path.name}"' in tests
    for path in NOTEBOOKS:
        assert f"[{path.name}]" in told
    assert len(NOTEBOOKS) >= 2


def cells_of(notebook: Path, kind: str) -> list[dict[str, Any]]:
    content = json.loads(notebook.read_text(encoding="utf-8"))
    return [cell for cell in content["cells"] if cell["cell_type"] == kind]


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_results(notebook: Path) -> None:
    for cell in cells_of(notebook, "code"):
        assert cell["outputs"] == []
        assert cell["execution_count"] is None
    assert "Not a medical device" in "".join(cells_of(notebook, "markdown")[0]["source"])


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_run(
    notebook: Path, world: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import matplotlib.pyplot as plt

    plt.switch_backend("agg")
    pictures: list[np.ndarray] = []

    def keep() -> None:
        figure = plt.gcf()
        figure.canvas.draw()
        pictures.append(np.asarray(figure.canvas.buffer_rgba()).copy())  # type: ignore[attr-defined]
        plt.close(figure)

    monkeypatch.setattr(plt, "show", keep)
    names: dict[str, Any] = {}
    for number, cell in enumerate(cells_of(notebook, "code"), start=1):
        source = in_this_world("".join(cell["source"]))
        exec(compile(source, f"{notebook.name}, cell {number}", "exec"), names)
    assert len(pictures) >= 2
    assert all(picture.std() > 5 for picture in pictures)  # something is drawn
