"""The folder of a run of teaching that was stopped, with which the next run goes on."""

from __future__ import annotations

import json
import logging
import os
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest.mock import patch

import mutators
from content import Content
from json_mutators import changed_json
from outcome import OTHER, REFUSED, SAME, SILENT, TOLD, Outcome, outcome_within

from SDSegLib.errors import CancelledError
from SDSegLib.models.registry import MODELS_VARIABLE
from SDSegLib.teaching.cases import TeachCases, open_cases
from SDSegLib.teaching.options import RUN_STATE, TeachOptions, TeachProgress
from SDSegLib.teaching.plan import Plan
from SDSegLib.teaching.run import teach
from SDSegLib.teaching.unfinished import CHOICES, keep_choices, unfinished_runs

_MINUTES = 600.0  # so that only the first fold of the good run ends
_OUTPUT = "mine"
_SECOND = "(2 of 3)"
_LAST = Path("fold2") / "network" / "last.ckpt"
_STRANGE = (b"", b"\x80\x02.", b"\x80\x04N.", b"PK\x05\x06" + bytes(18), b"{}", b"\x00" * 1000,
            b"\x80\x02cos\nsystem\nq\x00X\x02\x00\x00\x00idq\x01\x85q\x02Rq\x03.")  # fmt: skip


@dataclass(frozen=True)
class Stopped:
    """A run that was stopped while it learnt without its second patient.

    Attributes:
        home: Folder of models, with the model that was begun with and the run.
        cases: The measured cases.
    """

    home: Path
    cases: TeachCases

    @property
    def run(self) -> Path:
        """The run's folder."""
        return _options(self.home).run_folder


def stopped_run(folder: Path) -> Stopped:
    """Teach from three small patients, and stop in the second of three folds."""
    from teach_parts import write_cases, write_foundation, write_names

    home = folder / "models"

    def seconds(plan: Plan, left: float, folds: int, later: float = 0.0) -> float:
        return 0.5 if folds == 3 else left

    with _models_in(home), patch.object(Plan, "seconds_for_fold", seconds):
        write_foundation(home / "foundation")
        path = write_cases(folder / "cases")
        names = write_names(folder / "names.json")
        cases = open_cases(path, None, {"names": str(names)})
        _go_on(_options(home), cases, _SECOND)
        keep_choices(path, _options(home))
    return Stopped(home, cases)


