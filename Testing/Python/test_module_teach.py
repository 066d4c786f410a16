"""Teach in the module when it cannot begin, is stopped, fails, or is done twice at once."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from standin_fixtures import ROOT, application, module_widget, process_events, process_until
from teach_module_parts import (
    a_ct,
    add_case,
    add_cases,
    choose_folder,
    drawn,
    teach,
    teaching,
    wait_for_end,
)
from teach_parts import leave_seconds
from test_module_window import press_down
from worker_parts import is_running, wait_until

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.teaching.options import TeachResult

pytestmark = pytest.mark.train

__all__ = ["application", "module_widget", "teaching"]

LONG = 5.0  # minutes; these runs are stopped
LEFT = 4.0  # seconds for a run that ends; nothing is asked of what it has learnt


def child_of(run: Any) -> int:
    return int(run._process._child._process.pid)


def learns(line: str) -> bool:
    """Whether a line of `sdseg teach` is progress of a network that learns."""
    return '"progress"' in line and json.loads(line)["progress"]["loss"] is not None


def begun(widget: Any, minutes: float = LONG) -> Any:
    """A run that has begun to learn."""
    run = teach(widget, minutes)
    process_until(lambda: bool(run.losses) or not run.isBusy, 120)
    assert run.isBusy, run.outcome()
    return run


def test_what_is_missing_is_said_one_after_the_other(
    teaching: Any, application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ui, folder = teaching.ui, tmp_path / "cases"

    def problem() -> str:
        assert not ui.teachButton.enabled
        assert ui.teachButton.toolTip == ui.teachFacts.text.replace("\u200b", "")
        return str(ui.teachFacts.text).replace("\u200b", "")

    ui.teachSection.click()
    assert "There are no cases yet" in problem()
    choose_folder(teaching, application, folder)
    CaseCollection(folder).add(a_ct(0))
    teaching.enter()
    assert ui.caseTable.item(0, 1).text() == "to do"
    assert "None of the 1 cases is corrected yet" in problem()
    assert ui.teachChoices.isHidden()
    add_case(teaching, drawn(0)[1])
    assert "only one patient (case-001)" in problem()

    def structures() -> list[str]:
        return [
            ui.teachStructureList.item(row).text() for row in range(ui.teachStructureList.count)
        ]

    import qt

    cases = CaseCollection(folder)
    add_case(teaching, drawn(1, ("Body",))[1])
    assert ui.teachButton.enabled
    assert ui.teachFacts.text == "Learns from 2 cases of 2 patients."
    assert structures() == ["Body", "Bone (of one patient only, needs a second)"]
    assert not int(ui.teachStructureList.item(1).flags()) & int(qt.Qt.ItemIsEnabled)
    assert teaching.window.teach._choices.choices().structures == ("Body",)
    add_case(teaching, drawn(2, ("Bone",))[1])
    assert structures() == ["Body (in 2 of 3 cases)", "Bone (in 2 of 3 cases)"]
    assert teaching.window.teach._choices.choices().structures == ()
    cases.set_state("case-001", "left-out")
    teaching.enter()
    assert "No structure is drawn in cases of two patients" in problem()
    cases.set_state("case-001", "corrected")
    teaching.enter()

    for row in range(2):
        ui.teachStructureList.item(row).setCheckState(qt.Qt.Unchecked)
    assert problem() == "Tick a structure to learn."
    ui.teachStructureList.item(0).setCheckState(qt.Qt.Checked)
    assert ui.teachNameEdit.placeholderText == "my-body"
    for text in ("", "many", "0", "-3", "1e9"):
        ui.minutesComboBox.setEditText(text)
        assert "minutes cannot be taught in" in problem()
    ui.minutesComboBox.setEditText("2,5")
    assert ui.teachButton.enabled
    for name, why in (("tiny", "already"), ("my kidney", "other characters"), ("con", "Windows")):
        ui.teachNameEdit.setText(name)
        assert why in problem()
    ui.teachNameEdit.setText("")
    (teaching.models / "foundation" / "model.json").unlink()
    monkeypatch.setattr("SDSegLib.models.registry.bundled_folder", lambda: tmp_path / "none")
    teaching.exit()
    teaching.enter()
    assert "No model to begin with is installed" in problem()
    press_down(ui.startComboBox)
    assert ui.startComboBox.currentText == "Tiny random model"
    assert ui.teachButton.enabled


def test_missing_packages_are_offered_and_teaching_begins_by_itself(
    teaching: Any, application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegSlicerLib import requirements
    from SDSegSlicerLib.teachRun import currentRun

    add_cases(teaching, application, tmp_path / "cases", 2)
    gone = {"lightning", "monai"}
    is_there = requirements._isThere
    monkeypatch.setattr(requirements, "_isThere", lambda p: p.module not in gone and is_there(p))
    monkeypatch.setattr(requirements, "importProblem", lambda packages: "")
    application.pip.missing = set(gone)
    application.pip.makes = lambda arguments: gone.clear()
    teaching.ui.minutesComboBox.setEditText(f"{LONG:g}")
    teaching.ui.teachButton.click()
    assert currentRun() is None
    text = teaching.ui.dependencyText.text
    assert "Teaching needs Python packages" in text
    assert "lightning" in text
    assert "safetensors" not in text
    teaching.ui.installPackagesButton.click()
    assert application.pip.ensured == [["lightning>=2.4", "monai>=1.4"]]
    process_until(lambda: currentRun() is not None, 30)
    assert currentRun().isBusy
    os.kill(child_of(currentRun()), signal.SIGKILL)  # before it has loaded PyTorch


def test_a_run_survives_a_reload_and_goes_on_after_it_was_cancelled_and_killed(
    teaching: Any, application: Any, tmp_path: Path
) -> None:
    """One run, for each begin costs the import of PyTorch and Lightning."""
    import slicer

    def reload() -> Any:
        slicer.util.reloadScriptedModule("SDSegSlicer")
        return slicer.util.getModuleWidget("SDSegSlicer")

    add_cases(teaching, application, tmp_path / "cases", 2)
    teaching.ui.teachNameEdit.setText("mine")
    run = begun(teaching)
    assert teaching.ui.teachBar.visible
    assert "left" in teaching.ui.teachStatus.text
    assert not teaching.ui.removeCaseButton.enabled

    # A reload of the module does not disturb it.
    fresh = reload()
    assert run.isBusy
    fresh.ui.teachSection.click()
    process_until(lambda: "left)" in fresh.ui.teachSection.text, 10)
    assert fresh.ui.teachButton.text == "Cancel"
    fresh.ui.teachButton.click()
    assert fresh.ui.teachButton.text == "Stopping…"
    assert not fresh.ui.teachButton.enabled
    wait_for_end(fresh, run, 60)
    assert "goes on from there" in fresh.window.messages.text
    assert "goes on from there" in fresh.ui.teachStatus.text
    assert not (teaching.models / "mine").exists()
    assert "was stopped" in fresh.ui.teachFacts.text

    # The module is loaded anew, as after a restart: the choices are there.
    fresh = reload()
    fresh.ui.teachSection.click()
    assert fresh.ui.teachNameEdit.text == "mine"
    assert fresh.ui.minutesComboBox.currentText == "5"
    assert "was stopped" in fresh.ui.teachFacts.text
    assert list((teaching.models / ".mine.teach").rglob("*.ckpt*"))

    killed = begun(fresh)
    assert killed is not run
    os.kill(child_of(killed), signal.SIGKILL)
    wait_for_end(fresh, killed, 30)
    assert "ended without a word" in fresh.window.messages.text
    assert "goes on from there" in fresh.ui.teachStatus.text
    assert fresh.ui.teachButton.enabled
    assert fresh.ui.teachButton.text == "Teach"

    leave_seconds(teaching.models / ".mine.teach", LONG, LEFT)
    last = teach(fresh, LONG)
    assert last is not killed
    wait_for_end(fresh, last)
    assert last.outcome()[1] == ""
    assert (teaching.models / "mine" / "model.json").is_file()
    assert fresh.ui.teachNameEdit.text == ""
    assert not (teaching.models / ".mine.teach").exists()


def test_another_program_teaches_the_same_model(
    teaching: Any, application: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "cases"
    add_cases(teaching, application, folder, 2)
    teaching.ui.teachNameEdit.setText("mine")
    words = [
        sys.executable, "-m", "SDSegLib", "teach", str(folder), "--output",
        str(teaching.models / "mine"), "--minutes", "9", "--device", "cpu", "--json-progress",
        "--threads", "1", "--background",
    ]  # fmt: skip
    other = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert other.stderr is not None
        next(line for line in other.stderr if learns(line))
        os.kill(other.pid, signal.SIGSTOP)  # it has the run, and takes no time from the module's
        run = teach(teaching, LONG)
        wait_for_end(teaching, run, 240)
        assert "is being taught in" in teaching.window.messages.text.replace("\u200b", "")
        assert other.poll() is None
    finally:
        other.kill()
        other.communicate()


def test_the_application_ends_during_a_run(tmp_path: Path) -> None:
    """The child saves and ends, and no process stays."""
    script = f"""
