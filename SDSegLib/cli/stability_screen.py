"""The tables of `sdseg stability`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich.box import SIMPLE_HEAD
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from ..evaluation.stability_summary import Spread, StabilitySummary

_MEASURES = {"psnr_db": "PSNR", "ssim": "SSIM", "lpips": "LPIPS"}


def shown_tables(
    summary: StabilitySummary, names: Mapping[int, str], title: str
) -> tuple[Table, Table]:
    """One row per structure, and a table of what is said of all together."""
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD)
    table.add_column("Structure", no_wrap=True)
    for heading in ("Dice", "± SD", "Span", "Of mean", "Pairs", "Rank"):
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
    facts.add_row("Dice", "of the data set with one noise: mean and spread over the noises")
    facts.add_row("Of mean", "Dice of the mean of all samples")
    facts.add_row("Pairs", "mean Dice of two samples of a case; 1 if the noise makes no difference")
    facts.add_row("Rank", "Spearman's correlation of how unsure a slice is with its Dice")
    facts.add_row("Rank, all structures", _number(summary.rank_pooled, 2))
    facts.add_row(
        "Dice of a slice",
        f"{_number(summary.slice_dice, 3)}; of those to look at {_number(summary.named_dice, 3)}",
    )
    for name, value in summary.similarity.items():
        unit = " dB" if name == "psnr_db" else ""
        facts.add_row(f"{_MEASURES[name]} of two samples", f"{value:.3f}{unit}")
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
