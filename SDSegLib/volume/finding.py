"""Findings about an image or a result for the user, and how a program has to react."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, get_args

Kind = Literal[
    "geometry",
    "empty",
    "constant",
    "not-numbers",
    "not-finite",
    "reader",
    "modality",
    "hu-offset",
    "range",
    "coverage",
    "few-slices",
    "coarse-spacing",
    "small-field",
    "result",
    "region",
    "quality",
]
Severity = Literal["refuse", "ask", "tell"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)


@dataclass(frozen=True)
class Finding:
    """Something about an image or a result that the user should know.

    Attributes:
        kind: What it is about.
        message: One or two sentences with the numbers and what to do.
        severity: "refuse": the image cannot be segmented. "ask": the result would probably be
            useless, so a person has to confirm first. "tell": show it.
    """

    kind: Kind
    message: str
    severity: Severity = "tell"

    def to_json(self) -> dict[str, str]:
        """Plain values for messages and files."""
        return {"kind": self.kind, "severity": self.severity, "message": self.message}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Finding:
        """Read the output of `to_json`."""
        return cls(data["kind"], str(data["message"]), data.get("severity", "tell"))


def ordered(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """The most severe first; equal ones in the order given."""
    return tuple(sorted(findings, key=lambda item: SEVERITIES.index(item.severity)))


def of_severity(findings: Iterable[Finding], severity: Severity) -> tuple[Finding, ...]:
    """The findings of one severity."""
    return tuple(item for item in findings if item.severity == severity)