import os, sys
sys.path[:0] = [{str(ROOT)!r}, {str(Path(__file__).parent)!r}]
import standin_fixtures
from pathlib import Path
from slicer_standin import boot
session = boot()
from standin_fixtures import process_until
import slicer
import teach_module_parts as parts
from teach_parts import write_foundation
models = Path({str(tmp_path)!r}) / "models"
os.environ["SDSEG_MODELS"] = str(models)
write_foundation(models / "foundation")
session.load_module({str(ROOT / "SDSegSlicer" / "SDSegSlicer.py")!r})
slicer.util.selectModule("SDSegSlicer")
widget = slicer.util.getModuleWidget("SDSegSlicer")
parts.add_cases(widget, session, models.parent / "cases", 2)
run = parts.teach(widget, 5)
process_until(lambda: bool(run.losses), 120)
print(run._process._child._process.pid, flush=True)
session.close()
assert not session.errors + session.qt_warnings
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True, text=True, timeout=240, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    wait_until(lambda: not is_running(int(done.stdout)))
    state = json.loads((tmp_path / "models" / ".my-model.teach" / "run.json").read_text())
    assert state["digest"]
    assert list((tmp_path / "models" / ".my-model.teach").rglob("*.ckpt*"))


def test_the_start_is_chosen_and_explained(teaching: Any, application: Any, tmp_path: Path) -> None:
    from tiny_model import STRUCTURES

    from SDSegLib.models.folder import read_description

    ui = teaching.ui
    add_cases(teaching, application, tmp_path / "cases", 2)
    assert ui.startComboBox.currentText == "Nothing known (any structure)"
    assert "knows no structure" in ui.startFacts.text
    titles = [ui.startComboBox.itemText(n) for n in range(ui.startComboBox.count)]
    assert titles == ["Nothing known (any structure)", "Tiny random model",
                      "Head and neck: organs at risk"]  # fmt: skip
    press_down(ui.startComboBox)
    assert "New for it: Body, Bone" in ui.startFacts.text
    assert read_description(teaching.models / "tiny").structures[0].name == STRUCTURES[0].name


