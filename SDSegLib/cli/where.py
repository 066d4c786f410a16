"""Where a run is computed: on this computer, or on a server and on this computer if that fails."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from rich.console import Console

from ..errors import InputError
from ..inference.progress import ProgressCallback
from ..language import tr
from .findings import show_warning
from .text import escape

if TYPE_CHECKING:
    from ..operations.base import Answer, IsCancelled, OpenVolume, Operation
    from ..operations.model_store import ModelStore
    from ..worker.access import ServerAccess

OR_LOCAL = tr("With --or-local this computer computes when the server cannot.")
_SAVE_IT = tr("Save both with: sdseg server save ADDRESS")
Result = TypeVar("Result")


def access_of(server: str | None, or_local: bool) -> ServerAccess | None:
    """The server that --server names; None without it.

    Raises:
        InputError: If there is no such address or no token, or --or-local stands alone.
    """
    if server is not None:
        return access_to(server)
    if or_local:
        raise InputError(
            tr("--or-local is for runs on a server; add --server ADDRESS, or leave it.")
        )
    return None


def access_to(server: str) -> ServerAccess:
    """Address and token of a server.

    Raises:
        InputError: If there is no such address or no token, with the command that saves them.
    """
    from ..worker.saved_server import UnknownServerError, server_access

    try:
        return server_access(server)
    except UnknownServerError as error:
        raise InputError(f"{error} {_SAVE_IT}") from error


def run_somewhere(
    operation: Operation[Result],
    opened: OpenVolume,
    models: ModelStore,
    access: ServerAccess | None,
    or_local: bool,
    leaves: str,
    console: Console,
    report: ProgressCallback | None,
    is_cancelled: IsCancelled,
) -> tuple[Result, Answer]:
    """Run an operation on a volume.

    Args:
        operation: What to do.
        opened: The volume.
        models: Models of this computer.
        access: The server; None for this computer.
        or_local: Whether this computer takes the place of a server that fails.
        leaves: What is sent to a server, in words.
        console: Where the user is told what leaves the computer.
        report: Receives progress; None for nobody.
        is_cancelled: Called often.

    Raises:
        ServerError: If the server fails.
        SDSegError: As `run_here`.
    """
    from ..operations.base import run_here

    report = report or (lambda progress: None)
    if access is None:
        return run_here(operation, opened, models, report, is_cancelled)
    from ..worker.elsewhere import ServerError, run_on_server

    there = operation.with_model_for(opened, models)
    place = escape(access.address.place)
    console.print(
        tr("Goes to {place}: {leaves}.").format(place=place, leaves=leaves),
        highlight=False,
        soft_wrap=True,
    )
    try:
        return run_on_server(access, there, opened.volume, report, is_cancelled)
    except ServerError as error:
        if not or_local:
            raise ServerError(f"{error} {OR_LOCAL}", error.fault) from None
        show_warning(tr("{error} This computer goes on.").format(error=error), console)
    return run_here(operation, opened, models, report, is_cancelled)
