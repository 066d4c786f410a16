"""Add to my cases, by clicks in the module: what is shown, what is written, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from case_parts import LEFT_KIDNEY, RIGHT_KIDNEY, a_ct, kidneys, with_cyst
from module_parts import add_ct, choose_ct, paint_box, segment, tiny_models, widget
from standin_fixtures import application, module_widget, process_events, process_until
from teach_module_parts import add_case, add_cases, choose_folder, drawn, open_box
from test_module_export import from_dicom
from test_module_window import press_down

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.mrml.segmentation_node import segmentation_to_node

__all__ = ["application", "module_widget", "tiny_models", "widget"]


def segmentation_of(labels: Any, ct: Any) -> Any:
    return segmentation_to_node(labels, ct)


def test_the_box_shows_what_where_and_under_which_name(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    ui, window, folder = widget.ui, widget.window, tmp_path / "cases"
    assert ui.addCaseFrame.isHidden()
    choose_ct(widget, a_ct(), "Doe^Jane")
    result = segment(widget).resultNode
    ui.editSection.click()
    ui.addToCasesButton.click()
    assert not ui.addCaseFrame.isHidden()
    assert window.parameters.caseSegmentation is result
    assert ui.addCaseCt.text == "Doe^Jane"
    assert ui.addCaseFolder.text == "not chosen yet"
    process_until(lambda: " mL" in ui.addCaseStructures.text, 20)
    assert not ui.addCaseButton.enabled
    assert "Choose a folder" in ui.addCaseFacts.text
    application.dialogs.expect("Folder for your cases", str(folder))
    ui.addCaseFolderButton.click()
    assert folder.name in ui.addCaseFolder.text
    assert ui.caseNameEdit.placeholderText == "case-001"
    process_until(lambda: "Tick that images may be kept" in ui.addCaseFacts.text, 20)
    assert not ui.addCaseButton.enabled
    assert not folder.exists()
    ui.caseConsentCheckBox.click()
    process_until(lambda: ui.addCaseButton.enabled, 20)
    ui.caseNameEdit.setText("Doe, Jane")
    assert not ui.addCaseButton.enabled
    assert "other characters" in ui.addCaseFacts.text
    ui.caseNameEdit.setText("left-1")
    ui.addCaseButton.click()
    assert ui.addCaseButton.text == "Adding…"
    process_until(lambda: not window.addCase.isBusy, 30)
    case = CaseCollection(folder).case("left-1")
    assert case.state == "corrected"
    assert f"left-1 was added to {folder}: " in window.messages.text
    for item in case.structures:
        assert f"{item.name} " in window.messages.text
    assert ui.addCaseFrame.isHidden()


def test_structures_that_overlap_stay_whole_and_nothing_of_the_patient_is_written(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    from SDSegLib.mrml.from_node import layers_from_node

    folder = tmp_path / "cases"
    volume = a_ct()
    ct = add_ct(volume, "Miller^Anne 1950")
    node = segmentation_of(kidneys(volume), ct)
    cyst = with_cyst(volume).layers[1] > 0
    key = node.GetSegmentation().AddEmptySegment("", "Cyst")
    import slicer

    slicer.util.updateSegmentBinaryLabelmapFromArray(cyst.astype(np.uint8), node, key, ct)
    node.GetSegmentation().SeparateSegmentLabelmap(key)
    choose_folder(widget, application, folder)
    add_case(widget, node)
    case = CaseCollection(folder).case("case-001")
    labels = case.read_labels()
    assert [item.name for item in labels.structures] == [
        "Left kidney", "Right kidney", "Liver", "Cyst",
    ]  # fmt: skip
    before = layers_from_node(node, ct)
    for old, new in zip(before.structures, labels.structures, strict=True):
        assert np.array_equal(labels.mask(new), before.mask(old)), new.name
    assert (labels.structures[0].modifier, labels.structures[0].color) == (
        LEFT_KIDNEY.modifier, LEFT_KIDNEY.color,
    )  # fmt: skip
    assert np.array_equal(case.read_ct().array, volume.array)
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        assert b"Miller" not in path.read_bytes()
    # The box knows it for the next time, and asks no more.
    open_box(widget, drawn(1)[1])
    assert widget.ui.caseConsentCheckBox.isHidden()
    assert widget.ui.caseNameEdit.placeholderText == "case-002"


def test_the_same_ct_offers_to_replace_its_segmentation(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    ui, folder = widget.ui, tmp_path / "cases"
    ct, node = drawn(0)
    choose_folder(widget, application, folder)
    add_case(widget, node)
    paint_box(node, "Bone", ct)
    open_box(widget, node)
    assert ui.addCaseButton.text == "Replace"
    assert "This CT is in the folder already, as case-001" in ui.addCaseFacts.text
    assert not ui.caseNameEdit.enabled
    before = CaseCollection(folder).case("case-001").read_labels().volumes_ml()
    ui.addCaseButton.click()
    process_until(lambda: not widget.window.addCase.isBusy, 30)
    assert "has the new segmentation" in widget.window.messages.text
    (case,) = CaseCollection(folder).cases()
    assert case.read_labels().volumes_ml()["Bone"] > before["Bone"]


def test_volumes_follow_what_is_drawn_meanwhile(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    ct, node = drawn(0)
    open_box(widget, node)
    before = widget.ui.addCaseStructures.text
    paint_box(node, "Bone", ct)
    process_until(lambda: widget.ui.addCaseStructures.text not in (before, "counting…"), 20)
    assert " mL" in widget.ui.addCaseStructures.text


@pytest.mark.parametrize("what", ["empty", "another transform", "no CT", "full"])
def test_what_cannot_be_added_is_said(
    widget: Any, application: Any, tmp_path: Path, what: str
) -> None:
    import slicer

    ui, folder = widget.ui, tmp_path / "cases"
    ct, node = drawn(0, ("Body",))
    if what == "empty":
        node.GetSegmentation().RemoveAllSegments()
        node.GetSegmentation().AddEmptySegment("", "Kidney")
        said = "is empty on the voxels of the CT"
    elif what == "another transform":
        transform = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "moved")
        ct.SetAndObserveTransformNodeID(transform.GetID())
        said = "under different transforms"
    elif what == "no CT":
        slicer.mrmlScene.RemoveNode(ct)
        said = "belongs to no CT of the scene"
    else:
        folder.mkdir()
        (folder / "thesis.txt").write_text("…", encoding="utf-8")
        application.dialogs.expect("Folder for your cases", str(folder))
        ui.caseFolderButton.click()
        assert "is no case collection" in widget.window.messages.text
        said = "Choose a folder"
    open_box(widget, node)
    assert said in ui.addCaseFacts.text
    assert not ui.addCaseButton.enabled
    ui.closeAddCaseButton.click()
    assert ui.addCaseFrame.isHidden()


def test_a_full_disk_is_said_and_leaves_the_folder_as_it_was(
    widget: Any, application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegLib.cases import store

    folder = tmp_path / "cases"
    choose_folder(widget, application, folder)
    add_case(widget, drawn(0)[1])

    def fail(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_plain_ct", fail)
    add_case(widget, drawn(1)[1])
    assert "No space left on device" in widget.window.messages.text
    assert widget.ui.addCaseButton.enabled
    assert [case.name for case in CaseCollection(folder).cases()] == ["case-001"]


def test_two_series_of_one_patient_count_as_one(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "cases"
    choose_folder(widget, application, folder)
    for number in range(2):
        ct = from_dicom(widget, tmp_path / f"series{number}")
        import slicer

        array = slicer.util.arrayFromVolume(ct).copy()
        array[0, 0, 0] += number  # another acquisition
        slicer.util.updateVolumeFromArray(ct, array)
        node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn")
        node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
        key = node.GetSegmentation().AddEmptySegment("", "Body")
        mask = (array > -500).astype(np.uint8)
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, key, ct)
        add_case(widget, node)
    assert len({case.patient for case in CaseCollection(folder).cases()}) == 1
    message = widget.window.messages.text
    assert "Counts as the same patient as case-001" in message
    assert "--" not in message


def test_cases_get_another_state_and_are_removed_after_a_question(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    ui, folder = widget.ui, tmp_path / "cases"
    add_cases(widget, application, folder, 2)
    assert not ui.removeCaseButton.enabled
    ui.caseTable.setCurrentCell(1, 0)
    assert ui.caseStateComboBox.currentText == "corrected"
    press_down(ui.caseStateComboBox)
    assert CaseCollection(folder).case("case-002").state == "left-out"
    assert ui.caseTable.item(1, 1).text() == "left out"
    assert ui.caseTable.currentRow() == 1
    (folder / "case-002" / "notes.txt").write_text("mine", encoding="utf-8")
    application.dialogs.expect("Delete case-002", "No")
    ui.removeCaseButton.click()
    assert ui.caseTable.rowCount == 2
    application.dialogs.expect("Delete case-002", "Yes")
    ui.removeCaseButton.click()
    assert ui.caseTable.rowCount == 1
    assert "notes.txt" in widget.window.messages.text
    assert (folder / "case-002" / "notes.txt").is_file()


def test_findings_are_shown_in_the_words_of_the_panel(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "cases"
    cases = CaseCollection(folder)
    for number in range(2):
        volume = a_ct(number)
        cases.add(volume, kidneys(volume, are_exchanged=number == 1), patient=str(number))
    (folder / "loose").mkdir()
    (folder / "loose" / "ct.nii.gz").write_bytes(b"?")
    choose_folder(widget, application, folder)
    widget.ui.teachSection.click()
    process_until(lambda: bool(widget.ui.caseFindings.text), 60)
    shown = widget.ui.caseFindings.text.replace("\u200b", "")
    assert "loose is not in the index; move it out of the folder." in shown
    assert f"case-002 has {LEFT_KIDNEY.name} on the right" in shown
    assert RIGHT_KIDNEY.name in shown
    assert "sdseg" not in shown
    assert "--" not in shown


def test_a_damaged_index_is_said_and_nothing_can_be_taught(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    folder = tmp_path / "cases"
    add_cases(widget, application, folder, 1)
    (folder / "cases.json").write_text("{", encoding="utf-8")
    widget.exit()
    widget.enter()
    shown = widget.ui.teachFacts.text.replace("\u200b", "")
    assert "cases.json is damaged" in shown
    assert not widget.ui.teachButton.enabled


def test_the_scene_is_closed_while_a_case_is_added(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    import slicer

    folder = tmp_path / "cases"
    choose_folder(widget, application, folder)
    open_box(widget, drawn(0)[1])
    widget.ui.caseConsentCheckBox.click()
    widget.ui.addCaseButton.click()
    slicer.mrmlScene.Clear(0)
    assert widget.ui.addCaseFrame.isHidden()
    process_until(lambda: not widget.window.addCase.isBusy, 30)
    assert [case.name for case in CaseCollection(folder).cases()] == ["case-001"]
    process_events(0.1)


def test_the_segmentation_is_deleted_while_the_box_is_open(widget: Any) -> None:
    import slicer

    node = drawn(0)[1]
    drawn(1)
    open_box(widget, node)
    slicer.mrmlScene.RemoveNode(node)
    assert widget.window.parameters.caseSegmentation is None
    assert "was deleted" in widget.window.messages.text
    process_until(lambda: widget.ui.addCaseFacts.text == "Choose a segmentation.", 5)
    assert not widget.ui.addCaseButton.enabled


def test_packages_that_are_missing_are_offered(
    widget: Any, application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegSlicerLib import requirements

    choose_folder(widget, application, tmp_path / "cases")
    open_box(widget, drawn(0)[1])
    widget.ui.caseConsentCheckBox.click()
    is_there = requirements._isThere
    monkeypatch.setattr(
        requirements, "_isThere", lambda p: p.name not in ("filelock", "nibabel") and is_there(p)
    )
    widget.ui.addCaseButton.click()
    assert not widget.ui.dependencyFrame.isHidden()
    text = widget.ui.dependencyText.text
    assert "Keeping cases needs" in text
    assert "filelock" in text
    assert "torch" not in text.replace("pytorch.org", "")
    assert not (tmp_path / "cases").exists()
