"""The folder of cases in the section Teach: a table with states, and what is wrong with them."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SDSegLib.cases.collection import CollectedCase
from SDSegLib.cases.findings import CaseFinding, check_cases
from SDSegLib.cases.index import STATES, State
from SDSegLib.errors import SDSegError

from .background import Background
from .caseFolder import CaseFolder, withoutCommands
from .requirements import CASE_PACKAGES, missingPackages
from .widgets import MessageArea, breakable, fitTable, prepareTable
from .wrappedLabels import showText

_MOST_ROWS = 7
_STRUCTURES = 2  # column


class CasesPanel:
    """The table of cases.

    Args:
        ui: The window's widgets.
        messages: Shows errors.
        folder: Where the cases are kept.
    """

    def __init__(self, ui: Any, messages: MessageArea, folder: CaseFolder) -> None:
        self._ui = ui
        self._messages = messages
        self._folder = folder
        self._shown: tuple[Path | None, tuple[CollectedCase, ...]] | None = None
        self._findings: Sequence[CaseFinding] = ()
        self._check: Background | None = None
        self._isRunning = False
        table = ui.caseTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Case"), _("State"), _("Structures")])
        prepareTable(table)
        header = table.horizontalHeader()
        header.setSectionResizeMode(0, qt.QHeaderView.ResizeToContents)
        header.setSectionResizeMode(_STRUCTURES, qt.QHeaderView.Stretch)
        for column in (1, _STRUCTURES):
            side = qt.Qt.AlignLeft | qt.Qt.AlignVCenter
            table.horizontalHeaderItem(column).setTextAlignment(side)
        for state in STATES:
            ui.caseStateComboBox.addItem(stateText(state))
        table.connect("currentCellChanged(int,int,int,int)", self._onRowChanged)
        ui.caseStateComboBox.connect("activated(int)", self._setState)
        ui.removeCaseButton.connect("clicked()", self._remove)
        ui.caseFolderButton.connect("clicked()", folder.choose)
        ui.openCaseFolderButton.connect("clicked()", folder.open)
        ui.teachSection.connect("contentsCollapsed(bool)", self._onCollapsed)

    def update(self, isRunning: bool) -> None:
        """Show what the folder held when it was read last."""
        ui, folder = self._ui, self._folder
        self._isRunning = isRunning
        showText(ui.caseFolderText, _("Cases: {place}").format(place=breakable(folder.shown)))
        ui.openCaseFolderButton.setEnabled(folder.isThere)
        ui.casesWidget.setVisible(bool(folder.cases))
        shown = (folder.path, folder.cases)
        if shown != self._shown:
            self._shown = shown
            self._fill(folder.cases)
            self._findings = ()
            self._lookForFindings()
        self._drawFindings()
        self._drawButtons()

    def stop(self) -> None:
        """After the window was closed, show no outcome of a check."""
        if self._check is not None:
            self._check.forget()
            self._check = None

    def _fill(self, cases: Sequence[CollectedCase]) -> None:
        table = self._ui.caseTable
        chosen = self._chosen(table.currentRow())
        table.setRowCount(len(cases))
        for row, case in enumerate(cases):
            names = ", ".join(structure.name for structure in case.structures)
            for column, text in enumerate((case.name, stateText(case.state), names)):
                item = qt.QTableWidgetItem(text)
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                item.setToolTip(text)
                table.setItem(row, column, item)
        fitTable(table, _MOST_ROWS)
        rows = [row for row, case in enumerate(cases) if case.name == chosen]
        table.setCurrentCell(rows[0] if rows else -1, 0 if rows else -1)

    def _chosen(self, row: int) -> str:
        """Name in a row; "" if there is none."""
        cell = self._ui.caseTable.item(row, 0) if row >= 0 else None
        return "" if cell is None else cell.text()

    def _case(self) -> CollectedCase | None:
        name = self._chosen(self._ui.caseTable.currentRow())
        return next((case for case in self._folder.cases if case.name == name), None)

    def _onRowChanged(self, row: int, column: int, oldRow: int, oldColumn: int) -> None:
        self._drawButtons()

    def _drawButtons(self) -> None:
        ui, case = self._ui, self._case()
        ui.caseStateComboBox.setEnabled(case is not None and not self._isRunning)
        ui.removeCaseButton.setEnabled(case is not None and not self._isRunning)
        ui.caseStateComboBox.setCurrentIndex(-1 if case is None else STATES.index(case.state))

    def _setState(self, index: int) -> None:
        case = self._case()
        if case is None:
            return
        try:
            self._folder.collection().set_state(case.name, STATES[index])
        except SDSegError as error:
            self._messages.show(withoutCommands(str(error)))
        self._folder.reload()
        self._drawButtons()

    def _remove(self) -> None:
        case = self._case()
        if case is None:
            return
        question = _(
            "Delete {name}, its CT and its segmentation from {folder}? This cannot be undone."
        ).format(name=case.name, folder=self._folder.shown)
        if not slicer.util.confirmYesNoDisplay(question, _("Remove a case")):
            return
        try:
            left = self._folder.collection().remove(case.name)
        except SDSegError as error:
            self._messages.show(withoutCommands(str(error)))
            left = ()
        if left:
            names = ", ".join(path.name for path in left)
            text = _("{name} was removed. These other files are still in its folder: {names}")
            self._messages.show(text.format(name=case.name, names=names), "info")
        self._folder.reload()

    def _onCollapsed(self, isCollapsed: bool) -> None:
        if not isCollapsed:
            self._shown = None
            self._folder.reload()

    def _lookForFindings(self) -> None:
        """Check all cases in a thread, once the section is open and what that needs is there."""
        self.stop()
        if self._ui.teachSection.collapsed or not self._folder.cases:
            return
        if missingPackages(CASE_PACKAGES) or importlib.util.find_spec("scipy") is None:
            return
        collection = self._folder.collection()
        self._check = Background(lambda: check_cases(collection), _("Checking the cases"))
        self._check.whenDone(self._onChecked)

    def _onChecked(self, check: Background) -> None:
        self._check = None
        try:
            self._findings = check.take()
        except SDSegError as error:
            self._messages.show(withoutCommands(str(error)))
        self._drawFindings()

    def _drawFindings(self) -> None:
        problem = [self._folder.problem] if self._folder.problem else []
        found = [withoutCommands(finding.message) for finding in self._findings]
        showText(self._ui.caseFindings, breakable("\n".join(problem + found)))


def stateText(state: State) -> str:
    """Name of a state."""
    return {
        "to-do": _("to do"),
        "segmented": _("segmented"),
        "corrected": _("corrected"),
        "left-out": _("left out"),
    }[state]
