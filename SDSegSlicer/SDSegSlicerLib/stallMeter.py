"""How long the window was not answering."""

import time

import qt

_INTERVAL_MS = 10


class StallMeter:
    """Measures the longest pause of the event loop between `start` and `stop`."""

    def __init__(self) -> None:
        self._timer = qt.QTimer()
        self._timer.setTimerType(qt.Qt.PreciseTimer)
        self._timer.setInterval(_INTERVAL_MS)
        self._timer.connect("timeout()", self._tick)
        self._last = 0.0
        self._longest = 0.0

    def start(self) -> None:
        """Begin anew."""
        self._last, self._longest = time.perf_counter(), 0.0
        self._timer.start()

    def stop(self) -> float:
        """End; returns the longest pause in seconds."""
        self._tick()
        self._timer.stop()
        return max(0.0, self._longest - _INTERVAL_MS / 1000)

    def _tick(self) -> None:
        now = time.perf_counter()
        self._longest = max(self._longest, now - self._last)
        self._last = now
