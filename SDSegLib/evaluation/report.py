"""The files of an evaluation: `metrics.csv`, `summary.json`, `dice.png` and `worst/*.png`."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from typing import Any

from ..errors import OutputError
from ..export.atomic import atomic_write, check_output
from .pictures import write_dice_figure, write_snapshot
from .run import Evaluation
from .scores import StructureScore
from .summary import DRAWS, LEVEL, SEED, Summary

METRICS_FILE = "metrics.csv"
SUMMARY_FILE = "summary.json"
FIGURE_FILE = "dice.png"
WORST_FOLDER = "worst"
DIGITS = 6


def prepare_output(folder: Path, overwrite: bool = False) -> None:
    """Find out before the work whether results can be written; creates the folder.

    Raises:
        OutputError: If it holds something (without `overwrite`) or cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        used = any(folder.iterdir())
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"The folder {folder} cannot be used for results ({reason}); choose another."
        ) from error
    if used and not overwrite:
        raise OutputError(
            f"The folder {folder} is not empty; choose another, or use --overwrite to replace an "
            "evaluation in it."
        )
    check_output(folder / SUMMARY_FILE, overwrite)


def write_results(
    folder: Path,
    evaluation: Evaluation,
    summary: Summary,
    names: Mapping[int, str],
    facts: Mapping[str, Any],
    title: str,
) -> dict[str, Any]:
    """Write all files of an evaluation into a prepared folder; older ones of its kind go.

    Args:
        folder: Where.
        evaluation: Scores and pictures.
        summary: Of the scores.
        names: Name of each label.
        facts: What was evaluated and how, for the beginning of `summary.json`.
        title: Heading of the figure.

    Returns:
        The content of `summary.json`.

    Raises:
        OutputError: If a file cannot be written.
    """
    # The summary goes first and comes last: where it is, the other files belong to it.
    try:
        _remove_old(folder)
        if evaluation.snapshots:
            (folder / WORST_FOLDER).mkdir(exist_ok=True)
    except OSError as error:
        reason = error.strerror or error
        raise OutputError(
            f"The older evaluation in {folder} cannot be replaced ({reason}); close the programs "
            "that use it, or choose another folder."
        ) from error
    write_metrics(folder / METRICS_FILE, evaluation, names)
    write_dice_figure(evaluation.scores, names, folder / FIGURE_FILE, title)
    pictures = _write_pictures(folder, evaluation)
    content = {
        **facts,
        "bootstrap": {"over": "cases", "draws": DRAWS, "seed": SEED, "level": LEVEL},
        "cases": len(evaluation.scores),
        **_summary_json(summary, names),
        "notes": evaluation.notes,
        "worst": pictures,
    }
    text = json.dumps(content, indent=2, ensure_ascii=False)
    with atomic_write(folder / SUMMARY_FILE, overwrite=True) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return content


def write_metrics(path: Path, evaluation: Evaluation, names: Mapping[int, str]) -> None:
    """Write one row per case and structure; what cannot be said is left empty."""
    columns = [item.name for item in fields(StructureScore)]
    with (
        atomic_write(path, overwrite=True) as temporary,
        temporary.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(["case", "structure", *columns])
        for case, scores in evaluation.scores.items():
            for score in scores:
                values = [_cell(getattr(score, column)) for column in columns]
                writer.writerow([case, names[score.label], *values])


def _remove_old(folder: Path) -> None:
    old = [folder / name for name in (SUMMARY_FILE, METRICS_FILE, FIGURE_FILE)]
    for path in old + sorted((folder / WORST_FOLDER).glob("[0-9][0-9]_*.png")):
        with suppress(FileNotFoundError):
            path.unlink()


def _write_pictures(folder: Path, evaluation: Evaluation) -> list[str]:
    written = []
    for number, snapshot in enumerate(evaluation.snapshots, start=1):
        name = f"{number:02d}_{_plain(snapshot.case)}_{_plain(snapshot.structure)}.png"
        write_snapshot(snapshot, folder / WORST_FOLDER / name)
        written.append(f"{WORST_FOLDER}/{name}")
    return written


def _summary_json(summary: Summary, names: Mapping[int, str]) -> dict[str, Any]:
    content: dict[str, Any] = rounded(summary.to_json())
    structures = [{"name": names[item["label"]], **item} for item in content["structures"]]
    return {
        "overall": content["overall"],
        "structures": structures,
        "per_case": content["per_case"],
    }


def rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item) for item in value]
    return value


def _cell(value: float | str | None) -> str:
    if value is None:
        return ""
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else str(value)


def _plain(text: str) -> str:
    """Letters, digits and hyphens only, for a file's name."""
    return "-".join("".join(c if c.isalnum() else " " for c in text).split())[:60]
