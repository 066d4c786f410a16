"""The `sdseg` command."""

from __future__ import annotations

import logging
import os
import sys
from typing import Annotated

import typer
from rich.console import Console

from ..errors import CancelledError, ModelError, SDSegError
from ..language import tr
from ..unfinished import discard_all
from ..version import VERSION
from .batch import batch
from .benchmark import benchmark
from .cases import cases_app
from .command_texts import translate_commands
from .convert import convert
from .cost import cost
from .evaluate import evaluate
from .info import info
from .interrupt import Signals, StoppedError
from .library_lines import silence_libraries
from .models import models_app
from .propagate import propagate
from .references import references
from .segment import segment
from .series import series
from .serve import serve
from .server import server_app
from .stability import stability
from .teach import teach
from .text import escape
from .train import train
from .view import view

EXIT_INPUT = 2
_LINE_BREAK = "\n"
_MODEL_COMMANDS = tr("Models: sdseg models list, sdseg models install FILE_OR_FOLDER.")

app = typer.Typer(
    name="sdseg",
    help=tr(
        "Single-step latent diffusion segmentation of CT: from an image on disk to named, "
        "coloured, coded structures for 3D Slicer."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(segment)
app.command()(propagate)
app.command()(batch)
app.command()(view)
app.command()(serve)
app.add_typer(server_app, name="server")
app.command()(evaluate)
app.command()(references)
app.command()(stability)
app.command()(teach)
app.command()(train)
app.add_typer(cases_app, name="cases")
app.command()(series)
app.add_typer(models_app, name="models")
app.command()(convert)
app.command()(cost)
app.command()(benchmark)
app.command()(info)
translate_commands(app)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sdseg {VERSION}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help=tr("Tell what is done."))
    ] = False,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help=tr("Show the version.")
        ),
    ] = False,
) -> None:
    """Options of every command."""
    if not verbose:
        context.call_on_close(silence_libraries())
    logging.basicConfig(
        level=logging.INFO if verbose else logging.ERROR,
        format="%(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )


def main() -> None:
    """Run the command; a user's error is one sentence on stderr and exit code 2.

    Ctrl+C ends with 130, as in other programs, and a request to terminate with 143; neither leaves
    a file that is not complete. PyTorch's threads sleep while they wait for each other, unless the
    environment sets another policy: spinning makes a busy computer many times slower.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    with Signals() as signals:
        try:
            app()
        except StoppedError:
            _tell("Cancelled.")
            raise SystemExit(signals.exit_code) from None
        except CancelledError as error:
            _tell(escape(str(error)))
            raise SystemExit(signals.exit_code) from None
        except SDSegError as error:
            # Series and phases to choose from stand on lines of their own.
            _tell(
                tr("[bold red]Error:[/] {error}").format(error=escape(str(error), kept=_LINE_BREAK))
            )
            if isinstance(error, ModelError) and "models" not in sys.argv[1:2]:
                _tell(_MODEL_COMMANDS)
            raise SystemExit(signals.exit_code if signals.have_come else EXIT_INPUT) from None
        except OSError as error:
            # Already to ask whether a path exists fails if its name is too long, or if a folder
            # above it may not be entered.
            if error.filename is None:
                raise
            problem = tr("{filename} cannot be used ({reason}); check name and rights.").format(
                filename=error.filename, reason=error.strerror
            )
            _tell(tr("[bold red]Error:[/] {problem}").format(problem=escape(problem)))
            raise SystemExit(signals.exit_code if signals.have_come else EXIT_INPUT) from None
        finally:
            discard_all()


def _tell(text: str) -> None:
    Console(stderr=True).print(text, soft_wrap=True, highlight=False)
