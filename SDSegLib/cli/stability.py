"""`sdseg stability`: how much a model's results depend on its noise."""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from .chosen_cases import choose_cases
from .evaluate_screen import print_notes, progress_of_cases
from .options import (
    CaseFolder,
    CaseFolderAgain,
    DataSet,
    DataSetOptions,
    Device,
    ImageName,
    ModelName,
    ReferenceName,
    Split,
    Steps,
)
from .stability_screen import shown_tables


def stability(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for tables and the figure.")
    ],
    folder: CaseFolder = None,
    data: CaseFolderAgain = None,
    dataset: DataSet = None,
    split: Split = "test",
    option: DataSetOptions = None,
    model: ModelName = None,
    samples: Annotated[
        int, typer.Option(min=2, max=64, help="Noises; the first is the model's stored one.")
    ] = 8,
    steps: Steps = 1,
    reference: ReferenceName = "organs.nii.gz",
    image: ImageName = "ct.nii.gz",
    device: Device = "auto",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print stability.json, for scripts.")
    ] = False,
) -> None:
    """Segment the same cases with different noise, and compare.

    [bold]sdseg stability validation --model head-neck-oar --samples 8 --output results[/]

    [bold]sdseg stability ROOT --dataset kvasir-seg --model MODEL --output results[/]

    Data set level: how far the mean Dice spreads over the noises. Instance level: how alike the
    samples of a case are. Slice level: whether unsure slices are the wrong ones; a picture is one
    slice. Structures that a reference lacks are left out, unless the data set says that they are
    not there. Writes cases.csv, slices.csv, stability.json and stability.png.
    """
    from ..evaluation.pairs import require_images
    from ..evaluation.report import prepare_output
    from ..evaluation.scores import Rules
    from ..evaluation.stability_job import StabilityOptions, judge_model
    from ..evaluation.stability_report import write_stability
    from ..evaluation.stability_summary import summarise_stability
    from ..models.registry import default_model, find_model
    from ..version import VERSION

    console = Console(stderr=True)
    chosen = choose_cases(folder, data, dataset, split, option, (image, reference), console)
    model = model or default_model()
    find_model(model)
    require_images(chosen.found.pairs)
    prepare_output(output, overwrite)
    rules = Rules(absent=chosen.absent)
    with progress_of_cases(console, len(chosen.found.pairs), quiet=as_json) as reports:
        options = StabilityOptions(samples, steps, device, rules, reports.cases, reports.slices)
        result = judge_model(model, chosen.found.pairs, options, chosen.collection)
    summary = summarise_stability(result.cases)
    facts = {
        "sdseg": VERSION,
        "command": shlex.join(["sdseg", *sys.argv[1:]]),
        **result.facts,
        **chosen.facts,
        "without_reference": list(chosen.found.skipped),
    }
    title = f"{result.title}: {samples} noises, {len(result.cases)} cases"
    content = write_stability(output, result.cases, summary, result.names, facts, title)
    if as_json:
        typer.echo(json.dumps(content))
        return
    screen = Console()
    for table in shown_tables(summary, result.names, title):
        screen.print(table)
    notes = {case.name: list(case.notes) for case in result.cases}
    print_notes(console, chosen.found.skipped, notes)
    console.print(f"wrote {output}", highlight=False, soft_wrap=True)
