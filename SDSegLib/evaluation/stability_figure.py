"""The figure of a stability run: spread of Dice, agreement of samples, and unsure slices."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..export.figures import new_figure, save_figure
from .stability import CaseStability
from .stability_summary import StabilitySummary

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, ORANGE, GREY = "#0072b2", "#e69f00", "#555555"


def write_stability_figure(
    path: Path,
    cases: Sequence[CaseStability],
    summary: StabilitySummary,
    names: Mapping[int, str],
    title: str,
) -> None:
    """Write a PNG with three panels.

    Left: mean Dice of the data set with each noise, by structure. Middle: mean Dice of pairs of
    samples of each case. Right: score and Dice of each slice.

    Raises:
        OutputError: If it cannot be written.
    """
    figure = new_figure((15.0, 5.0))
    spread, agreement, slices = figure.subplots(1, 3)
    _draw_spread(spread, summary, names)
    _draw_agreement(agreement, cases, names)
    _draw_slices(slices, cases, summary)
    for axes in (spread, agreement, slices):
        axes.grid(axis="y", alpha=0.3)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=11, ha="left", x=0.01)
    save_figure(figure, path)


def _draw_spread(axes: Axes, summary: StabilitySummary, names: Mapping[int, str]) -> None:
    rows = [(names[item.label], item.dice) for item in summary.structures]
    rows.append(("mean", summary.dice))
    for place, (_, dice) in enumerate(rows):
        if dice is None:
            continue
        axes.scatter([place] * len(dice.values), dice.values, s=14, color=BLUE, alpha=0.6)
        axes.scatter([place], [dice.of_mean], s=60, marker="_", color=ORANGE, linewidths=2)
    axes.scatter([], [], s=14, color=BLUE, label="one noise")
    axes.scatter([], [], s=60, marker="_", color=ORANGE, linewidths=2, label="mean of all")
    axes.legend(fontsize=8, frameon=False, loc="lower left")
    _names_below(axes, [name for name, _ in rows])
    axes.set_ylabel("mean Dice of the data set")
    axes.set_title("Spread over noises", fontsize=10, loc="left")


def _draw_agreement(axes: Axes, cases: Sequence[CaseStability], names: Mapping[int, str]) -> None:
    generator = np.random.default_rng(0)
    for place, label in enumerate(names):
        values = np.array([case.pairwise[label] for case in cases if label in case.pairwise])
        if len(values):
            beside = place + generator.uniform(-0.17, 0.17, len(values))
            axes.scatter(beside, values, s=12, color=BLUE, alpha=0.6, linewidths=0)
            axes.plot([place - 0.3, place + 0.3], [values.mean()] * 2, color=GREY)
    _names_below(axes, list(names.values()))
    axes.set_ylim(top=1.005)
    axes.set_ylabel("mean Dice of pairs of samples")
    axes.set_title("Agreement of the samples of a case", fontsize=10, loc="left")


def _draw_slices(axes: Axes, cases: Sequence[CaseStability], summary: StabilitySummary) -> None:
    for named, color, label in (
        (False, BLUE, "slice"),
        (True, ORANGE, "slice to look at"),
    ):
        chosen = [item for case in cases for item in case.slices if item.named == named]
        axes.scatter(
            [item.score for item in chosen],
            [item.dice for item in chosen],
            s=8,
            color=color,
            alpha=0.4,
            linewidths=0,
            label=label,
        )
    axes.legend(fontsize=8, frameon=False, loc="upper right", markerscale=2)
    axes.set_xlabel("how unsure (score)")
    axes.set_ylabel("Dice of the slice")
    rank = "–" if summary.rank is None else f"{summary.rank:.2f}"
    axes.set_title(f"Unsure slices; rank correlation {rank}", fontsize=10, loc="left")


def _names_below(axes: Axes, names: list[str]) -> None:
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", fontsize=8)
    axes.set_xlim(-0.6, len(names) - 0.4)
