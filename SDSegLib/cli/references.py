"""`sdseg references`: which references differ grossly from all others of the same structure."""

from __future__ import annotations

import json
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..errors import InputError
from ..language import tr
from .chosen_cases import DataSet, DataSetOptions, Split, progress_of_cases
from .options import AsJson
from .text import escape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ..datasets.collection import Collection, Item
    from ..datasets.doubtful import References


def references(
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help=tr("Cases with references, of any layout."))
    ],
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help=tr("JSON file: what is usual, and what is set aside.")),
    ],
    cohort: Annotated[
        Path | None,
        typer.Option(
            help=tr(
                "Such a file of other cases: what is usual is taken from it, so that references "
                "for testing pass the rules of those for training."
            )
        ),
    ] = None,
    limit: Annotated[
        float,
        typer.Option(
            help=tr(
                "How far outside a measurement has to be, in standard deviations as the median "
                "distances on each side give them."
            )
        ),
    ] = 6.0,
    pictures: Annotated[
        Path | None, typer.Option(help=tr("Folder for a picture of each one; they show patients."))
    ] = None,
    dataset: DataSet = None,
    split: Split = "all",
    option: DataSetOptions = None,
    names: Annotated[
        str | None,
        typer.Option(
            help=tr('What the numbers mean: a JSON file {"1": "Liver"}, or a list\'s name.')
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help=tr("Replace the file."))] = False,
    as_json: AsJson = False,
) -> None:
    """Find references that are no anatomy: planning helpers, blocks, contours beside the patient.

    [bold]sdseg references train --names head-neck-oar --output train.json --pictures doubtful[/]

    [bold]sdseg references validation --cohort train.json --output validation.json[/]

    Volume, extents, areas, tissues and pieces of each reference are compared with all others of its
    structure. Look at the pictures before you leave anything out. [bold]sdseg evaluate --set-aside
    FILE[/] gives the figures with and without them; [bold]sdseg train[/] and [bold]sdseg teach[/]
    take them as not drawn with [bold]--option set-aside=FILE[/].
    """
    from ..datasets.cases import read_labelled
    from ..datasets.catalogue import open_dataset, parse_options
    from ..datasets.doubtful import (
        check_references,
        measure_cases,
        read_cohort,
        write_references,
    )
    from ..export.atomic import check_output

    console = Console(stderr=True)
    check_output(output, overwrite)
    usual = None if cohort is None else read_cohort(cohort)
    given: dict[str, Any] = dict(parse_options(option or []))
    if dataset is None:
        given = {"absent": "unknown", **given}
    if names is not None:
        given["names"] = names
    collection = open_dataset(dataset or "folder", data, **given)
    if collection.dimensions == 2:
        raise InputError(
            tr("{collection} holds pictures; only volumes can be compared.").format(
                collection=collection.title
            )
        )
    items = [item for item in collection.items(split) if item.label is not None]
    is_ct = collection.modality in ("CT", None)

    def read(item: Item) -> Any:
        return read_labelled(item, collection.recipe, collection.modality, is_ct)[:2]

    with (
        nullcontext() if pictures is None else _empty_folder(pictures),
        progress_of_cases(console, len(items), quiet=as_json) as bars,
    ):
        done = [0]

        def report(name: str) -> None:
            if bars.cases is not None:
                bars.cases(done[0], name)
            done[0] += 1

        measured = measure_cases(
            ((item.name, partial(read, item)) for item in items),
            {one.label: one.name for one in collection.structures},
            report,
        )
        found = check_references(measured, usual, limit)
        if pictures is not None:
            _draw(found, collection, items, pictures)
        write_references(output, found, overwrite)
    if as_json:
        typer.echo(json.dumps(_as_json(found)))
        return
    if found.set_aside:
        Console().print(_table(found))
    words = tr("{count} of {checked} references are set aside").format(
        count=len(found.set_aside), checked=found.checked
    )
    console.print(
        tr("{words}; wrote {output}").format(words=words, output=escape(str(output))),
        highlight=False,
        soft_wrap=True,
    )
    if found.unchecked:
        console.print(
            tr("[yellow]Note:[/] too few references to compare: {unchecked}").format(
                unchecked=escape(", ".join(found.unchecked))
            ),
            highlight=False,
            soft_wrap=True,
        )


@contextmanager
def _empty_folder(folder: Path) -> Iterator[None]:
    from ..errors import OutputError
    from ..export.atomic import no_empty_folder

    with no_empty_folder(folder):
        try:
            folder.mkdir(parents=True, exist_ok=True)
            is_empty = not any(folder.iterdir())
        except OSError as error:
            raise OutputError(
                tr("{folder} cannot be used for pictures ({reason}); choose another.").format(
                    folder=folder, reason=error.strerror or error
                )
            ) from error
        if not is_empty:
            raise OutputError(
                tr("{folder} is not empty; choose another folder for the pictures.").format(
                    folder=folder
                )
            )
        yield


def _draw(found: References, collection: Collection, items: list[Item], folder: Path) -> None:
    from ..datasets.cases import read_labelled
    from ..datasets.files import plain_name
    from ..evaluation.figures import write_reference

    labels = {one.name: one.label for one in collection.structures}
    by_name = {item.name: item for item in items}
    for number, one in enumerate(found.set_aside, start=1):
        item = by_name[one.case]
        volume, marks, _ = read_labelled(item, collection.recipe, None, hounsfield=False)
        title = f"{one.case}: {one.structure}\n" + "\n".join(map(str, one.doubts[:2]))
        name = f"{number:02d}_{plain_name(one.case)}_{plain_name(one.structure)}.png"
        write_reference(folder / name, volume, marks == labels[one.structure], title)


def _table(found: References) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for title in (tr("Case"), tr("Structure"), tr("Why")):
        table.add_column(title)
    for one in found.set_aside:
        why = "; ".join(map(str, one.doubts[:2]))
        table.add_row(escape(one.case), escape(one.structure), escape(why))
    return table


def _as_json(found: References) -> dict[str, Any]:
    return {
        "limit": found.limit,
        "checked": found.checked,
        "unchecked": list(found.unchecked),
        "set_aside": [
            {
                "case": one.case,
                "structure": one.structure,
                "why": [
                    {
                        "feature": doubt.feature,
                        "value": doubt.value,
                        "low": doubt.low,
                        "high": doubt.high,
                        "distance": round(doubt.distance, 2),
                    }
                    for doubt in one.doubts
                ],
            }
            for one in found.set_aside
        ],
    }
