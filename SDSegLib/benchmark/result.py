"""What was measured, in a form that goes through JSON."""

from __future__ import annotations

from dataclasses import dataclass, field


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
        stages: Seconds by stage, if the row tells.
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
