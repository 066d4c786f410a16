"""`sdseg stability`: how much a model's results depend on its noise."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..errors import InputError
from .evaluate_screen import print_notes, progress_of_cases
from .stability_screen import shown_tables


def stability(
    data: Annotated[
        Path,
        typer.Argument(
            help="Cases with references, laid out as for sdseg evaluate: a folder per case, "
            "nnU-Net's imagesTr and labelsTr, or the folders images and labels."
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for tables and the figure.")
    ],
    model: Annotated[
        str, typer.Option("--model", "-m", help="Name of a model, or its folder.")
    ] = "head-neck-oar",
    samples: Annotated[
        int, typer.Option(min=2, max=64, help="Noises; the first is the model's stored one.")
    ] = 8,
    reference: Annotated[
        str, typer.Option(help="Name of the reference label map in a case's folder.")
    ] = "organs.nii.gz",
    image: Annotated[
        str, typer.Option(help="Name of the CT, or of its DICOM folder, in a case's folder.")
    ] = "ct.nii.gz",
    device: Annotated[str, typer.Option(help="auto, cuda, mps or cpu.")] = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print stability.json, for scripts.")
    ] = False,
) -> None:
    """Segment the same cases with different noise, and compare.

    [bold]sdseg stability validation --model head-neck-oar --samples 8 --output results[/]

    Data set level: how far the mean Dice spreads over the noises. Instance level: how alike the
    samples of a case are. Slice level: whether unsure slices are the wrong ones. Structures that a
    reference lacks are left out. Writes cases.csv, slices.csv, stability.json and stability.png.
    """
    from ..evaluation.pairs import find_pairs, require_images
    from ..evaluation.report import prepare_output
    from ..evaluation.similarity import learned_distance
    from ..evaluation.stability import judge_case
    from ..evaluation.stability_report import write_stability
    from ..evaluation.stability_summary import summarise_stability
    from ..inference.load import load_segmenter
    from ..models.registry import find_model
    from ..version import VERSION

    cases = find_pairs(data, image, reference)
    require_images(cases.pairs)
    description = find_model(model).description
    if description.input.pictures is not None:
        raise InputError(
            f"The model {description.name} segments pictures; stability is measured on volumes."
        )
    prepare_output(output, overwrite)
    console = Console(stderr=True)
    judged = []
    with progress_of_cases(console, len(cases.pairs), quiet=as_json) as reports:
        segmenter = load_segmenter(model, device)
        perceptual = learned_distance(segmenter.choice.device)
        for done, pair in enumerate(cases.pairs):
            if reports.cases is not None:
                reports.cases(done, pair.name)
            judged.append(judge_case(segmenter, pair, samples, reports.slices, perceptual))
    summary = summarise_stability(judged)
    names = {item.label: item.name for item in description.structures}
    facts = {
        "sdseg": VERSION,
        "command": shlex.join(["sdseg", *sys.argv[1:]]),
        "model": {
            "name": description.name,
            "version": description.version,
            "weights_sha256": description.weights_sha256,
        },
        "device": str(segmenter.choice),
        "without_reference": list(cases.skipped),
    }
    title = f"{description.title}: {samples} noises, {len(judged)} cases"
    content = write_stability(output, judged, summary, names, facts, title)
    if as_json:
        typer.echo(json.dumps(content))
        return
    screen = Console()
    for table in shown_tables(summary, names, title):
        screen.print(table)
    print_notes(console, cases.skipped, {case.name: list(case.notes) for case in judged})
    console.print(f"wrote {output}", highlight=False, soft_wrap=True)
