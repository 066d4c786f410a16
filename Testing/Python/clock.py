"""A clock for tests that run beside other programs."""

from __future__ import annotations

import time
from pathlib import Path

_SCHEDULER = Path("/proc/thread-self/schedstat")


def undisturbed_clock() -> float:
    """Seconds, without those for which this thread was ready to run and had no core.

    Only Linux tells them; elsewhere this is the plain clock.
    """
    waited = int(_SCHEDULER.read_text().split()[1]) / 1e9 if _SCHEDULER.is_file() else 0.0
    return time.perf_counter() - waited
