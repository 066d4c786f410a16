"""What the user should know of a volume."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "reader",
    "modality",
    "hu-offset",
    "range",
    "not-finite",
    "few-slices",
    "coarse-spacing",
    "small-field",
    "coverage",
]


@dataclass(frozen=True)
class Finding:
    """Something the user should know before trusting a segmentation of this volume.

    Attributes:
        kind: What it is about.
        message: One or two sentences with the numbers and the way out.
    """

    kind: Kind
    message: str