@dataclass
class TaughtRuns:
    """Folders of runs of teaching.

    Attributes:
        name: For the table.
        good: A run that was stopped.
    """

    name: str
    good: Stopped
    _steps: int = field(default=-1, init=False)

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage a file of a run, and list, read or go on with it."""
        home = folder / "models"
        shutil.copytree(self.good.home, home)
        run = _options(home).run_folder
        if self._steps < 0:
            self._steps = _steps_of(run)
        files = [path for path in sorted(run.rglob("*")) if path.is_file() and path.stat().st_size
                 and "tensorboard" not in path.parts]  # fmt: skip
        victim = dice.choice([*files, run / _LAST, run / RUN_STATE, run / CHOICES])
        must_be_told = _damage(victim, dice)

        def work() -> Outcome:
            with _models_in(home):
                if victim.name == CHOICES:
                    return _listed(home, self.good, must_be_told)
                if victim.suffix == ".ckpt" and dice.random() < 0.5:
                    good = self.good.run / victim.relative_to(run)
                    return _loaded(victim, good, must_be_told, folder)
                return self._continued(home, run, must_be_told, folder)

        return outcome_within(work, folder, (run,))

    def _continued(self, home: Path, run: Path, must_be_told: bool, folder: Path) -> Outcome:
        with _warnings() as said:
            _go_on(_options(home), self.good.cases, "")
        after = _steps_of(run)
        if after > self._steps:
            return Outcome(SAME)
        what = f"step {self._steps} became {after}"
        if said:
            return Outcome(TOLD, f"{what}: {said}")
        return Outcome(SILENT if must_be_told else OTHER, what, folder)


def _options(home: Path) -> TeachOptions:
    return TeachOptions(output=home / _OUTPUT, minutes=_MINUTES, device="cpu")


@contextmanager
def _models_in(home: Path) -> Iterator[None]:
    with patch.dict(os.environ, {MODELS_VARIABLE: str(home)}):
        yield


def _go_on(options: TeachOptions, cases: TeachCases, stage: str) -> None:
    """Teach until a step was taken, in a stage whose name holds a text."""
    is_there = False

    def report(progress: TeachProgress) -> None:
        nonlocal is_there
        is_there |= stage in progress.stage and progress.loss is not None

    try:
        teach(options, cases, report, lambda: is_there)
    except CancelledError:
        return
    raise AssertionError("the run came to its end")


def _steps_of(run: Path) -> int:
    """Steps of the second fold; −1 if it is not there."""
    from SDSegLib.training.checkpoints import load_parts

    return int(load_parts(run / _LAST)["global_step"]) if (run / _LAST).is_file() else -1


@contextmanager
def _warnings() -> Iterator[list[str]]:
    """What is logged for the user."""
    found: list[str] = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    handler, logger = Handler(logging.WARNING), logging.getLogger("SDSegLib")
    logger.addHandler(handler)
    try:
        yield found
    finally:
        logger.removeHandler(handler)


def _loaded(path: Path, good: Path, must_be_told: bool, folder: Path) -> Outcome:
    """Whether a damaged checkpoint is refused, or holds the same numbers."""
    from SDSegLib.training.checkpoints import load_parts

    found, before = load_parts(path), load_parts(good)
    return Content({("", "all"): _text_of(found)}).compared(
        Content({("", "all"): _text_of(before)}), must_be_told, folder
    )


def _text_of(content: Any) -> str:
    """All numbers of a checkpoint."""
    import torch

    if isinstance(content, torch.Tensor):
        return repr(content.tolist())
    if isinstance(content, dict):
        return repr({key: _text_of(value) for key, value in content.items()})
    if isinstance(content, (list, tuple)):
        return repr([_text_of(value) for value in content])
    return repr(content)


def _listed(home: Path, good: Stopped, must_be_told: bool) -> Outcome:
    """What the page and the module show of unfinished runs."""
    runs = unfinished_runs(home)
    for run in runs:
        if run.options.output != home / _OUTPUT or run.options.report is not None:
            raise AssertionError(f"{run.options} is of another place")
        json.dumps([str(run.cases), f"{run.minutes_spent:.1f}", f"{run.options.minutes:g}"])
    return Outcome(SAME if runs else REFUSED)


def _damage(path: Path, dice: random.Random) -> bool:
    """Whether the damage can be noticed."""
    data = path.read_bytes()
    if path.suffix == ".json" and dice.random() < 0.85:
        path.write_bytes(changed_json(data, dice))
        return False
    way = dice.randrange(8)
    if way == 0:
        path.write_bytes(dice.choice(_STRANGE))
    elif way == 1 and path.suffix in (".json", ".ckpt"):
        path.unlink()
        path.mkdir()
    elif way == 2 and path.suffix == ".ckpt":
        _change_checkpoint(path, dice)
        return False
    else:
        path.write_bytes(mutators.anything(data, dice))
    return True


def _change_checkpoint(path: Path, dice: random.Random) -> None:
    """A whole checkpoint with other content: of another network, or without parts."""
    import torch

    content = torch.load(path, map_location="cpu", weights_only=True)
    key = dice.choice(sorted(content))
    if dice.random() < 0.5:
        del content[key]
    elif isinstance(content[key], dict) and content[key]:
        inner = dice.choice(sorted(content[key], key=str))
        content[key][inner] = dice.choice((None, torch.zeros(3), torch.zeros(10**6), "x", {}))
    else:
        content[key] = dice.choice((None, "x", -1, 10**12, [], {}))
    torch.save(content, path)
