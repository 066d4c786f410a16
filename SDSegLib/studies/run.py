"""Segment study after study: the next is read and the last is written while one is computed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from ..errors import CancelledError
from ..volume.segmentation import Segmentation
from ..volume.volume import Volume
from .find import Study

if TYPE_CHECKING:
    from ..volume.finding import Finding

Status = Literal["done", "there already", "failed"]
Load = Callable[[Study], tuple[Volume, "list[Finding]"]]
Segment = Callable[[Study, Volume], Segmentation]
Write = Callable[[Study, Volume, Segmentation], None]


@dataclass(frozen=True)
class Outcome:
    """What became of a study.

    Attributes:
        study: Which.
        status: "failed" ones have no results.
        message: Why it failed.
        seconds: From the end of the study before until its label map.
        volumes_ml: Of each structure, by name.
        warnings: One sentence each.
    """

    study: Study
    status: Status
    message: str = ""
    seconds: float = 0.0
    volumes_ml: dict[str, float] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()


def run_studies(
    studies: Sequence[Study],
    is_there: Callable[[Study], bool],
    load: Load,
    segment: Segment,
    write: Write,
    is_cancelled: Callable[[], bool],
) -> Iterator[Outcome]:
    """Outcomes: first of studies that are there already, then of the others, in their order.

    One that fails leaves the others alone.

    Memory holds three studies at most: the one computed, the next, and the one being written.

    Args:
        studies: What to do.
        is_there: Whether a study has its results already.
        load: Reads and checks a study.
        segment: Computes.
        write: Writes all results of a study or none.
        is_cancelled: Asked between studies.

    Raises:
        CancelledError: Once `is_cancelled` says so, or from `segment`; results so far stay.
    """
    todo = [study for study in studies if not is_there(study)]
    yield from (Outcome(study, "there already") for study in studies if study not in todo)
    with _thread() as reader, _thread() as computer, _thread() as writer:
        coming = reader.submit(load, todo[0]) if todo else None
        last: _Writing | None = None
        for place, study in enumerate(todo):
            if is_cancelled():
                yield from _finished(last)
                raise CancelledError(f"Cancelled after {place} of {len(todo)} studies.")
            assert coming is not None
            reading, started = coming, time.monotonic()
            problem = reading.exception()
            coming = reader.submit(load, todo[place + 1]) if place + 1 < len(todo) else None
            if problem is not None:
                yield from _finished(last)
                last = None
                yield _failed(study, problem)
                continue
            volume, findings = reading.result()
            computing = computer.submit(segment, study, volume)
            problem = computing.exception()
            yield from _finished(last)
            last = None
            if isinstance(problem, CancelledError):
                raise problem
            if problem is not None:
                yield _failed(study, problem)
                continue
            result = computing.result()
            outcome = Outcome(
                study,
                "done",
                seconds=time.monotonic() - started,
                volumes_ml=result.volumes_ml(),
                warnings=tuple(finding.message for finding in findings),
            )
            last = _Writing(outcome, writer.submit(write, study, volume, result))
        yield from _finished(last)


@dataclass(frozen=True)
class _Writing:
    """A study whose results are being written."""

    outcome: Outcome
    future: Future[None]


@contextmanager
def _thread() -> Iterator[Executor]:
    """One thread, whose work that has not begun is dropped when the block ends."""
    executor = ThreadPoolExecutor(max_workers=1)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _finished(writing: _Writing | None) -> Iterator[Outcome]:
    if writing is None:
        return
    problem = writing.future.exception()
    yield writing.outcome if problem is None else _failed(writing.outcome.study, problem)


def _failed(study: Study, problem: BaseException) -> Outcome:
    text = str(problem) or type(problem).__name__
    return Outcome(study, "failed", message=text)
