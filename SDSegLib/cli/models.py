"""`sdseg models`: list, describe, install and remove models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..untrusted import plain
from .text import escape

if TYPE_CHECKING:
    from ..models.registry import InstalledModel

_LONGEST_CARD = 100_000

models_app = typer.Typer(help="List, show, install and remove models.", no_args_is_help=True)


@models_app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")] = False,
) -> None:
    """List the models that can be used by name."""
    from ..models.registry import list_models, propagation_models, user_folder

    models, problems = list_models()
    carrying = propagation_models()
    if as_json:
        content = {"models": _rows(models), "propagation": _rows(carrying), "problems": problems}
        typer.echo(json.dumps(content))
        return
    console = Console()
    console.print(_table("Segments", models))
    if carrying:
        console.print(_table("Carries a drawn mask (sdseg propagate)", carrying))
    console.print(f"Your own models: {escape(str(user_folder()))}", highlight=False, soft_wrap=True)
    for problem in problems:
        console.print(f"[yellow]Not usable:[/] {escape(problem)}", soft_wrap=True)


def _rows(models: Sequence[InstalledModel]) -> list[dict[str, Any]]:
    return [
        {**model.description.to_json(), "folder": str(model.folder), "bundled": model.bundled}
        for model in models
    ]


def _table(summary: str, models: Sequence[InstalledModel]) -> Table:
    table = Table()
    for title in ("Name", summary, "Region", "Licence", "From"):
        table.add_column(title)
    for model in models:
        description = model.description
        table.add_row(
            f"[bold]{escape(description.name)}[/] {escape(description.version)}",
            escape(description.summary),
            escape(f"{description.expects.modality}, {description.expects.region or 'any region'}"),
            escape(description.license or "not stated"),
            "bundled" if model.bundled else escape(str(model.folder)),
        )
    return table


@models_app.command("info")
def info_command(
    name: Annotated[str, typer.Argument(help="Name of a model, or its folder.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print model.json.")] = False,
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
    for title in ("", "Label", "Structure", "Id", "Code"):
        table.add_column(title)
    for item in model.description.structures:
        red, green, blue = item.color
        code = f"{item.type.scheme} {item.type.value}"
        if item.modifier is not None:
            code += f", {item.modifier.meaning.lower()}"
        square = f"[rgb({red},{green},{blue})]■[/]"
        table.add_row(square, str(item.label), escape(item.name), escape(item.id), escape(code))
    console.print(table)
    console.print(f"Folder: {escape(str(model.folder))}", highlight=False, soft_wrap=True)
    console.print("Weights: SHA-256 verified")
    card = model.folder / CARD
    if card.is_file():
        from rich.markdown import Markdown

        with card.open(encoding="utf-8", errors="replace") as file:
            text = file.read(_LONGEST_CARD)
        console.print(Markdown(plain(text, kept="\n\t")))


@models_app.command("install")
def install_command(
    source: Annotated[Path, typer.Argument(help="A model folder, or a zip file that holds one.")],
    overwrite: Annotated[bool, typer.Option(help="Replace a model of the same name.")] = False,
) -> None:
    """Install a model from a folder or file; its checksum is verified first."""
    from ..models.registry import install_model

    model = install_model(source, overwrite)
    typer.echo(f"Installed {model.description.name} in {plain(str(model.folder))}")


@models_app.command("remove")
def remove_command(
    name: Annotated[str, typer.Argument(help="Name of a model that you installed.")],
) -> None:
    """Delete a model that you installed; bundled ones stay."""
    from ..models.registry import remove_model

    typer.echo(f"Removed {plain(str(remove_model(name)))}")
