"""Runs that were stopped, with the choices that they were begun with."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..errors import InputError, OutputError
from ..language import tr
from ..untrusted import is_plain, read_json, shown
from .background import options_from_json, options_to_json
from .options import RUN_LOCK, RUN_PREFIX, RUN_STATE, RUN_SUFFIX, TeachOptions

CHOICES = "choices.json"


@dataclass(frozen=True)
class UnfinishedRun:
    """A run that was stopped and goes on with the same choices.

    Attributes:
        cases: Folder of the cases.
        options: The choices, without a folder for the report.
        minutes_spent: How much of its minutes is behind.
    """

    cases: Path
    options: TeachOptions
    minutes_spent: float


def keep_choices(cases: Path, options: TeachOptions) -> None:
    """Note the choices of a run in its folder, if the folder is there and does not have them.

    Raises:
        OutputError: If they cannot be written.
    """
    path = options.run_folder / CHOICES
    if path.exists() or not options.run_folder.is_dir():
        return
    values = {**options_to_json(options), "report": None}
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(json.dumps({"cases": str(cases.resolve()), "options": values}), "utf-8")
        os.replace(fresh, path)
    except FileNotFoundError:  # the run has just ended, and its folder is gone
        return
    except OSError as error:
        raise OutputError(
            tr("The choices cannot be kept in {path} ({reason}); free space on its disk.").format(
                path=path.parent, reason=error.strerror or error
            )
        ) from error


def unfinished_runs(models: Path) -> list[UnfinishedRun]:
    """Runs in a folder of models that were stopped and that no process goes on with.

    Those that were begun by a program that keeps no choices are not among them.
    """
    found = []
    for folder in sorted(models.glob(f"{RUN_PREFIX}*{RUN_SUFFIX}")):
        if (folder / CHOICES).is_file() and not is_going_on(folder):
            run = _read(folder)
            found += [] if run is None else [run]
    return found


def is_going_on(run_folder: Path) -> bool:
    """Whether a process teaches in the folder of a run."""
    try:
        with FileLock(run_folder / RUN_LOCK, timeout=0):
            return False
    except (Timeout, OSError):
        return True


def remove_run(options: TeachOptions) -> None:
    """Delete what a stopped run has learnt.

    Raises:
        InputError: If a process goes on with it.
        OutputError: If it cannot be deleted.
    """
    folder = options.run_folder
    if not folder.is_dir():
        return
    if is_going_on(folder):
        raise InputError(
            tr("A model is being taught in {output}; stop it first.").format(output=options.output)
        )
    try:
        shutil.rmtree(folder)
    except OSError as error:
        raise OutputError(
            tr("{folder} cannot be deleted ({reason}); check its access rights.").format(
                folder=folder, reason=error.strerror or error
            )
        ) from error


def seconds_spent(state: Any) -> float:
    """Seconds that a run has taken so far, by its state.

    Raises:
        ValueError: If that is not a number of seconds.
    """
    if not isinstance(state, dict):
        raise ValueError(tr("{state} is no state of a run").format(state=shown(state)))
    seconds = state.get("spent", 0.0)
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or seconds < 0:
        raise ValueError(tr("{seconds} is no number of seconds").format(seconds=shown(seconds)))
    return float(seconds)


def _read(folder: Path) -> UnfinishedRun | None:
    """The run in a folder; None if its files are damaged or of another version."""
    try:
        choices: Any = read_json(folder / CHOICES)
        name = folder.name.removeprefix(RUN_PREFIX).removesuffix(RUN_SUFFIX)
        options = _checked(options_from_json({**choices["options"], "report": None}))
        options = replace(options, output=folder.with_name(name))
        state: Any = read_json(folder / RUN_STATE) if (folder / RUN_STATE).is_file() else {}
        spent = seconds_spent(state) / 60
        cases = Path(_plain(choices["cases"]))
    except (InputError, OSError, AttributeError, KeyError, TypeError, ValueError):
        return None
    return UnfinishedRun(cases, options, spent)


def _checked(options: TeachOptions) -> TeachOptions:
    """Options from a file; raises `ValueError` if one is of another kind."""
    for name in ("start", "region", "license", "device"):
        _plain(getattr(options, name))
    for name in ("name", "title"):
        _plain(getattr(options, name) or "")
    for name in options.structures:
        _plain(name)
    if any(type(value) is not bool for value in (options.untested, options.overwrite)):
        raise ValueError(tr("what is yes or no is something else"))
    if type(options.seed) is not int or type(options.threads) not in (int, type(None)):
        raise ValueError(tr("a number is something else"))
    return options


def _plain(value: object) -> str:
    if not isinstance(value, str) or not is_plain(value):
        raise ValueError(tr("{value} is no text").format(value=shown(value)))
    return value
