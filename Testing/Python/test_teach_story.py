"""From corrected cases to a model, by the command: measured, stopped, resumed, refused."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_parts import Outcome, run_here
from teach_parts import write_cases, write_foundation, write_names
from training_parts import a_case

from SDSegLib.errors import CancelledError
from SDSegLib.models.registry import MODELS_VARIABLE
from SDSegLib.reading.files import read_volume
from SDSegLib.teaching import learning, left_out, measure, results
from SDSegLib.teaching import run as run_module
from SDSegLib.teaching.cases import open_cases
from SDSegLib.teaching.learning import BATCH, FOLD_BATCH
from SDSegLib.teaching.learnt import RECORD
from SDSegLib.teaching.left_out import OFFSETS_SHARE
from SDSegLib.teaching.measure import OFFSETS, UNMEASURED_SHARE
from SDSegLib.teaching.options import TeachOptions, TeachProgress, TeachResult
from SDSegLib.teaching.priority import PRIORITY_VARIABLE
from SDSegLib.teaching.run import teach

pytestmark = pytest.mark.train

SECONDS = 15.0
FEW_SECONDS = 3.0
"""Where nothing is asked of what was learnt."""
ENOUGH_STEPS = 20
"""With which a tiny network finds the body."""


def words(cases: Path, output: Path, *more: object) -> tuple[object, ...]:
    return ("teach", cases, "--output", output, "--device", "cpu", "--threads", "1", *more)


def start(*arguments: object, **streams: Any) -> subprocess.Popen[str]:
    """The command in a process of its own, which can be killed."""
    command = [sys.executable, "-m", "SDSegLib", *map(str, arguments)]
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **streams)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(MODELS_VARIABLE, str(tmp_path / "models"))
    monkeypatch.setenv(PRIORITY_VARIABLE, "normal")  # that of the tests' process is not lowered
    write_foundation(tmp_path / "models" / "foundation")
    return tmp_path


def run(arguments: Sequence[object], code: int = 0) -> Outcome:
    done = run_here(*arguments)
    assert done.code == code, done.said
    assert "Traceback" not in done.err
    return done


def named(home: Path) -> tuple[str, ...]:
    return ("--names", str(write_names(home / "names.json")))


def description(model: Path) -> dict[str, Any]:
    return json.loads((model / "model.json").read_text(encoding="utf-8"))


def steps_of(model: Path) -> int:
    return description(model)["training"]["steps"]


def test_three_cases_become_a_model_that_segments(home: Path) -> None:
    cases = write_cases(home / "cases")
    model, report = home / "models" / "body-and-bone", home / "report"
    for seconds in (SECONDS, 4 * SECONDS):
        began = time.monotonic()
        done = run(
            words(cases, model, "--minutes", seconds / 60, *named(home), "--json",
                  "--json-progress", "--report", report, "--license", "CC-BY-4.0",
                  "--region", "phantom", "--overwrite")
        )  # fmt: skip
        assert time.monotonic() - began < 4 * seconds
        if steps_of(model) >= ENOUGH_STEPS:
            break  # else the computer is slow or busy, and gets more time
    result = done.json
    assert result["cases"] == result["patients"] == 3
    assert {(row["case"], row["structure"]) for row in result["scores"]} == {
        (f"p{n}", name) for n in range(3) for name in ("Body", "Bone")
    }
    body = [row["after"] for row in result["scores"] if row["structure"] == "Body"]
    assert min(body) > 0.2  # after a second and a half each
    told = [json.loads(line)["progress"] for line in done.err.splitlines() if '"progress"' in line]
    assert [row["share"] for row in told] == sorted(row["share"] for row in told)
    assert any(row["loss"] is not None for row in told)
    found = description(model)
    assert [item["name"] for item in found["structures"]] == ["Body", "Bone"]
    assert found["license"] == "CC-BY-4.0"
    offsets = found["training"]["offsets"]
    chosen = [offset / OFFSETS_SHARE for offset in offsets]
    assert not chosen or (len(chosen) == 2 and set(chosen) <= set(OFFSETS))
    assert found["expects"]["region"] == "phantom"
    assert found["figures"]["mean_dice"] == pytest.approx(result["mean_after"], abs=1e-3)
    card = (model / "MODEL_CARD.md").read_text(encoding="utf-8")
    for text in (json.dumps(found), card):
        for secret in ("p0", "p1", "p2", str(home)):
            assert secret not in text
    assert (report / "summary.json").is_file()
    assert list((report / "worst").glob("*.png"))
    there = sorted(path.name for path in model.parent.iterdir())
    assert there == [RECORD, "body-and-bone", "foundation"]

    output = home / "result.nii.gz"
    ct = cases / "p0" / "ct.nii.gz"
    run(("segment", ct, "--model", "body-and-bone", "--labelmap", output))
    wanted = read_volume(cases / "p0" / "organs.nii.gz", labels=True).array == 1
    given = read_volume(output, labels=True).array == 1
    assert 2 * (wanted & given).sum() / (wanted.sum() + given.sum()) > 0.5

    again = run(
        words(cases, home / "models" / "second", "--minutes", FEW_SECONDS / 60, *named(home),
              "--from", "body-and-bone", "--report", home / "empty", "--json", "--json-progress")
    )  # fmt: skip
    assert '"Reading the cases' in again.err
    assert '"Before' not in again.err, "all was drawn, so the old model need not segment"
    second = again.json  # these cases can tell nothing of a model that knows them
    assert second["model"] is not None
    assert second["scores"] == []
    assert second["report"] is None
    assert "body-and-bone had learnt from all these cases before" in " ".join(second["remarks"])
    facts = description(home / "models" / "second")["training"]
    assert facts["began_with"] == ["body-and-bone 1"]
    assert facts["share_of_new_weights"] == UNMEASURED_SHARE
    assert 0 < facts["steps"] <= 100
    assert facts["ancestors"][0] == found["weights"]["sha256"]
    card = (home / "models" / "second" / "MODEL_CARD.md").read_text(encoding="utf-8")
    assert "had learnt from all these cases before" in card

    write_cases(cases, count=4)  # one case more; the third model knows the others by its parents
    third = run(
        words(cases, home / "models" / "third", "--minutes", FEW_SECONDS / 60, *named(home),
              "--from", "second", "--json")
    ).json  # fmt: skip
    assert {row["case"] for row in third["scores"]} == {"p3"}
    assert all(row["before"] is not None for row in third["scores"])
    told = " ".join(third["remarks"])
    assert "second had learnt from 3 of the 4 cases before" in told
    assert "The only new patient" in told
    if third["model"] is None:
        assert "Nothing was gained" in told
        assert third["mean_after"] < third["mean_before"] - 0.02
    for secret in ("p0", "p1", "p2", str(home)):
        assert secret not in (home / "models" / RECORD).read_text(encoding="utf-8")


def test_of_eight_patients_two_are_measured_and_all_are_learnt_in_few_steps(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The minutes are many more than are needed."""
    monkeypatch.setattr(learning, "_NEW_STEPS", 1)
    monkeypatch.setattr(learning, "_LEAST_NEW_STEPS", 1)
    monkeypatch.setattr(learning, "tiles_of_slice", lambda case, size: 1.5)
    cases = open_cases(write_cases(home / "cases", 8), options={"names": named(home)[1]})
    options = TeachOptions(home / "models" / "many", minutes=60.0, device="cpu")
    started = time.monotonic()
    result = teach(options, cases)
    assert time.monotonic() - started < 60
    assert result.cases == 8
    assert len({score.case for score in result.scores}) == 2
    found = description(home / "models" / "many")["training"]
    assert (found["cases"], found["steps"]) == (8, 12)
    assert found["learning_curve"] == {"points": [], "cases": 8}, "few steps tell nothing of cases"


