"""What a run gave, for the page: figures, pictures of the worst cases, and what to do next."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..language import tr
from ..review.formatting import seconds_text
from ..teaching.options import TeachResult
from ..untrusted import read_json

_SUMMARY = "summary.json"


@dataclass(frozen=True)
class Pictures:
    """Pictures of the worst left-out cases; only this session is told their keys.

    Attributes:
        files: By their keys, the worst first.
    """

    files: dict[str, Path]

    @classmethod
    def of(cls, report: Path | None) -> Pictures:
        """The pictures in the folder of a report; none if it has none."""
        try:
            summary: Any = {} if report is None else read_json(report / _SUMMARY)
        except (OSError, ValueError):
            summary = {}
        names = summary.get("worst", []) if isinstance(summary, dict) else []
        paths = [] if report is None else [report / str(name) for name in names]
        inside = [path for path in paths if path.is_file() and report in path.parents]
        return cls({secrets.token_hex(8): path for path in inside})


def described(result: TeachResult, title: str, pictures: Pictures) -> dict[str, Any]:
    """The result as the page draws it.

    Args:
        result: Of a run.
        title: Of the new model.
        pictures: Of its report.
    """
    names = dict.fromkeys(score.structure for score in result.scores)
    worst = min(result.scores, key=lambda score: score.after, default=None)
    return {
        "model": "" if result.model is None else result.model.name,
        "title": title,
        "folder": "" if result.model is None else str(result.model),
        "cases": result.cases,
        "patients": result.patients,
        "time": seconds_text(result.seconds),
        "rows": [
            {
                "name": name,
                "count": sum(score.structure == name for score in result.scores),
                **_figures(*result.mean(name)),
            }
            for name in names
        ],
        "mean": _figures(*result.mean()),
        "worst": ""
        if worst is None
        else tr("{structure} of {case}, {after:.3f}").format(
            structure=worst.structure, case=worst.case, after=worst.after
        ),
        "pictures": [f"/teach/picture/{key}" for key in pictures.files],
        "remarks": list(result.remarks),
        "next": result.next_case or "",
    }


def _figures(before: float | None, after: float | None) -> dict[str, Any]:
    return {
        "before": "" if before is None else f"{before:.3f}",
        "after": "" if after is None else f"{after:.3f}",
        "better": before is not None and after is not None and after > before,
        "worse": before is not None and after is not None and after < before,
    }
