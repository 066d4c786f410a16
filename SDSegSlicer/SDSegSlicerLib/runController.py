"""Drives a run from a timer, so that the window keeps answering."""

import logging
from collections.abc import Callable

import qt
from slicer.i18n import tr as _

from SDSegLib.errors import SDSegError

from .segmentationRun import SegmentationRun
from .stallMeter import StallMeter

POLL_MS = 40


class RunController:
    """One run at a time.

    Args:
        onChange: Called when there is something new to draw.
        onEnd: Called with a run that has ended, in whatever way.

    Attributes:
        run: The current or last run.
        longestPause: Of the window during the last run, in seconds.
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

    @property
    def isBusy(self) -> bool:
        return self.run is not None and self.run.isBusy

    def start(self, run: SegmentationRun) -> None:
        """Begin a run.

        Raises:
            SDSegError: If its input cannot be used, or the worker is at another run.
        """
        if self.isBusy:
            raise SDSegError(_("A segmentation is going on; cancel it first."))
        self._meter.start()
        run.start()
        self.run = run
        self._timer.start()
        self._onChange()

    def cancel(self, reason: str = "") -> None:
        """Ask the run to stop."""
        if self.run is not None and self.run.isBusy:
            self.run.cancel(reason)
            self._onChange()

    def stop(self) -> None:
        """Let go of the run and the timer without another word."""
        if self.run is not None and self.run.isBusy:
            self.run.cancel()
        self._timer.stop()

    def _poll(self) -> None:
        if self.run is None:
            return
        changed = True
        try:
            changed = self.run.poll()
        finally:  # also if the scene refuses the result for a reason that nobody expected
            if not self.run.isBusy:
                self._end(self.run)
            elif changed:
                self._onChange()

    def _end(self, run: SegmentationRun) -> None:
        self._timer.stop()
        self.longestPause = self._meter.stop()
        logging.info(
            "SDSeg: longest pause of the window %.0f ms, of which writing the result %.0f ms",
            1000 * self.longestPause,
            1000 * run.writeSeconds,
        )
        self._onEnd(run)
        self._onChange()
