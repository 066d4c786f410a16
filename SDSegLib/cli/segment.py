"""`sdseg segment`: a CT in, structures out."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import InputError
from ..volume.segmentation import Segmentation
from ..volume.volume import Volume
from .progress_bar import progress_bar


def segment(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="INPUT",
            help="A CT: NIfTI, NRRD or MHA file, or a folder with a DICOM series.",
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
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name of a model, or its folder.")
    ] = "head-neck-oar",
    classes: Annotated[
        str | None,
        typer.Option(help="Structures wanted, by id, with commas; all without it."),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    batch: Annotated[
        int | None, typer.Option(min=1, help="Slices at a time; by default the device decides.")
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
    """
    started = time.perf_counter()
    console = Console(stderr=True)
    outputs = _check_outputs(output, labelmap, dicom_seg, preview, overwrite)
    for path in outputs.values():
        if path.resolve() == source.resolve():
            raise InputError(f"The output {path} is the input itself; choose another name.")
    from ..models.registry import find_model
    from ..reading.files import read_volume
    from ..volume.checks import check_volume

    find_model(model)
    volume = read_volume(source, series)
    findings = check_volume(volume)
    for finding in findings:
        console.print(f"[yellow]Warning:[/] {escape(finding.message)}", soft_wrap=True)
    if dicom_seg is not None and not volume.dicom_files:
        raise InputError(
            f"--dicom-seg needs DICOM input, and {source} is none; "
            "use --output or --labelmap instead."
        )
    wanted = [name for name in classes.split(",") if name.strip()] if classes else None

    with progress_bar(console, quiet=as_json) as report, _Interrupt() as interrupt:
        from ..inference.load import load_segmenter

        segmenter = load_segmenter(model, device, batch)
        result = segmenter.segment(volume, wanted, report, interrupt.is_set)
    _write(result, volume, outputs, overwrite)
    seconds = time.perf_counter() - started
    if as_json:
        typer.echo(json.dumps(_as_json(result, segmenter.choice, findings, outputs, seconds)))
        return
    console.print(_table(result))
    console.print(f"{seconds:.1f} s on {segmenter.choice}", highlight=False)
    for path in outputs.values():
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)


def _check_outputs(
    output: Path | None,
    labelmap: Path | None,
    dicom_seg: Path | None,
    preview: Path | None,
    overwrite: bool,
) -> dict[str, Path]:
    """Find out before the work whether its results can be written."""
    from ..export.atomic import check_output

    wanted = {
        "segmentation": (output, (".seg.nrrd",)),
        "label_map": (labelmap, (".nii.gz", ".nii", ".nrrd", ".mha")),
        "dicom_seg": (dicom_seg, (".dcm",)),
        "preview": (preview, (".png",)),
    }
    outputs = {}
    for kind, (path, suffixes) in wanted.items():
        if path is None:
            continue
        if not path.name.lower().endswith(suffixes):
            raise InputError(
                f"The {kind.replace('_', ' ')} {path.name!r} must end in {' or '.join(suffixes)}."
            )
        check_output(path, overwrite)
        outputs[kind] = path
    if not outputs:
        raise InputError(
            "Nothing to write: name at least one of --output, --labelmap, --dicom-seg, --preview."
        )
    if "segmentation" in outputs:
        from ..export.seg_nrrd import require_slicer

        require_slicer()
    return outputs


def _write(result: Segmentation, volume: Volume, outputs: dict[str, Path], overwrite: bool) -> None:
    if "label_map" in outputs:
        from ..export.label_map import write_label_map

        write_label_map(result, outputs["label_map"], overwrite)
    if "dicom_seg" in outputs:
        from ..export.dicom_seg import write_dicom_seg

        write_dicom_seg(result, volume, outputs["dicom_seg"], overwrite)
    if "segmentation" in outputs:
        from ..export.seg_nrrd import write_seg_nrrd

        write_seg_nrrd(result, outputs["segmentation"], overwrite, volume)
    if "preview" in outputs:
        from ..export.preview import write_preview

        write_preview(volume, result, outputs["preview"], overwrite)


def _table(result: Segmentation) -> Table:
    table = Table(title=result.model, title_justify="left")
    table.add_column("")
    table.add_column("Structure")
    table.add_column("Volume", justify="right")
    volumes = result.volumes_ml()
    for structure in result.structures:
        volume = volumes[structure.name]
        red, green, blue = structure.color
        table.add_row(
            f"[rgb({red},{green},{blue})]■[/]",
            structure.name,
            f"{volume:.1f} mL" if volume > 0 else "[dim]not found[/]",
        )
    return table


def _as_json(
    result: Segmentation, choice: Any, findings: list[Any], outputs: dict[str, Path], seconds: float
) -> dict[str, Any]:
    volumes = result.volumes_ml()
    return {
        "model": result.model,
        "device": choice.device.type,
        "device_reason": choice.reason,
        "seconds": round(seconds, 3),
        "structures": [
            {"id": item.id, "name": item.name, "label": item.label, "ml": volumes[item.name]}
            for item in result.structures
        ],
        "warnings": [{"kind": item.kind, "message": item.message} for item in findings],
        "outputs": {kind: str(path) for kind, path in outputs.items()},
    }


class _Interrupt:
    """Ctrl+C ends the run between batches, with nothing half-written."""

    def __enter__(self) -> _Interrupt:
        self._asked = False
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGINT, self._before)

    def _ask(self, *_: object) -> None:
        self._asked = True

    def is_set(self) -> bool:
        return self._asked
