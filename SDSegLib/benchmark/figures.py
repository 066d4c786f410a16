"""Pictures of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..export.figures import new_figure, save_figure
from .findings import Benchmark
from .result import Result

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BLUE, GREY, ORANGE = "#0072b2", "#999999", "#e69f00"
_COLORS = (
    "#56b4e9", "#cccccc", "#0072b2", "#009e73", "#e69f00", "#cc79a7", "#999999", "#d55e00",
    "#f0e442",
)  # fmt: skip


def write_seconds_figure(path: Path, benchmark: Benchmark) -> None:
    """Bars of seconds by row, one panel for each volume, on a logarithmic scale."""
    volumes = benchmark.volumes()
    most = max(len(benchmark.on(volume)) for volume in volumes)
    figure = new_figure((6.0 * len(volumes), 1.2 + 0.45 * most))
    panels = figure.subplots(1, len(volumes), squeeze=False)[0]
    for axes, volume in zip(panels, volumes, strict=True):
        measured = benchmark.on(volume)[::-1]
        seconds = [result.median for _, result in measured]
        colors = [BLUE if row.name.startswith("compact") else GREY for row, _ in measured]
        axes.barh([row.title for row, _ in measured], seconds, color=colors)
        for place, value in enumerate(seconds):
            axes.text(value * 1.1, place, f"{value:.3g} s", va="center", fontsize=8)
        axes.set_xscale("log")
        axes.set_xlim(right=max(seconds) * 6)
        slices, rows, columns = measured[0][1].shape
        axes.set_title(f"{columns} × {rows} × {slices}", fontsize=10, loc="left")
        axes.set_xlabel("seconds")
        _plain(axes)
    save_figure(figure, path)


def write_stages_figure(path: Path, results: Sequence[Result]) -> None:
    """One bar for each volume, divided by stage, in percent."""
    figure = new_figure((8.0, 1.4 + 0.5 * len(results)))
    axes = figure.subplots()
    names = list(dict.fromkeys(name for result in results for name in result.stages))
    left = np.zeros(len(results))
    totals = np.array([sum(result.stages.values()) for result in results])
    for name, color in zip(names, _COLORS, strict=False):
        share = 100 * np.array([result.stages.get(name, 0.0) for result in results]) / totals
        axes.barh([result.volume for result in results], share, left=left, color=color, label=name)
        left += share
    axes.invert_yaxis()
    axes.set_xlabel("percent of the time from file to file and node")
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


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(labelsize=8)
