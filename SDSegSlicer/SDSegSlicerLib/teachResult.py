"""The result of teaching: how good the new model is on cases that it did not learn from."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import qt
import slicer
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError
from SDSegLib.export.model_file import SUFFIX, write_model_file
from SDSegLib.teaching.options import TeachResult

from .caseFolder import openFolder
from .teachRun import TeachRun
from .widgets import MessageArea, fitTable, prepareTable
from .wrappedLabels import showText

_MOST_ROWS = 8
_WORST = "worst"


class TeachResultPanel:
    """The result below the button Teach.

    Args:
        ui: The window's widgets.
        messages: Shows errors, and where a file was written.
        useModel: Chooses a model by its name for the next segmentation.
    """

    def __init__(self, ui: Any, messages: MessageArea, useModel: Callable[[str], None]) -> None:
        self._ui = ui
        self._messages = messages
        self._useModel = useModel
        self._result: TeachResult | None = None
        table = ui.teachResultTable
        table.setColumnCount(3)
        table.setHorizontalHeaderLabels([_("Structure"), _("Before"), _("Now")])
        prepareTable(table)
        ui.useTaughtModelButton.connect("clicked()", self._use)
        ui.teachPicturesButton.connect("clicked()", self._openPictures)
        ui.packTaughtModelButton.connect("clicked()", self._pack)
        ui.teachResultWidget.setVisible(False)

    def update(self, run: TeachRun | None, result: TeachResult | None) -> None:
        """Show a result; None hides it."""
        self._ui.teachResultWidget.setVisible(result is not None)
        if result is None or run is None:
            self._result = None
            return
        if result is self._result:
            return
        self._result = result
        self._fill(result)
        title = _('The model "{name}", learned from {cases} cases of {patients} patients')
        if result.model is None:
            title = _('No new model "{name}", after learning from {cases} cases')
        showText(
            self._ui.teachResultTitle,
            title.format(name=run.name, cases=result.cases, patients=result.patients),
        )
        showText(self._ui.teachResultFacts, "\n".join(_facts(result)))
        self._ui.useTaughtModelButton.setEnabled(result.model is not None)
        self._ui.packTaughtModelButton.setEnabled(result.model is not None)
        self._ui.teachPicturesButton.setEnabled(self._pictures() is not None)

    def _fill(self, result: TeachResult) -> None:
        table = self._ui.teachResultTable
        names = list(dict.fromkeys(score.structure for score in result.scores))
        table.setVisible(bool(names))
        table.setRowCount(len(names))
        for row, name in enumerate(names):
            before, after = result.mean(name)
            tip = "\n".join(
                f"{score.case}: {_dice(score.before)} → {_dice(score.after)}"
                for score in result.scores
                if score.structure == name
            )
            for column, text in enumerate((name, _dice(before), _dice(after))):
                item = qt.QTableWidgetItem(text)
                side = qt.Qt.AlignRight if column else qt.Qt.AlignLeft
                item.setTextAlignment(side | qt.Qt.AlignVCenter)
                item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsSelectable)
                item.setToolTip(tip)
                table.setItem(row, column, item)
        fitTable(table, _MOST_ROWS)

    def _use(self) -> None:
        if self._result is not None and self._result.model is not None:
            self._useModel(self._result.model.name)

    def _pack(self) -> None:
        """Write the model to a file that the user chooses."""
        model = None if self._result is None else self._result.model
        if model is None:
            return
        self._messages.clear()
        path = qt.QFileDialog.getSaveFileName(
            slicer.util.mainWindow(),
            _("Save the model as one file"),
            str(Path.home() / f"{model.name}{SUFFIX}"),
            _("Model file (*.zip)"),
        )
        if not path:
            return
        isAsked = path.lower().endswith(SUFFIX)  # the file dialog has asked about this name only
        path = path if isAsked else path + SUFFIX
        try:
            write_model_file(model, Path(path), overwrite=isAsked)
        except SDSegError as error:
            self._messages.show(str(error))
            return
        text = _("The model is in {path}. Others install it under Advanced, from file.")
        self._messages.show(text.format(path=path), "info")

    def _openPictures(self) -> None:
        folder = self._pictures()
        if folder is not None:
            openFolder(folder)

    def _pictures(self) -> Path | None:
        report = None if self._result is None else self._result.report
        if report is None or not report.is_dir():
            return None
        worst = report / _WORST
        return worst if worst.is_dir() else report


def _dice(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _facts(result: TeachResult) -> list[str]:
    lines = []
    if result.scores:
        cases = len({score.case for score in result.scores})
        text = _(
            "Overlap (Dice) on {cases} cases, each measured by a network that had not seen its "
            "patient."
        )
        if cases == 1:
            text = _("Overlap (Dice) on one case, of a network that had not seen its patient.")
        lines.append(text.format(cases=cases))
        worst = min(result.scores, key=lambda score: score.after)
        lines.append(
            _("Worst: {structure} in {case}, {dice}.").format(
                structure=worst.structure, case=worst.case, dice=_dice(worst.after)
            )
        )
    lines += result.remarks
    if result.next_case is not None:
        lines.append(
            _("Correct next: {case}, of which the new model is least certain.").format(
                case=result.next_case
            )
        )
    if result.model is not None:
        lines.append(
            _(
                "Next: use this model, segment a CT that it has not seen, correct that and add it "
                "to your cases; then teach again from this model."
            )
        )
    return lines
