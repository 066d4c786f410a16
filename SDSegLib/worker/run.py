"""One run as the client's threads see it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..errors import SDSegError
from ..volume.finding import Finding
from ..volume.geometry import Geometry
from ..volume.segmentation import Segmentation
from ..volume.structure import Structure
from .outcome import Outcome
from .request import Request
from .run_memory import RunMemory
from .wire import region_from_json


@dataclass
class Run:
    """A request on its way through the worker.

    Attributes:
        number: Counts the client's runs; messages carry it.
        request: What was asked; let go once the volume is copied.
        geometry: The volume's grid.
        order: The "load" message's entries.
        cancelled: Set by the owner's thread at once, so that copying stops.
        started: When it was asked for.
        memory: Shared memory, while there is some.
        is_reused: Whether it was given to a child that was there before.
        patience: Seconds of silence allowed until the child says something about it.
        is_known: Whether the child has said anything about it.
        is_begun: Whether the child works on the volume.
        is_warm: Whether the child had the model loaded.
        kill_at: When to kill the child if it does not stop.
        load_seconds: For packages and model.
    """

    number: int
    request: Request | None
    geometry: Geometry
    order: dict[str, Any]
    cancelled: threading.Event = field(default_factory=threading.Event)
    started: float = field(default_factory=time.monotonic)
    memory: RunMemory | None = None
    is_reused: bool = False
    patience: float = 0.0
    is_known: bool = False
    is_begun: bool = False
    is_warm: bool = False
    kill_at: float | None = None
    load_seconds: float = 0.0

    def free(self) -> None:
        """Give back the shared memory."""
        if self.memory is not None:
            self.memory.free()
            self.memory = None


def take_result(run: Run, message: dict[str, Any]) -> tuple[Segmentation, Outcome]:
    """Copy the result of a "result" message out of shared memory.

    Raises:
        MemoryError: If there is no room for it.
    """
    if run.memory is None:
        raise SDSegError("The shared memory of the run is gone; try again.")
    instability: np.ndarray | None = None
    if message["has_instability"]:
        instability = run.memory.take("instability")
    result = Segmentation(
        label_map=run.memory.take("label_map"),
        geometry=run.geometry,
        structures=tuple(Structure.from_json(item) for item in message["structures"]),
        model=message["model"],
        instability=instability,
        samples=message["samples"],
        region=region_from_json(message["region"]),
    )
    outcome = Outcome(
        seconds=time.monotonic() - run.started,
        load_seconds=run.load_seconds,
        compute_seconds=message["seconds"],
        device=message["device"],
        warm=run.is_warm,
        model=message["model"],
        findings=tuple(Finding(item["kind"], item["message"]) for item in message["findings"]),
        messages=tuple(message["messages"]),
    )
    return result, outcome
