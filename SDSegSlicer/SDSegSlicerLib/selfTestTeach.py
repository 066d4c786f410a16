"""The part of the self test in which two results become cases, and a model begins to learn."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import qt

from SDSegLib.cases.collection import CaseCollection

from .caseFolder import AGREED_SETTING, FOLDER_SETTING
from .requirements import TEACH_PACKAGES, missingPackages
from .teachRun import LAST_SETTING, currentRun

_MINUTES = "2"


def addAndTeach(
    window: Any,
    ui: Any,
    folder: Path,
    segmentAnother: Callable[[], None],
    waitFor: Callable[[Callable[[], Any]], None],
) -> None:
    """Add the shown result and a second one to an empty folder, teach, and stop.

    Args:
        window: The module's window, with a result.
        ui: Its widgets.
        folder: For the cases; removed by the caller.
        segmentAnother: Replaces the result by that of another patient.
        waitFor: Waits until a condition holds, and lets the application work meanwhile.
    """
    with _otherFolder(window, folder):
        _add(window, ui, waitFor)
        segmentAnother()
        _add(window, ui, waitFor)
        kept = CaseCollection(folder).cases()
        assert [case.name for case in kept] == ["case-001", "case-002"], kept
        assert ui.caseTable.rowCount == 2

        ui.teachSection.collapsed = False
        ui.minutesComboBox.setEditText(_MINUTES)
        assert ui.teachButton.enabled, ui.teachFacts.text
        ui.teachButton.click()
        if missingPackages(TEACH_PACKAGES):
            assert window.dependencies.isOpen, window.messages.text
            return
        run = currentRun()
        assert run is not None, window.messages.text
        try:
            waitFor(lambda: run.losses or not run.isBusy)
            assert run.isBusy, run.outcome()
            ui.teachButton.click()
            waitFor(lambda: not run.isBusy and run.isSeen)
        finally:
            run.stop()
        result, reason = run.outcome()
        assert result is None
        assert run.isCancelling, reason
        assert ui.teachButton.enabled, ui.teachFacts.text  # it goes on with another click


def _add(window: Any, ui: Any, waitFor: Callable[[Callable[[], Any]], None]) -> None:
    ui.addToCasesButton.click()
    if not ui.caseConsentCheckBox.isHidden():
        ui.caseConsentCheckBox.click()
    waitFor(lambda: ui.addCaseButton.enabled)
    ui.addCaseButton.click()
    waitFor(lambda: not window.addCase.isBusy)
    assert ui.addCaseFrame.isHidden(), window.messages.text


@contextmanager
def _otherFolder(window: Any, folder: Path) -> Iterator[None]:
    """Use an empty folder for cases; the user's folder and choices come back afterwards."""
    settings = qt.QSettings()
    names = (FOLDER_SETTING, AGREED_SETTING, LAST_SETTING)
    before = {name: settings.value(name, "") for name in names}
    path = window.caseFolder.path
    settings.setValue(AGREED_SETTING, "")
    window.caseFolder.take(folder)
    try:
        yield
    finally:
        for name, value in before.items():
            settings.setValue(name, value or "")
        window.caseFolder.path = path
        window.caseFolder.reload()
