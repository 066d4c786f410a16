"""What came of a run, as the page shows it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..mrml.instability import instability_percent
from ..mrml.prepared import PreparedLabels, prepare
from ..review.slices import slices_to_review
from ..volume.segmentation import Segmentation
from ..worker.outcome import Outcome


@dataclass(frozen=True)
class SliceToReview:
    """A slice that may be wrong.

    Attributes:
        structure: Name of the structure.
        structure_id: Its stable name.
        color: Red, green, blue, 0 … 255.
        number: Of the slice, from 1.
        instability: 0 … 1, higher is less sure.
        center_ras: Middle of the structure there, RAS mm.
        is_checked: Whether somebody has looked at it.
    """

    structure: str
    structure_id: str
    color: tuple[int, int, int]
    number: int
    instability: float
    center_ras: tuple[float, float, float]
    is_checked: bool = False


@dataclass(frozen=True)
class RunSummary:
    """A finished run.

    Attributes:
        model: Name and version.
        device: Where it was computed and why.
        seconds: From the click to the result.
        samples: Noises that were averaged.
        notes: What the user should know.
        slices: What to look at first, the worst first.
        missing: Names of structures that were looked for and not found.
        kept: Names of structures that stayed as somebody edited them.
    """

    model: str
    device: str
    seconds: float
    samples: int
    notes: tuple[str, ...] = ()
    slices: tuple[SliceToReview, ...] = ()
    missing: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()

    def with_checked(self, index: int, is_checked: bool) -> RunSummary:
        """The same with one slice ticked off, or not."""
        slices = list(self.slices)
        slices[index] = replace(slices[index], is_checked=is_checked)
        return replace(self, slices=tuple(slices))


@dataclass(frozen=True, eq=False)
class Measured:
    """A result with all that can be found out about it beside the page.

    Attributes:
        segmentation: The result.
        summary: For people.
        prepared: For writing it into the scene.
        percent: Its instability as 0 … 100, with several samples.
    """

    segmentation: Segmentation
    summary: RunSummary
    prepared: PreparedLabels
    percent: np.ndarray | None


def measure(segmentation: Segmentation, outcome: Outcome) -> Measured:
    """Look at all voxels of a result; touches no MRML."""
    is_measured = segmentation.instability is not None
    volumes = segmentation.volumes_ml()
    summary = RunSummary(
        model=outcome.model,
        device=outcome.device,
        seconds=outcome.seconds,
        samples=segmentation.samples,
        notes=(*(finding.message for finding in outcome.findings), *outcome.messages),
        slices=tuple(
            SliceToReview(
                structure=item.structure.name,
                structure_id=item.structure.id,
                color=item.structure.color,
                number=item.index + 1,
                instability=item.score,
                center_ras=item.center_ras,
            )
            for item in (slices_to_review(segmentation) if is_measured else [])
        ),
        missing=tuple(name for name, volume in volumes.items() if volume == 0),
    )
    percent = instability_percent(segmentation) if is_measured else None
    return Measured(segmentation, summary, prepare(segmentation), percent)
