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
from .findings import show_warning
from .text import escape


def series(
    folder: Annotated[Path, typer.Argument(help="A folder with DICOM files, at any depth.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """List the image series in a DICOM folder."""
    from ..reading.files import look_into

    content = look_into(folder)
    found = content.series
    for note in content.notes:
        show_warning(note, Console(stderr=True))
    if not found:
        raise InputError(f"{folder} holds no DICOM images; give the folder of a CT.")
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in found], default=str))
        return
    table = Table()
    for title in ("Number", "Modality", "Description", "Slices", "Size", "Spacing in mm", "UID"):
        table.add_column(title, overflow="fold")
    for item in found:
        table.add_row(
            str(item.number),
            item.modality or "?",
            escape("\n".join(part for part in (item.description, item.differs) if part)),
            str(item.slices),
            " × ".join(str(count) for count in item.size),
            " × ".join("?" if step is None else f"{step:.3g}" for step in item.spacing),
            escape(item.uid),
        )
    console = Console()
    console.print(table)
    for item in found:
        if item.phases:
            console.print(f"Phases of series {item.number} (choose with --phase):")
        for phase in item.phases:
            console.print(f"  {escape(str(phase))}", highlight=False)
