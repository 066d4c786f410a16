"""`sdseg evaluate`: how well a model, or a folder of label maps, agrees with references."""

from __future__ import annotations

import json
import shlex
import sys
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..errors import InputError
from .chosen_cases import choose_cases
from .evaluate_screen import print_notes, progress_of_cases, results_table, with_interval
from .options import (
    DEFAULT_MODEL,
    CaseFolder,
    CaseFolderAgain,
    DataSet,
    DataSetOptions,
    Device,
    ImageName,
    Mirror,
    ReferenceName,
    Split,
    Steps,
)

if TYPE_CHECKING:
    from ..evaluation.jobs import Result
    from ..evaluation.scores import Rules
    from ..evaluation.summary import Summary


class ConventionChoice(str, Enum):
    """`--convention`; see `SDSegLib.evaluation.scores.Rules`."""

    FIELD = "field"
    PAPER = "paper"


class AbsentChoice(str, Enum):
    """`--absent`; see `SDSegLib.evaluation.scores.Rules`."""

    UNKNOWN = "unknown"
    BACKGROUND = "background"


def evaluate(
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Folder for tables, figures and pictures.")
    ],
    folder: CaseFolder = None,
    data: CaseFolderAgain = None,
    dataset: DataSet = None,
    split: Split = "test",
    option: DataSetOptions = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help=f"Name of a model, or its folder; {DEFAULT_MODEL} without it."
        ),
    ] = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help="Instead of a model: a folder of label maps named by case."),
    ] = None,
    reference: ReferenceName = "organs.nii.gz",
    image: ImageName = "ct.nii.gz",
    absent: Annotated[
        AbsentChoice | None,
        typer.Option(
            help="What it means that a reference lacks a structure: it may not have been drawn "
            "(unknown: left out), or it is not there (background: predicting it is an error). "
            "Without it: as the data set says, else unknown."
        ),
    ] = None,
    convention: Annotated[
        ConventionChoice,
        typer.Option(
            help="field: what cannot be said is left out. paper: as BTCV is commonly counted; a "
            "structure that the reference lacks gives Dice 1 if it is predicted, else 0."
        ),
    ] = ConventionChoice.FIELD,
    autoencoder: Annotated[
        bool,
        typer.Option(
            "--autoencoder",
            help="Judge only what the label-map autoencoder of a compact model keeps of the "
            "references, on the model's grid: about the best that the model can reach.",
        ),
    ] = False,
    pictures: Annotated[
        int, typer.Option(min=0, max=99, help="How many of the worst results to draw.")
    ] = 6,
    device: Device = "auto",
    mirror: Mirror = False,
    samples: Annotated[int, typer.Option(min=1, max=64, help="Noises to average over.")] = 1,
    steps: Steps = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an evaluation that exists.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print summary.json, for scripts.")
    ] = False,
) -> None:
    """Measure Dice, IoU and surface distances against references.

    [bold]sdseg evaluate validation --model head-neck-oar --output results[/]

    [bold]sdseg evaluate ROOT --dataset kvasir-seg --model MODEL --output results[/]

    Writes metrics.csv, summary.json, dice.png, and pictures of the worst results. Label maps are
    compared where they lie in the patient, on the reference's voxels.
    """
    if predictions is not None and (model is not None or autoencoder):
        other = "--model" if model is not None else "--autoencoder"
        raise InputError(f"{other} and --predictions exclude each other; leave one of them out.")
    how = {"--mirror": mirror, "--samples": samples > 1, "--steps": steps > 1}
    if predictions is not None or autoencoder:
        for name in (name for name, is_given in how.items() if is_given):
            other = "--autoencoder" if autoencoder else "--predictions"
            raise InputError(f"{name} says how a model segments; leave it out with {other}.")
    from ..evaluation.jobs import (
        Options,
        evaluate_autoencoder_of,
        evaluate_folder,
        evaluate_model,
    )
    from ..evaluation.report import prepare_output, write_results
    from ..evaluation.scores import Rules
    from ..evaluation.summary import summarise
    from ..models.registry import find_model

    console = Console(stderr=True)
    chosen = choose_cases(folder, data, dataset, split, option, (image, reference), console)
    cases, collection = chosen.found, chosen.collection
    if predictions is None:
        find_model(model or DEFAULT_MODEL)
    prepare_output(output, overwrite)
    meaning = absent.value if absent is not None else chosen.absent
    rules = Rules(convention.value, meaning)
    with progress_of_cases(console, len(cases.pairs), quiet=as_json) as reports:
        options = Options(
            rules, pictures, device, mirror, samples, steps, reports.cases, reports.slices
        )
        if predictions is not None:
            result = evaluate_folder(chosen.root, predictions, cases.pairs, options, chosen.names)
        elif autoencoder:
            name = model or DEFAULT_MODEL
            result = evaluate_autoencoder_of(name, cases.pairs, options, collection)
        else:
            result = evaluate_model(model or DEFAULT_MODEL, cases.pairs, options, collection)
    summary = summarise(result.evaluation.scores)
    facts = _facts(result, rules, cases.skipped) | chosen.facts
    title = _title(result, summary)
    content = write_results(output, result.evaluation, summary, result.names, facts, title)
    if as_json:
        typer.echo(json.dumps(content))
        return
    Console().print(results_table(result, summary))
    print_notes(console, cases.skipped, result.evaluation.notes)
    console.print(f"wrote {output}", highlight=False, soft_wrap=True)


def _facts(result: Result, rules: Rules, skipped: tuple[str, ...]) -> dict[str, Any]:
    from ..version import VERSION

    return {
        "sdseg": VERSION,
        "command": shlex.join(["sdseg", *sys.argv[1:]]),
        **result.facts,
        "convention": rules.convention,
        "absent": rules.absent if rules.convention == "field" else "background",
        "without_reference": list(skipped),
    }


def _title(result: Result, summary: Summary) -> str:
    dice = summary.overall.get("dice")
    if dice is None:
        return result.title
    return f"{result.title}: mean Dice {with_interval(dice, 3)}, {dice.cases} cases"
