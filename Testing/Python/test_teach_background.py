"""Teaching in a child process: progress, result, cancelled, killed, and what cannot be done."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from teach_parts import NAMES, write_foundation
from training_parts import a_case

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.errors import CancelledError, InputError, SDSegError
from SDSegLib.models.labels import structures_named
from SDSegLib.models.registry import MODELS_VARIABLE
from SDSegLib.teaching.background import (
    TeachProcess,
    options_from_json,
    options_to_json,
    result_from_json,
    result_to_json,
)
from SDSegLib.teaching.options import LeftOutScore, TeachOptions, TeachResult
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume

pytestmark = pytest.mark.train

MINUTES = 0.15


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    write_foundation(tmp_path / "models" / "foundation")
    return tmp_path


def a_collection_of(count: int, folder: Path) -> Path:
    """Corrected cases with body and bone."""
    cases = CaseCollection(folder)
    structures = structures_named({int(label): name for label, name in NAMES.items()})
    for number in range(count):
        case = a_case(number)
        geometry = Geometry(case.image.shape, (2.5, 3.5, 3.0), (0.0, 0.0, 0.0), np.eye(3))
        drawn = Segmentation(case.label_map, geometry, structures)
        cases.add(Volume(case.image, geometry), drawn)
    return folder


def wait_for(process: TeachProcess, stage: str) -> None:
    deadline = time.monotonic() + 120
    while process.progress is None or not process.progress.stage.startswith(stage):
        assert process.is_running, process.result()
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_child_teaches_reports_and_gives_the_result(home: Path) -> None:
    cases = a_collection_of(3, home / "cases")
    changes: list[float] = []
    process = TeachProcess(
        cases,
        TeachOptions(home / "models" / "mine", minutes=MINUTES, device="cpu"),
        changed=lambda: changes.append(time.monotonic()),
    )
    with pytest.raises(SDSegError, match="still being taught"):
        process.result()
    wait_for(process, "Learning without")
    assert process.wait(120)
    result = process.result()
    assert result.model == home / "models" / "mine"
    assert {score.structure for score in result.scores} == {"Body", "Bone"}
    assert result.patients == 3
    assert len(changes) > 5
    assert (home / "models" / "mine" / "model.json").is_file()


def test_cancelled_and_killed_it_goes_on(home: Path) -> None:
    cases = a_collection_of(2, home / "cases")
    options = TeachOptions(home / "models" / "mine", minutes=MINUTES, device="cpu")
    first = TeachProcess(cases, options)
    wait_for(first, "Learning")
    first.cancel()
    assert first.wait(30)
    with pytest.raises(CancelledError, match="goes on from there"):
        first.result()
    second = TeachProcess(cases, options)
    wait_for(second, "Learning")
    os.kill(second._child._process.pid, signal.SIGKILL)
    assert second.wait(30)
    with pytest.raises(SDSegError, match="ended without a word"):
        second.result()
    third = TeachProcess(cases, options)
    assert third.wait(120)
    assert third.result().model == options.output


def test_an_order_that_cannot_be_done_is_said_as_elsewhere(home: Path) -> None:
    alone = a_collection_of(1, home / "cases")
    process = TeachProcess(alone, TeachOptions(home / "models" / "mine", minutes=MINUTES))
    assert process.wait(60)
    with pytest.raises(InputError, match="only one patient"):
        process.result()
    assert not (home / "models" / "mine").exists()


def test_options_and_results_survive_the_pipe(tmp_path: Path) -> None:
    options = TeachOptions(
        tmp_path / "größe", 3.0, "mine", ("Liver", "Spleen"), report=tmp_path / "report", seed=4
    )
    assert options_from_json(options_to_json(options)) == options
    result = TeachResult(
        tmp_path, [LeftOutScore("a", "Liver", None, 0.5)], 2, 2, 0.75, {"points": []}, "b", None,
        ("One.",), 3.5,
    )  # fmt: skip
    assert result_from_json(result_to_json(result)) == result
