"""`sdseg models`: list, describe, install and remove models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..errors import ModelError
from ..language import tr
from ..untrusted import plain
from .text import escape

if TYPE_CHECKING:
    from ..models.registry import InstalledModel

_LONGEST_CARD = 100_000
INDEX = typer.Option(
    "--index", help=tr("Address or file of the index of models; else that of SDSEG_MODEL_INDEX.")
)

models_app = typer.Typer(help=tr("List, show, install and remove models."), no_args_is_help=True)


@models_app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help=tr("Print JSON, for scripts."))] = False,
) -> None:
    """List the models that can be used by name."""
    from ..models.registry import list_models, models_for, user_folder

    models, problems = list_models()
    carrying, starting = models_for("carry"), models_for("start")
    if as_json:
        content = {
            "models": _rows(models),
            "propagation": _rows(carrying),
            "teaching": _rows(starting),
            "problems": problems,
        }
        typer.echo(json.dumps(content))
        return
    console = Console()
    console.print(_table(tr("Segments"), models))
    if carrying:
        console.print(_table(tr("Carries a drawn mask (sdseg propagate)"), carrying))
    if starting:
        console.print(_table(tr("Gives others a start (sdseg teach)"), starting))
    console.print(
        tr("Your own models: {user_folder}").format(user_folder=escape(str(user_folder()))),
        highlight=False,
        soft_wrap=True,
    )
    for problem in problems:
        console.print(
            tr("[yellow]Not usable:[/] {problem}").format(problem=escape(problem)), soft_wrap=True
        )


def _rows(models: Sequence[InstalledModel]) -> list[dict[str, Any]]:
    return [
        {**model.description.to_json(), "folder": str(model.folder), "bundled": model.bundled}
        for model in models
    ]


def _table(summary: str, models: Sequence[InstalledModel]) -> Table:
    table = Table()
    for title in (tr("Name"), summary, tr("Region"), tr("Licence"), tr("From")):
        table.add_column(title)
    for model in models:
        description = model.description
        table.add_row(
            f"[bold]{escape(description.name)}[/] {escape(description.version)}",
            escape(description.summary),
            escape(
                f"{description.expects.modality}, {description.expects.region or tr('any region')}"
            ),
            escape(description.license or tr("not stated")),
            tr("bundled") if model.bundled else escape(str(model.folder)),
        )
    return table


@models_app.command("info")
def info_command(
    name: Annotated[str, typer.Argument(help=tr("Name of a model, or its folder."))],
    as_json: Annotated[bool, typer.Option("--json", help=tr("Print model.json."))] = False,
) -> None:
    """Show a model's structures, licence and card."""
    from ..models.folder import CARD, verify_weights
    from ..models.registry import find_model

    model = find_model(name)
    verify_weights(model.folder, model.description)
    if as_json:
        typer.echo(json.dumps(model.description.to_json(), indent=2, ensure_ascii=False))
        return
    console = Console()
    table = Table(title=escape(f"{model.description.title} ({model.description.name})"))
    for title in ("", tr("Label"), tr("Structure"), "Id", tr("Code")):
        table.add_column(title)
    for item in model.description.structures:
        red, green, blue = item.color
        code = f"{item.type.scheme} {item.type.value}"
        if item.modifier is not None:
            code += f", {item.modifier.meaning.lower()}"
        square = f"[rgb({red},{green},{blue})]■[/]"
        table.add_row(square, str(item.label), escape(item.name), escape(item.id), escape(code))
    console.print(table)
    console.print(
        tr("Folder: {folder}").format(folder=escape(str(model.folder))),
        highlight=False,
        soft_wrap=True,
    )
    console.print(tr("Weights: SHA-256 verified"))
    card = model.folder / CARD
    if card.is_file():
        from rich.markdown import Markdown

        with card.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LONGEST_CARD)
        console.print(Markdown(plain(text, kept="\n\t")))


