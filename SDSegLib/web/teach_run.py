"""One run of teaching at a time, in a child process that outlives the page but not the program."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import CancelledError, OutputError, SDSegError
from ..language import tr
from ..teaching.background import TeachProcess
from ..teaching.options import TeachOptions, TeachProgress, TeachResult
from ..teaching.unfinished import keep_choices

_log = logging.getLogger(__name__)
_STOPPED = tr("Stopped. What was learnt is saved; the same choices go on from there.")


class TeachRun:
    """Starts and ends the child process; event loop's thread only.

    Args:
        on_change: Called after progress and at the end.

    Attributes:
        options: Of the current or last run; None before the first.
        result: Of the last run, if it gave one.
        error: Cause and remedy if the last run failed; or "".
        notice: What a run that was stopped leaves; or "".
        is_stopping: Whether the run was asked to stop.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self._on_change = on_change
        self._process: TeachProcess | None = None
        self.options: TeachOptions | None = None
        self.result: TeachResult | None = None
        self.error = ""
        self.notice = ""
        self.is_stopping = False

    @property
    def is_running(self) -> bool:
        """Whether a model is being taught."""
        return self._process is not None

    @property
    def progress(self) -> TeachProgress | None:
        """Of the run that is going on; None before its first report."""
        return None if self._process is None else self._process.progress

    def start(self, cases: Path, options: TeachOptions) -> None:
        """Begin a run, or go on with the same one.

        Raises:
            SDSegError: If one is going on, or the process cannot be started.
        """
        if self._process is not None:
            raise SDSegError(tr("A model is being taught; wait for its end, or cancel it."))
        self.forget()
        loop = asyncio.get_running_loop()

        def changed() -> None:
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(self._changed)

        self._process = TeachProcess(cases, options, changed)
        self.options = options
        self._on_change()

    def cancel(self) -> None:
        """Ask the run to save what it has learnt, and to stop."""
        if self._process is not None:
            self.is_stopping = True
            self._process.cancel()
            self._on_change()

    def forget(self) -> None:
        """Discard the outcome of the last run."""
        self.result, self.error, self.notice = None, "", ""

    async def finish(self) -> None:
        """The program ends: stop the run, which saves, and wait for it."""
        process = self._process
        if process is not None:
            await asyncio.to_thread(process.stop)

    def _changed(self) -> None:
        process = self._process
        if process is None:
            return
        if process.is_running:
            self._keep_choices(process)
        else:
            self._process, self.is_stopping = None, False
            try:
                self.result = process.result()
            except CancelledError:
                self.notice = _STOPPED
            except SDSegError as error:
                self.error = str(error)
        self._on_change()

    def _keep_choices(self, process: TeachProcess) -> None:
        try:
            keep_choices(process.cases, process.options)
        except OutputError as error:
            _log.warning("%s", error)
