"""`sdseg server`: the server that this user's runs may use."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from ..errors import InputError
from ..language import tr
from ..wire.address import EXAMPLE, LEAVES, ServerAddress
from .where import access_to

server_app = typer.Typer(help=tr("The server that computes for you: save, check, forget."))


@server_app.command()
def save(
    address: Annotated[
        str,
        typer.Argument(
            help=tr("Address that the server prints: {example}").format(example=EXAMPLE),
            metavar="ADDRESS",
        ),
    ],
) -> None:
    """Keep a server's address and token for `--server saved`, the module and the page.

    The token is asked for, or taken from SDSEG_SERVER_TOKEN. It is kept in the system's keyring if
    the package keyring is installed, else in a file that only you can read.
    """
    from ..worker.access import ServerAccess
    from ..worker.elsewhere import check_server
    from ..worker.saved_server import save_server

    place = ServerAddress.parse(address)
    token = _token()
    typer.echo(check_server(ServerAccess(place, token)))
    typer.echo(tr("The token is in {place}.").format(place=save_server(place, token)))
    typer.echo(tr("What a run sends: {leaves}.").format(leaves=LEAVES))


@server_app.command()
def show() -> None:
    """Show the saved server, and whether it answers."""
    from ..worker.elsewhere import check_server
    from ..worker.saved_server import SAVED

    access = access_to(SAVED)
    typer.echo(str(access.address))
    typer.echo(check_server(access))


@server_app.command()
def forget() -> None:
    """Remove the saved address and its token."""
    from ..worker.saved_server import forget_server

    was_there = forget_server()
    typer.echo(
        tr("The server and its token were removed.") if was_there else tr("No server was saved.")
    )


def _token() -> str:
    """The token from the environment, or typed without being shown."""
    from ..worker.saved_server import TOKEN_VARIABLE

    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if not given and sys.stdin.isatty():
        given = str(typer.prompt(tr("Token (is not shown)"), hide_input=True, err=True)).strip()
    if not given:
        raise InputError(
            tr(
                "There is no token; type it at a terminal, or set {token_variable}. It is no "
                "argument, because others could see it in the list of processes."
            ).format(token_variable=TOKEN_VARIABLE)
        )
    return given
