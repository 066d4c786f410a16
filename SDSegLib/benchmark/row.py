"""What a row of the benchmark is: one way from a CT to a label map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ..volume.volume import Volume


class Method(Protocol):
    """Networks in memory, ready to segment."""

    def segment(self, volume: Volume) -> np.ndarray:
        """uint8 label map on the volume's grid."""
        ...


@dataclass(frozen=True)
class Row:
    """One line of the report.

    Attributes:
        name: For the command line.
        title: For people.
        what: What exactly runs, in a sentence.
        prepare: Builds the networks on a device ("cpu" or "cuda") and leaves heavy imports to this
            moment.
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
