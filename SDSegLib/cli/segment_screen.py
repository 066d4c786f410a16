"""Output of `sdseg segment`: the structures with their volumes, and slices to review."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.table import Table

from ..errors import InputError
from ..language import tr, trn
from .text import escape

if TYPE_CHECKING:
    from ..operations.base import Answer
    from ..review.slices import ReviewSlice
    from ..volume.segmentation import Segmentation

_AXES = "kji"
_OPTIONS = {
    "segmentation": "--output",
    "label_map": "--labelmap",
    "uncertainty": "--uncertainty",
    "dicom_seg": "--dicom-seg",
    "preview": "--preview",
}


def require_outputs(files: dict[str, Path | None]) -> None:
    """Raise `InputError` with the options that name outputs, if none was given."""
    if all(path is None for path in files.values()):
        possible = ", ".join(_OPTIONS[kind] for kind in files)
        raise InputError(
            tr("Nothing to write: name at least one of {possible}.").format(possible=possible)
        )


def result_table(result: Segmentation, review: list[ReviewSlice]) -> Table:
    """One row per structure, with its least certain slices and their scores."""
    table = Table(title=result.model, title_justify="left", caption_justify="left")
    table.add_column("")
    table.add_column(tr("Structure"))
    table.add_column(tr("Volume"), justify="right")
    if review:
        table.add_column(tr("Look at slices (how unsure)"))
        table.caption = trn(
            "Slices count along {axis} from 0, 1.00 is least sure",
            "{count} samples; slices count along {axis} from 0, 1.00 is least sure",
            result.samples,
        ).format(axis=_AXES[review[0].axis], count=result.samples)
    volumes = result.volumes_ml()
    for structure in result.structures:
        volume = volumes[structure.name]
        red, green, blue = structure.color
        cells = [
            f"[rgb({red},{green},{blue})]■[/]",
            escape(structure.name),
            f"{volume:.1f} mL" if volume > 0 else tr("[dim]not found[/]"),
        ]
        if review:
            mine = [item for item in review if item.structure == structure]
            cells.append(", ".join(f"{item.index} ({item.score:.2f})" for item in mine))
        table.add_row(*cells)
    return table


def result_json(
    result: Segmentation,
    review: list[ReviewSlice],
    answer: Answer,
    outputs: dict[str, Path],
    seconds: float,
) -> dict[str, Any]:
    """The same for scripts."""
    volumes = result.volumes_ml()
    region, doubt = result.region, result.doubt
    device, _, reason = answer.device.partition(": ")
    return {
        "model": result.model,
        "device": device,
        "device_reason": reason,
        "precision": answer.values["precision"],
        "seconds": round(seconds, 3),
        "samples": result.samples,
        "region": None if region is None else region.to_json(),
        "structures": [
            {
                "id": item.id,
                "name": item.name,
                "label": item.label,
                "ml": volumes[item.name],
                "correct_first": [] if doubt is None else list(doubt.ranked(place)),
            }
            for place, item in enumerate(result.structures)
        ],
        "correct_first_axis": None if doubt is None else _AXES[doubt.axis],
        "review": [
            {
                "structure": item.structure.id,
                "axis": _AXES[item.axis],
                "slice": item.index,
                "score": round(item.score, 4),
                "center_ras": [round(value, 3) for value in item.center_ras],
            }
            for item in review
        ],
        "warnings": [item.to_json() for item in answer.findings],
        "messages": list(answer.messages),
        "outputs": {kind: str(path) for kind, path in outputs.items()},
    }
