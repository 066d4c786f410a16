"""`sdseg segment` with a model of pictures: a photograph in, a mask and an overlay out."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import InputError
from .segment_files import check_outputs

if TYPE_CHECKING:
    from ..inference.picture import PictureSegmenter, SegmentedPicture
    from ..volume.structure import Structure

KINDS = ("label_map", "uncertainty", "preview")
ENDINGS = dict.fromkeys(KINDS, (".png",))


@dataclass(frozen=True)
class PictureRun:
    """What is asked for.

    Attributes:
        source: The picture.
        model: Name or folder.
        wanted: Output file or None by kind, as for `check_outputs`.
        classes: Structures wanted; None for all.
        device: "auto", "cuda", "mps" or "cpu".
        precision: "auto", "float32", "float16" or "bfloat16".
        samples: Noises to average over.
        only_volumes: Options that were given and mean nothing for a picture.
        overwrite: Whether to replace files.
        as_json: Whether to print JSON instead of a table.
    """

    source: Path
    model: str
    wanted: dict[str, Path | None]
    classes: list[str] | None
    device: str
    precision: str
    samples: int
    only_volumes: tuple[str, ...]
    overwrite: bool
    as_json: bool


def segment_picture(run: PictureRun) -> None:
    """Segment a picture and write what is wanted: all files or none.

    Raises:
        SDSegError: If that cannot be done.
    """
    started = time.perf_counter()
    if run.only_volumes:
        raise InputError(
            f"{run.only_volumes[0]} is for volumes, and the model {run.model} segments pictures; "
            "it writes --labelmap mask.png, --preview overlay.png and --uncertainty unsure.png."
        )
    wanted = {kind: run.wanted[kind] for kind in KINDS}
    outputs = check_outputs(wanted, run.source, run.samples, run.overwrite, ENDINGS)
    from ..inference.load import load_picture_segmenter
    from ..inference.selection import select_structures
    from ..reading.pictures import read_picture

    picture = read_picture(run.source)
    segmenter = load_picture_segmenter(run.model, run.device, run.precision)
    structures = select_structures(segmenter.description.structures, run.classes)
    result = segmenter.segment(picture, run.samples)
    labels = np.where(
        np.isin(result.label_map, [item.label for item in structures]), result.label_map, 0
    ).astype(np.uint8)
    _write(outputs, picture, labels, result, run.overwrite)
    seconds = time.perf_counter() - started
    if run.as_json:
        typer.echo(json.dumps(_content(labels, structures, segmenter, run, outputs, seconds)))
        return
    console = Console(stderr=True)
    console.print(_table(labels, structures, segmenter))
    console.print(f"{seconds:.1f} s on {segmenter.choice}", highlight=False, markup=False)
    for path in outputs.values():
        console.print(f"wrote {path}", highlight=False, soft_wrap=True, markup=False)


def _write(
    outputs: dict[str, Path],
    picture: np.ndarray,
    labels: np.ndarray,
    result: SegmentedPicture,
    overwrite: bool,
) -> None:
    from ..export.atomic import atomic_together
    from ..export.picture import write_grey_picture, write_labels_picture, write_overlay_picture

    with atomic_together(outputs.values(), overwrite) as staged:
        for kind, path in outputs.items():
            if kind == "label_map":
                write_labels_picture(labels, result.structures, staged[path], overwrite=True)
            elif kind == "preview":
                write_overlay_picture(
                    picture, labels, result.structures, staged[path], overwrite=True
                )
            elif result.instability is not None:
                write_grey_picture(result.instability, staged[path], overwrite=True)


def _table(
    labels: np.ndarray, structures: tuple[Structure, ...], segmenter: PictureSegmenter
) -> Table:
    description = segmenter.description
    table = Table(title=f"{description.name} {description.version}", title_justify="left")
    table.add_column("")
    table.add_column("Structure")
    table.add_column("Of the picture", justify="right")
    for item in structures:
        share = float((labels == item.label).mean())
        red, green, blue = item.color
        table.add_row(
            f"[rgb({red},{green},{blue})]■[/]",
            escape(item.name),
            f"{share:.1%}" if share > 0 else "[dim]not found[/]",
        )
    return table


def _content(
    labels: np.ndarray,
    structures: tuple[Structure, ...],
    segmenter: PictureSegmenter,
    run: PictureRun,
    outputs: dict[str, Path],
    seconds: float,
) -> dict[str, Any]:
    description = segmenter.description
    pixels = {item.label: int(np.count_nonzero(labels == item.label)) for item in structures}
    return {
        "model": f"{description.name} {description.version}",
        "device": segmenter.choice.device.type,
        "device_reason": segmenter.choice.reason,
        "seconds": round(seconds, 3),
        "samples": run.samples,
        "structures": [
            {
                "id": item.id,
                "name": item.name,
                "label": item.label,
                "pixels": pixels[item.label],
                "share": round(pixels[item.label] / labels.size, 6),
            }
            for item in structures
        ],
        "outputs": {kind: str(path) for kind, path in outputs.items()},
    }
