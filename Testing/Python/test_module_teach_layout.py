"""Where the widgets of Teach lie in each of its states, and the way through them by keyboard."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from standin_fixtures import application, module_widget, process_events, process_until
from teach_module_parts import a_ct, add_case, add_cases, choose_folder, drawn, open_box, teaching
from test_module_layout import LONG, SIZES, check
from test_module_window import focus_order

from SDSegLib.cases.collection import CaseCollection
from SDSegLib.teaching.options import LeftOutScore, TeachOptions, TeachProgress, TeachResult

__all__ = ["application", "module_widget", "teaching"]

NAME = "a-very-long-name-of-a-model-that-somebody-gave-to-it-12345678"


class FakeRun:
    """A run in a certain state, without a process."""

    def __init__(self, output: Path, **state: Any) -> None:
        self.options = TeachOptions(output)
        self.name = output.name
        self.losses = [1 / (1 + n) for n in range(80)]
        self.isCancelling = False
        self.isSeen = True
        self.isBusy = False
        self.progress: TeachProgress | None = None
        self.result: TeachResult | None = None
        self.reason = ""
        vars(self).update(state)

    def outcome(self) -> tuple[TeachResult | None, str]:
        return self.result, self.reason

    def stop(self) -> None: ...


def a_result(model: Path | None, report: Path | None = None, rows: int = 12) -> TeachResult:
    """With many structures and long sentences."""
    scores = [
        LeftOutScore(f"case-{case:03d}", f"Structure number {row}", None if row % 3 else 0.5, 0.8)
        for row in range(rows)
        for case in range(3)
    ]
    return TeachResult(model, scores, 3, 3, 1.0, {}, "case-009", report, (LONG, LONG), 60.0)


@pytest.mark.parametrize("size", SIZES, ids=["1280", "1920"])
def test_nothing_lies_over_anything_else_in_any_state(
    size: tuple[int, int], teaching: Any, application: Any, tmp_path: Path
) -> None:
    from SDSegSlicerLib import teachRun

    application.mainWindow.resize(*size)
    process_events(0.05)
    ui, folder = teaching.ui, tmp_path / ("a long name of a folder " * 4)

    def look(state: str) -> None:
        check(teaching, application, tmp_path / f"{state}.png")

    ui.inputSection.click()
    ui.teachSection.click()
    look("no folder")
    choose_folder(teaching, application, folder)
    look("no cases")
    open_box(teaching, drawn(0, called="a long name of a CT " * 3)[1])
    look("a case to add")
    add_case(teaching, drawn(0)[1])
    look("one patient")
    open_box(teaching, drawn(0)[1])
    look("a case to replace")
    ui.closeAddCaseButton.click()
    for number in range(1, 3):
        add_case(teaching, drawn(number)[1])
    teaching.window.messages.clear()
    CaseCollection(folder).add(a_ct(9))
    (folder / "loose").mkdir()
    (folder / "loose" / "x").write_text("x", encoding="utf-8")
    ui.teachSection.click()
    ui.teachSection.click()
    process_until(lambda: bool(ui.caseFindings.text), 60)
    ui.caseTable.setCurrentCell(1, 0)
    look("ready")
    ui.teachNameEdit.setText("tiny")
    look("a name that is taken")
    output = teaching.models / NAME
    moment = TeachProgress("Learning without case-001 (1 of 3)", 0.4, 500.0, 0.3)
    late = TeachProgress("Measuring", 1.0, 0.0)
    for name, run in {
        "starting": FakeRun(output, isBusy=True, losses=[]),
        "running": FakeRun(output, isBusy=True, progress=moment),
        "late": FakeRun(output, isBusy=True, progress=late),
        "stopping": FakeRun(output, isBusy=True, progress=moment, isCancelling=True),
        "failed": FakeRun(output, reason=LONG),
        "no gain": FakeRun(output, result=a_result(None)),
        "done": FakeRun(output, result=a_result(output, tmp_path)),
    }.items():
        teachRun._current[:] = [run]
        teaching.window.update()
        bar = ui.contentArea.verticalScrollBar()
        process_events(0.2)
        bar.setValue(bar.maximum)
        look(name)
        assert ("the planned time is over" in ui.teachStatus.text) == (name == "late")
    assert ui.teachPicturesButton.enabled
    teachRun._current.clear()


def test_the_keyboard_goes_from_top_to_bottom(
    teaching: Any, application: Any, tmp_path: Path
) -> None:
    ui = teaching.ui
    add_cases(teaching, application, tmp_path / "cases", 2)
    process_events(0.1)
    order = focus_order(ui.inputSection)
    expected = [
        "addToCasesButton", "addCaseFolderButton", "caseConsentCheckBox", "caseNameEdit",
        "casePatientEdit", "addCaseButton", "closeAddCaseButton", "teachSection",
        "caseFolderButton", "openCaseFolderButton", "caseTable", "caseStateComboBox",
        "removeCaseButton", "drawStructureButton", "addSegmentationButton",
        "teachStructureList", "startComboBox",
        "minutesComboBox", "teachNameEdit", "teachButton", "teachResultTable",
        "useTaughtModelButton", "teachPicturesButton", "advancedSection", "segmentButton",
    ]  # fmt: skip
    places = [order.index(name) for name in expected]
    assert places == sorted(places), order