@models_app.command("install")
def install_command(
    source: Annotated[
        Path, typer.Argument(help=tr("A model folder, or a zip file that holds one."))
    ],
    overwrite: Annotated[bool, typer.Option(help=tr("Replace a model of the same name."))] = False,
) -> None:
    """Install a model from a folder or file; its checksum is verified first."""
    from ..models.registry import install_model

    model = install_model(source, overwrite)
    typer.echo(
        tr("Installed {model} in {path}").format(
            model=model.description.name, path=plain(str(model.folder))
        )
    )


@models_app.command("available")
def available_command(
    index: Annotated[str | None, INDEX] = None,
    as_json: Annotated[bool, typer.Option("--json", help=tr("Print JSON, for scripts."))] = False,
) -> None:
    """List the models of an index; nothing is sent to its server but the request."""
    from dataclasses import asdict

    from ..models.online import read_index

    models = read_index(index)
    if as_json:
        typer.echo(json.dumps([asdict(item) for item in models]))
        return
    table = Table(tr("Name"), tr("Summary"), tr("Licence"), tr("Size"))
    for item in models:
        table.add_row(
            f"[bold]{escape(item.name)}[/] {escape(item.version)}",
            escape(item.summary),
            escape(item.license),
            f"{item.size / 1e6:.1f} MB",
        )
    Console().print(table)


@models_app.command("download")
def download_command(
    name: Annotated[
        str,
        typer.Argument(help=tr("Name of a model in the index, or the address of a model's file.")),
    ],
    version: Annotated[
        str | None, typer.Option(help=tr("Version of the model; the newest if none is given."))
    ] = None,
    index: Annotated[str | None, INDEX] = None,
    sha256: Annotated[
        str | None, typer.Option(help=tr("SHA-256 of the file; needed with an address."))
    ] = None,
    overwrite: Annotated[bool, typer.Option(help=tr("Replace a model of the same name."))] = False,
) -> None:
    """Download a model, verify and install it; an interrupted download is continued.

    This opens a connection to the computer that the index or the address names. Without a network,
    use models install FILE.
    """
    from ..models import online
    from ..models.transfer import is_url
    from .progress_bar import byte_bar

    console = Console(stderr=True)
    with byte_bar(console) as report:
        if is_url(name):
            if sha256 is None:
                raise ModelError(
                    tr(
                        "An address needs the SHA-256 of its file (--sha256), which its owner "
                        "tells you; without it a file that was exchanged would not be noticed."
                    )
                )
            model = online.download_from(name, sha256, overwrite, report)
        else:
            found = online.find_online(name, online.read_index(index), version)
            model = online.download_model(found, overwrite, report)
    described = f"{model.description.name} {model.description.version}"
    typer.echo(
        tr("Installed {described} in {path}").format(
            described=described, path=plain(str(model.folder))
        )
    )


@models_app.command("pack")
def pack_command(
    name: Annotated[str, typer.Argument(help=tr("Name or folder of a model."))],
    output: Annotated[
        Path, typer.Option("--output", "-o", help=tr("File to write, ending in .zip."))
    ],
    overwrite: Annotated[bool, typer.Option(help=tr("Replace a file that is there."))] = False,
    index: Annotated[
        Path | None,
        typer.Option(help=tr("Index of models, beside the file, that it is added to as well.")),
    ] = None,
) -> None:
    """Write a model to one file, which others install with `sdseg models install FILE`."""
    from ..export.model_file import add_to_index, check_index, write_model_file
    from ..models.registry import find_model

    model = find_model(name)
    if index is not None:
        check_index(index, output, model.folder)
    write_model_file(model.folder, output, overwrite)
    if index is not None:
        add_to_index(index, output, model.folder)
    size = output.stat().st_size / 1e6
    typer.echo(
        tr("Wrote {model}, {size:.1f} MB, to {path}").format(
            model=model.description.name, size=size, path=plain(str(output))
        )
    )


@models_app.command("remove")
def remove_command(
    name: Annotated[
        str,
        typer.Argument(
            help=tr("Name of a model that you installed; of a damaged one, the name of its folder.")
        ),
    ],
) -> None:
    """Delete a model that you installed; bundled ones stay."""
    from ..models.registry import remove_model

    typer.echo(tr("Removed {name}").format(name=plain(str(remove_model(name)))))
