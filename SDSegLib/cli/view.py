"""`sdseg view`: segment, look and edit in the browser."""

from __future__ import annotations

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from ..errors import MissingPackageError
from ..language import tr
from .options import ModelName


def view(
    source: Annotated[
        Path | None,
        typer.Argument(
            metavar="[CT]",
            help=tr(
                "A CT to begin with: NIfTI, NRRD or MHA file, or a folder with a DICOM series."
            ),
        ),
    ] = None,
    segmentation: Annotated[
        Path | None, typer.Option(help=tr("A segmentation of the CT (.seg.nrrd) to begin with."))
    ] = None,
    model: ModelName = None,
    cases: Annotated[
        Path | None,
        typer.Option(
            help=tr(
                "Folder of your cases (see: sdseg cases), for Add to my cases and Teach; it may "
                "be a new one."
            )
        ),
    ] = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help=tr("Where to serve; 0 for any port that is free."))
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help=tr("Open the page, or only print it."))
    ] = True,
) -> None:
    """Segment, look at and edit a CT in the browser, without 3D Slicer.

    The page is served on this computer only and nothing leaves it. Ctrl+C ends it.

    [bold]sdseg view ct.nii.gz[/]
    """
    try:
        from ..web.application import check_input
        from ..web.server import serve
    except ModuleNotFoundError as error:
        raise MissingPackageError("trame-slicer", "web", tr("The page in the browser")) from error

    def ready(url: str, file: Path) -> None:
        typer.echo(tr("SDSeg is open at {url}").format(url=url))
        typer.echo(tr("This address works once; Enter makes another. Ctrl+C ends the page."))
        if browser:
            webbrowser.open(file.as_uri())

    def renewed(url: str) -> None:
        typer.echo(tr("For another browser, once: {url}").format(url=url))

    check_input(source, segmentation, model, cases)
    serve(source, segmentation, model, port, ready, renewed, cases)
