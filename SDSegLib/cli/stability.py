"""`sdseg stability`: how much a model's results depend on its noise."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table

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
from .options import BUNDLED_MODEL, AsJson, with_run_options
from .text import escape

if TYPE_CHECKING:
    from ..evaluation.stability import Spread, StabilitySummary

_MEASURES = {"psnr_db": "PSNR", "ssim": "SSIM", "lpips": "LPIPS"}


@with_run_options("region", "samples", model=BUNDLED_MODEL)
def stability(
    options: RunOptions,
    output: OutputFolder,
    folder: CaseFolder = None,
    data: CaseFolderAgain = None,
    dataset: DataSet = None,
    split: Split = "test",
    option: DataSetOptions = None,
    samples: Annotated[
        int, typer.Option(min=2, max=64, help=tr("Noises; the first is the model's stored one."))
    ] = 8,
    reference: ReferenceName = "organs.nii.gz",
    image: ImageName = "ct.nii.gz",
    names: Names = None,
    overwrite: Overwrite = False,
    as_json: AsJson = False,
) -> None:
    """Segment the same cases with different noise, and compare.

    [bold]sdseg stability validation --model head-neck-oar --samples 8 --output results[/]

    [bold]sdseg stability ROOT --dataset kvasir-seg --model MODEL --output results[/]

    Data set level: how far the mean Dice spreads over the noises. Instance level: how similar the
    samples of a case are. Slice level: whether the model is unsure where it is wrong; a picture is
    one slice. Structures that a reference lacks are left out, unless the data set says that they
    are not there. Writes cases.csv, slices.csv, stability.json and stability.png.
    """
    from ..evaluation.cases import require_images
    from ..evaluation.evaluate import Options
    from ..evaluation.report import prepared_output, write_stability
    from ..evaluation.scores import Rules, require_monai
    from ..evaluation.stability import judge_model, summarise_stability
    from ..models.registry import default_model, find_model

    console = Console(stderr=True)
    chosen = choose_cases(folder, data, dataset, split, option, (image, reference), console, names)
    find_model(options.model or default_model())
    require_images(chosen.found.pairs)
    require_monai()
    refuse_data_folders(output, chosen.root)
    rules = Rules(absent=chosen.absent)
    with (
        prepared_output(output, overwrite),
        progress_of_cases(console, len(chosen.found.pairs), quiet=as_json) as reports,
    ):
        run = replace(options, samples=samples)
        how = Options(rules, run=run, report_case=reports.cases, report_slices=reports.slices)
        result = judge_model(chosen.found.pairs, how, chosen.collection)
    summary = summarise_stability(result.cases)
    facts = chosen.facts(result.facts)
    title = trn(
        "{result}: {samples} noises, {count} case",
        "{result}: {samples} noises, {count} cases",
        len(result.cases),
    ).format(result=result.title, samples=samples, count=len(result.cases))
    content = write_stability(output, result.cases, summary, result.names, facts, title)
    if as_json:
        typer.echo(json.dumps(content))
        return
    screen = Console()
    for table in _tables(summary, result.names, title):
        screen.print(table)
    notes = {case.name: list(case.notes) for case in result.cases}
    print_notes(console, chosen.found.skipped, notes, result.remarks)
    console.print(
        tr("wrote {output}").format(output=escape(str(output))), highlight=False, soft_wrap=True
    )


def _tables(summary: StabilitySummary, names: Mapping[int, str], title: str) -> tuple[Table, Table]:
    """One row per structure, and a table for all structures together."""
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD)
    table.add_column(tr("Structure"), no_wrap=True)
    for heading in ("Dice", tr("± SD"), tr("Span"), tr("Of mean"), tr("Pairs"), tr("Rank")):
        table.add_column(heading, justify="right", no_wrap=True)
    for item in summary.structures:
        table.add_row(
            escape(names[item.label]),
            *_spread(item.dice),
            _number(item.pairwise, 3),
            _number(item.rank, 2),
        )
    table.add_section()
    table.add_row(
        "[bold]mean[/]",
        *_spread(summary.dice),
        _number(summary.pairwise, 3),
        _number(summary.rank, 2),
    )
    facts = Table(box=None, show_header=False)
    facts.add_row("Dice", tr("of the data set with one noise: mean and spread over the noises"))
    facts.add_row(tr("Of mean"), tr("Dice of the mean of all samples"))
    facts.add_row(
        tr("Pairs"), tr("mean Dice of two samples of a case; 1 if the noise makes no difference")
    )
    facts.add_row(tr("Rank"), tr("Spearman's correlation of how unsure a slice is with its Dice"))
    facts.add_row(tr("Rank, all structures"), _number(summary.rank_pooled, 2))
    facts.add_row(
        tr("Dice of a slice"),
        tr("{slice_dice}; of those proposed for review {named_dice}").format(
            slice_dice=_number(summary.slice_dice, 3), named_dice=_number(summary.named_dice, 3)
        ),
    )
    for name, value in summary.similarity.items():
        unit = tr(" dB") if name == "psnr_db" else ""
        facts.add_row(
            tr("{measure} of two samples").format(measure=_MEASURES[name]), f"{value:.3f}{unit}"
        )
    return table, facts


def _spread(spread: Spread | None) -> list[str]:
    if spread is None:
        return ["–"] * 4
    return [
        f"[bold]{spread.mean:.3f}[/]",
        f"{spread.deviation:.4f}",
        f"{spread.span:.4f}",
        f"{spread.of_mean:.3f}",
    ]


def _number(value: float | None, places: int) -> str:
    return "–" if value is None else f"{value:.{places}f}"
