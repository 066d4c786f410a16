"""Studies as the items of a `Dispatcher`."""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import secrets
import threading
from collections.abc import Callable, Collection, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from ..errors import CancelledError, SDSegError
from ..language import tr
from ..models.registry import InstalledModel
from ..studies.find import Study
from ..studies.in_a_row import InARow, StorageLostError, check_there
from ..studies.left_lines import LeftLines
from ..studies.segment import StudyOptions, StudyResult, keep_files
from ..studies.urls import PROBE, UrlFolder
from ..unfinished import discard, unfinished_file
from ..version import VERSION
from .connection import Connection
from .dispatch import Dispatcher
from .jobs import Jobs
from .on_worker import WorkDone, look_around, names_of, stop_run, work_on
from .work import Ability, Fate, Tell

if TYPE_CHECKING:
    from distributed import Client

_LEAST_FREE_BYTES = 2**30
_LOOKED_FOR = 2
"""Inputs that each worker looks for."""
_STOP_SECONDS = 10.0
_CLOSED = (asyncio.CancelledError, concurrent.futures.CancelledError)  # the client was closed


@dataclass
class StudiesJob:
    """Segment studies on workers; see `Job`.

    Args:
        options: The same for every study, with absolute paths.
        asked_of_all: What every worker is asked; see `look_around`.
        patience: As in `Job`.
        run: Name of this run.
    """

    options: StudyOptions
    asked_of_all: dict[str, Any]
    patience: float | None
    run: str

    look: Callable[[Any], Any] = look_around
    work: Callable[..., Any] = work_on

    def asked(self, share: int) -> dict[str, Any]:
        return {**self.asked_of_all, "share": share}

    def judge(self, address: str, facts: Any) -> Ability:
        if isinstance(facts, Exception):
            return Ability(_no_library(address, facts))
        problem = self._problem(facts)
        if problem:
            return Ability(
                tr("{address} on {host}: {problem}").format(
                    address=address, host=facts["host"], problem=problem
                )
            )
        return Ability("", facts["at_a_time"], facts["gpus"], facts)

    def arguments(self, item: Study, ability: Ability) -> tuple[Any, ...]:
        return (item, self.options, self.run, not ability.facts["sees_output"])

    def problem(self, answer: WorkDone) -> str:
        return "" if answer.is_final else answer.result.message

    def given_up(self, item: Study, reason: str) -> WorkDone:
        return WorkDone(StudyResult(item, "failed", message=f"{reason}."))

    def _problem(self, facts: dict[str, Any]) -> str:
        asked = self.asked_of_all
        if facts["sdseg"] != asked["sdseg"]:
            return tr(
                "it has SDSeg {sdseg} and this computer {here}; install the same version there."
            ).format(sdseg=facts["sdseg"], here=asked["sdseg"])
        if facts["problem"]:
            return tr("{problem} (That was said there, not here.)").format(problem=facts["problem"])
        if _release(facts["torch"]) != _release(asked["torch"]):
            return tr(
                "it has PyTorch {torch} and this computer {here}, so labels might "
                "differ between studies; install the same version."
            ).format(torch=facts["torch"], here=asked["torch"])
        if facts["models"] != asked["models"]:
            return _other_models(facts["models"], asked["models"])
        if facts["unseen"]:
            return tr(
                "it does not see {unseen}, or sees another file there; mount the folder of "
                "the studies at the same path, or give a URL like s3://BUCKET/FOLDER that "
                "can be read there."
            ).format(unseen=facts["unseen"][0])
        if not facts["sees_output"] and facts["free"] < _LEAST_FREE_BYTES:
            return tr(
                "its disk is full: {free:.0f} MiB are free in {temporary}; free space "
                "there, or set TMPDIR for the worker."
            ).format(free=facts["free"] / 2**20, temporary=facts["temporary"])
        return ""


@dataclass
class _JobsWatcher:
    """Jobs of a batch system for a `Dispatcher`; `left` is the number of studies in the run."""

    jobs: Jobs
    left: int
    tell: Tell

    def look(self, idle: Collection[str]) -> None:
        self.jobs.watch(self.left, idle, self.tell)

    def fate(self, address: str) -> Fate | None:
        return self.jobs.fate(address)


