"""What a user is told to do next on the way to a model, and which model is proposed."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from effect_parts import person
from standin_fixtures import application, module_widget, process_events, process_until
from teach_module_parts import add_case, choose_folder, drawn, teaching
from tiny_model import STRUCTURES

from SDSegLib.models.registry import InstalledModel
from SDSegLib.teaching.next_step import is_enough, next_step, proposed_start
from SDSegLib.teaching.options import FROM_NOTHING
from SDSegLib.teaching.results import FEW_STEPS, remark_on_measuring, remark_on_steps

__all__ = ["application", "module_widget", "person", "teaching"]


def a_case(patient: str, state: str = "corrected", structures: Any = STRUCTURES) -> Any:
    return SimpleNamespace(patient=patient, state=state, structures=structures)


def a_model(
    folder: Path, name: str, age: float, structures: Any = STRUCTURES, bundled: bool = False
) -> InstalledModel:
    """A model folder of a certain age in seconds."""
    (folder / name).mkdir()
    path = folder / name / "model.json"
    path.write_text("{}", encoding="utf-8")
    os.utime(path, (1e9 - age, 1e9 - age))
    description: Any = SimpleNamespace(name=name, structures=structures)
    return InstalledModel(folder / name, description, bundled)


def test_the_next_step_follows_the_number_of_patients() -> None:
    assert next_step([]) == ""
    assert next_step([a_case("1", "to-do")]) == ""
    assert "another patient" in next_step([a_case("1"), a_case("1")])
    assert "third patient" in next_step([a_case("1"), a_case("2"), a_case("3", "left-out")])
    three = next_step([a_case("1"), a_case("2"), a_case("3"), a_case("3")])
    assert three == "Next: teach a model from these 4 cases of 3 patients."


def test_patients_without_a_structure_in_common_are_not_enough() -> None:
    cases = [a_case("1", structures=STRUCTURES[:1]), a_case("2", structures=STRUCTURES[1:2])]
    assert "no structure in common" in next_step(cases)
    assert not is_enough(cases)
    assert not is_enough([*cases, a_case("1"), a_case("3", "left-out")][:1])
    assert is_enough([*cases, a_case("3")])
    assert "Next: teach a model" in next_step([*cases, a_case("3")])


def test_the_newest_own_model_that_knows_everything_is_proposed(tmp_path: Path) -> None:
    models = [
        a_model(tmp_path, "bundled", 0, bundled=True),
        a_model(tmp_path, "old", 20),
        a_model(tmp_path, "new", 10),
        a_model(tmp_path, "partial", 0, STRUCTURES[:1]),
    ]
    assert proposed_start(STRUCTURES, models) == "new"
    assert proposed_start(STRUCTURES[:1], models) == "partial"
    assert proposed_start(STRUCTURES, models[:1]) == "bundled"
    assert proposed_start(STRUCTURES, models[3:]) == FROM_NOTHING
    assert proposed_start((), models) == FROM_NOTHING
    (tmp_path / "new" / "model.json").unlink()  # removed a moment ago
    assert proposed_start(STRUCTURES, models) == "old"


def test_few_steps_are_said() -> None:
    assert remark_on_steps(FEW_STEPS) == ""
    assert "7 steps" in remark_on_steps(7)
    assert "1 step of" in remark_on_steps(1)
    assert remark_on_measuring(FEW_STEPS) == ""
    assert "only 7 steps" in remark_on_measuring(7)
    assert "only 1 step of" in remark_on_measuring(1)


def test_a_structure_is_drawn_from_nothing_in_the_module(
    teaching: Any, application: Any, tmp_path: Path
) -> None:
    import slicer
    from test_mrml import a_translation

    ui, window = teaching.ui, teaching.window
    ui.teachSection.click()
    assert not ui.drawStructureButton.enabled
    assert ui.drawStructureButton.toolTip == "Choose a CT above first."
    ct, node = drawn(0)
    shift = a_translation(40)  # as the DICOM importer puts a CT of a tilted gantry under one
    for item in (ct, node):
        item.SetAndObserveTransformNodeID(shift.GetID())
    window.parameters.inputVolume = ct
    process_until(lambda: not window.input.isChecking)
    assert ui.drawStructureButton.enabled
    ui.drawStructureButton.click()
    process_events(0.1)
    mine = window.parameters.resultSegmentation
    assert mine is not node
    assert mine.GetSegmentation().GetNumberOfSegments() == 1
    assert mine.GetParentTransformNode() is shift
    assert window.parameters.resultVolume is ct
    assert not ui.editSection.collapsed
    editor = window.editor.editor
    assert editor.segmentationNode() is mine
    assert editor.sourceVolumeNode() is ct
    assert editor.currentSegmentID() == mine.GetSegmentation().GetNthSegmentID(0)
    assert "Carry to the other slices" in window.messages.text

    # What was drawn is added with the button below the editor, and the next step is said.
    key = mine.GetSegmentation().GetNthSegmentID(0)
    source = node.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(node, source, ct)
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, mine, key, ct)
    choose_folder(teaching, application, tmp_path / "cases")
    ui.addToCasesButton.click()
    assert window.parameters.caseSegmentation is mine
    add_case(teaching, mine)
    assert "another patient" in window.messages.text

    # With the next CT it is hidden, and said.
    other = drawn(1)[0]
    window.parameters.inputVolume = other
    process_until(lambda: not window.input.isChecking)
    process_events(0.2)
    assert not mine.GetDisplayNode().GetVisibility()
    assert mine.GetName() in ui.hiddenText.text


@pytest.mark.slow
def test_the_result_of_propagate_leads_to_the_cases(person: Any) -> None:
    import slicer

    person.choose_effect()
    assert person.ui.keepButton.isHidden()
    person.draw(20)
    person.draw(24)
    process_events(0.05)
    person.ui.betweenButton.click()
    person.wait_for_preview()
    assert person.ui.keepButton.isHidden()
    person.ui.applyButton.click()
    process_events(0.05)
    assert "kept as a case" in person.ui.statusLabel.text
    assert not person.ui.keepButton.isHidden()
    person.ui.keepButton.click()
    process_events(0.1)
    widget = slicer.util.getModuleWidget("SDSegSlicer")
    assert widget.window.parameters.caseSegmentation is person.node
    assert not widget.ui.addCaseFrame.isHidden()
