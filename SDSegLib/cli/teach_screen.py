"""What `sdseg teach` shows: the plan, a bar with the time that is left, and the figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.box import SIMPLE
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from ..command_line import quoted
from ..language import tr, trn
from ..review.formatting import seconds_text as in_minutes
from .text import escape

if TYPE_CHECKING:
    from ..teaching.cases import TeachCases
    from ..teaching.options import TeachOptions, TeachProgress, TeachResult
    from ..teaching.plan import Plan
    from ..teaching.start import Start


class TeachBar:
    """A progress bar over the minutes of a run; a context manager and a report.

    Args:
        console: To draw on.
    """

    def __init__(self, console: Console) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[left]}"),
            console=console,
            transient=True,
        )
        self._task = self._bar.add_task("", total=1.0, left="")

    def __enter__(self) -> TeachBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def __call__(self, progress: TeachProgress) -> None:
        loss = "" if progress.loss is None else tr(", loss {loss:.3f}").format(loss=progress.loss)
        left = tr("{seconds_left} left").format(seconds_left=in_minutes(progress.seconds_left))
        self._bar.update(
            self._task,
            description=escape(progress.stage) + loss,
            completed=progress.share,
            left=left if progress.seconds_left > 0 else tr("the planned time is over"),
        )


def print_plan(
    console: Console, options: TeachOptions, cases: TeachCases, start: Start, plan: Plan
) -> None:
    """Show what will be done as a table of two columns."""
    table = Table(box=SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()

    def row(name: str, text: str) -> None:
        table.add_row(name, escape(text))

    patients = len(set(cases.patients.values()))
    row(
        tr("Cases"),
        tr("{count} of {patients} patients").format(count=len(cases.items), patients=patients),
    )
    held = [f"{item.name} ({len(cases.holders(item.label))})" for item in cases.structures]
    row(
        tr("Structures"),
        tr("{held}: in how many cases they are drawn").format(held=", ".join(held)),
    )
    description = start.model.description
    what = "" if start.parent is not None else tr(", the bundled encoder")
    row(tr("Begins with"), f"{description.name} {description.version}{what}")
    size, spacing = plan.input.size, plan.input.spacing
    if spacing is not None:
        row(
            tr("Grid"),
            tr("tiles of {rows} × {columns} pixels of {spacing:g} mm").format(
                rows=size[0], columns=size[1], spacing=spacing[0]
            ),
        )
    row(tr("Measured"), _measured(plan))
    row(tr("Time"), in_minutes(60 * plan.minutes))
    row(tr("Output"), str(options.output))
    console.print(table)


def _measured(plan: Plan) -> str:
    if len(plan.folds) == 1:
        count = len(plan.folds[0].measure)
        return trn(
            "{count} case, by a network that does not learn from it",
            "{count} cases, by a network that does not learn from them",
            count,
        ).format(count=count)
    if plan.folds:
        return tr("each case once, by one of {count} networks that did not learn from it").format(
            count=len(plan.folds)
        )
    if plan.known:
        return tr("not at all: the model that it begins with had learnt from all cases before")
    return tr("not at all: there is no second patient")


def print_result(console: Console, result: TeachResult) -> None:
    """Show the figures and what to do next."""

    def say(text: str) -> None:
        console.print(escape(text), highlight=False, soft_wrap=True)

    if result.scores:
        table = Table(title=tr("Dice of cases that were left out"))
        for title in (tr("Structure"), tr("Cases"), tr("Before"), tr("After")):
            table.add_column(title, justify="left" if title == tr("Structure") else "right")
        for name in dict.fromkeys(score.structure for score in result.scores):
            count = sum(score.structure == name for score in result.scores)
            table.add_row(escape(name), str(count), *map(_figure, result.mean(name)))
        table.add_row(tr("Mean"), "", *map(_figure, result.mean()), style="bold")
        console.print(table)
        worst = min(result.scores, key=lambda score: score.after)
        say(
            tr("Worst: {structure} of {case}, {after:.3f}.").format(
                structure=worst.structure, case=worst.case, after=worst.after
            )
        )
    for remark in result.remarks:
        say(remark)
    if result.next_case is not None:
        say(
            tr("Correct next: {next_case}; the model is least certain of it.").format(
                next_case=result.next_case
            )
        )
    if result.report is not None:
        say(tr("Figures and pictures, which show patients: {report}").format(report=result.report))
    if result.model is not None:
        say(
            tr("Wrote the model {model} after {seconds}. Use it with:").format(
                model=result.model, seconds=in_minutes(result.seconds)
            )
        )
        say(
            tr("  sdseg segment CT --model {model} --output RESULT.seg.nrrd").format(
                model=quoted(str(result.model))
            )
        )


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
