"""The files of a stability run: `cases.csv`, `slices.csv`, `stability.json`, `stability.png`."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..export.atomic import atomic_write
from .report import DIGITS, rounded
from .stability import CaseStability
from .stability_figure import write_stability_figure
from .stability_summary import StabilitySummary

CASES_FILE = "cases.csv"
SLICES_FILE = "slices.csv"
SUMMARY_FILE = "stability.json"
FIGURE_FILE = "stability.png"


def write_stability(
    folder: Path,
    cases: Sequence[CaseStability],
    summary: StabilitySummary,
    names: Mapping[int, str],
    facts: Mapping[str, Any],
    title: str,
) -> dict[str, Any]:
    """Write all files into a prepared folder.

    Args:
        folder: Where.
        cases: What was judged.
        summary: Of them.
        names: Name of each label.
        facts: What was judged and how, for the beginning of `stability.json`.
        title: Heading of the figure.

    Returns:
        The content of `stability.json`.

    Raises:
        OutputError: If a file cannot be written.
    """
    # The summary goes first and comes last: where it is, the other files belong to it.
    try:
        with suppress(FileNotFoundError):
            (folder / SUMMARY_FILE).unlink()
    except OSError as error:
        raise OutputError(
            f"{folder / SUMMARY_FILE} cannot be replaced ({error.strerror or error}); close the "
            "programs that use it, or choose another folder."
        ) from error
    samples = len(cases[0].of_sample)
    _write_table(
        folder / CASES_FILE,
        [
            "case",
            "structure",
            "pairwise_dice",
            "dice_of_mean",
            *(f"dice_{n}" for n in range(samples)),
        ],
        _case_rows(cases, names),
    )
    _write_table(
        folder / SLICES_FILE,
        ["case", "structure", "slice", "score", "dice", "named"],
        (
            [case.name, names[item.label], item.index, item.score, item.dice, int(item.named)]
            for case in cases
            for item in case.slices
        ),
    )
    write_stability_figure(folder / FIGURE_FILE, cases, summary, names, title)
    content = {
        **facts,
        "samples": samples,
        "cases": len(cases),
        **rounded(_summary_json(summary, names)),
        "notes": {case.name: list(case.notes) for case in cases if case.notes},
    }
    with atomic_write(folder / SUMMARY_FILE, overwrite=True) as temporary:
        text = json.dumps(content, indent=2, ensure_ascii=False)
        temporary.write_text(text + "\n", encoding="utf-8")
    return content


def _case_rows(
    cases: Sequence[CaseStability], names: Mapping[int, str]
) -> Iterable[list[str | float | None]]:
    for case in cases:
        for column, score in enumerate(case.of_mean):
            each = [sample[column].dice for sample in case.of_sample]
            pairwise = case.pairwise.get(score.label)
            yield [case.name, names[score.label], pairwise, score.dice, *each]


def _summary_json(summary: StabilitySummary, names: Mapping[int, str]) -> dict[str, Any]:
    content = asdict(summary)
    for name in ("dice", "iou"):
        spread = getattr(summary, name)
        if spread is not None:
            content[name]["span"] = spread.span
    content["structures"] = [
        {"name": names[item["label"]], **item} for item in content["structures"]
    ]
    return content


def _write_table(path: Path, header: list[str], rows: Iterable[Sequence[Any]]) -> None:
    with (
        atomic_write(path, overwrite=True) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows([_cell(value) for value in row] for row in rows)


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value
