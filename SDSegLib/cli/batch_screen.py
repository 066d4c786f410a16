"""Terminal output of `sdseg batch` during a run."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeRemainingColumn,
)

from ..language import tr
from .text import escape

if TYPE_CHECKING:
    from ..inference.progress import Progress as Report
    from ..studies.segment import StudyResult


class StudiesBar:
    """A progress bar for the studies; if one is done at a time, another for its slices.

    Args:
        bar: None to show nothing but what is told.
        total: Number of studies.
        one_at_a_time: Whether studies are done one after another.
        console: For what is told without a bar.
    """

    def __init__(
        self, bar: Progress | None, total: int, one_at_a_time: bool, console: Console
    ) -> None:
        self._bar = bar
        self._console = console
        self._total = total
        self._failed, self._skipped, self._done = 0, 0, 0
        self._started: float | None = None
        if bar is not None:
            self._all = bar.add_task("studies", total=total)
            if one_at_a_time:
                self._one = bar.add_task(tr("loading the model"), total=None)

    def begin(self, name: str) -> None:
        """Show that the computation of a study begins."""
        if self._bar is not None:
            self._bar.reset(self._one, description=escape(name), total=None)

    def slices(self, report: Report) -> None:
        """Show the progress of the current study."""
        if self._bar is None:
            return
        if report.message:
            self.tell(tr("[yellow]Note:[/] {message}").format(message=escape(report.message)))
        self._bar.update(self._one, completed=report.done, total=report.total)

    def finish(self, result: StudyResult) -> None:
        """Count a study as finished."""
        self._failed += result.status == "failed"
        if self._bar is not None:
            self._bar.advance(self._all)

    def on_workers(self, result: StudyResult, who: str) -> None:
        """Show how fast others get on, named by `who`; called before `finish`."""
        now = time.monotonic()
        self._started = self._started or now
        if result.status == "there already":
            self._skipped += 1
            self._started = now
        else:
            self._done += 1
        if self._bar is not None:
            seconds = now - self._started
            rate = pace(self._done, seconds, self._total - self._skipped - self._done)
            failed = tr(", {failed} failed").format(failed=self._failed) if self._failed else ""
            self._bar.update(self._all, description=f"{who}{rate}{failed}")

    def tell(self, line: str) -> None:
        """Print a line above the bars, in rich's markup."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, soft_wrap=True)

    def warn(self, sentence: str) -> None:
        """Print a sentence above the bars; without them as well."""
        self._console.print(
            tr("[yellow]Note:[/] {sentence}").format(sentence=escape(sentence)),
            highlight=False,
            soft_wrap=True,
        )


@contextmanager
def studies_bar(
    console: Console, total: int, quiet: bool, one_at_a_time: bool = True
) -> Iterator[StudiesBar]:
    """Show the bars on `console` while the block runs."""
    if quiet:
        yield StudiesBar(None, total, one_at_a_time, console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        *([TimeRemainingColumn()] if one_at_a_time else []),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield StudiesBar(bar, total, one_at_a_time, console)


def pace(done: int, seconds: float, left: int) -> str:
    """How many studies are done in a minute or an hour, and the time that the others need."""
    if done < 2 or seconds <= 0:
        return ""
    each = seconds / done
    often = (
        tr("{each:.0f} a minute").format(each=60 / each)
        if each < 6
        else tr("{each:.0f} an hour").format(each=3600 / each)
    )
    return tr(", {often}, {duration} left").format(often=often, duration=_duration(left * each))


def _duration(seconds: float) -> str:
    for unit, length in (("days", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def result_line(result: StudyResult) -> str:
    """Failure or warnings of a study, in rich's markup."""
    name = escape(result.study.name)
    if result.status == "failed":
        return f"[bold red]{name}:[/] {escape(result.message)}"
    return f"[yellow]{name}:[/] {escape(' '.join(result.warnings))}"


def result_json(result: StudyResult) -> dict[str, Any]:
    """The same for scripts."""
    return {
        "study": result.study.name,
        "source": result.study.place,
        "status": result.status,
        "message": result.message,
        "seconds": round(result.seconds, 3),
        "ml": result.volumes_ml,
        "warnings": list(result.warnings),
    }