@pytest.mark.parametrize(
    ("batch", "steps", "few", "is_enough"),
    [(BATCH, 9, 10, False), (BATCH, 9, 9, True), (FOLD_BATCH, 36, 10, True)],
)
def test_networks_of_few_steps_choose_no_offsets(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    batch: int,
    steps: int,
    few: int,
    is_enough: bool,
) -> None:
    """The model takes 12 steps, and the network for the left-out cases as many slices a case.

    It is found too careful with the body, so more is taken of it in the left-out cases, and half as
    much in the model.
    """
    monkeypatch.setattr(run_module, "FOLD_BATCH", batch)
    monkeypatch.setattr(learning, "_NEW_STEPS", 1)
    monkeypatch.setattr(learning, "_LEAST_NEW_STEPS", 1)
    monkeypatch.setattr(learning, "tiles_of_slice", lambda case, size: 1.5)
    for module in (left_out, results):
        monkeypatch.setattr(module, "FEW_STEPS", few)
    asked: list[Any] = []
    taken: list[int] = []
    added: list[Any] = []

    def dice_by_offsets(*arguments: Any) -> dict[str, Any]:
        asked.append(arguments)
        found = measure.dice_by_offsets(*arguments)
        for dice in found.values():
            dice[:], dice[OFFSETS.index(2.0), 0] = 0.5, 0.7
        return found

    def compare(pairs: Any, predict: Any, *others: Any) -> Any:
        for folder in set(predict._folders.values()):
            taken.append(steps_of(folder))
            added.append(description(folder)["training"].get("offsets", []))
        return measure.compare(pairs, predict, *others)

    monkeypatch.setattr(left_out, "dice_by_offsets", dice_by_offsets)
    monkeypatch.setattr(left_out, "compare", compare)
    cases = open_cases(write_cases(home / "cases", 8), options={"names": named(home)[1]})
    result = teach(TeachOptions(home / "models" / "mine", minutes=60.0, device="cpu"), cases)
    assert taken == [steps]
    assert len(asked) == is_enough
    assert added == [[2.0, 0.0] if is_enough else []]
    kept = description(home / "models" / "mine")["training"]["offsets"]
    assert kept == ([1.0, 0.0] if is_enough else [])
    told = " ".join(result.remarks)
    assert ("networks of only 9 steps of learning" in told) != is_enough
    assert ("more cases would probably give" in told) == is_enough
    assert result.scores


