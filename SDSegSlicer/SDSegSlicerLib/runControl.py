"""Polls a run from a timer, and draws its state: the button, progress bar and status line."""

import logging
import time
from collections.abc import Callable
from typing import Any

import qt
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError
from SDSegLib.review.formatting import time_left_text
from SDSegLib.worker.run import State

from .libraryTexts import libraryText
from .segmentationRun import SegmentationRun
from .wrappedLabels import showText

POLL_MS = 40
_METER_MS = 10
_LONG_START_SECONDS = 1.5
_SETTLE_MS = 500  # after a run: the views draw the result
DOUBLE_CLICK_SECONDS = 0.5


class RunController:
    """One run at a time.

    Args:
        onChange: Called when there is something new to draw.
        onEnd: Called with a run that has ended in any state.

    Attributes:
        run: The current or last run.
        longestPause: Longest pause of the window during the last run and until its result is
            drawn, in seconds; known half a second after the end.
    """

    def __init__(
        self, onChange: Callable[[], None], onEnd: Callable[[SegmentationRun], None]
    ) -> None:
        self.run: SegmentationRun | None = None
        self.longestPause = 0.0
        self._onChange = onChange
        self._onEnd = onEnd
        self._meter = StallMeter()
        self._timer = qt.QTimer()
        self._timer.setInterval(POLL_MS)
        self._timer.connect("timeout()", self._poll)
        self._settling = qt.QTimer()
        self._settling.setSingleShot(True)
        self._settling.setInterval(_SETTLE_MS)
        self._settling.connect("timeout()", self._onSettled)

    @property
    def isBusy(self) -> bool:
        return self.run is not None and self.run.isBusy

    def start(self, run: SegmentationRun) -> None:
        """Begin a run.

        Raises:
            SDSegError: If its input cannot be used, or the worker is busy with another run.
        """
        if self.isBusy:
            raise SDSegError(_("A segmentation is going on; cancel it first."))
        self._settling.stop()
        self._meter.start()
        try:
            run.start()
        except SDSegError:
            self._meter.stop()
            raise
        self.run = run
        self._timer.start()
        self._onChange()

    def cancel(self, reason: str = "") -> None:
        """Cancel the run."""
        if self.run is not None and self.run.isBusy:
            self.run.cancel(reason)
            self._onChange()

    def forget(self) -> None:
        """Let go of a run that has ended, and of its nodes: the scene is closed."""
        if not self.isBusy:
            self.run = None

    def stop(self) -> None:
        """Cancel the run and stop the timers."""
        if self.run is not None and self.run.isBusy:
            self.run.cancel()
        self._timer.stop()
        self._settling.stop()
        self._meter.stop()

    def _poll(self) -> None:
        if self.run is None:
            return
        changed = True
        try:
            changed = self.run.poll()
        finally:  # also after an unexpected error while writing into the scene
            if not self.run.isBusy:
                self._end(self.run)
            elif changed:
                self._onChange()

    def _end(self, run: SegmentationRun) -> None:
        self._timer.stop()
        self._onEnd(run)
        self._onChange()
        self._settling.start()

    def _onSettled(self) -> None:
        """The result is drawn."""
        self.longestPause = self._meter.stop()
        logging.info(
            "SDSeg: longest pause of the window %.0f ms; writing the result took %.0f ms",
            1000 * self.longestPause,
            1000 * (self.run.writeSeconds if self.run is not None else 0.0),
        )


class StallMeter:
    """Measures the longest pause of the event loop between `start` and `stop`."""

    def __init__(self) -> None:
        self._timer = qt.QTimer()
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.setInterval(_METER_MS)
        self._timer.connect("timeout()", self._tick)
        self._last = 0.0
        self._longest = 0.0

    def start(self) -> None:
        """Start measuring."""
        self._last, self._longest = time.perf_counter(), 0.0
        self._timer.start()

    def stop(self) -> float:
        """Stop measuring; returns the longest pause in seconds."""
        self._tick()
        self._timer.stop()
        return max(0.0, self._longest - _METER_MS / 1000)

    def _tick(self) -> None:
        now = time.perf_counter()
        self._longest = max(self._longest, now - self._last)
        self._last = now


class RunBar:
    """Shows the state of a run and starts or cancels it.

    The second click of a double click on Segment does not cancel.

    Args:
        ui: The window's widgets.
        onSegment: Called by a click when no run is in progress.
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

    def draw(self, run: SegmentationRun | None, problem: str, leaves: str = "") -> None:
        """Show a state.

        Args:
            run: The current or last run, if any.
            problem: Reason why nothing can be segmented, or "".
            leaves: What a click sends to a server, in a sentence, or "".
        """
        self._isBusy = run is not None and run.isBusy
        button = self._ui.segmentButton
        self._ui.progressBar.setVisible(self._isBusy)
        if run is None or not run.isBusy:
            button.setText(_("&Segment"))
            button.setEnabled(not problem)
            button.setToolTip(problem or _("Find the ticked structures in the volume."))
            showText(self._ui.statusLabel, problem or leaves)
            return
        button.setText(_("Cancelling…") if run.isCancelling else _("&Cancel"))
        button.setEnabled(not run.isCancelling)
        button.setToolTip(_("Stop; nothing in the scene is changed."))
        self._drawProgress(run)
        showText(self._ui.statusLabel, self._status(run))

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
        if run.state is State.STARTING and progress is not None and progress.message:
            return progress.message  # of the server, while others come first
        if run.state is State.STARTING and run.server:
            return _("Sending the volume to {server}…").format(server=run.server)
        if run.state is State.STARTING or progress is None:
            if run.frame > 0 or run.age < _LONG_START_SECONDS:  # the model is loaded already
                return _("Reading the volume…")
            return _("Loading the model; later runs skip this…")
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
            left = time_left_text(progress.seconds_left, libraryText)
            text += ", " + _("about {time} left").format(time=left)
        return text

    def _onClicked(self) -> None:
        now = time.monotonic()
        if not self._isBusy:
            self._startedAt = now
            self._onSegment()
        elif now - self._startedAt > DOUBLE_CLICK_SECONDS:
            self._onCancel()
