"""The folder of a run beside its output, with what it needs to go on after a stop."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ..datasets.cache import file_state
from ..errors import InputError, ModelError, OutputError
from ..language import tr
from ..models.folder import DESCRIPTION, WEIGHTS, read_description, verify_weights
from ..untrusted import read_json
from ..version import VERSION
from .cases import TeachCases
from .options import RUN_LOCK, RUN_STATE, TeachOptions
from .plan import Plan
from .start import Start
from .unfinished import CHOICES, seconds_spent

log = logging.getLogger(__name__)

_SECONDS_BETWEEN_SAVES = 2.0


@contextmanager
def run_folder(
    options: TeachOptions, cases: TeachCases, start: Start, plan: Plan
) -> Iterator[tuple[Path, list[str]]]:
    """The folder of a run beside its output, for this process alone.

    It holds networks and label maps of the cases and is removed when the model is there.

    Yields:
        The folder, and what the user should know about an earlier run in it.

    Raises:
        InputError: If another process teaches there, or the run in it is another one.
        OutputError: If it cannot be made.
    """
    folder = options.run_folder
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir(mode=0o700, exist_ok=True)
        lock = FileLock(folder / RUN_LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise InputError(
            tr(
                "A model is being taught in {output} already; wait for it, or choose another "
                "output."
            ).format(output=options.output)
        ) from error
    except OSError as error:
        raise OutputError(
            tr("The run cannot be kept beside {output} ({reason}); choose another folder.").format(
                output=options.output, reason=error.strerror or error
            )
        ) from error
    try:
        yield folder, _keep_state(folder, _state_of(options, cases, start, plan))
    finally:
        lock.release()


def with_own_copy(start: Start, folder: Path) -> Start:
    """The same start from a copy of its model, so that the model may be removed or replaced.

    Args:
        start: What is begun with.
        folder: Of the run.

    Raises:
        OutputError: If the model cannot be copied.
    """
    copy, fresh = folder / "start", folder / "start.new"
    if not _is_copy(copy, start):
        try:
            for old in (copy, fresh):
                shutil.rmtree(old, ignore_errors=True)
            fresh.mkdir()
            for name in (DESCRIPTION, WEIGHTS):  # not the access rights, which may be to read only
                shutil.copyfile(start.model.folder / name, fresh / name)
            os.replace(fresh, copy)
        except OSError as error:
            raise OutputError(
                tr(
                    "The model {model} cannot be copied to {folder} ({reason}); free space on its "
                    "disk."
                ).format(
                    model=start.model.description.name,
                    folder=folder,
                    reason=error.strerror or error,
                )
            ) from error
    model = replace(start.model, folder=copy)
    return replace(start, model=model, parent=None if start.parent is None else model)


def _is_copy(folder: Path, start: Start) -> bool:
    """Whether a folder holds the model that is begun with, undamaged."""
    try:
        verify_weights(folder, start.model.description)
        return read_description(folder) == start.model.description
    except ModelError:
        return False


def _state_of(options: TeachOptions, cases: TeachCases, start: Start, plan: Plan) -> dict[str, Any]:
    """What must be the same when a run goes on; a digest, without names of cases or paths."""
    files = [
        [item.name, *(file_state(path) for path in (item.image, item.label) if path is not None)]
        for item in cases.items
    ]
    facts = [
        files,
        [structure.to_json() for structure in cases.structures],
        start.model.description.weights_sha256,
        [asdict(fold) for fold in plan.folds],
        asdict(plan.input),
        options.seed,
        VERSION,
    ]
    text = json.dumps(facts, sort_keys=True, default=str)
    return {"format": 1, "digest": hashlib.sha256(text.encode()).hexdigest()}


def _keep_state(folder: Path, state: dict[str, Any]) -> list[str]:
    """Keep what a run in the folder has learnt if it is this one; else begin anew.

    Returns:
        A sentence for the user if the run was another one.

    Raises:
        OutputError: If the folder cannot be written.
    """
    path = folder / RUN_STATE
    notes = []
    try:
        if not os.path.lexists(path):
            _clear(folder, but=(RUN_LOCK, CHOICES))  # what is there is of an unknown run
        elif _known_digest(path) == state["digest"]:
            return []
        else:
            log.warning("cases or options changed since the run was stopped; it begins anew")
            notes = [
                tr("Cases or choices had changed since the run was stopped, so it began anew.")
            ]
            _clear(folder, but=(RUN_LOCK,))
        _write_state(path, state)
    except OSError as error:
        raise OutputError(
            tr("{folder} cannot be changed ({reason}); remove it by hand.").format(
                folder=folder, reason=error.strerror or error
            )
        ) from error
    return notes


def _known_digest(path: Path) -> str | None:
    """Digest of the run in a folder; None if its state is damaged."""
    try:
        known = read_json(path)
        seconds_spent(known)
        return known.get("digest")
    except (AttributeError, OSError, ValueError):
        return None


def _clear(folder: Path, but: tuple[str, ...]) -> None:
    for entry in folder.iterdir():
        if entry.name in but:
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def _write_state(path: Path, state: dict[str, Any]) -> None:
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(state), encoding="utf-8")
    os.replace(fresh, path)


class Clock:
    """Time of all runs together that went on with the same folder.

    Args:
        folder: Of the run.
        minutes: Of the whole run.
        began: When this part of it began, on the clock of `time.monotonic`.
    """

    def __init__(self, folder: Path, minutes: float, began: float) -> None:
        self._path = folder / RUN_STATE
        self._state = read_json(self._path)
        self._began = began - seconds_spent(self._state)
        self._saved = time.monotonic()
        self.total = 60 * minutes

    @property
    def spent(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._began

    @property
    def left(self) -> float:
        """Seconds of the minutes that are left; at least one."""
        return max(1.0, self.total - self.spent)

    def save(self, at_once: bool = False) -> None:
        """Keep the time, at most every few seconds unless it has to be at once."""
        if at_once or time.monotonic() - self._saved >= _SECONDS_BETWEEN_SAVES:
            self._saved = time.monotonic()
            try:
                _write_state(self._path, {**self._state, "spent": round(self.spent, 1)})
            except OSError as error:  # what is learnt is saved by itself, and says if it cannot be
                log.warning("the time of the run cannot be kept: %s", error)
