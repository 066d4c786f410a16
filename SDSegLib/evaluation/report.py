"""The files of evaluations and of stability runs.

Evaluations write `metrics.csv`, `summary.json`, `dice.png` and `worst/*.png`; stability runs write
`cases.csv`, `slices.csv`, `stability.json` and `stability.png`. The JSON file is removed first and
written last: if it exists, the other files belong to the same run.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from ..datasets.files import plain_name
from ..errors import OutputError
from ..export.atomic import atomic_write, check_output, no_empty_folder
from ..export.csv_text import as_text
from ..language import tr
from .evaluate import Evaluation
from .figures import write_dice_figure, write_snapshot, write_stability_figure
from .scores import StructureScore
from .stability import CaseStability, StabilitySummary
from .summary import DRAWS, LEVEL, SEED, Summary

METRICS_FILE = "metrics.csv"
SUMMARY_FILE = "summary.json"
FIGURE_FILE = "dice.png"
WORST_FOLDER = "worst"
CASES_FILE = "cases.csv"
SLICES_FILE = "slices.csv"
STABILITY_FILE = "stability.json"
STABILITY_FIGURE = "stability.png"
DIGITS = 6


def prepare_output(folder: Path, overwrite: bool = False) -> None:
    """Create the folder and check before the computation that results can be written.

    Raises:
        OutputError: If it is not empty (without `overwrite`) or cannot be written to.
    """
    if _make_folder(folder) and not overwrite:
        raise OutputError(
            tr(
                "The folder {folder} is not empty; choose another, or use --overwrite to "
                "replace the results in it."
            ).format(folder=folder)
        )
    check_output(folder / SUMMARY_FILE, overwrite)


@contextmanager
def prepared_output(folder: Path, overwrite: bool = False) -> Iterator[None]:
    """`prepare_output`; if the block does not end well, no folder stays that it has created.

    Raises:
        OutputError: As there.
    """
    with no_empty_folder(folder):
        prepare_output(folder, overwrite)
        yield


def write_results(
    folder: Path,
    evaluation: Evaluation,
    summary: Summary,
    names: Mapping[int, str],
    facts: Mapping[str, Any],
    title: str,
) -> dict[str, Any]:
    """Write all files of an evaluation into a prepared folder; those of an older one are removed.

    Args:
        folder: Prepared folder.
        evaluation: Scores and pictures.
        summary: Summary of the scores.
        names: Name of each label.
        facts: Model, data and options, for the beginning of `summary.json`.
        title: Heading of the figure.

    Returns:
        The content of `summary.json`.

    Raises:
        OutputError: If a file cannot be written.
    """
    _remove(folder, SUMMARY_FILE, METRICS_FILE, FIGURE_FILE, f"{WORST_FOLDER}/[0-9][0-9]_*.png")
    write_metrics(folder / METRICS_FILE, evaluation, names)
    write_dice_figure(evaluation.scores, names, folder / FIGURE_FILE, title)
    pictures = _write_pictures(folder, evaluation)
    content = {
        **facts,
        "bootstrap": {"over": "cases", "draws": DRAWS, "seed": SEED, "level": LEVEL},
        "cases": len(evaluation.scores),
        **summary_json(summary, names),
        "notes": evaluation.notes,
        "worst": pictures,
    }
    _write_json(folder / SUMMARY_FILE, content)
    return content


def write_stability(
    folder: Path,
    cases: Sequence[CaseStability],
    summary: StabilitySummary,
    names: Mapping[int, str],
    facts: Mapping[str, Any],
    title: str,
) -> dict[str, Any]:
    """Write all files of a stability run into a prepared folder; older ones are replaced.

    Args:
        folder: Prepared folder.
        cases: The compared cases.
        summary: Summary of the cases.
        names: Name of each label.
        facts: Model, data and options, for the beginning of `stability.json`.
        title: Heading of the figure.

    Returns:
        The content of `stability.json`.

    Raises:
        OutputError: If a file cannot be written.
    """
    _remove(folder, STABILITY_FILE)
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
    write_stability_figure(folder / STABILITY_FIGURE, cases, summary, names, title)
    content = {
        **facts,
        "samples": samples,
        "cases": len(cases),
        **_rounded(_stability_json(summary, names)),
        "notes": {case.name: list(case.notes) for case in cases if case.notes},
    }
    _write_json(folder / STABILITY_FILE, content)
    return content


def write_metrics(path: Path, evaluation: Evaluation, names: Mapping[int, str]) -> None:
    """Write one row per case and structure; values that are not defined are left empty."""
    columns = [item.name for item in fields(StructureScore)]
    _write_table(
        path,
        ["case", "structure", *columns],
        (
            [case, names[score.label], *(getattr(score, column) for column in columns)]
            for case, scores in evaluation.scores.items()
            for score in scores
        ),
    )


def _make_folder(folder: Path) -> bool:
    """Create a folder; returns whether it already contains files."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return any(folder.iterdir())
    except OSError as error:
        raise OutputError(
            tr("The folder {folder} cannot be used for results ({reason}); choose another.").format(
                folder=folder, reason=error.strerror or error
            )
        ) from error


def _remove(folder: Path, *patterns: str) -> None:
    """Remove the files of an older run."""
    try:
        for pattern in patterns:
            for path in sorted(folder.glob(pattern)):
                with suppress(FileNotFoundError):
                    path.unlink()
    except OSError as error:
        raise OutputError(
            tr(
                "The older results in {folder} cannot be replaced ({reason}); close the "
                "programs that use them, or choose another folder."
            ).format(folder=folder, reason=error.strerror or error)
        ) from error


def _write_pictures(folder: Path, evaluation: Evaluation) -> list[str]:
    """Draw the worst results; returns the file paths relative to `folder`."""
    if evaluation.snapshots:
        _make_folder(folder / WORST_FOLDER)
    written = []
    for number, snapshot in enumerate(evaluation.snapshots, start=1):
        name = f"{number:02d}_{plain_name(snapshot.case)}_{plain_name(snapshot.structure)}.png"
        write_snapshot(snapshot, folder / WORST_FOLDER / name)
        written.append(f"{WORST_FOLDER}/{name}")
    return written


def summary_json(summary: Summary, names: Mapping[int, str]) -> dict[str, Any]:
    content: dict[str, Any] = _rounded(summary.to_json())
    structures = [{"name": names[item["label"]], **item} for item in content["structures"]]
    return {
        "overall": content["overall"],
        "structures": structures,
        "per_case": content["per_case"],
    }


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, DIGITS)
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(item) for item in value]
    return value


def _case_rows(
    cases: Sequence[CaseStability], names: Mapping[int, str]
) -> Iterable[list[str | float | None]]:
    for case in cases:
        for column, score in enumerate(case.of_mean):
            of_noise = [sample[column].dice for sample in case.of_sample]
            pairwise = case.pairwise.get(score.label)
            yield [case.name, names[score.label], pairwise, score.dice, *of_noise]


def _stability_json(summary: StabilitySummary, names: Mapping[int, str]) -> dict[str, Any]:
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
    if isinstance(value, str):
        return as_text(value)
    return f"{value:.{DIGITS}g}" if isinstance(value, float) else value


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    text = json.dumps(content, indent=2, ensure_ascii=False)
    with atomic_write(path, overwrite=True) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
