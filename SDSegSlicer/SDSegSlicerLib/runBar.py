"""The button that segments and cancels, the bar below it, and what is being done."""

import time
from collections.abc import Callable
from typing import Any

from SDSegLib.worker.outcome import State
from slicer.i18n import tr as _

from .formatting import formatTimeLeft
from .segmentationRun import SegmentationRun

DOUBLE_CLICK_SECONDS = 0.5


class RunBar:
    """Draws where a run is.

    The second click of a double click on Segment does not cancel.

    Args:
        ui: The window's widgets.
        onSegment: Called by a click when nothing is going on.
        onCancel: Called by a click during a run.
    """

    def __init__(
        self, ui: Any, onSegment: Callable[[], None], onCancel: Callable[[], None]
    ) -> None:
        self._ui = ui
        self._onSegment = onSegment
        self._onCancel = onCancel
        self._isBusy = False
        self._startedAt = 0.0
        font = ui.segmentButton.font
        font.setBold(True)
        ui.segmentButton.setFont(font)
        ui.segmentButton.connect("clicked()", self._onClicked)
        ui.progressBar.setVisible(False)

    def draw(self, run: SegmentationRun | None, problem: str) -> None:
        """Show a state.

        Args:
            run: The current or last run, if any.
            problem: Why nothing can be segmented, or "".
        """
        self._isBusy = run is not None and run.isBusy
        button = self._ui.segmentButton
        self._ui.progressBar.setVisible(self._isBusy)
        if run is None or not run.isBusy:
            button.setText(_("&Segment"))
            button.setEnabled(not problem)
            button.setToolTip(problem or _("Find the ticked structures in the volume."))
            self._ui.statusLabel.setText(problem)
            self._ui.statusLabel.setVisible(bool(problem))
            return
        button.setText(_("Cancelling…") if run.isCancelling else _("&Cancel"))
        button.setEnabled(not run.isCancelling)
        button.setToolTip(_("Stop; nothing in the scene is changed."))
        self._drawProgress(run)
        self._ui.statusLabel.setText(self._status(run))
        self._ui.statusLabel.setVisible(True)

    def _drawProgress(self, run: SegmentationRun) -> None:
        bar, progress = self._ui.progressBar, run.progress
        isCounting = run.state is State.RUNNING and progress is not None and progress.total > 0
        if not isCounting or progress is None:
            bar.setRange(0, 0)
            return
        bar.setRange(0, progress.total * run.frameCount)
        bar.setValue(progress.done + progress.total * run.frame)

    def _status(self, run: SegmentationRun) -> str:
        progress = run.progress
        if run.isCancelling:
            return _("Stopping after the slices that are being computed…")
        if run.state is State.STARTING or progress is None:
            return _("Starting the worker and loading the model; later runs skip this…")
        if progress.message:
            return progress.message
        if progress.total == 0:
            return _("Reading the volume…")
        if progress.done >= progress.total:
            return _("Writing the result…")
        text = _("Slice {done} of {total}").format(done=progress.done, total=progress.total)
        if run.frameCount > 1:
            frame = _("Frame {number} of {count}").format(
                number=run.frame + 1, count=run.frameCount
            )
            text = f"{frame}, {text}"
        if progress.seconds_left is not None:
            left = formatTimeLeft(progress.seconds_left)
            text += ", " + _("about {time} left").format(time=left)
        return text

    def _onClicked(self) -> None:
        now = time.monotonic()
        if not self._isBusy:
            self._startedAt = now
            self._onSegment()
        elif now - self._startedAt > DOUBLE_CLICK_SECONDS:
            self._onCancel()
