"""A progress bar that counts slices."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
)

from ..inference.progress import Progress as Report
from ..inference.progress import ProgressCallback
from ..language import tr
from .text import escape


def counting_columns() -> tuple[ProgressColumn, ...]:
    """Columns of a counting bar: description, bar, finished number and total."""
    return SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()


@contextmanager
def progress_bar(console: Console, quiet: bool) -> Iterator[ProgressCallback | None]:
    """Yield a callback that draws reports on `console`; None when quiet."""
    if quiet:
        yield None
        return
    columns = (*counting_columns(), TextColumn("{task.fields[left]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(tr("loading the model"), total=None, left="")

        def draw(report: Report) -> None:
            if report.stage == "load":
                bar.update(task, description=escape(report.message or tr("loading the model")))
                return
            if report.message:
                bar.console.print(
                    tr("[yellow]Note:[/] {message}").format(message=escape(report.message))
                )
            seconds = report.seconds_left
            bar.update(
                task,
                description="slices",
                completed=report.done,
                total=report.total,
                left="" if seconds is None else tr("{seconds:.0f} s left").format(seconds=seconds),
            )

        yield draw


@contextmanager
def byte_bar(console: Console) -> Iterator[Callable[[int, int], None]]:
    """Yield a callback that draws bytes that have arrived, of how many, on a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn())
    is_drawn = console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=not is_drawn) as bar:
        task = bar.add_task("downloading", total=None)

        def draw(done: int, size: int) -> None:
            bar.update(task, completed=done, total=size)

        yield draw