class ClusterRun:
    """A run of studies on a cluster.

    Args:
        connection: To the scheduler.
        options: The same for every study.
        models: Those that the run may use.
        is_cancelled: Called several times a second.
        tell: Receives sentences for the user.
    """

    def __init__(
        self,
        connection: Connection,
        options: StudyOptions,
        models: Sequence[InstalledModel],
        is_cancelled: Callable[[], bool],
        tell: Tell,
    ) -> None:
        self._connection = connection
        self._options = _absolute(options)
        self._models = models
        self._is_cancelled = is_cancelled
        self._tell = tell
        self._run = uuid4().hex
        self._dispatcher: Dispatcher[Study] | None = None

    @property
    def workers(self) -> int:
        """Number of workers in use."""
        return 0 if self._dispatcher is None else self._dispatcher.workers

    def results(self, studies: Sequence[Study]) -> Iterator[StudyResult]:
        """Results: first of studies that are done already, then of the others as they end.

        Raises:
            CancelledError: Once `is_cancelled` returns True.
            SDSegError: If the scheduler is lost, no worker can be used, or several studies in a row
                that were sent back cannot be written here.
        """
        lines = LeftLines(self._options)
        yield from lines.removed(self._all_results(studies, lines))

    def _all_results(
        self, studies: Sequence[Study], lines: LeftLines
    ) -> Generator[StudyResult, None, None]:
        done, todo = self._options.divide(studies)
        yield from lines.of_done(done)
        if not todo:
            return
        todo = [
            study if study.url else replace(study, source=Path(os.path.abspath(study.source)))
            for study in todo
        ]
        client = self._connection.client
        with _probe(self._options) as probe:
            job = StudiesJob(
                self._options, self._asked(todo, probe), self._connection.patience, self._run
            )
            jobs = self._connection.jobs
            watcher = None if jobs is None else _JobsWatcher(jobs, len(todo), self._tell)
            self._dispatcher = Dispatcher(
                client, job, self._is_cancelled, self._tell, watcher, self._connection.hope
            )
            in_a_row = InARow()
            try:
                for study, answer in self._dispatcher.answers(todo):
                    if watcher is not None:
                        watcher.left -= 1
                    result, problem = self._written(study, answer)
                    yield result
                    if answer.files:
                        in_a_row.note(problem)
            except (CancelledError, StorageLostError):
                _stop(client, self._run)
                raise

    def _asked(self, todo: Sequence[Study], probe: tuple[str, str]) -> dict[str, Any]:
        import torch

        run = self._options.run
        return {
            "sdseg": VERSION,
            "torch": str(torch.__version__),
            "model": run.model,
            "models": names_of(self._models),
            "device": run.device,
            "inputs": [_input(study) for study in todo[:_LOOKED_FOR]],
            "probe": probe,
            "threads": self._connection.threads,
        }

    def _written(self, study: Study, answer: WorkDone) -> tuple[StudyResult, SDSegError | None]:
        """The result, after files that were sent back were written, and why that failed."""
        if not answer.files:
            return answer.result, None
        try:
            if not self._options.output_url:
                check_there(self._options.output)
            keep_files(study, self._options, answer.files)
        except SDSegError as error:
            return StudyResult(study, "failed", message=str(error)), error
        return answer.result, None


@contextmanager
def _probe(options: StudyOptions) -> Iterator[tuple[str, str]]:
    """A file with a random content, by which workers tell whether they see the results' folder."""
    content = secrets.token_hex(16)
    if options.output_url:
        folder, name = UrlFolder(options.output_url), PROBE
        folder.write({name: content.encode("ascii")})
        try:
            yield f"{folder.url}/{name}", content
        finally:
            folder.remove(name)
        return
    path = unfinished_file(options.output)
    try:
        path.write_text(content, encoding="ascii")
        yield str(path), content
    finally:
        discard(path)


def _absolute(options: StudyOptions) -> StudyOptions:
    """The same on another machine, whose working folder is another."""
    model = options.run.model
    if model is not None and os.path.isdir(os.path.expanduser(model)):
        model = os.path.abspath(os.path.expanduser(model))
    return replace(
        options,
        run=replace(options.run, model=model),
        output=Path(os.path.abspath(options.output)),
    )


def _input(study: Study) -> tuple[str, int | None]:
    if study.url:
        return study.url, None
    source = study.source
    return str(source), source.stat().st_size if source.is_file() else None


def _release(version: str) -> str:
    """The version without the build for a device, such as "+cu128"."""
    return version.partition("+")[0]


def _other_models(there: list[list[str]], here: list[list[str]]) -> str:
    lacking = [name for name, _ in here if name not in {name for name, _ in there}]
    other = [name for name, checksum in here if [name, checksum] not in there]
    if lacking:
        what = tr("it has no model {lacking}").format(lacking=lacking[0])
    elif other:
        what = tr("its model {other} is not the one of this computer").format(other=other[0])
    else:
        known = {name for name, _ in here}
        more = next(name for name, _ in there if name not in known)
        what = tr("it has another model, {more}, that might be chosen there").format(more=more)
    return tr(
        "{what}; install the same models there (sdseg models install), or name one by --model."
    ).format(what=what)


def _no_library(address: str, error: Exception) -> str:
    text = str(error) or type(error).__name__
    causes = f"{text} {error.__cause__ or ''}"
    if "SDSegLib" in causes or isinstance(error, ModuleNotFoundError):
        return tr(
            "{address} cannot import SDSeg ({text}); install it there with: pip install "
            '"sdseg[cluster]=={version}"'
        ).format(address=address, text=text[:200], version=VERSION)
    return tr("{address} failed when it was asked what it has: {text}").format(
        address=address, text=text[:300]
    )


def _stop(client: Client, run: str) -> None:
    """Ask the workers to leave what they have begun; one that hangs is not waited for."""

    def ask() -> None:
        with suppress(OSError, ValueError, RuntimeError, TimeoutError, *_CLOSED):
            client.run(stop_run, run, on_error="ignore")

    # If the scheduler is gone, what they have begun is complete or not there.
    thread = threading.Thread(target=ask, name="sdseg-stop", daemon=True)
    thread.start()
    thread.join(_STOP_SECONDS)
