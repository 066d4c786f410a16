"""Measure one row on one volume, in a separate process: `python -m SDSegLib.benchmark.measure`.

The task is read from standard input and the result written to standard output, both as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TypeVar

from ..volume.volume import Volume
from .counters import peak_memory, reset_peak_memory, resident_memory
from .results import Method, Result, Row
from .volumes import middle

Value = TypeVar("Value")

MOST_RUNS = 9


@dataclass(frozen=True)
class MeasurementTask:
    """One measurement.

    Attributes:
        row: Name of the row.
        volume: Name of the volume.
        file: File of the volume.
        device: "cpu" or "cuda".
        seconds: Time after which no further warm run is started.
        begun: Start of the process, in seconds since the epoch.
    """

    row: str
    volume: str
    file: str
    device: str
    seconds: float
    begun: float


def main() -> None:
    """Measure the task read from standard input."""
    from .rows.catalogue import find_rows

    task = MeasurementTask(**json.load(sys.stdin))
    (row,) = find_rows(task.row)
    result = measure(task, row)
    json.dump(asdict(result), sys.stdout)


def measure(task: MeasurementTask, row: Row) -> Result:
    """Measure the cold run with its operations, memory, warm runs and stages."""
    from ..reading.files import read_volume

    reading, whole = _timed(lambda: read_volume(Path(task.file)), task.device)
    slices = len(whole.array) if row.slices is None else min(row.slices, len(whole.array))
    volume = whole if row.slices is None else middle(whole, slices)
    method = row.prepare(task.device)
    loaded = time.time() - task.begun
    held = resident_memory()
    is_reset = reset_peak_memory()
    first, (gflop, gigabytes) = _timed(lambda: _counted(method, volume), task.device)
    highest = peak_memory()
    warm = _warm_runs(method, volume, task)
    factor = len(whole.array) / slices
    return Result(
        row=task.row,
        volume=task.volume,
        shape=whole.geometry.shape,
        slices=slices,
        cold=loaded + first * factor,
        seconds=tuple(seconds * factor for seconds in warm),
        peak_bytes=highest - held if is_reset and highest and held else None,
        gflop=gflop * factor,
        gigabytes=gigabytes * factor,
        stages=_stages(method, volume, reading) if row.slices is None else {},
    )


def _counted(method: Method, volume: Volume) -> tuple[float, float]:
    from .counters import counted

    return counted(lambda: method.segment(volume))


def _stages(method: Method, volume: Volume, reading: float) -> dict[str, float]:
    from .rows.compact import Pipeline
    from .stages import stages_of

    if not isinstance(method, Pipeline) or method.samples > 1:
        return {}
    return {"read": reading, **stages_of(method.segmenter, volume)}


def _warm_runs(method: Method, volume: Volume, task: MeasurementTask) -> list[float]:
    runs: list[float] = []
    while not runs or (len(runs) < MOST_RUNS and sum(runs) + runs[-1] < task.seconds):
        runs.append(_run(method, volume, task.device))
    return runs


def _run(method: Method, volume: Volume, device: str) -> float:
    return _timed(lambda: method.segment(volume), device)[0]


def _timed(run: Callable[[], Value], device: str) -> tuple[float, Value]:
    started = time.perf_counter()
    result = run()
    if device == "cuda":
        import torch

        torch.cuda.synchronize()
    return time.perf_counter() - started, result


if __name__ == "__main__":
    main()
