"""Where a run is computed: on this computer, or on a server and on this computer if that fails."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console

from ..inference.progress import ProgressCallback
from ..language import tr
from ..wire.address import LEAVES
from .findings import show_warning
from .text import escape

if TYPE_CHECKING:
    from ..operations.base import Answer, IsCancelled, OpenVolume
    from ..operations.model_store import ModelStore
    from ..operations.segment import SegmentOperation
    from ..volume.segmentation import Segmentation
    from ..worker.access import ServerAccess

_OR_LOCAL = tr("With --or-local this computer computes when the server cannot.")


def run_somewhere(
    operation: SegmentOperation,
    opened: OpenVolume,
    models: ModelStore,
    access: ServerAccess | None,
    or_local: bool,
    console: Console,
    report: ProgressCallback | None,
    is_cancelled: IsCancelled,
) -> tuple[Segmentation, Answer]:
    """Segment a volume.

    Args:
        operation: How.
        opened: The volume.
        models: Models of this computer.
        access: The server; None for this computer.
        or_local: Whether this computer takes the place of a server that fails.
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

    model = operation.options.model
    if model is None:  # chosen here, where the image was judged with it
        model = str(operation.model_for(opened, models).folder)
    there = replace(operation, options=replace(operation.options, model=model))
    place = escape(access.address.place)
    console.print(
        tr("Sent to {place}: {leaves}.").format(place=place, leaves=LEAVES),
        highlight=False,
        soft_wrap=True,
    )
    try:
        return run_on_server(access, there, opened.volume, report, is_cancelled)
    except ServerError as error:
        if not or_local:
            raise ServerError(f"{error} {_OR_LOCAL}") from None
        show_warning(tr("{error} This computer goes on.").format(error=error), console)
    return run_here(operation, opened, models, report, is_cancelled)
