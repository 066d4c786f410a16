"""`sdseg evaluate`: how well a model, or a folder of label maps, agrees with references."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

from ..errors import InputError
from ..language import tr, trn
from ..options import RunOptions
from .chosen_cases import (
    CaseFolder,
    CaseFolderAgain,
    DataSet,
    DataSetOptions,
    ImageName,
    Names,
    OutputFolder,
    Overwrite,
    ReferenceName,
    Split,
    choose_cases,
    print_notes,
    progress_of_cases,
    refuse_data_folders,
)
from .chosen_server import ChosenServer, chosen_server
from .findings import show_warning
from .options import BUNDLED_MODEL, AsJson, OrLocal, Server, with_run_options
from .text import escape
from .where import access_of

if TYPE_CHECKING:
    from ..evaluation.evaluate import Result
    from ..evaluation.predictors import Elsewhere
    from ..evaluation.scores import Rules
    from ..evaluation.summary import Estimate, Summary


class ConventionChoice(str, Enum):
    """`--convention`; see `SDSegLib.evaluation.scores.Rules`."""

    FIELD = "field"
    PAPER = "paper"


class AbsentChoice(str, Enum):
    """`--absent`; see `SDSegLib.evaluation.scores.Rules`."""

    UNKNOWN = "unknown"
    BACKGROUND = "background"


@with_run_options("region", model=BUNDLED_MODEL)
def evaluate(
    options: RunOptions,
    output: OutputFolder,
    folder: CaseFolder = None,
    data: CaseFolderAgain = None,
    dataset: DataSet = None,
    split: Split = "test",
    option: DataSetOptions = None,
    predictions: Annotated[
        Path | None,
        typer.Option(help=tr("Instead of a model: a folder of label maps named by case.")),
    ] = None,
    reference: ReferenceName = "organs.nii.gz",
    image: ImageName = "ct.nii.gz",
    names: Names = None,
    absent: Annotated[
        AbsentChoice | None,
        typer.Option(
            help=tr(
                "What it means that a reference lacks a structure: it may not have been drawn "
                "(unknown: left out), or it is not there (background: predicting it is an error). "
                "Without it: as the data set says, else unknown."
            )
        ),
    ] = None,
    convention: Annotated[
        ConventionChoice,
        typer.Option(
            help=tr(
                "field: what cannot be said is left out. paper: as BTCV is commonly counted; a "
                "structure that the reference lacks gives Dice 1 if it is predicted, else 0."
            )
        ),
    ] = ConventionChoice.FIELD,
    autoencoder: Annotated[
        bool,
        typer.Option(
            "--autoencoder",
            help=tr(
                "Judge only what the label-map autoencoder of a compact model keeps of the "
                "references, on the model's grid: about the best that the model can reach."
            ),
        ),
    ] = False,
    set_aside: Annotated[
        Path | None,
        typer.Option(
            help=tr(
                "A file of `sdseg references`: the figures are also given without the references "
                "that it sets aside."
            )
        ),
    ] = None,
    pictures: Annotated[
        int, typer.Option(min=0, max=99, help=tr("How many of the worst results to draw."))
    ] = 6,
    overwrite: Overwrite = False,
    server: Server = None,
    or_local: OrLocal = False,
    as_json: AsJson = False,
) -> None:
    """Measure Dice, IoU and surface distances against references.

    [bold]sdseg evaluate validation --model head-neck-oar --output results[/]

    [bold]sdseg evaluate ROOT --dataset kvasir-seg --model MODEL --output results[/]

    Writes metrics.csv, summary.json, dice.png, and pictures of the worst results. Label maps are
    compared where they lie in the patient, on the reference's voxels. With --server the model
    segments on another computer, while references are read and compared here.
    """
    if predictions is not None and (options.model is not None or autoencoder):
        other = "--model" if options.model is not None else "--autoencoder"
        raise InputError(
            tr("{other} and --predictions exclude each other; leave one of them out.").format(
                other=other
            )
        )
    if predictions is not None or autoencoder:
        other = "--autoencoder" if autoencoder else "--predictions"
        if server is not None:
            raise InputError(
                tr("--server is where a model segments; leave it out with {other}.").format(
                    other=other
                )
            )
        for name in ("mirror", "samples", "steps", "precision", "batch"):
            if getattr(options, name) != getattr(RunOptions, name):
                raise InputError(
                    tr("--{name} says how a model segments; leave it out with {other}.").format(
                        name=name, other=other
                    )
                )
    if predictions is not None and options.structures is not None:
        raise InputError(
            tr("--classes names structures of a model; leave it out with --predictions.")
        )
    access_of(server, or_local)  # before cases are looked for
    from ..datasets.doubtful import read_set_aside
    from ..evaluation.evaluate import (
        Options,
        evaluate_autoencoder,
        evaluate_folder,
        evaluate_model,
    )
    from ..evaluation.report import prepared_output, summary_json, write_results
    from ..evaluation.scores import Rules, require_monai
    from ..evaluation.summary import summarise, without
    from ..models.registry import default_model, find_model

    console = Console(stderr=True)
    doubtful = None if set_aside is None else read_set_aside(set_aside)
    chosen = choose_cases(folder, data, dataset, split, option, (image, reference), console, names)
    cases, collection = chosen.found, chosen.collection
    if predictions is None:
        find_model(options.model or default_model())
    require_monai()
    refuse_data_folders(output, chosen.root, predictions)
    elsewhere = chosen_server(server, or_local, False, console)
    meaning = absent.value if absent is not None else chosen.absent
    rules = Rules(convention.value, meaning)
    with (
        prepared_output(output, overwrite),
        progress_of_cases(console, len(cases.pairs), quiet=as_json) as reports,
        _segmenting(elsewhere, console) as segment,
    ):
        how = Options(rules, pictures, options, reports.cases, reports.slices, segment)
        if predictions is not None:
            result = evaluate_folder(chosen.root, predictions, cases.pairs, how, collection)
        elif autoencoder:
            result = evaluate_autoencoder(cases.pairs, how, collection)
        else:
            result = evaluate_model(cases.pairs, how, collection)
    summary = summarise(result.evaluation.scores)
    cleaned = None
    facts = {**result.facts, "remarks": list(result.remarks), **_rule_facts(rules)}
    if doubtful is not None and set_aside is not None:
        kept, count = without(result.evaluation.scores, result.names, doubtful)
        cleaned = summarise(kept)
        facts["without_set_aside"] = {
            "file": set_aside.name,
            "references": count,
            **summary_json(cleaned, result.names),
        }
    facts = chosen.facts(facts)
    title = _title(result, summary)
    content = write_results(output, result.evaluation, summary, result.names, facts, title)
    if as_json:
        typer.echo(json.dumps(content))
        return
    Console().print(_results_table(result, summary))
    if cleaned is not None:
        count = facts["without_set_aside"]["references"]
        title = tr("Without {count} references that are set aside").format(count=count)
        Console().print(_results_table(result, cleaned, title))
    print_notes(console, cases.skipped, result.evaluation.notes, result.remarks)
    console.print(
        tr("wrote {output}").format(output=escape(str(output))), highlight=False, soft_wrap=True
    )


@contextmanager
def _segmenting(server: ChosenServer | None, console: Console) -> Iterator[Elsewhere | None]:
    """What segments on a server; None for this computer."""
    if server is None:
        yield None
        return
    with server.segmenting(lambda sentence: show_warning(sentence, console)) as segment:
        yield segment


def _rule_facts(rules: Rules) -> dict[str, str]:
    return {
        "convention": rules.convention,
        "absent": rules.absent if rules.convention == "field" else "background",
    }


def _title(result: Result, summary: Summary) -> str:
    dice = summary.overall.get("dice")
    if dice is None:
        return result.title
    return trn(
        "{result}: mean Dice {dice}, {cases} case",
        "{result}: mean Dice {dice}, {cases} cases",
        dice.cases,
    ).format(result=result.title, dice=_with_interval(dice, 3), cases=dice.cases)


def _results_table(result: Result, summary: Summary, title: str = "") -> Table:
    """One row per structure and one for their mean."""
    with_spurious = any(item.spurious for item in summary.structures)
    counts = [tr("Cases"), tr("Missed"), *([tr("Spurious")] if with_spurious else [])]
    table = Table(
        title=escape(title or result.title),
        title_justify="left",
        caption=tr("95 % bootstrap interval over the cases; distances in mm"),
        caption_justify="left",
        box=SIMPLE_HEAD,
    )
    table.add_column(tr("Structure"))
    for title in (*counts, "Dice", "95 %", "IoU", "HD95", "ASSD"):
        table.add_column(title, justify="right", no_wrap=True)
    for item in summary.structures:
        numbers = [item.cases, item.missed, *([item.spurious] if with_spurious else [])]
        table.add_row(escape(result.names[item.label]), *map(str, numbers), *_cells(item.metrics))
    table.add_section()
    table.add_row("[bold]mean[/]", *("" for _ in counts), *_cells(summary.overall))
    return table


def _cells(metrics: dict[str, Estimate]) -> list[str]:
    dice = metrics.get("dice")
    return [
        "–" if dice is None else f"[bold]{dice.mean:.3f}[/]",
        "–" if dice is None else _interval(dice, 3),
        *(
            f"{metrics[name].mean:.{places}f}" if name in metrics else "–"
            for name, places in (("iou", 3), ("hd95_mm", 1), ("assd_mm", 2))
        ),
    ]


def _interval(estimate: Estimate, places: int) -> str:
    if estimate.low is None or estimate.high is None:
        return "–"
    return f"{estimate.low:.{places}f}–{estimate.high:.{places}f}"


def _with_interval(estimate: Estimate, places: int) -> str:
    """A mean with its interval behind it, for example "0.812 (0.790–0.835)"."""
    mean = f"{estimate.mean:.{places}f}"
    return mean if estimate.low is None else f"{mean} ({_interval(estimate, places)})"
