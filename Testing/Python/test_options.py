"""One list of options: what one way to start a run can do, all can."""

from __future__ import annotations

import inspect
import json
import re
import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import typer
from phantom import a_body
from tiny_model import write_tiny_model
from typer.testing import CliRunner

from SDSegLib.cli.app import app
from SDSegLib.errors import InputError
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.options import RunOptions, structure_names
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.region import Region

ROOT = Path(__file__).parents[2]
NAMES = [item.name for item in fields(RunOptions)]
EVERYTHING: dict[str, Any] = {
    "model": "tiny",
    "structures": ("LARYNX", "mandible"),
    "region": Region((1, 2, 3), (9, 30, 40)),
    "samples": 3,
    "steps": 2,
    "mirror": True,
    "device": "cpu",
    "precision": "float32",
    "batch": 3,
}


def test_options_survive_a_message() -> None:
    assert set(EVERYTHING) == set(NAMES)
    options = RunOptions(**EVERYTHING)
    assert all(getattr(options, name) != getattr(RunOptions, name) for name in NAMES)
    assert RunOptions.from_json(options.to_json()) == options
    assert RunOptions.from_json({}) == RunOptions()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        ({"samples": 0}, "0 samples; 1 to 64 are possible"),
        ({"samples": 65}, "65 samples; 1 to 64 are possible"),
        ({"samples": "3"}, "'3' samples: not a whole number"),
        ({"samples": None}, "None samples: not a whole number"),
        ({"steps": None}, "None reverse steps: not a whole number"),
        ({"samples": 2.0}, r"2\.0 samples: not a whole number"),
        ({"model": 3}, "The option model cannot be 3; it is a text"),
        ({"structures": [1]}, r"The option structures cannot be \(1,\); it is a list of names"),
        ({"mirror": "x"}, "The option mirror cannot be 'x'; it is true or false"),
        ({"samples": True}, "True samples: not a whole number"),
        ({"steps": 1001}, "1001 reverse steps; 1 to 1000"),
        ({"batch": 0}, "0 slices in a batch; 1 to 4096 are possible"),
        ({"device": "tpu"}, "Unknown device 'tpu'; choose one of auto, cuda, mps, cpu"),
        ({"precision": "int3"}, "Unknown precision 'int3'"),
        ({"region": {"k": [0, 1]}}, "does not give two whole numbers"),
        ({"smaples": 1}, "Unknown option 'smaples'; options are model, structures"),
    ],
)
def test_what_is_not_allowed_is_named(data: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        RunOptions.from_json(data)


def test_numbers_of_numpy_are_numbers_and_a_tuple_is_no_region() -> None:
    options = RunOptions(samples=np.int64(3), batch=np.int32(2)).check()  # type: ignore[arg-type]
    assert json.dumps(options.to_json())
    with pytest.raises(InputError, match="it is a Region"):
        RunOptions(region=(0, 1, 0, 1, 0, 1)).check()  # type: ignore[arg-type]


def test_structures_may_be_typed_with_commas() -> None:
    assert structure_names(" larynx,Mandible ,") == ("larynx", "Mandible")
    assert structure_names(None) is None
    assert structure_names([]) is None
    with pytest.raises(InputError, match="names no structure"):
        structure_names(" , ")
    assert RunOptions(structures=["a", "b"]).structures == ("a", "b")  # type: ignore[arg-type]


def test_a_region_is_typed_as_it_is_shown() -> None:
    region = EVERYTHING["region"]
    assert region.to_text() == "3,40,2,30,1,9"
    assert Region.from_text(region.to_text()) == region


@pytest.mark.parametrize("command", ["segment", "batch"])
def test_the_command_line_has_every_option_with_its_limits(command: str) -> None:
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    options = {parameter.name: parameter for parameter in found.params}
    for name, info in RunOptions.infos().items():
        assert options[name].default == getattr(RunOptions, name), name
        assert options[name].help.startswith(info.help), name
        assert info.limits in options[name].help, name
    assert "1 to 64" in options["samples"].help


@pytest.fixture
def model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model that is found by its name."""
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    return write_tiny_model(tmp_path / "models" / "tiny")


def typed(options: dict[str, Any]) -> list[str]:
    """Options as they are typed."""
    words = []
    for name, value in options.items():
        flag = "--classes" if name == "structures" else f"--{name}"
        if name == "structures":
            value = ",".join(value)
        elif name == "region":
            value = value.to_text()
        words += [flag] if value is True else [flag, str(value)]
    return words


@pytest.mark.parametrize("command", ["segment", "batch"])
def test_every_option_of_the_command_line_reaches_the_result(
    model: Path, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    segment_with = Segmenter.segment_with
    monkeypatch.setattr(
        Segmenter,
        "segment_with",
        lambda self, volume, options, *rest: (
            seen.append(options) or segment_with(self, volume, options, *rest)
        ),
    )
    studies = tmp_path / "studies"
    studies.mkdir()
    image = sitk.GetImageFromArray(a_body().array)
    image.SetSpacing(a_body().geometry.spacing)
    sitk.WriteImage(image, str(studies / "ct.nii.gz"))
    if command == "segment":
        words = ["segment", str(studies / "ct.nii.gz"), "--labelmap", str(tmp_path / "ct.nii.gz")]
    else:
        words = ["batch", str(studies), "--output", str(tmp_path / "out"), "--write", "nii.gz"]
    done = CliRunner().invoke(app, [*words, *typed(EVERYTHING)])
    assert done.exit_code == 0, done.output
    written = next(
        path for path in (tmp_path / "ct.nii.gz", tmp_path / "out" / "ct.nii.gz") if path.exists()
    )
    assert seen == [replace(RunOptions(**EVERYTHING), structures=None)]
    segmenter = load_segmenter(str(model), "cpu")
    volume = read_volume(studies / "ct.nii.gz")
    expected = segmenter.segment_with(volume, RunOptions(**EVERYTHING))
    np.testing.assert_array_equal(read_volume(written).array, expected.label_map)
    assert set(np.unique(expected.label_map)) <= {0, 6, 7}
    assert not expected.label_map[0].any()


def test_probabilities_are_those_that_the_labels_come_from(model: Path) -> None:
    segmenter, volume = load_segmenter(str(model), "cpu"), a_body()
    box = Region((2, 5, 5), (8, 30, 40))
    result = segmenter.segment(volume, region=box, probabilities=True)
    found = result.probabilities
    assert found is not None
    assert found.shape == (8, *volume.array.shape)
    np.testing.assert_allclose(found.sum(axis=0), 1, atol=1e-4)
    inside = box.slices()
    labels = found.argmax(axis=0)
    np.testing.assert_array_equal(labels[inside], result.label_map[inside])
    outside = np.ones(volume.array.shape, bool)
    outside[inside] = False
    assert (found[0][outside] == 1).all()
    assert segmenter.segment(volume).probabilities is None


def test_the_list_of_options_needs_no_other_package() -> None:
    code = "import sys, SDSegLib.options; print('numpy' in sys.modules, 'torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["False", "False"]


def test_scripts_in_3d_slicer_have_every_option() -> None:
    tree = (ROOT / "SDSegSlicer" / "SDSegSlicer.py").read_text(encoding="utf-8")
    start = tree.index("def process(")
    declared = tree[start : tree.index(") ->", start)]
    for name in NAMES:
        spelled = {"structures": "classes", "region": "roi"}.get(name, name)
        assert f" {spelled}:" in declared, name


def test_python_has_every_option_once() -> None:
    of_the_model = [name for name in inspect.signature(load_segmenter).parameters if name in NAMES]
    of_the_run = [name for name in inspect.signature(Segmenter.segment).parameters if name in NAMES]
    assert sorted(of_the_model + of_the_run) == sorted(NAMES)


def test_module_and_page_keep_every_option() -> None:
    module = (ROOT / "SDSegSlicer" / "SDSegSlicerLib" / "parameters.py").read_text(encoding="utf-8")
    page = (ROOT / "SDSegLib" / "web" / "model_panel.py").read_text(encoding="utf-8")
    for name in NAMES:
        assert re.search(rf"^    {name}: ", module, re.MULTILINE), name
        assert re.search(rf"\b{name}\b", page), name


def test_the_table_of_the_documentation_has_every_option_at_every_door() -> None:
    text = (ROOT / "docs" / "reference" / "options.md").read_text(encoding="utf-8")
    rows = [line.strip("|").split("|") for line in text.splitlines() if line.startswith("| `")]
    assert [row[0].strip(" `") for row in rows] == NAMES
    for row in rows:
        assert len(row) == 8
        assert all(cell.strip() for cell in row), row
