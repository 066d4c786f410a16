"""`sdseg segment`: a CT in, structures out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape

from ..errors import InputError
from .interrupt import Interrupt
from .options import DEFAULT_MODEL, Batch, Device, Mirror, ModelName, Precision, Structures
from .progress_bar import progress_bar
from .segment_files import check_outputs, write_outputs
from .segment_screen import result_json, result_table
from .structure_names import structure_names

if TYPE_CHECKING:
    from ..volume.region import Region


def segment(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A CT: NIfTI, NRRD or MHA file, or a folder with a DICOM series. "
            "For a model of pictures: PNG, JPEG, BMP or TIFF.",
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="Segmentation for 3D Slicer (.seg.nrrd)."),
    ] = None,
    labelmap: Annotated[
        Path | None, typer.Option(help="Label map (.nii.gz, .nrrd or .mha).")
    ] = None,
    dicom_seg: Annotated[
        Path | None, typer.Option(help="DICOM Segmentation (.dcm); the input must be DICOM.")
    ] = None,
    preview: Annotated[
        Path | None, typer.Option(help="Picture with overlays and volumes (.png).")
    ] = None,
    uncertainty: Annotated[
        Path | None,
        typer.Option(
            help="How unsure the label of each voxel is, 0 to 255 (.nii.gz, .nrrd or .mha); "
            "needs --samples."
        ),
    ] = None,
    model: ModelName = DEFAULT_MODEL,
    classes: Structures = None,
    device: Device = "auto",
    batch: Batch = None,
    precision: Precision = "auto",
    mirror: Mirror = False,
    samples: Annotated[
        int,
        typer.Option(
            min=1, help="Noises to average over; several also tell which slices to look at."
        ),
    ] = 1,
    region: Annotated[
        str | None,
        typer.Option(
            metavar="I0,I1,J0,J1,K0,K1",
            help="Only this box of the input's voxels, counted from 0; I1, J1, K1 are not in it.",
        ),
    ] = None,
    series: Annotated[
        str | None,
        typer.Option(help="Which DICOM series, by number or UID (see: sdseg series FOLDER)."),
    ] = None,
    overwrite: Annotated[bool, typer.Option(help="Replace outputs that exist.")] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the result as JSON, for scripts.")
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
    wanted_files = {
        "segmentation": output,
        "label_map": labelmap,
        "uncertainty": uncertainty,
        "dicom_seg": dicom_seg,
        "preview": preview,
    }
    installed = find_model(model)
    wanted = None if classes is None else structure_names(classes)
    if installed.description.input.pictures is not None:
        from .segment_picture import PictureRun, segment_picture

        for_volumes = {
            "--output": output,
            "--dicom-seg": dicom_seg,
            "--region": region,
            "--series": series,
            "--batch": batch,
            "--mirror": mirror or None,
        }
        given = tuple(name for name, value in for_volumes.items() if value is not None)
        segment_picture(
            PictureRun(
                source,
                model,
                wanted_files,
                wanted,
                device,
                precision,
                samples,
                given,
                overwrite,
                as_json,
            )
        )
        return
    outputs = check_outputs(wanted_files, source, samples, overwrite)
    box = None if region is None else _region(region)
    from ..inference.selection import select_structures
    from ..reading.files import read_volume
    from ..review.slices import slices_to_review
    from ..volume.checks import check_volume
    from ..volume.coverage import check_coverage

    select_structures(installed.description.structures, wanted)
    volume = read_volume(source, series)
    findings = check_volume(volume) + check_coverage(volume, installed.description.expects)
    for finding in findings:
        console.print(f"[yellow]Warning:[/] {escape(finding.message)}", soft_wrap=True)
    if dicom_seg is not None and not volume.dicom_files:
        raise InputError(
            f"--dicom-seg needs DICOM input, and {source} is none; "
            "use --output or --labelmap instead."
        )
    if box is not None:
        box = box.clipped(volume.geometry.shape)
    with progress_bar(console, quiet=as_json) as report, Interrupt() as interrupt:
        from ..inference.load import load_segmenter

        segmenter = load_segmenter(model, device, batch, precision, mirror)
        result = segmenter.segment(volume, wanted, report, interrupt.is_set, samples, box)
    write_outputs(result, volume, outputs, overwrite)
    review = slices_to_review(result) if samples > 1 else []
    seconds = time.perf_counter() - started
    if as_json:
        content = result_json(result, review, segmenter, findings, outputs, seconds)
        typer.echo(json.dumps(content))
        return
    console.print(result_table(result, review))
    console.print(f"{seconds:.1f} s on {segmenter.choice}", highlight=False, markup=False)
    for path in outputs.values():
        console.print(f"wrote {path}", highlight=False, soft_wrap=True, markup=False)


def _region(text: str) -> Region:
    """A box of voxels as typed: first and past-the-last voxel along i, j and k."""
    from ..volume.region import Region

    try:
        i0, i1, j0, j1, k0, k1 = (int(part) for part in text.split(","))
    except ValueError:
        raise InputError(
            f"The region {text!r} is not six whole numbers I0,I1,J0,J1,K0,K1, such as "
            "100,200,80,180,30,60."
        ) from None
    if i1 <= i0 or j1 <= j0 or k1 <= k0:
        raise InputError(
            f"The region {text!r} is empty: I1, J1 and K1 are the first voxels beyond it and must "
            "be larger than I0, J0 and K0."
        )
    return Region((k0, j0, i0), (k1, j1, i1))
