"""The options of the effect: shows a session and passes clicks to it."""

from pathlib import Path
from typing import Any

import slicer
from SDSegSlicerLib.background import serverPlace
from SDSegSlicerLib.wrappedLabels import WrappedLabels, showText
from slicer.i18n import tr as _

_UI = Path(__file__).resolve().parents[1] / "Resources" / "UI" / "SDSegPropagate.ui"
_AUTOMATIC = 0  # row of the axis box


class Panel:
    """The widgets in the options frame of an effect.

    Args:
        effect: The scripted effect.

    Attributes:
        session: The session to show; None before the effect is used first.
        ui: The widgets by name.
    """

    def __init__(self, effect: Any) -> None:
        self.session: Any = None
        self._effect = effect
        self._isDrawing = False
        self._connections: list[tuple[Any, str, Any]] = []
        self._filled: dict[str, list[int]] = {"drawnList": [], "unsureList": []}
        self._texts: dict[str, list[str]] = {"drawnList": [], "unsureList": []}
        self._targets: dict[str, Any] = {"drawnList": None, "unsureList": None}
        widget = slicer.util.loadUI(str(_UI))
        effect.scriptedEffect.addOptionsWidget(widget)
        self.ui = slicer.util.childWidgetVariables(widget)
        self._directions = {
            "between": self.ui.betweenButton,
            "up": self.ui.upButton,
            "down": self.ui.downButton,
            "all": self.ui.allButton,
        }
        self._labels = WrappedLabels((self.ui.messageText, self.ui.statusLabel))
        self._connect()
        self.draw()

    @property
    def isFollowing(self) -> bool:
        """Whether the preview follows strokes."""
        return bool(self.ui.followCheckBox.checked)

    def setFollowing(self, isFollowing: bool) -> None:
        """Show whether the preview follows strokes."""
        wasBlocked = self.ui.followCheckBox.blockSignals(True)
        self.ui.followCheckBox.setChecked(isFollowing)
        self.ui.followCheckBox.blockSignals(wasBlocked)

    def draw(self) -> None:
        """Show the session's present state."""
        if self._isDrawing:
            return
        self._isDrawing = True
        try:
            self._drawDirections()
            self._drawMessage()
            self._drawProgress()
            self._drawLists()
            self._drawAxis()
        finally:
            self._isDrawing = False

    def release(self) -> None:
        """Let go of the widgets, before the editor deletes them."""
        self.session = None
        self._labels.release()
        while self._connections:
            widget, signal, function = self._connections.pop()
            widget.disconnect(signal, function)

    def _connect(self) -> None:
        ui = self.ui
        for direction, button in self._directions.items():
            self._listen(button, "clicked()", self._carryTo(direction))
        for name, action in (
            ("applyButton", "apply"),
            ("cancelButton", "cancel"),
            ("addButton", "addShownSlice"),
            ("nextButton", "jumpToNext"),
            ("predictionButton", "takeAsPrediction"),
            ("turnButton", "turnViews"),
        ):
            self._listen(getattr(ui, name), "clicked()", self._action(action))
        self._listen(ui.removeButton, "clicked()", self._remove)
        self._listen(ui.keepButton, "clicked()", self._keep)
        for name in ("drawnList", "unsureList"):
            widget = getattr(ui, name)
            self._listen(widget, "currentRowChanged(int)", self._jump(name))
            self._listen(widget, "itemClicked(QListWidgetItem*)", self._jumpAgain(name))
        self._listen(ui.axisComboBox, "activated(int)", self._chooseAxis)
        self._listen(ui.correctCheckBox, "clicked()", self._chooseCorrecting)
        self._listen(ui.followCheckBox, "toggled(bool)", self._effect.updateMRMLFromGUI)

    def _listen(self, widget: Any, signal: str, function: Any) -> None:
        widget.connect(signal, function)
        self._connections.append((widget, signal, function))

    def _action(self, name: str) -> Any:
        def act() -> None:
            if self.session is not None:
                getattr(self.session, name)()

        return act

    def _carryTo(self, direction: str) -> Any:
        def carry() -> None:
            if self.session is not None:
                self.session.carry(direction)
            self.draw()

        return carry

    def _remove(self) -> None:
        row = self.ui.drawnList.currentRow
        if self.session is not None and 0 <= row < len(self._filled["drawnList"]):
            self.session.removeSlice(self._filled["drawnList"][row])

    def _keep(self) -> None:
        """Show what would be added to the user's cases, in the module SDSeg."""
        target = None if self.session is None else self.session.target
        if target is None:
            return
        node = target.segmentationNode
        slicer.util.selectModule("SDSegSlicer")
        slicer.util.getModuleWidget("SDSegSlicer").window.addToCases(node)

    def _jump(self, name: str) -> Any:
        def jump(row: int) -> None:
            numbers = self._filled[name]
            self._drawRemoving()
            if not self._isDrawing and self.session is not None and 0 <= row < len(numbers):
                self.session.jumpTo(numbers[row])

        return jump

    def _jumpAgain(self, name: str) -> Any:
        jump = self._jump(name)
        return lambda: jump(getattr(self.ui, name).currentRow)

    def _chooseAxis(self, row: int) -> None:
        if self.session is not None:
            self.session.setAxis(None if row == _AUTOMATIC else row - 1)

    def _chooseCorrecting(self) -> None:
        if self.session is not None:
            self.session.setCorrecting(bool(self.ui.correctCheckBox.checked))

    # Drawing

    def _drawDirections(self) -> None:
        session = self.session
        target = None if session is None else session.target
        isPossible = target is not None and not session.problem
        for name, button in self._directions.items():
            button.setEnabled(isPossible)
            button.setChecked(session is not None and session.isOn and session.direction == name)
        if target is None:
            return
        from .views import towards

        axis = target.bodyAxis if target.drawn.axis is None else target.drawn.axis
        up, down = towards(target, axis, True), towards(target, axis, False)
        self.ui.betweenButton.setToolTip(
            _("Fill the slices between the drawn ones, of which there must be two.")
        )
        self.ui.upButton.setToolTip(
            _("Go on from the outermost drawn slice {direction}, to the structure's end.").format(
                direction=up
            )
        )
        self.ui.downButton.setToolTip(
            _("Go on from the outermost drawn slice {direction}, to the structure's end.").format(
                direction=down
            )
        )
        self.ui.allButton.setToolTip(
            _("Between the drawn slices and beyond them, {up} and {down}.").format(up=up, down=down)
        )

    def _drawMessage(self) -> None:
        from SDSegSlicerLib.widgets import boxStyle

        session = self.session
        kind, text, isTilted = "info", "", False
        if session is not None:
            target = session.target
            isTilted = target is not None and target.tilt is not None
            if session.error:
                kind, text = "error", session.error
            elif session.problem:
                kind, text = ("warning" if target is None or isTilted else "info"), session.problem
            elif session.warning:
                kind, text = "warning", session.warning
            if target is not None and not isTilted and not session.isParallel:
                isTilted = True
                text = text or _(
                    "No slice view is parallel to the volume's slices. Turn the views to the "
                    "volume before you draw."
                )
        self.ui.messageFrame.setVisible(bool(text))
        self.ui.messageFrame.setStyleSheet(boxStyle(kind, "messageFrame"))
        showText(self.ui.messageText, text)
        self.ui.turnButton.setVisible(isTilted)

    def _drawProgress(self) -> None:
        session, ui = self.session, self.ui
        isPending = session is not None and session.isPending
        progress = session.progress if isPending else None
        ui.progressBar.setVisible(isPending)
        isCounting = progress is not None and progress.total > 0
        ui.progressBar.setRange(0, progress.total if isCounting else 0)
        if isCounting:
            ui.progressBar.setValue(progress.done)
        status = "" if session is None else _status(session)
        showText(ui.statusLabel, status)
        isDone = session is not None and bool(status) and status == session.notice
        ui.keepButton.setVisible(isDone and not self._effect.isInModule)
        hasPreview = session is not None and session.hasPreview
        ui.applyButton.setEnabled(session is not None and session.canApply)
        ui.cancelButton.setEnabled(hasPreview)
        ui.nextButton.setEnabled(session is not None and session.nextSlice is not None)

    def _drawLists(self) -> None:
        session = self.session
        target = None if session is None else session.target
        drawn = [] if target is None else list(target.drawn.numbers)
        unsure = [] if target is None else list(session.unsureSlices)
        self._fill("drawnList", drawn, None if target is None else target.drawn.axis)
        self._fill("unsureList", unsure, None if session is None else session.axis)
        self.ui.correctCheckBox.setEnabled(target is not None and target.hasPrediction)
        self.ui.correctCheckBox.setChecked(target is not None and target.drawn.correct)
        self.ui.addButton.setEnabled(target is not None)
        self._drawRemoving()

    def _drawRemoving(self) -> None:
        self.ui.removeButton.setEnabled(self.ui.drawnList.currentRow >= 0)

    def _fill(self, name: str, numbers: list[int], axis: int | None) -> None:
        target = None if self.session is None else self.session.target
        if self._filled[name] == numbers and self._targets[name] is target:
            return
        from .views import sliceText

        self._filled[name], self._targets[name] = numbers, target
        texts = [sliceText(target, axis, number) for number in numbers]
        if texts == self._texts[name]:
            return
        self._texts[name] = texts
        widget = getattr(self.ui, name)
        widget.clear()
        for text in texts:
            widget.addItem(text)

    def _drawAxis(self) -> None:
        session, box = self.session, self.ui.axisComboBox
        target = None if session is None else session.target
        box.setEnabled(target is not None)
        self.ui.predictionButton.setEnabled(target is not None and not target.mask.is_empty)
        if target is None:
            return
        from .views import planeName

        names = [planeName(target, axis) for axis in range(3)]
        first = _("Automatic")
        if session.choices.axis is None and target.drawn.axis is not None:
            first = _("Automatic: {plane}").format(plane=names[target.drawn.axis])
        texts = [first, *names]
        if [box.itemText(row) for row in range(box.count)] != texts:
            box.clear()
            box.addItems(texts)
        box.setCurrentIndex(
            _AUTOMATIC if session.choices.axis is None else session.choices.axis + 1
        )


def _status(session: Any) -> str:
    """One line on what is going on."""
    if session.isWaiting:
        return _("The preview follows when the segmentation that is going on has ended.")
    progress = session.progress
    isIdle = not session.isPending and session.result is None and not session.notice
    if isIdle and session.target is not None and serverPlace():
        return _(
            "Previews are computed on this computer, because each stroke asks for one. The server "
            "{server} computes Segment."
        ).format(server=serverPlace())
    if session.isPending and (progress is None or progress.total == 0):
        return _("Computing… the first preview also starts the worker and loads the model.")
    if session.isPending:
        return _("Slice {done} of {total}").format(done=progress.done, total=progress.total)
    if session.isOutOfDate:
        return _("Something was drawn since this preview. Apply computes it anew and takes it.")
    if session.result is not None and not session.result.changed:
        return _("There is nothing to carry in this direction: no slices are left there.")
    if session.result is not None:
        from .session import filledSlices

        count = filledSlices(session.result)
        if count == 0:
            return _("The structure ends at the drawn slices: the preview of the others is empty.")
        return _("Preview on {count} slices. Apply takes it.").format(count=count)
    return str(session.notice)
