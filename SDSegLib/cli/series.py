"""`sdseg series`: list the series of a DICOM folder."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from ..errors import InputError
from ..language import tr
from .findings import show_warning
from .text import escape


def series(
    folder: Annotated[Path, typer.Argument(help=tr("A folder with DICOM files, at any depth."))],
    as_json: Annotated[bool, typer.Option("--json", help=tr("Print JSON, for scripts."))] = False,
) -> None:
    """List the image series in a DICOM folder."""
    from ..reading.files import is_dicom_file, look_into

    if folder.is_file() and not is_dicom_file(folder):
        raise InputError(
            tr("{folder} is no DICOM file; give the folder of a DICOM series.").format(
                folder=folder
            )
        )
    content = look_into(folder)
    found = content.series
    for note in content.notes:
        show_warning(note, Console(stderr=True))
    if not found:
        raise InputError(
            tr("{folder} holds no DICOM images; give the folder of a CT.").format(folder=folder)
        )
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in found], default=str))
        return
    table = Table()
    for title in (
        tr("Number"),
        tr("Modality"),
        tr("Description"),
        tr("Slices"),
        tr("Size"),
        tr("Spacing in mm"),
        "UID",
    ):
        table.add_column(title, overflow="fold")
    for item in found:
        table.add_row(
            str(item.number),
            item.modality or "?",
            "\n".join(escape(part) for part in (item.description, item.differs) if part),
            str(item.slices),
            " × ".join(str(count) for count in item.size),
            " × ".join("?" if step is None else f"{step:.3g}" for step in item.spacing),
            escape(item.uid),
        )
    console = Console()
    console.print(table)
    for item in found:
        if item.phases:
            console.print(
                tr("Phases of series {number} (choose with --phase):").format(number=item.number)
            )
        for phase in item.phases:
            console.print(f"  {escape(str(phase))}", highlight=False)
