"""From corrected cases to a Segment button of one's own, by clicks in the module."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import add_ct, mask_of, segment
from standin_fixtures import application, module_widget, process_events, process_until
from teach_module_parts import (
    NAMES,
    a_ct,
    add_case,
    choose_folder,
    drawn,
    teach,
    teaching,
    wait_for_end,
)
from training_parts import a_case

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.worker.run import State

pytestmark = pytest.mark.train

__all__ = ["application", "module_widget", "teaching"]

FEW_MINUTES = 0.2  # where nothing is asked of what was learnt


def test_three_corrected_cases_become_a_segment_button(
    teaching: Any, application: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import qt
    import slicer

    ui, window, folder = teaching.ui, teaching.window, tmp_path / "my cases"
    ui.teachSection.click()
    assert "There are no cases yet" in ui.teachFacts.text
    assert not ui.teachButton.enabled
    choose_folder(teaching, application, folder)
    assert not folder.exists()  # nothing is written before the user's word
    for number in range(3):
        add_case(teaching, drawn(number)[1])
        assert f"case-00{number + 1} was added to {folder}" in window.messages.text
    assert [ui.caseTable.item(row, 1).text() for row in range(3)] == ["corrected"] * 3
    assert [ui.teachStructureList.item(row).text() for row in range(2)] == list(NAMES)
    assert ui.teachFacts.text == "Learns from 3 cases of 3 patients."
    assert ui.startComboBox.currentText == "Nothing known (any structure)"
    assert ui.teachNameEdit.placeholderText == "my-model"
    ui.teachNameEdit.setText("body-and-bone")

    run = teach(teaching, 2.0)  # finds the body on a slow computer beside other tests as well
    assert ui.teachButton.text == "Cancel"
    assert not ui.teachChoices.enabled
    process_until(lambda: run.progress is not None and run.losses, 180)
    process_until(lambda: ui.teachSection.text.startswith("Teach ("), 5)  # time left, or none
    ui.teachSection.click()  # it goes on, and so does work in the window
    slicer.mrmlScene.Clear(0)
    process_events(0.3)
    assert run.isBusy
    wait_for_end(teaching, run, 300)
    ui.teachSection.click()
    assert 'The model "body-and-bone" is there' in window.messages.text
    assert ui.teachSection.text == "Teach"
    rows = [[ui.teachResultTable.item(row, n).text() for n in range(3)] for row in range(2)]
    assert [row[:2] for row in rows] == [["Body", "–"], ["Bone", "–"]]
    assert float(rows[0][2]) > 0.4
    assert "Worst:" in ui.teachResultFacts.text
    assert "3 cases of 3 patients" in ui.teachResultTitle.text

    opened: list[str] = []
    monkeypatch.setattr(
        qt.QDesktopServices, "openUrl", lambda url: opened.append(url.toLocalFile())
    )
    ui.teachPicturesButton.click()
    assert list(Path(opened[0]).glob("*.png"))
    assert Path(opened[0]).is_relative_to(folder)  # pictures of patients stay with the cases

    application.dialogs.expect("Save the model as one file", str(tmp_path / "for a colleague"))
    ui.packTaughtModelButton.click()
    assert "for a colleague.zip" in window.messages.text
    assert zipfile.is_zipfile(tmp_path / "for a colleague.zip")
    application.dialogs.expect("Save the model as one file", str(tmp_path / "for a colleague"))
    ui.packTaughtModelButton.click()  # another ending was added, so nobody was asked
    assert "exists" in window.messages.text

    ui.useTaughtModelButton.click()
    assert window.parameters.model == "body-and-bone"
    assert window.model.current.folder == teaching.models / "body-and-bone"
    ct = add_ct(a_ct(7), "the next CT")
    window.parameters.inputVolume = ct
    process_until(lambda: not window.input.isChecking)
    if not ui.segmentAnywayCheckBox.isHidden():
        ui.segmentAnywayCheckBox.click()
    done = segment(teaching)
    assert done.state is State.DONE, done.error
    given, wanted = mask_of(done.resultNode, "Body", ct), a_case(7).label_map == 1
    assert 2 * (given & wanted).sum() / (given.sum() + wanted.sum()) > 0.4

    # Corrected, added where it was corrected, and taught again from the new model.
    ui.editSection.click()
    ui.addToCasesButton.click()
    assert window.parameters.caseSegmentation is done.resultNode
    add_case(teaching, done.resultNode)
    cases = CaseCollection(folder).cases()
    assert [case.name for case in cases] == [f"case-00{n}" for n in (1, 2, 3, 4)]
    assert np.array_equal(cases[3].read_ct().array, a_case(7).image)
    written = b"".join(path.read_bytes() for path in folder.rglob("*.json"))
    assert b"Doe" not in written
    assert b"next CT" not in written
    assert ui.startComboBox.currentText == window.model.current.description.title
    assert "It knows these structures" in ui.startFacts.text
    assert ui.teachNameEdit.placeholderText == "my-model"
    run = teach(teaching, FEW_MINUTES)
    wait_for_end(teaching, run)
    assert run.outcome()[1] == ""
    assert ui.teachResultTable.item(0, 1).text() != "–"
