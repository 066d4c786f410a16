"""Data of a benchmark: its rows, the result of each on a volume, and all results of a run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..volume.volume import Volume
from .machine import Machine

BASE = "compact"
"""Name of the row with which the others are compared."""


class Method(Protocol):
    """Networks in memory, ready to segment."""

    def segment(self, volume: Volume) -> np.ndarray:
        """uint8 label map on the volume's grid."""
        ...


@dataclass(frozen=True)
class Row:
    """One segmentation method; a row of the report.

    Attributes:
        name: For the command line.
        title: Name for display.
        what: Exact description of the computation, in a sentence.
        prepare: Builds the networks on a device ("cpu" or "cuda"); heavy packages are imported
            here and not earlier.
        packages: Modules that must be installed besides the project's own.
        slices: Number of central slices to time, from which the time of the whole volume is
            extrapolated, for a slow slice-by-slice method; None to time all slices.
    """

    name: str
    title: str
    what: str
    prepare: Callable[[str], Method]
    packages: tuple[str, ...] = ()
    slices: int | None = None


@dataclass(frozen=True)
class Result:
    """One row on one volume.

    Attributes:
        row: Name of the row.
        volume: Name of the volume.
        shape: Shape of the volume, (k, j, i).
        slices: Number of timed slices; seconds, operations and bytes are extrapolated to the whole.
        cold: Seconds from the start of a new process until the first label map, with imports,
            networks and reading.
        seconds: Seconds of each warm run, from array to label map.
        peak_bytes: Peak memory of a run in addition to networks and volume; None if unknown.
        gflop: Operations of a run, 10⁹; a multiply and an add are two.
        gigabytes: Data read and written by the products of a run, each operand once, 10⁹ bytes.
        stages: Seconds by stage; empty for rows that do not measure them.
    """

    row: str
    volume: str
    shape: tuple[int, int, int]
    slices: int
    cold: float
    seconds: tuple[float, ...]
    peak_bytes: int | None
    gflop: float
    gigabytes: float
    stages: dict[str, float] = field(default_factory=dict)

    @property
    def factor(self) -> float:
        """Factor from the timed `slices` to the whole volume."""
        return self.shape[0] / self.slices

    @property
    def median(self) -> float:
        ordered = sorted(self.seconds)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    def floor(self, gflops: float, gigabytes: float) -> float:
        """Lower limit of the seconds on a machine, from the operations or the bytes alone."""
        return max(self.gflop / gflops, self.gigabytes / gigabytes)

    def share_of(self, floor: float) -> float | None:
        """Share of a run that the lower limit is; None if the run was faster than the limit.

        That shows that the machine's rates were measured while other programs disturbed it.
        """
        return None if floor > self.median else floor / self.median


@dataclass(frozen=True)
class Benchmark:
    """All results of one run of the command.

    Attributes:
        machine: The computer.
        command: The command line of the run.
        rows: Rows in the order of the report.
        results: One for each successful measurement of a row on a volume.
        scaling: Results of the compact form for increasing numbers of slices.
        startup: Start-up time of several commands in seconds.
        worker: Seconds of each step of a worker until its first batch.
        notes: Failed or skipped measurements, one sentence each.
    """

    machine: Machine
    command: str
    rows: tuple[Row, ...]
    results: tuple[Result, ...] = ()
    scaling: tuple[Result, ...] = ()
    startup: dict[str, float] = field(default_factory=dict)
    worker: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def volumes(self) -> list[str]:
        """Names of the volumes, in order."""
        return list(dict.fromkeys(result.volume for result in self.results))

    def on(self, volume: str) -> list[tuple[Row, Result]]:
        """Rows that were measured on a volume."""
        found = {result.row: result for result in self.results if result.volume == volume}
        return [(row, found[row.name]) for row in self.rows if row.name in found]
