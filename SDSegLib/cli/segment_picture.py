"""`sdseg segment` with a model of pictures: a photograph in, a mask and an overlay out."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from ..language import tr
from .segment_screen import require_outputs
from .text import escape

if TYPE_CHECKING:
    from ..inference.picture import PictureSegmenter, SegmentedPicture
    from ..options import RunOptions
    from ..volume.structure import Structure


def segment_picture(
    source: Path,
    options: RunOptions,
    files: dict[str, Path | None],
    overwrite: bool,
    as_json: bool,
) -> None:
    """Segment a picture and write the requested files: all or none.

    Args:
        source: The picture.
        options: Options of the run; the model is one of pictures.
        files: Output file or None by kind: "label_map", "uncertainty", "preview".
        overwrite: Whether to replace files.
        as_json: Whether to print JSON instead of a table.

    Raises:
        SDSegError: If the picture cannot be segmented or a file cannot be written.
    """
    from ..export.results import check_outputs
    from ..inference.load import load_picture_segmenter
    from ..inference.selection import select_structures
    from ..reading.pictures import read_picture

    started = time.perf_counter()
    require_outputs(files)
    endings = dict.fromkeys(files, (".png",))
    outputs = check_outputs(files, source, options.samples, overwrite, endings)
    picture = read_picture(source)
    assert options.model is not None
    segmenter = load_picture_segmenter(
        options.model, options.device, options.precision, options.steps
    )
    structures = select_structures(segmenter.description.structures, options.structures)
    result = segmenter.segment(picture, options.samples)
    labels = np.where(
        np.isin(result.label_map, [item.label for item in structures]), result.label_map, 0
    ).astype(np.uint8)
    _write(outputs, picture, labels, result, overwrite)
    seconds = time.perf_counter() - started
    if as_json:
        content = _content(labels, structures, segmenter, options.samples, outputs, seconds)
        typer.echo(json.dumps(content))
        return
    console = Console(stderr=True)
    console.print(_table(labels, structures, segmenter))
    console.print(
        tr("{seconds:.1f} s on {choice}").format(seconds=seconds, choice=segmenter.choice),
        highlight=False,
        markup=False,
    )
    for path in outputs.values():
        console.print(
            tr("wrote {path}").format(path=escape(str(path))), highlight=False, soft_wrap=True
        )


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
    table.add_column(tr("Structure"))
    table.add_column(tr("Of the picture"), justify="right")
    for item in structures:
        share = float((labels == item.label).mean())
        red, green, blue = item.color
        table.add_row(
            f"[rgb({red},{green},{blue})]■[/]",
            escape(item.name),
            f"{share:.1%}" if share > 0 else tr("[dim]not found[/]"),
        )
    return table


def _content(
    labels: np.ndarray,
    structures: tuple[Structure, ...],
    segmenter: PictureSegmenter,
    samples: int,
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
        "samples": samples,
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
