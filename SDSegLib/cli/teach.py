"""`sdseg teach`: a model for one's own structures from a few corrected cases."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..errors import CancelledError
from ..language import tr
from .interrupt import Interrupt
from .options import Device

if TYPE_CHECKING:
    from ..teaching.options import TeachProgress, TeachReport, TeachResult


def teach(
    cases: Annotated[
        Path,
        typer.Argument(
            metavar="CASES",
            help=tr("A case collection (see: sdseg cases), or a folder with one folder per case."),
        ),
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=tr("Folder of the new model, and its name.")),
    ],
    start: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="MODEL",
            help=tr(
                "Model to begin with: a name, a folder, or 'nothing' for structures that no "
                "model knows."
            ),
        ),
    ] = "nothing",
    minutes: Annotated[float, typer.Option(help=tr("Time for all of it."))] = 20.0,
    structures: Annotated[
        list[str] | None,
        typer.Option(
            "--structure", "-s", help=tr("Learn only this one; may be given several times.")
        ),
    ] = None,
    names: Annotated[
        Path | None,
        typer.Option(
            help=tr('Names for label maps that hold numbers: a JSON file {"1": "Liver"}.')
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(help=tr("Layout of CASES, if it is a data set: docs/reference/datasets.md.")),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(help=tr("Option of the data set, like structures=organs.")),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help=tr("Folder for figures and pictures of the worst left-out cases.")),
    ] = None,
    title: Annotated[str | None, typer.Option(help=tr("Title of the model."))] = None,
    region: Annotated[str, typer.Option(help=tr("Body region, for the model's description."))] = "",
    license_: Annotated[
        str, typer.Option("--license", help=tr("Licence of the weights, such as CC-BY-4.0."))
    ] = "",
    untested: Annotated[
        bool,
        typer.Option(
            "--untested", help=tr("Learn from one patient, though nothing can be measured.")
        ),
    ] = False,
    device: Device = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help=tr("CPU threads; all without it."))
    ] = None,
    background: Annotated[
        bool, typer.Option("--background", help=tr("Leave the processor to other programs."))
    ] = False,
    seed: Annotated[int, typer.Option(min=0, help=tr("Of all random numbers."))] = 0,
    overwrite: Annotated[bool, typer.Option(help=tr("Replace a model that is there."))] = False,
    plan_only: Annotated[
        bool, typer.Option("--plan", help=tr("Only tell what would be done."))
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=tr("Print JSON, for scripts."))] = False,
    json_progress: Annotated[
        bool, typer.Option("--json-progress", help=tr("Report progress as JSON lines on stderr."))
    ] = False,
) -> None:
    """Teach a model from corrected cases, within some minutes.

    [bold]sdseg teach CASES --minutes 20 --output my-kidney[/]

    Each case is measured by a network that did not learn from its patient. A run that was stopped
    goes on with the same command. The model then segments with
    [bold]sdseg segment ct.nii.gz --model my-kidney[/].
    """
    began = time.monotonic()
    from ..models.folder import check_replaceable
    from ..training.packages import require_training

    if not plan_only:
        check_replaceable(output, overwrite)  # before minutes of reading

    require_training()
    from ..datasets.catalogue import parse_options
    from ..teaching.cases import open_cases
    from ..teaching.options import TeachOptions
    from ..teaching.run import plan_of
    from ..teaching.run import teach as run_teaching
    from .chosen_cases import print_remarks_on
    from .teach_screen import TeachBar, print_plan, print_result

    console = Console(stderr=True)
    if background:
        from ..teaching.priority import lower_priority

        lower_priority()
    options = TeachOptions(
        output=output,
        minutes=minutes,
        start=start,
        structures=tuple(structures or ()),
        title=title,
        region=region,
        license=license_,
        report=report,
        untested=untested,
        device=device,
        threads=threads,
        seed=seed,
        overwrite=overwrite,
    )
    given: dict[str, Any] = dict(parse_options(option or []))
    if names is not None:
        given["names"] = str(names)
    shows = not as_json and not json_progress
    found = open_cases(cases, dataset, given, options.structures, _note(console) if shows else None)
    if shows or plan_only:
        print_remarks_on(found.collection, console)
    chosen, plan = plan_of(options, found)
    if shows or plan_only:
        described = {"from": chosen.model.description.name, **plan.to_json()}
        if plan_only and as_json:
            typer.echo(json.dumps({"plan": described}))
        else:
            print_plan(Console() if plan_only else console, options, found, chosen, plan)
    if plan_only:
        return
    with Interrupt() as stop, TeachBar(console) if shows else nullcontext() as bar:
        callback: TeachReport | None = bar if shows else (_lines() if json_progress else None)
        result = run_teaching(options, found, callback, stop.is_set, began)
        was_asked = stop.is_set()
        stop.forget()
    if as_json:
        typer.echo(json.dumps(_json_of(result)))
    else:
        print_result(Console(), result)
    if was_asked:
        raise CancelledError(tr("Stopped when all was learnt; the result is complete."))


def _note(console: Console) -> Any:
    def show(name: str) -> None:
        console.print(tr("Reading {name}").format(name=name), style="dim", highlight=False)

    return show


def _lines() -> Any:
    """A report of JSON lines, one at most every half second."""
    last = [0.0]

    def report(progress: TeachProgress) -> None:
        now = time.monotonic()
        if now - last[0] >= 0.5:
            last[0] = now
            typer.echo(json.dumps({"progress": asdict(progress)}), err=True)

    return report


def _json_of(result: TeachResult) -> dict[str, Any]:
    before, after = result.mean()
    return {
        **asdict(result),
        "model": None if result.model is None else str(result.model),
        "report": None if result.report is None else str(result.report),
        "mean_before": before,
        "mean_after": after,
    }
