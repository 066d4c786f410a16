"""The states of a client and what there is to say about a finished run."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from ..volume.finding import Finding


class State(Enum):
    """Where a client is. All but STARTING and RUNNING are ready for the next run."""

    IDLE = "idle"
    STARTING = "starting"
    RUNNING = "running"
    DONE = "done"
    CANCELLED = "cancelled"
    FAILED = "failed"

    @property
    def is_busy(self) -> bool:
        return self in (State.STARTING, State.RUNNING)


@dataclass(frozen=True)
class Outcome:
    """How a run went, beside its segmentation.

    Attributes:
        seconds: From `start` to the result in hand.
        load_seconds: Of these, for loading PyTorch and the model; 0 when the worker was warm.
        compute_seconds: Of these, for checking and segmenting the volume.
        device: Where it was computed and why, for example "cpu: asked for".
        warm: Whether the model was loaded already when the run came.
        model: Name and version.
        findings: What the user should know of the volume.
        messages: What happened on the way, for example that memory ran short.
    """

    seconds: float
    load_seconds: float
    compute_seconds: float
    device: str
    warm: bool
    model: str
    findings: tuple[Finding, ...] = ()
    messages: tuple[str, ...] = ()
