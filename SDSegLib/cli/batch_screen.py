"""Terminal output of `sdseg batch` during a run."""

from __future__ import annotations

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

from .text import escape

if TYPE_CHECKING:
    from ..inference.progress import Progress as Report
    from ..studies.segment import StudyResult


class StudiesBar:
    """One progress bar for the studies, one for the slices of the current study.

    Args:
        bar: None to show nothing.
        total: Number of studies.
    """

    def __init__(self, bar: Progress | None, total: int) -> None:
        self._bar = bar
        if bar is not None:
            self._all = bar.add_task("studies", total=total)
            self._one = bar.add_task("loading the model", total=None)

    def begin(self, name: str) -> None:
        """Show that the computation of a study begins."""
        if self._bar is not None:
            self._bar.reset(self._one, description=escape(name), total=None)

    def slices(self, report: Report) -> None:
        """Show the progress of the current study."""
        if self._bar is None:
            return
        if report.message:
            self.tell(f"[yellow]Note:[/] {escape(report.message)}")
        self._bar.update(self._one, completed=report.done, total=report.total)

    def finish(self, result: StudyResult) -> None:
        """Count a study as finished."""
        if self._bar is not None:
            self._bar.advance(self._all)

    def tell(self, line: str) -> None:
        """Print a line above the bars, in rich's markup."""
        if self._bar is not None:
            self._bar.console.print(line, highlight=False, soft_wrap=True)


@contextmanager
def studies_bar(console: Console, total: int, quiet: bool) -> Iterator[StudiesBar]:
    """Show the bars on `console` while the block runs."""
    if quiet:
        yield StudiesBar(None, total)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        yield StudiesBar(bar, total)


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
        "source": str(result.study.source),
        "status": result.status,
        "message": result.message,
        "seconds": round(result.seconds, 3),
        "ml": result.volumes_ml,
        "warnings": list(result.warnings),
    }