def test_a_name_that_is_taken_is_refused_before_anything_is_read(home: Path) -> None:
    cases, model = write_cases(home / "cases"), home / "models" / "foundation"
    before = {path: path.read_bytes() for path in model.iterdir()}
    done = run(words(cases, model, *named(home)), 2)
    assert "exists already" in done.err
    assert "Reading" not in done.err
    assert before == {path: path.read_bytes() for path in model.iterdir()}


def test_killed_at_any_moment_it_goes_on(home: Path) -> None:
    cases, model = write_cases(home / "cases"), home / "models" / "mine"
    before = {path: path.read_bytes() for path in cases.rglob("*") if path.is_file()}
    command = words(cases, model, "--minutes", SECONDS / 60, *named(home), "--json")
    for seconds in (5.0, 9.0, 12.0):
        child = start(*command, stdout=subprocess.PIPE)
        try:
            child.wait(seconds)
        except subprocess.TimeoutExpired:
            os.kill(child.pid, signal.SIGKILL)
        child.communicate()
        assert not model.exists() or (model / "model.safetensors").is_file()
        if model.exists():
            break
    if not model.exists():
        run(command)
    assert description(model)["training"]["cases"] == 3
    assert {path: path.read_bytes() for path in cases.rglob("*") if path.is_file()} == before
    hidden = [path.name for path in model.parent.iterdir() if path.name.startswith(".")]
    assert hidden == [RECORD]


def test_stopped_by_ctrl_c_it_says_how_to_go_on(home: Path) -> None:
    cases, model = write_cases(home / "cases"), home / "models" / "mine"
    report = home / "report"
    more = ("--report", report, *named(home))
    command = words(cases, model, "--minutes", 2, *more, "--json-progress")
    child = start(*command)
    assert child.stderr is not None
    for line in child.stderr:
        if '"progress"' in line and json.loads(line)["progress"]["loss"] is not None:
            break
    child.send_signal(signal.SIGINT)
    _, rest = child.communicate(timeout=60)
    assert child.returncode == 130
    assert "goes on from there" in rest
    assert not model.exists()
    assert not report.exists()
    other = run(words(cases, model, "--minutes", FEW_SECONDS / 60, *more))
    assert "Wrote the model" in other.out.replace("\n", " ")
    assert (report / "summary.json").is_file()


