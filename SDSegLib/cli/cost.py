"""`sdseg cost`: what a model costs to run."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..language import tr


def cost(
    model: Annotated[str, typer.Argument(help=tr("Name of a model, or its folder."))],
    seconds: Annotated[
        bool,
        typer.Option("--seconds", help=tr("Also measure the time for a slice on the processor.")),
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help=tr("Print JSON, for scripts."))] = False,
) -> None:
    """Count a model's parameters, GFLOP a slice by part, and measure peak memory."""
    from ..inference.cost import measure_cost, measure_seconds
    from ..models.folder import load_networks
    from ..models.registry import find_model

    family = load_networks(find_model(model).folder)
    result = measure_cost(family)
    each = measure_seconds(family) if seconds else None
    if as_json:
        timed = {} if each is None else {"seconds_per_slice": each}
        typer.echo(json.dumps({**result.to_json(), **timed}))
        return
    table = Table(
        title=tr("{result}: one slice of {rows} × {columns}").format(
            result=result.name, rows=result.rows, columns=result.columns
        )
    )
    for title in (tr("Part"), tr("Parameters"), "GFLOP"):
        table.add_column(title, justify="left" if title == tr("Part") else "right")
    for part in result.parts:
        table.add_row(part.name, f"{part.parameters / 1e6:.2f} M", f"{part.gflop:.2f}")
    table.add_section()
    table.add_row(tr("to segment"), "", f"[bold]{result.gflop:.2f}[/]")
    table.add_row(tr("all"), f"{result.parameters / 1e6:.2f} M", "")
    console = Console()
    console.print(table)
    console.print(
        tr("Weights in half precision: {half_megabytes:.1f} MB").format(
            half_megabytes=result.half_megabytes
        ),
        highlight=False,
    )
    console.print(
        tr("Peak memory of one slice on the CPU: {peak_megabytes:.0f} MB over the weights").format(
            peak_megabytes=result.peak_megabytes
        ),
        highlight=False,
    )
    if each is not None:
        console.print(
            tr("Time of one slice on the processor: {each:.1f} ms").format(each=1000 * each),
            highlight=False,
        )
