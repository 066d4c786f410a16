"""What a user asks for, what is reported while a model is taught, and what comes out."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import InputError
from ..language import tr

FROM_NOTHING = "nothing"
"""Instead of a model's name: begin with the bundled encoder and no known structure."""
USUAL_MINUTES = 20.0
LEAST_MINUTES = 0.05
MOST_MINUTES = 60.0 * 24 * 30
RUN_PREFIX, RUN_SUFFIX = ".", ".teach"
RUN_STATE, RUN_LOCK = "run.json", "lock"
"""In the folder of a run: what it needs to go on, and the lock of the process that teaches."""


def run_folder_of(output: Path) -> Path:
    """Folder beside a model to be taught, with what a run needs to go on after a stop."""
    return output.with_name(f"{RUN_PREFIX}{output.name}{RUN_SUFFIX}")


@dataclass(frozen=True)
class TeachOptions:
    """How to teach.

    Attributes:
        output: Model folder to write.
        minutes: Time for all of it.
        start: Name or folder of the model to begin with, or `FROM_NOTHING`.
        structures: Names of the structures to learn; all without any.
        name: Of the new model; that of the output folder without it.
        title: For display; from the structures without it.
        region: Body region in words, for the model's description.
        license: SPDX identifier, or any words, for the weights.
        report: Folder for figures and pictures of the left-out cases, which show patients; None
            for figures only, in the model.
        untested: Learn although there is no second patient to try the model on.
        device: "auto", "cuda", "mps" or "cpu".
        threads: CPU threads; None for all.
        seed: Seed of all random numbers.
        overwrite: Replace a model folder that is there.
    """

    output: Path
    minutes: float = USUAL_MINUTES
    start: str = FROM_NOTHING
    structures: tuple[str, ...] = ()
    name: str | None = None
    title: str | None = None
    region: str = ""
    license: str = ""
    report: Path | None = None
    untested: bool = False
    device: str = "auto"
    threads: int | None = None
    seed: int = 0
    overwrite: bool = False

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            InputError: Naming the value that cannot be used.
        """
        if not LEAST_MINUTES <= self.minutes <= MOST_MINUTES:
            raise InputError(
                tr("{minutes:g} minutes cannot be taught in; give {least:g} to {most:.0f}.").format(
                    minutes=self.minutes, least=LEAST_MINUTES, most=MOST_MINUTES
                )
            )
        if self.report is not None:
            report, output = (Path(os.path.abspath(path)) for path in (self.report, self.output))
            if output in (report, *report.parents):
                raise InputError(
                    tr(
                        "The report {report} would lie in the folder of the model; choose "
                        "another folder."
                    ).format(report=self.report)
                )

    @property
    def run_folder(self) -> Path:
        """See `run_folder_of`."""
        return run_folder_of(self.output)


@dataclass(frozen=True)
class TeachProgress:
    """A moment of a run.

    Attributes:
        stage: What is being done, in words for the user.
        share: Of the whole run that is behind, 0 … 1.
        seconds_left: Until the model is there, as planned.
        loss: Of the last step, while a network learns; else None.
    """

    stage: str
    share: float
    seconds_left: float
    loss: float | None = None


TeachReport = Callable[[TeachProgress], None]


@dataclass(frozen=True)
class LeftOutScore:
    """Dice of one structure in a case that the measured model did not learn from.

    Attributes:
        case: Name of the case.
        structure: Name of the structure.
        before: Dice of the model that was begun with; None if it does not know the structure.
        after: Dice of what was taught.
    """

    case: str
    structure: str
    before: float | None
    after: float


@dataclass(frozen=True)
class TeachResult:
    """What teaching gave.

    Attributes:
        model: Folder of the new model; None if it is not better than the one it began with.
        scores: Of all left-out cases; none if there was only one patient.
        cases: Number of cases that were learnt from.
        patients: Number of patients among them.
        share: How much of the way from the old to the new weights is in the model, 0 … 1.
        curve: Points of the learning curve and what more cases would probably give, see `curve`.
        next_case: Case without a correction that the model is least certain of, if there is one.
        report: Folder of figures and pictures, if one was asked for and left-out cases were
            measured.
        remarks: What the user should know, one sentence each.
        seconds: How long it took.
    """

    model: Path | None
    scores: Sequence[LeftOutScore]
    cases: int
    patients: int
    share: float
    curve: Mapping[str, Any]
    next_case: str | None
    report: Path | None
    remarks: tuple[str, ...]
    seconds: float

    def mean(self, structure: str | None = None) -> tuple[float | None, float | None]:
        """Mean Dice before and after, of a structure or of all: first over cases, then structures.

        The mean before is None if the model that was begun with knew none of them.
        """
        names = dict.fromkeys(score.structure for score in self.scores)
        rows = [
            [score for score in self.scores if score.structure == name]
            for name in names
            if structure in (None, name)
        ]
        after = [_mean([score.after for score in row]) for row in rows]
        known = [[score.before for score in row if score.before is not None] for row in rows]
        before = [_mean(row) for row in known if row]
        return (_mean(before) if before else None), (_mean(after) if after else None)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
