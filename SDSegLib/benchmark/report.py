"""The files of a benchmark: `report.md`, `benchmark.json` and pictures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path

from ..export.atomic import atomic_write
from .figures import write_scaling_figure, write_seconds_figure, write_stages_figure
from .machine import in_cores
from .results import BASE, Benchmark, Result

REPORT, DATA = "report.md", "benchmark.json"
SECONDS, STAGES, SCALING = "seconds.png", "stages.png", "scaling.png"


def write_benchmark(folder: Path, benchmark: Benchmark) -> None:
    """Write all files into a folder; existing files with these names are replaced.

    Raises:
        OutputError: If one cannot be written.
    """
    _write_text(folder / DATA, json.dumps(_as_json(benchmark), indent=1) + "\n")
    if benchmark.results:
        write_seconds_figure(folder / SECONDS, benchmark)
    staged = [result for result in benchmark.results if result.stages]
    if staged:
        write_stages_figure(folder / STAGES, staged)
    if benchmark.scaling:
        write_scaling_figure(folder / SCALING, benchmark.scaling)
    _write_text(folder / REPORT, markdown(benchmark))


def markdown(benchmark: Benchmark) -> str:
    """The report as text."""
    machine = benchmark.machine
    parts = [
        "# Seconds from array to label map",
        f"```sh\n{benchmark.command}\n```",
        f"{machine.date}; {in_cores(machine.cores)} of {machine.processor}, {machine.system}; "
        f"networks on the {machine.device}, PyTorch {machine.torch}, float32. In the same run this "
        f"machine reached {machine.gflops:.0f} GFLOP/s, the most of several products "
        f"({machine.fastest}), and copied {machine.gigabytes:.1f} GB/s.",
        "Seconds are medians of warm runs (fastest–slowest). *Cold* is from the start of a new "
        "process, with imports and reading. *Memory* is the most over what networks and volume "
        "hold. *Floor* is what the operations, or the bytes that their operands take, need at the "
        "rates above; *share* is how much of a run that is. There is none where the run was faster "
        "than that: the machine was disturbed while its rates were measured. Where a row says so, "
        "some slices were timed and multiplied up.",
        *(_volume_part(benchmark, volume) for volume in benchmark.volumes()),
        _what_ran(benchmark),
        *_stages_part(benchmark),
        *_scaling_part(benchmark),
        *_startup_part(benchmark),
    ]
    if benchmark.notes:
        parts.append("## Left out\n\n" + "\n".join(f"- {note}" for note in benchmark.notes))
    return "\n\n".join(parts) + "\n"


def _volume_part(benchmark: Benchmark, volume: str) -> str:
    measured = benchmark.on(volume)
    slices, rows, columns = measured[0][1].shape
    base = next((result.median for row, result in measured if row.name == BASE), None)
    lines = [
        f"## {columns} × {rows} × {slices}\n",
        *_table(
            ("way", "seconds", "times compact", "cold", "memory, MB", "GFLOP", "GB", "floor, s",
             "share"),
            (
                (
                    row.title + ("" if result.factor == 1 else f" ({result.slices} of {slices})"),
                    _seconds_of(result),
                    "" if base is None else short(result.median / base),
                    short(result.cold),
                    "" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:.0f}",
                    short(result.gflop),
                    short(result.gigabytes),
                    *_floor_cells(benchmark, result),
                )
                for row, result in measured
            ),
        ),
    ]  # fmt: skip
    return "\n".join(lines)


def _floor_cells(benchmark: Benchmark, result: Result) -> tuple[str, str]:
    """Floor and share; empty where there is no share."""
    floor = result.floor(benchmark.machine.gflops, benchmark.machine.gigabytes)
    share = result.share_of(floor)
    return ("", "") if share is None else (short(floor), f"{100 * share:.0f} %")


def _seconds_of(result: Result) -> str:
    if len(result.seconds) == 1:
        return short(result.median)
    return f"{short(result.median)} ({short(min(result.seconds))}–{short(max(result.seconds))})"


def _what_ran(benchmark: Benchmark) -> str:
    ran = {result.row for result in benchmark.results}
    lines = [f"- **{row.title}**: {row.what}" for row in benchmark.rows if row.name in ran]
    return f"![seconds]({SECONDS})\n\n## What ran\n\n" + "\n".join(lines)


def _stages_part(benchmark: Benchmark) -> list[str]:
    staged = [result for result in benchmark.results if result.stages]
    if not staged:
        return []
    names = list(dict.fromkeys(name for result in staged for name in result.stages))
    table = _table(
        ("stage, seconds", *(result.volume for result in staged)),
        ([name, *(_given(result.stages.get(name)) for result in staged)] for name in names),
    )
    return ["## Stages of the compact form\n\n" + "\n".join(table), f"![stages]({STAGES})"]


def _scaling_part(benchmark: Benchmark) -> list[str]:
    if not benchmark.scaling:
        return []
    table = _table(
        ("slices of 512 × 512", "seconds", "seconds a slice", "memory, MB"),
        (
            (
                str(result.shape[0]),
                short(result.median),
                short(result.median / result.shape[0]),
                "" if result.peak_bytes is None else f"{result.peak_bytes / 1e6:.0f}",
            )
            for result in benchmark.scaling
        ),
    )
    return ["## More and more slices\n\n" + "\n".join(table), f"![scaling]({SCALING})"]


def _startup_part(benchmark: Benchmark) -> list[str]:
    parts = []
    for title, seconds in (("Start", benchmark.startup), ("A new worker", benchmark.worker)):
        if seconds:
            rows = [(name, f"{value:.2f}") for name, value in seconds.items()]
            if title == "A new worker":
                rows.append(("together", f"{sum(seconds.values()):.2f}"))
            parts.append(f"## {title}\n\n" + "\n".join(_table(("", "seconds"), rows)))
    return parts


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def short(value: float) -> str:
    """Three digits: "0.0123", "1.23", "12.3", "1234"."""
    if value >= 100:
        return f"{value:.0f}"
    if value >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if value >= 1 else f"{value:.3g}"


def _given(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _as_json(benchmark: Benchmark) -> dict[str, object]:
    return {
        "machine": asdict(benchmark.machine),
        "command": benchmark.command,
        "rows": {row.name: {"title": row.title, "what": row.what} for row in benchmark.rows},
        "results": [asdict(result) for result in benchmark.results],
        "scaling": [asdict(result) for result in benchmark.scaling],
        "startup": benchmark.startup,
        "worker": benchmark.worker,
        "notes": list(benchmark.notes),
    }


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text(text, encoding="utf-8")
