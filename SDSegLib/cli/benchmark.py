"""`sdseg benchmark`: seconds, memory and operations beside other ways to segment."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..command_line import command_line
from ..errors import InputError, SDSegError
from ..language import tr
from .text import escape

if TYPE_CHECKING:
    from ..benchmark.results import Benchmark


def benchmark(
    output: Annotated[
        Path, typer.Option("--output", "-o", help=tr("Folder for report.md, JSON and pictures."))
    ],
    image: Annotated[
        Path | None,
        typer.Option(
            help=tr(
                "CT that the volumes are made from; the bundled sample without it. Copies lie in "
                "the temporary folder while the command runs."
            )
        ),
    ] = None,
    rows: Annotated[
        str,
        typer.Option(
            help=tr(
                "Rows, with commas: compact, compact-8, nnunet-2d, nnunet-3d, segresnet, "
                "published, published-reference, ddim-10, ddim-50. All that are installed without "
                "it."
            )
        ),
    ] = "",
    volumes: Annotated[
        str, typer.Option(help=tr("Volumes, with commas: ct, 512x120, 512x600."))
    ] = "ct,512x120,512x600",
    device: Annotated[str, typer.Option(help=tr("auto, cuda or cpu."))] = "auto",
    seconds: Annotated[
        float, typer.Option(min=0, help=tr("For the warm runs of a row on a volume."))
    ] = 30.0,
    longest: Annotated[
        float,
        typer.Option(
            min=0,
            help=tr(
                "Minutes: a row that by the volume before would take longer for one run is left "
                "out."
            ),
        ),
    ] = 10.0,
    scaling: Annotated[
        bool, typer.Option(help=tr("Also the compact form on 30 to 600 slices of 512 × 512."))
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help=tr("Replace results that exist."))
    ] = False,
) -> None:
    """Measure the time from a CT to a label map, beside other methods, on this machine.

    [bold]sdseg benchmark --output results --rows compact --volumes ct[/]

    Each row runs in a process of its own: a cold run, warm runs, memory, operations and bytes. What
    is measured is written at once. All rows together take about an hour on two cores; nnU-Net
    needs pip install "sdseg\\[benchmark]".
    """
    from ..benchmark.machine import describe_machine, faster
    from ..benchmark.report import write_benchmark
    from ..benchmark.results import BASE, Benchmark
    from ..benchmark.rows.catalogue import find_rows
    from ..benchmark.run import missing_packages, run_rows, run_scaling
    from ..benchmark.startup import startup_seconds, worker_seconds
    from ..benchmark.volumes import find_sizes
    from ..evaluation.report import prepare_output
    from ..inference.device import choose_device
    from ..reading.files import read_volume
    from ..resources import sample_ct

    sizes = find_sizes(volumes)
    wanted = find_rows(rows)
    missing = {row.name: missing_packages(row) for row in wanted}
    notes = [
        tr('{row} needs {missing}: pip install "sdseg[benchmark]".').format(
            row=row.title, missing=", ".join(missing[row.name])
        )
        for row in wanted
        if missing[row.name]
    ]
    if rows and notes:
        raise InputError(notes[0])
    there = tuple(row for row in wanted if not missing[row.name])
    ct = read_volume(image if image is not None else sample_ct())
    kind = choose_device(device).device.type
    prepare_output(output, overwrite)
    console = Console(stderr=True)
    with console.status(tr("the machine")) as status:
        found = Benchmark(
            machine=describe_machine(kind),
            command=command_line(["sdseg", *sys.argv[1:]]),
            rows=there,
            notes=tuple(notes),
        )
        for result in run_rows(there, sizes, ct, kind, seconds, 60 * longest, status.update):
            if isinstance(result, SDSegError):
                console.print(escape(str(result)), style="yellow", highlight=False)
                found = replace(found, notes=(*found.notes, str(result)))
            else:
                found = replace(found, results=(*found.results, result))
                write_benchmark(output, found)  # so that nothing is lost when it is stopped
        if scaling:
            (base,) = find_rows(BASE)
            found = replace(found, scaling=tuple(run_scaling(base, ct, kind, status.update)))
        status.update(tr("the start"))
        found = replace(
            found,
            machine=faster(found.machine, describe_machine(kind)),
            startup=startup_seconds(),
            worker=worker_seconds(kind),
        )
    write_benchmark(output, found)
    for table in _tables(found):
        Console().print(table)
    console.print(
        tr("wrote {output}").format(output=escape(str(output))), highlight=False, soft_wrap=True
    )


def _tables(found: Benchmark) -> list[Table]:
    from ..benchmark.report import short

    tables = []
    for volume in found.volumes():
        measured = found.on(volume)
        slices, rows, columns = measured[0][1].shape
        table = Table(title=f"{columns} × {rows} × {slices}")
        for title in (tr("Way"), tr("Seconds"), "GFLOP", tr("Share of the floor")):
            table.add_column(title, justify="left" if title == tr("Way") else "right")
        for row, result in measured:
            floor = result.floor(found.machine.gflops, found.machine.gigabytes)
            share = result.share_of(floor)
            text = "–" if share is None else f"{100 * share:.0f} %"
            table.add_row(row.title, short(result.median), short(result.gflop), text)
        tables.append(table)
    return tables
