"""What `sdseg evaluate` shows: progress, the table of results, and warnings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.table import Table

if TYPE_CHECKING:
    from ..evaluation.jobs import Result
    from ..evaluation.run import CaseReport
    from ..evaluation.summary import Estimate, Summary
    from ..inference.progress import Progress as SliceReport
    from ..inference.progress import ProgressCallback

MOST_NOTES = 5


@dataclass(frozen=True)
class Reports:
    """Callbacks that draw progress; None when quiet."""

    cases: CaseReport | None = None
    slices: ProgressCallback | None = None


@contextmanager
def progress_of_cases(console: Console, cases: int, quiet: bool) -> Iterator[Reports]:
    """Draw a bar that counts cases, and one that counts the slices of the case at hand."""
    if quiet:
        yield Reports()
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
    )
    with Progress(*columns, console=console, transient=True) as bar:
        case_task = bar.add_task("cases", total=cases)
        slice_task = bar.add_task("slices", total=None, visible=False)

        def draw_case(done: int, name: str) -> None:
            bar.update(case_task, completed=done, description=escape(name))

        def draw_slices(report: SliceReport) -> None:
            if report.message:
                bar.console.print(f"[yellow]Note:[/] {escape(report.message)}")
            bar.update(slice_task, completed=report.done, total=report.total, visible=True)

        yield Reports(draw_case, draw_slices)


def results_table(result: Result, summary: Summary) -> Table:
    """One row per structure and one for their mean."""
    with_spurious = any(item.spurious for item in summary.structures)
    counts = ["Cases", "Missed", *(["Spurious"] if with_spurious else [])]
    table = Table(
        title=escape(result.title),
        title_justify="left",
        caption="95 % bootstrap interval over the cases; distances in mm",
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column("Structure")
    for title in (*counts, "Dice", "95 %", "IoU", "HD95", "ASSD"):
        table.add_column(title, justify="right", no_wrap=True)
    for item in summary.structures:
        numbers = [item.cases, item.missed, *([item.spurious] if with_spurious else [])]
        table.add_row(escape(result.names[item.label]), *map(str, numbers), *_cells(item.metrics))
    table.add_section()
    table.add_row("[bold]mean[/]", *("" for _ in counts), *_cells(summary.overall))
    return table


def _cells(metrics: dict[str, Estimate]) -> list[str]:
    dice = metrics.get("dice")
    return [
        "–" if dice is None else f"[bold]{dice.mean:.3f}[/]",
        "–" if dice is None else _interval(dice, 3),
        *(
            f"{metrics[name].mean:.{places}f}" if name in metrics else "–"
            for name, places in (("iou", 3), ("hd95_mm", 1), ("assd_mm", 2))
        ),
    ]


def _interval(estimate: Estimate, places: int) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{estimate.low:.{places}f}–{estimate.high:.{places}f}"


def with_interval(estimate: Estimate, places: int) -> str:
    """A mean with its interval behind it, for example "0.812 (0.790–0.835)"."""
    mean = f"{estimate.mean:.{places}f}"
    return mean if estimate.low is None else f"{mean} ({_interval(estimate, places)})"


def print_notes(console: Console, skipped: tuple[str, ...], notes: dict[str, list[str]]) -> None:
    """Show the first warnings, and how many more the reports hold."""
    sentences = [f"{case}: {note}" for case, found in notes.items() for note in found]
    if skipped:
        shown = ", ".join(skipped[:MOST_NOTES]) + (", …" if len(skipped) > MOST_NOTES else "")
        sentences.insert(0, f"{len(skipped)} cases without a reference were left out: {shown}")
    for sentence in sentences[:MOST_NOTES]:
        console.print(f"[yellow]Warning:[/] {escape(sentence)}", soft_wrap=True, highlight=False)
    if len(sentences) > MOST_NOTES:
        console.print(f"… and {len(sentences) - MOST_NOTES} more warnings; see the reports")
