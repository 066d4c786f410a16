"""`sdseg segment`: a CT in, structures out."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from ..errors import CancelledError, InputError
from ..language import tr
from ..options import RunOptions
from ..wire.address import LEAVES
from .findings import show_findings
from .interrupt import Interrupt
from .options import OriginalGrid, OrLocal, Phase, Server, with_run_options
from .progress_bar import progress_bar
from .segment_screen import require_outputs, result_json, result_table
from .text import escape
from .where import access_of, run_somewhere

if TYPE_CHECKING:
    from ..volume.finding import Finding

_PICTURE_OUTPUTS = ("label_map", "uncertainty", "preview")


@with_run_options()
def segment(
    options: RunOptions,
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help=tr(
                "A CT: NIfTI, NRRD or MHA file, or a folder with a DICOM series. "
                "For a model of pictures: PNG, JPEG, BMP or TIFF."
            ),
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help=tr("Segmentation for 3D Slicer (.seg.nrrd).")),
    ] = None,
    labelmap: Annotated[
        Path | None, typer.Option(help=tr("Label map (.nii.gz, .nrrd or .mha)."))
    ] = None,
    dicom_seg: Annotated[
        Path | None, typer.Option(help=tr("DICOM Segmentation (.dcm); the input must be DICOM."))
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help=tr("Picture with overlays and volumes (.png)."))
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            help=tr(
                "How unsure the label of each voxel is, 0 to 255 (.nii.gz, .nrrd or .mha); "
                "needs --samples."
            )
        ),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(help=tr("Which DICOM series, by number or UID (see: sdseg series FOLDER).")),
    ] = None,
    phase: Phase = None,
    original_grid: OriginalGrid = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes", "-y", help=tr("Segment without asking, also if the image is doubtful.")
        ),
    ] = False,
    overwrite: Annotated[bool, typer.Option(help=tr("Replace outputs that exist."))] = False,
    server: Server = None,
    or_local: OrLocal = False,
    as_json: Annotated[
        bool, typer.Option("--json", help=tr("Print the result as JSON, for scripts."))
    ] = False,
) -> None:
    """Segment a CT.

    [bold]sdseg segment ct.nii.gz -o organs.seg.nrrd --preview organs.png[/]

    The segmentation lies exactly on the CT's own voxels, whatever its orientation and spacing.

    With a model of 2-D pictures: [bold]sdseg segment photo.jpg -m MODEL --labelmap mask.png[/]
    """
    from ..models.registry import find_model

    started = time.perf_counter()
    console = Console(stderr=True)
    files = {
        "segmentation": output,
        "label_map": labelmap,
        "uncertainty": uncertainty,
        "dicom_seg": dicom_seg,
        "preview": preview,
    }
    installed = None if options.model is None else find_model(options.model)
    if installed is not None and installed.description.input.pictures is not None:
        from .segment_picture import segment_picture

        _refuse_for_pictures(options, files, series, phase, server)
        segment_picture(
            source, options, {kind: files[kind] for kind in _PICTURE_OUTPUTS}, overwrite, as_json
        )
        return
    require_outputs(files)
    from ..export.inputs import files_of, refuse_inputs
    from ..export.results import check_outputs, write_outputs
    from ..inference.selection import select_structures
    from ..operations.base import OpenVolume
    from ..operations.model_store import ModelStore
    from ..operations.segment import SegmentOperation
    from ..reading.files import read_volume
    from ..review.slices import slices_to_review
    from ..volume.judgement import refuse

    outputs = check_outputs(files, source, options.samples, overwrite)
    access = access_of(server, or_local)
    if installed is not None:
        select_structures(installed.description.structures, options.structures)
    operation, models = SegmentOperation(options), ModelStore()
    opened = OpenVolume(read_volume(source, series, phase))
    volume = opened.volume
    refuse_inputs(outputs.values(), files_of(volume))
    findings = operation.judge(opened, models)
    refuse(findings)
    show_findings(findings, console)
    if dicom_seg is not None and not volume.dicom_files:
        raise InputError(
            tr(
                "--dicom-seg needs DICOM input, and {source} is not DICOM; use --output or "
                "--labelmap instead."
            ).format(source=source)
        )
    if not yes:
        _ask_about(findings, console, is_quiet=as_json)
    with progress_bar(console, quiet=as_json) as report, Interrupt() as interrupt:
        result, answer = run_somewhere(
            operation, opened, models, access, or_local, LEAVES, console, report, interrupt.is_set
        )
    write_outputs(result, volume, outputs, overwrite, original_grid)
    review = slices_to_review(result) if result.is_scored else []
    seconds = time.perf_counter() - started
    show_findings(answer.findings[len(findings) :], console)
    if as_json:
        typer.echo(json.dumps(result_json(result, review, answer, outputs, seconds)))
        return
    console.print(result_table(result, review))
    console.print(
        tr("{seconds:.1f} s on {device}").format(seconds=seconds, device=answer.device),
        highlight=False,
        markup=False,
    )
    for path in outputs.values():
        console.print(
            tr("wrote {path}").format(path=escape(str(path))), highlight=False, soft_wrap=True
        )


def _ask_about(findings: Sequence[Finding], console: Console, is_quiet: bool) -> None:
    """Ask at the terminal whether to segment a doubtful image; scripts are not stopped.

    Raises:
        CancelledError: If the answer is no.
    """
    from ..volume.finding import of_severity

    if not of_severity(findings, "ask") or is_quiet:
        return
    if not (sys.stdin.isatty() and console.is_terminal):
        return
    try:
        wants = typer.confirm(tr("Segment anyway?"), default=False, err=True)
    except typer.Abort:  # Ctrl+C or Ctrl+D
        wants = False
    if not wants:
        raise CancelledError(tr("Nothing was segmented; --yes segments without asking."))


def _refuse_for_pictures(
    options: RunOptions,
    files: dict[str, Path | None],
    series: str | None,
    phase: str | None,
    server: str | None,
) -> None:
    for_volumes = {
        "--output": files["segmentation"],
        "--dicom-seg": files["dicom_seg"],
        "--region": options.region,
        "--series": series,
        "--phase": phase,
        "--server": server,
        "--batch": options.batch,
        "--mirror": options.mirror or None,
    }
    for name, value in for_volumes.items():
        if value is not None:
            raise InputError(
                tr(
                    "{name} is for volumes, and the model {model} segments pictures; it writes "
                    "--labelmap mask.png, --preview overlay.png and --uncertainty unsure.png."
                ).format(name=name, model=options.model)
            )
