"""Segment studies one after another; the next is read and the last is written meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from ..errors import CancelledError
from ..inference.progress import ProgressCallback
from ..language import tr
from ..operations.model_store import ModelStore
from .find import Study
from .in_a_row import InARow, check_there
from .segment import (
    SegmentedStudy,
    StudyOptions,
    StudyResult,
    compute_study,
    read_study,
    write_study,
)


def run_studies(
    studies: Sequence[Study],
    options: StudyOptions,
    models: ModelStore,
    begin: Callable[[Study], None],
    report: ProgressCallback,
    is_cancelled: Callable[[], bool],
) -> Generator[StudyResult, None, None]:
    """Results: first of studies that are done already, then of the others, in their order.

    A study that fails does not stop the others. Memory holds three studies at most: the one that
    is computed, the next, and the one that is written.

    Args:
        studies: The studies to segment.
        options: The same for every study.
        models: Models that stay loaded.
        begin: Called before a study is computed.
        report: Receives the progress of that study.
        is_cancelled: Called between batches of slices.

    Raises:
        CancelledError: Once `is_cancelled` returns True; results so far are kept.
        StorageLostError: If storage could not be used for several studies in a row.
    """
    done, todo = options.divide(studies)
    yield from (StudyResult(study, "there already") for study in done)
    in_a_row = InARow()
    with _thread() as reader, _thread() as computer, _thread() as writer:

        def read(place: int) -> Future:
            return reader.submit(read_study, todo[place], options, models)

        coming = read(0) if todo else None
        last: _Writing | None = None
        for place, study in enumerate(todo):
            if is_cancelled():
                yield from _finished(last, in_a_row)
                raise CancelledError(
                    tr("Cancelled after {place} of {count} studies.").format(
                        place=place, count=len(todo)
                    )
                )
            assert coming is not None
            reading = coming
            problem = reading.exception()
            coming = read(place + 1) if place + 1 < len(todo) else None
            if not options.output_url and options.is_done(study):  # by another run, meanwhile
                yield StudyResult(study, "there already")
                continue
            if problem is None:
                begin(study)
                computing = computer.submit(
                    compute_study, study, reading.result(), options, models, report, is_cancelled
                )
                problem = computing.exception()
            yield from _finished(last, in_a_row)
            last = None
            if isinstance(problem, CancelledError):
                raise problem
            if problem is not None:
                yield _failed(study, problem)
                in_a_row.note(problem)
                continue
            computed = computing.result()
            last = _Writing(computed.result, writer.submit(_write, computed, options))
        yield from _finished(last, in_a_row)


@dataclass(frozen=True)
class _Writing:
    """A study whose results are being written."""

    result: StudyResult
    future: Future[None]


@contextmanager
def _thread() -> Iterator[Executor]:
    """One thread; tasks that have not begun are dropped when the block ends."""
    executor = ThreadPoolExecutor(max_workers=1)
    try:
        yield executor
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _write(computed: SegmentedStudy, options: StudyOptions) -> None:
    if not options.output_url:
        check_there(options.output)
    write_study(computed, options)


def _finished(writing: _Writing | None, in_a_row: InARow) -> Iterator[StudyResult]:
    if writing is None:
        return
    problem = writing.future.exception()
    yield writing.result if problem is None else _failed(writing.result.study, problem)
    in_a_row.note(problem)


def _failed(study: Study, problem: BaseException) -> StudyResult:
    text = str(problem) or type(problem).__name__
    return StudyResult(study, "failed", message=text)
