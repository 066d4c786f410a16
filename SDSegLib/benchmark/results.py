"""What a benchmark consists of: its rows, the result of each on a volume, and all of one run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..volume.volume import Volume
from .machine import Machine

BASE = "compact"
"""Name of the row that the others are compared with."""


class Method(Protocol):
    """Networks in memory, ready to segment."""

    def segment(self, volume: Volume) -> np.ndarray:
        """uint8 label map on the volume's grid."""
        ...


@dataclass(frozen=True)
class Row:
    """One method of segmentation, which is a row of the report.

    Attributes:
        name: For the command line.
        title: Name for display.
        what: What exactly runs, in a sentence.
        prepare: Builds the networks on a device ("cpu" or "cuda"); heavy packages are imported
            here and not earlier.
        packages: Modules that must be installed beside the project's own.
        slices: A method that goes slice by slice and is too slow for a whole volume is timed on so
            many slices of its middle and its seconds are multiplied; None to time all.
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
        row: Its name.
        volume: Name of the volume.
        shape: Of the volume, (k, j, i).
        slices: That were timed; all seconds, operations and bytes are multiplied up to the whole.
        cold: Seconds from the start of a new process until the first label map, with imports,
            networks and reading.
        seconds: Of each warm run, from array to label map.
        peak_bytes: Most memory during a run, over what networks and volume hold; None if unknown.
        gflop: Operations of a run, 10⁹; a multiply and an add are two.
        gigabytes: That products of a run read and write, each operand once, 10⁹ bytes.
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
        """By which a run of `slices` was multiplied."""
        return self.shape[0] / self.slices

    @property
    def median(self) -> float:
        ordered = sorted(self.seconds)
        half = len(ordered) // 2
        return ordered[half] if len(ordered) % 2 else (ordered[half - 1] + ordered[half]) / 2

    def floor(self, gflops: float, gigabytes: float) -> float:
        """Seconds that the operations or the bytes alone would take on a machine."""
        return max(self.gflop / gflops, self.gigabytes / gigabytes)


@dataclass(frozen=True)
class Benchmark:
    """Everything that one run of the command measured.

    Attributes:
        machine: The computer.
        command: The command line of the run.
        rows: In the order of the report.
        results: One for each row and volume that worked.
        scaling: Of the compact form, with more and more slices.
        startup: Seconds until each of several commands can start its work.
        worker: Seconds of each step of a worker until its first batch.
        notes: What failed or was left out, one sentence each.
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
