"""The `sdseg` command."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from ..errors import CancelledError, ModelError, SDSegError
from ..version import VERSION
from .batch import batch
from .benchmark import benchmark
from .convert import convert
from .cost import cost
from .evaluate import evaluate
from .info import info
from .models import models_app
from .propagate import propagate
from .segment import segment
from .series import series
from .stability import stability
from .train import train
from .view import view

EXIT_INPUT = 2
EXIT_CANCELLED = 130
_MODEL_COMMANDS = "Models: sdseg models list, sdseg models install FILE_OR_FOLDER."

app = typer.Typer(
    name="sdseg",
    help="Single-step latent diffusion segmentation of CT: from an image on disk to named, "
    "coloured, coded structures for 3D Slicer.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(segment)
app.command()(propagate)
app.command()(batch)
app.command()(view)
app.command()(evaluate)
app.command()(stability)
app.command()(train)
app.command()(series)
app.add_typer(models_app, name="models")
app.command()(convert)
app.command()(cost)
app.command()(benchmark)
app.command()(info)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sdseg {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Tell what is done.")] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Options of every command."""
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main() -> None:
    """Run the command; a user's error is one sentence on stderr and exit code 2.

    Ctrl+C ends with 130, as in other programs. PyTorch's threads sleep while they wait for each
    other, unless the environment sets another policy: spinning makes a busy computer many times
    slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        app()
    except CancelledError as error:
        Console(stderr=True).print(str(error), soft_wrap=True, highlight=False, markup=False)
        raise SystemExit(EXIT_CANCELLED) from None
    except SDSegError as error:
        console = Console(stderr=True)
        text = f"[bold red]Error:[/] {_escaped(str(error))}"
        console.print(text, soft_wrap=True, highlight=False)
        if isinstance(error, ModelError):
            console.print(_MODEL_COMMANDS, soft_wrap=True, highlight=False)
        raise SystemExit(EXIT_INPUT) from None


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)
