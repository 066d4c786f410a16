"""Progress reports of a run, and its cancellation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from ..errors import CancelledError
from ..language import tr

Stage = Literal["load", "segment", "write"]


@dataclass(frozen=True)
class Progress:
    """A report from a run.

    Attributes:
        stage: The current step.
        done: Slices finished.
        total: Slices in all.
        seconds_left: Estimate from the slices so far; None before the first ones are done.
        message: A note for the user, for example that memory ran short.
    """

    stage: Stage
    done: int = 0
    total: int = 0
    seconds_left: float | None = None
    message: str = ""


ProgressCallback = Callable[[Progress], None]


class SliceCounter:
    """Counts and reports finished slices; raises `CancelledError` once the user has cancelled.

    Args:
        total: Slices in all.
        report: Called with each `Progress`.
        is_cancelled: Called between batches.
    """

    def __init__(
        self,
        total: int,
        report: ProgressCallback | None = None,
        is_cancelled: Callable[[], bool] | None = None,
    ) -> None:
        self.total = total
        self.done = 0
        self._report = report
        self._is_cancelled = is_cancelled
        self._started = time.monotonic()
        self._send(None)

    def advance(self, slices: int) -> None:
        """Count more slices as finished."""
        self.done += slices
        spent = time.monotonic() - self._started
        self._send(spent / self.done * (self.total - self.done) if self.done else None)

    def restart(self, message: str) -> None:
        """Begin again from the first slice and report why."""
        self.done = 0
        self._started = time.monotonic()
        self.tell(message)

    def tell(self, message: str) -> None:
        """Report a message."""
        if self._report is not None:
            self._report(Progress("segment", self.done, self.total, None, message))

    def stop_if_cancelled(self) -> None:
        """Raise `CancelledError` if the user has cancelled."""
        if self._is_cancelled is not None and self._is_cancelled():
            raise CancelledError(
                tr("Cancelled after {done} of {total} slices.").format(
                    done=self.done, total=self.total
                )
            )

    def _send(self, seconds_left: float | None) -> None:
        if self._report is not None:
            self._report(Progress("segment", self.done, self.total, seconds_left))
