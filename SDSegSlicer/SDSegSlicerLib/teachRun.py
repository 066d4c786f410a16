"""A run of teaching in its own process; it outlives the window, the scene and a reload."""

import json
from pathlib import Path

import qt
from slicer.i18n import tr as _

from SDSegLib.errors import CancelledError, SDSegError
from SDSegLib.teaching.background import TeachProcess
from SDSegLib.teaching.options import TeachOptions, TeachProgress, TeachResult

from .background import childEnvironment, childPython

_MOST_LOSSES = 512
_REPORTS = ".reports"
LAST_SETTING = "SDSeg/TeachChoices"
_current: list["TeachRun"] = []


class TeachRun:
    """One run; nothing here waits.

    Attributes:
        cases: Folder of the cases.
        options: How to teach.
        losses: Of the network, from the beginning to now; thinned out as they become many.
        isCancelling: Whether it was asked to stop.
        isSeen: Whether its end was told to the user.
    """

    def __init__(self, cases: Path, options: TeachOptions) -> None:
        self.cases = cases
        self.options = options
        self.losses: list[float] = []
        self.isCancelling = False
        self.isSeen = False
        self._process = TeachProcess(
            cases,
            options,
            changed=self._onChanged,
            python=childPython(),
            environment=childEnvironment(),
        )

    @property
    def isBusy(self) -> bool:
        return self._process.is_running

    @property
    def progress(self) -> TeachProgress | None:
        return self._process.progress

    @property
    def name(self) -> str:
        """Name of the model."""
        return self.options.output.name

    def cancel(self) -> None:
        """Ask it to save what was learned and to stop."""
        self.isCancelling = True
        self._process.cancel()

    def stop(self) -> None:
        """Stop in order; waits for it, some seconds at most."""
        self._process.stop()

    def outcome(self) -> tuple[TeachResult | None, str]:
        """The result, or the reason why there is none; only after the end."""
        try:
            return self._process.result(), ""
        except CancelledError:
            return None, _(
                "Stopped. What was learned is saved; Teach with the same choices goes on from "
                "there."
            )
        except SDSegError as error:
            return None, str(error)

    def _onChanged(self) -> None:
        """In the thread that reads from the process."""
        process: TeachProcess | None = getattr(self, "_process", None)  # None in __init__
        progress = None if process is None else process.progress
        if progress is not None and progress.loss is not None:
            self.losses.append(progress.loss)
            if len(self.losses) > _MOST_LOSSES:
                self.losses = self.losses[::2]


def currentRun() -> TeachRun | None:
    """The run that is going on, or the last one."""
    return _current[-1] if _current else None


def startTeaching(cases: Path, options: TeachOptions) -> TeachRun:
    """Begin a run, or go on with one that was stopped.

    Raises:
        SDSegError: If one is going on, or the process cannot be started.
    """
    running = currentRun()
    if running is not None and running.isBusy:
        raise SDSegError(_("A model is being taught; cancel that first."))
    run = TeachRun(cases, options)
    _current[:] = [run]
    return run


def stopTeaching() -> None:
    """The application ends: the process saves what was learned, and ends."""
    run = currentRun()
    _current.clear()
    if run is not None:
        run.stop()


def freshReport(cases: Path, name: str) -> Path:
    """A folder for figures and pictures beside the cases, which show patients, too."""
    folder, number = cases / _REPORTS / name, 1
    while folder.exists():
        number += 1
        folder = cases / _REPORTS / f"{name}-{number}"
    return folder


def rememberChoices(choices: dict[str, object]) -> None:
    """Keep the choices, so that a stopped run can go on after a restart."""
    qt.QSettings().setValue(LAST_SETTING, json.dumps(choices))


def rememberedChoices() -> dict[str, object]:
    """What `rememberChoices` kept; empty if there is nothing usable."""
    try:
        choices = json.loads(str(qt.QSettings().value(LAST_SETTING, "") or "{}"))
    except ValueError:
        return {}
    return choices if isinstance(choices, dict) else {}
