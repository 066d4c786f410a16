"""Everything that one run of the benchmark found."""

from __future__ import annotations

from dataclasses import dataclass, field

from .machine import Machine
from .result import Result
from .row import Row

BASE = "compact"
"""Name of the row that the others are compared with."""


@dataclass(frozen=True)
class Benchmark:
    """Everything that one run of the command measured.

    Attributes:
        machine: On which.
        command: That measured it.
        rows: In the order of the report.
        results: One for each row and volume that worked.
        scaling: Of the compact form, with more and more slices.
        startup: Seconds by what one waits for.
        worker: Seconds by what a worker does until its first batch.
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
