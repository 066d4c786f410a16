"""Pictures of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..export.figures import new_figure, save_figure
from .results import Benchmark, Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY, ORANGE = "#0072b2", "#999999", "#e69f00"
_COLORS = (
    "#56b4e9", "#cccccc", "#0072b2", "#009e73", "#e69f00", "#cc79a7", "#999999", "#d55e00",
    "#f0e442",
)  # fmt: skip


def write_seconds_figure(path: Path, benchmark: Benchmark) -> None:
    """Seconds of each row on each volume, as points on one logarithmic scale."""
    volumes = benchmark.volumes()
    shown = [row for row in benchmark.rows if any(row.name == r.row for r in benchmark.results)]
    figure = new_figure((9.0, 1.6 + 0.5 * len(shown)))
    axes = figure.subplots()
    places = {row.name: place for place, row in enumerate(shown)}
    step = 0.5 / max(1, len(volumes))
    for number, volume in enumerate(volumes):
        measured = benchmark.on(volume)
        slices, rows, columns = measured[0][1].shape
        heights = [
            places[row.name] + step * (number - (len(volumes) - 1) / 2) for row, _ in measured
        ]
        seconds = [result.median for _, result in measured]
        color = (BLUE, ORANGE, GREY)[number % 3]
        axes.scatter(seconds, heights, s=28, color=color, label=f"{columns} × {rows} × {slices}")
        for value, height in zip(seconds, heights, strict=True):
            axes.text(
                value * 1.15, height, shown_seconds(value), va="center", fontsize=7, color=color
            )
    axes.set_yticks(list(places.values()), [row.title for row in shown])
    axes.invert_yaxis()
    axes.set_xscale("log")
    most = max(result.median for result in benchmark.results)
    least = min(result.median for result in benchmark.results)
    axes.set_xlim(least / 2, most * 4)
    axes.set_xlabel("seconds from array to label map")
    axes.grid(axis="x", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(fontsize=8, frameon=False, ncols=3, loc="lower center", bbox_to_anchor=(0.5, 1.0))
    _plain(axes)
    save_figure(figure, path)


def shown_seconds(seconds: float) -> str:
    """ "0.31 s", "5.0 s", "53 s", "3.3 min" or "1.6 h"."""
    if seconds < 1:
        return f"{seconds:.2f} s"
    for size, unit in ((3600, "h"), (60, "min"), (1, "s")):
        if seconds >= 1.5 * size or unit == "s":
            value = seconds / size
            return f"{value:.1f} {unit}" if value < 10 else f"{value:.0f} {unit}"
    raise ValueError(f"{seconds} seconds")


def write_stages_figure(path: Path, results: Sequence[Result]) -> None:
    """One bar for each volume, divided by stage, in percent."""
    figure = new_figure((8.0, 1.4 + 0.5 * len(results)))
    axes = figure.subplots()
    names = list(dict.fromkeys(name for result in results for name in result.stages))
    left = np.zeros(len(results))
    totals = np.array([sum(result.stages.values()) for result in results])
    for name, color in zip(names, _COLORS, strict=False):
        share = 100 * np.array([result.stages.get(name, 0.0) for result in results]) / totals
        axes.barh(_sizes(results), share, left=left, color=color, label=name)
        left += share
    axes.invert_yaxis()
    axes.set_xlim(0, 100)
    axes.set_xlabel("percent of the time from file to file")
    axes.legend(fontsize=8, frameon=False, ncols=len(names), loc="lower center",
                bbox_to_anchor=(0.5, 1.0))  # fmt: skip
    _plain(axes)
    save_figure(figure, path)


def write_scaling_figure(path: Path, results: Sequence[Result]) -> None:
    """Seconds and memory against slices."""
    figure = new_figure((9.0, 3.4))
    time_axes, memory_axes = figure.subplots(1, 2)
    slices = [result.shape[0] for result in results]
    time_axes.plot(slices, [result.median for result in results], "o-", color=BLUE)
    time_axes.set_ylabel("seconds")
    known = [result for result in results if result.peak_bytes is not None]
    memory = [(result.peak_bytes or 0) / 1e9 for result in known]
    memory_axes.plot([result.shape[0] for result in known], memory, "o-", color=ORANGE)
    memory_axes.set_ylabel("GB over networks and volume")
    for axes in (time_axes, memory_axes):
        axes.set_xlabel("slices of 512 × 512")
        axes.set_xlim(left=0)
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        _plain(axes)
    save_figure(figure, path)


def _sizes(results: Sequence[Result]) -> list[str]:
    return [" × ".join(str(side) for side in result.shape[::-1]) for result in results]


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