def test_a_model_that_is_not_better_is_not_offered(teaching: Any, tmp_path: Path) -> None:
    from SDSegSlicerLib.teachResult import TeachResultPanel

    chosen: list[str] = []
    panel = TeachResultPanel(teaching.ui, teaching.window.messages, chosen.append)
    result = TeachResult(
        None, [], 3, 3, 0.0, {}, "case-007", None, ("Nothing was gained over tiny.",), 9.0
    )
    run = type("Run", (), {"name": "mine"})()
    teaching.ui.teachSection.click()
    panel.update(run, result)
    assert 'No new model "mine"' in teaching.ui.teachResultTitle.text
    assert "Nothing was gained over tiny." in teaching.ui.teachResultFacts.text
    assert "Correct next: case-007" in teaching.ui.teachResultFacts.text
    assert not teaching.ui.useTaughtModelButton.enabled
    assert not teaching.ui.teachPicturesButton.enabled
    teaching.ui.useTaughtModelButton.click()
    assert not chosen
    process_events(0.1)


def test_the_curve_falls_from_left_to_right() -> None:
    pytest.importorskip("PySide6")
    from slicer_standin import boot

    session = boot()
    try:
        sys.path.insert(0, str(ROOT / "SDSegSlicer"))
        from SDSegSlicerLib.teachPanel import curveText

        assert curveText([]) == curveText([1.0]) == ""
        assert curveText([8, 7, 6, 5, 4, 3, 2, 1]) == "█▇▆▅▄▃▂▁"
        assert len(curveText([1 / n for n in range(1, 500)])) == 32
        assert curveText([3.0, 3.0]) == "▁▁"
    finally:
        session.close()
