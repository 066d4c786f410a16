"""The section Teach: from corrected cases to a Segment button of one's own."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import qt
from slicer.i18n import tr as _

from SDSegLib.cases.collection import CollectedCase
from SDSegLib.errors import SDSegError
from SDSegLib.models.registry import InstalledModel
from SDSegLib.review.formatting import time_left_text
from SDSegLib.teaching.options import TeachOptions

from .caseFolder import CaseFolder, withoutCommands
from .casesPanel import CasesPanel
from .dependencyPanel import DependencyPanel
from .libraryTexts import libraryText
from .requirements import TEACH_PACKAGES
from .teachChoices import TeachChoices, isUnfinished
from .teachResult import TeachResultPanel
from .teachRun import TeachRun, currentRun, freshReport, startTeaching
from .widgets import MessageArea, breakable
from .wrappedLabels import showText

_POLL_MS = 250
_BAR_STEPS = 1000
_BLOCKS = "▁▂▃▄▅▆▇█"
_CURVE_POINTS = 32


class TeachPanel:
    """Cases, choices, the run and its result.

    Args:
        ui: The window's widgets.
        messages: Shows errors and the end of a run.
        dependencies: Offers to install what is needed.
        folder: Where the cases are kept.
        useModel: Chooses a model by its name for the next segmentation.
    """

    def __init__(
        self,
        ui: Any,
        messages: MessageArea,
        dependencies: DependencyPanel,
        folder: CaseFolder,
        useModel: Callable[[str], None],
    ) -> None:
        self._ui = ui
        self._messages = messages
        self._dependencies = dependencies
        self._folder = folder
        self._device = "auto"
        self._cases = CasesPanel(ui, messages, folder)
        self._choices = TeachChoices(ui, self.draw)
        self._result = TeachResultPanel(ui, messages, useModel)
        self._isDrawing = False
        self._timer = qt.QTimer()
        self._timer.setInterval(_POLL_MS)
        self._timer.connect("timeout()", self._poll)
        font = ui.teachButton.font
        font.setBold(True)
        ui.teachButton.setFont(font)
        ui.teachButton.connect("clicked()", self._onClicked)
        if currentRun() is not None:  # it has outlived the window before
            self._timer.start()

    def reload(self, models: Sequence[InstalledModel]) -> None:
        """The installed models may have changed."""
        self._choices.reload(models)
        self.draw()

    def update(self, parameters: Any) -> None:
        """Follow the parameter node."""
        self._device = parameters.device.value
        self.draw()

    def teach(self) -> None:
        """Start a run, or go on with one that was stopped."""
        if not self._dependencies.ask(TEACH_PACKAGES, _("Teaching"), self.teach):
            return
        self._dependencies.hide()
        self._messages.clear()
        self._folder.reload()
        why = self._whyNot()
        if why or self._folder.path is None:
            return
        chosen = self._choices.choices()
        try:
            startTeaching(
                self._folder.path,
                TeachOptions(
                    output=chosen.output,
                    minutes=chosen.minutes,
                    start=chosen.start,
                    structures=chosen.structures,
                    report=freshReport(self._folder.path, chosen.name),
                    device=self._device,
                ),
            )
        except SDSegError as error:
            self._messages.show(str(error))
            return
        self._choices.remember()
        self._timer.start()
        self.draw()

    def stop(self) -> None:
        """The window is closed; a run goes on."""
        self._timer.stop()
        self._cases.stop()

    def draw(self) -> None:
        """Show cases, choices, and the run or its result."""
        if self._isDrawing:
            return
        self._isDrawing = True
        try:
            run = currentRun()
            isBusy = run is not None and run.isBusy
            self._cases.update(isBusy)
            self._choices.update(self._learned())
            self._drawChoices(isBusy)
            self._drawRun(run)
        finally:
            self._isDrawing = False

    def _learned(self) -> list[CollectedCase]:
        return [case for case in self._folder.cases if case.state == "corrected"]

    def _whyNot(self) -> str:
        """Why nothing can be taught now, or ""."""
        cases, learned = self._folder.cases, self._learned()
        patients = {case.patient for case in learned}
        if self._folder.path is None or (not cases and not self._folder.problem):
            return _(
                "There are no cases yet. Segment a CT or draw a structure on some slices and carry "
                "it to the others with SDSeg Propagate; correct it, and click Add to my cases."
            )
        if self._folder.problem:
            return self._folder.problem
        if not learned:
            return _(
                "None of the {count} cases is corrected yet. Correct one and add it again, or set "
                "its state to corrected if it is right."
            ).format(count=len(cases))
        if len(patients) == 1:
            return _(
                "There is only one patient ({names}), so nothing could show whether a model works "
                "on another one. Correct a case of a second patient first; until then, SDSeg "
                "Propagate carries what you draw through a CT without any learning."
            ).format(names=", ".join(case.name for case in learned))
        try:
            self._choices.choices()
        except SDSegError as error:
            return str(error)
        return ""

    def _drawChoices(self, isBusy: bool) -> None:
        ui = self._ui
        learned = self._learned()
        ui.teachChoices.setVisible(bool(learned))
        ui.teachChoices.setEnabled(not isBusy)
        why = "" if isBusy else self._whyNot()
        note = ""
        if not why and not isBusy:
            note = self._note(learned)
        showText(ui.teachFacts, breakable(why or note))
        run = currentRun()
        isStopping = run is not None and isBusy and run.isCancelling
        text = _("Cancel") if isBusy else _("Teach")
        ui.teachButton.setText(_("Stopping…") if isStopping else text)
        ui.teachButton.setEnabled(not isStopping if isBusy else not why)
        tip = _("Learn from the corrected cases; you can go on working meanwhile.")
        if isBusy:
            tip = _("Stop, and keep what was learned so far: Teach goes on from there.")
        ui.teachButton.setToolTip(why or tip)

    def _note(self, learned: Sequence[CollectedCase]) -> str:
        patients = {case.patient for case in learned}
        if isUnfinished(self._choices.choices()):
            return _(
                "A run of this name was stopped. With the same cases and choices, Teach goes on "
                "from there; otherwise it begins anew."
            )
        return _("Learns from {cases} cases of {patients} patients.").format(
            cases=len(learned), patients=len(patients)
        )

    def _drawRun(self, run: TeachRun | None) -> None:
        ui = self._ui
        isBusy = run is not None and run.isBusy
        ui.teachBar.setVisible(isBusy)
        title = _("Teach")
        if run is None or not run.isBusy:
            showText(ui.teachCurve, "")
            result, reason = (None, "") if run is None else run.outcome()
            showText(ui.teachStatus, breakable(withoutCommands(reason)))
            self._result.update(run, result)
            ui.teachSection.setText(title)
            return
        self._result.update(None, None)
        progress = run.progress
        status = _("Starting…")
        if progress is None:
            ui.teachBar.setRange(0, 0)
        else:
            ui.teachBar.setRange(0, _BAR_STEPS)
            ui.teachBar.setValue(round(_BAR_STEPS * progress.share))
            left = time_left_text(progress.seconds_left, libraryText)
            status = _("{stage}, about {time} left").format(stage=progress.stage, time=left)
            title = _("Teach ({percent} %, about {time} left)").format(
                percent=round(100 * progress.share), time=left
            )
            if progress.seconds_left <= 0:
                status = _("{stage}; the planned time is over").format(stage=progress.stage)
                title = _("Teach (the planned time is over)")
        if run.isCancelling:
            status = _("Stopping; what was learned is being saved…")
        showText(ui.teachStatus, status)
        showText(ui.teachCurve, curveText(run.losses))
        ui.teachSection.setText(title)

    def _poll(self) -> None:
        run = currentRun()
        if run is None or not run.isBusy:
            self._timer.stop()
            if run is not None and not run.isSeen:
                run.isSeen = True
                self._tell(run)
        self.draw()

    def _tell(self, run: TeachRun) -> None:
        """The end, also for a user who has closed the section."""
        result, reason = run.outcome()
        if result is None:
            kind = "info" if run.isCancelling else "error"
            self._messages.show(withoutCommands(reason), kind)
            return
        self._choices.forgetName()
        text = _('The model "{name}" is there; the section Teach shows how good it is.')
        if result.model is None:
            text = _('The model "{name}" was not kept; the section Teach says why.')
        self._messages.show(text.format(name=run.name), "info")
        self._folder.reload()

    def _onClicked(self) -> None:
        run = currentRun()
        if run is not None and run.isBusy:
            run.cancel()
            self.draw()
            return
        self.teach()


def curveText(losses: Sequence[float]) -> str:
    """A line of blocks whose heights are the losses; "" before there are some."""
    if len(losses) < 2:
        return ""
    count = min(_CURVE_POINTS, len(losses))
    edges = [round(number * len(losses) / count) for number in range(count + 1)]
    means = [sum(losses[first:last]) / (last - first) for first, last in pairwise(edges)]
    low, high = min(means), max(means)
    span = (high - low) or 1.0
    heights = [round((len(_BLOCKS) - 1) * (value - low) / span) for value in means]
    return "".join(_BLOCKS[height] for height in heights)
