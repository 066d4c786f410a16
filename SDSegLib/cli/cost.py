"""`sdseg cost`: what a model costs to run."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def cost(
    model: Annotated[str, typer.Argument(help="Name of a model, or its folder.")],
    seconds: Annotated[
        bool, typer.Option("--seconds", help="Also measure the time for a slice on the processor.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
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
    table = Table(title=f"{result.name}: one slice of {result.rows} × {result.columns}")
    for title in ("Part", "Parameters", "GFLOP"):
        table.add_column(title, justify="left" if title == "Part" else "right")
    for part in result.parts:
        table.add_row(part.name, f"{part.parameters / 1e6:.2f} M", f"{part.gflop:.2f}")
    table.add_section()
    table.add_row("to segment", "", f"[bold]{result.gflop:.2f}[/]")
    table.add_row("all", f"{result.parameters / 1e6:.2f} M", "")
    console = Console()
    console.print(table)
    console.print(f"Weights in half precision: {result.half_megabytes:.1f} MB", highlight=False)
    console.print(
        f"Peak memory of one slice on the CPU: {result.peak_megabytes:.0f} MB over the weights",
        highlight=False,
    )
    if each is not None:
        console.print(
            f"Time of one slice on the processor: {1000 * each:.1f} ms",
            highlight=False,
        )