def test_ctrl_c_when_the_model_is_there_shows_the_result(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def teach(options: TeachOptions, *others: Any) -> TeachResult:
        others[-2].__self__.set()
        return TeachResult(options.output, [], 3, 3, 1.0, {}, None, None, (), 1.0)

    monkeypatch.setattr(run_module, "teach", teach)
    done = run(words(write_cases(home / "cases"), home / "models" / "mine", *named(home)), 130)
    assert "Wrote the model" in done.out.replace("\n", " ")
    assert "the result is complete" in done.err
    assert "nothing was written" not in done.said


def test_two_runs_with_one_output_are_refused(home: Path) -> None:
    cases, model = write_cases(home / "cases"), home / "models" / "mine"
    command = words(cases, model, "--minutes", 2, *named(home), "--json-progress")
    child = start(*command)
    try:
        assert child.stderr is not None
        for line in child.stderr:
            if '"progress"' in line:
                break
        second = run(words(cases, model, "--minutes", 1, *named(home)), code=2)
        assert "being taught" in second.err
    finally:
        child.kill()
        child.communicate()


def test_what_cannot_be_taught_from_is_said_at_once(home: Path) -> None:
    model = home / "models" / "mine"

    def refusal(cases: Path, *more: str) -> str:
        told = run_here("teach", cases, "--output", model, "--device", "cpu", *more)
        assert told.code == 2
        return told.err

    said = refusal(write_cases(home / "one", count=1), *named(home))
    assert "only one patient" in said
    assert "Propagate" in said
    assert "--names" in run(words(write_cases(home / "two"), model), code=2).err
    empty = a_case(0).label_map * 0
    nothing = write_cases(home / "nothing", count=2, p0=empty, p1=empty)
    assert "No case of nothing holds" in refusal(nothing, *named(home))
    cut = write_cases(home / "cut", count=2, p1=a_case(1).label_map[:-1])
    assert "not on the grid" in refusal(cut, *named(home))
    missing = refusal(home / "two", *named(home), "--structure", "Liver")
    assert "hold no structure 'Liver'" in missing
    assert not model.exists()


def test_structures_that_only_some_cases_hold_stay_unknown_in_the_others(home: Path) -> None:
    only_body = np.minimum(a_case(2).label_map, 1)
    cases = write_cases(home / "cases", p2=only_body)
    model = home / "models" / "mine"
    result = run(words(cases, model, "--minutes", FEW_SECONDS / 60, *named(home), "--json")).json
    rows = {(row["case"], row["structure"]) for row in result["scores"]}
    assert ("p2", "Body") in rows
    assert ("p2", "Bone") not in rows


def test_a_structure_of_one_patient_is_learnt_and_said_to_be_unmeasured(home: Path) -> None:
    only_body = {f"p{n}": np.minimum(a_case(n).label_map, 1) for n in (1, 2)}
    cases = write_cases(home / "cases", **only_body)
    model = home / "models" / "mine"
    result = run(words(cases, model, "--minutes", FEW_SECONDS / 60, *named(home), "--json")).json
    assert {row["structure"] for row in result["scores"]} == {"Body"}
    assert "Bone was drawn in the cases of one patient only" in " ".join(result["remarks"])
    assert [item["name"] for item in description(model)["structures"]] == ["Body", "Bone"]


def test_measuring_stops_after_the_case_that_it_is_at(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "_NEW_STEPS", 1)
    monkeypatch.setattr(learning, "_LEAST_NEW_STEPS", 1)
    cases = open_cases(write_cases(home / "cases"), options={"names": named(home)[1]})
    options = TeachOptions(home / "models" / "mine", minutes=60.0, device="cpu")
    measured: list[str] = []

    def report(progress: TeachProgress) -> None:
        stage, _, case = progress.stage.partition(": ")
        if stage == "Measuring" and case:
            measured.append(case)

    with pytest.raises(CancelledError):
        teach(options, cases, report, lambda: bool(measured))
    assert len(measured) == 1
    assert measured[0] in ("p0", "p1", "p2")


def test_the_plan_names_grid_folds_and_time(home: Path) -> None:
    cases = write_cases(home / "cases")
    done = run(words(cases, home / "mine", "--plan", "--json", *named(home)))
    plan = done.json["plan"]
    assert plan["from"] == "foundation"
    assert plan["cases"] == 3
    assert [fold["measure"] for fold in plan["folds"]] == [1, 1, 1]
    assert not (home / "mine").exists()
