"""Whether a model knows where it is wrong: slices ranked by doubt, and the calibration error.

    python Testing/Benchmarks/uncertainty.py --data DATA/head_neck_oar/validation --output results

Both scores of a slice (SDSegLib.review.slices) come from one run of each CT: that of the
instability of several noises, which models without `uncertainty` in their `model.json` have, and
one minus the expected Dice. Ranks are Spearman's correlation with the Dice of the slice, over the
slices of all structures together and as the mean of the structures. Calibration errors (15 bins of
equal width) are of the likeliest class, over the voxels that get a structure with at least 1 %, and
of each structure's probability, over the voxels where it has at least 1 % before the calibration.

A file is written for each CT and not computed again; the report is of what is there.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from SDSegLib.evaluation.calibration import (
    calibrated_rows,
    calibration_error,
    judge_voxels,
    reliability,
)
from SDSegLib.evaluation.label_maps import on_grid
from SDSegLib.evaluation.scores import slice_dice
from SDSegLib.evaluation.stability import rank_correlation
from SDSegLib.export.atomic import atomic_write
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.reading.files import read_volume
from SDSegLib.review.slices import slice_axis, slice_scores, slices_to_review
from SDSegLib.volume.segmentation import Segmentation

WAYS = ("instability", "expected Dice")
STAGES = ("raw", "calibrated")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of patients")
    parser.add_argument("--model", default="head-neck-oar")
    parser.add_argument("--samples", type=int, default=2, help="noises; 2 or more")
    parser.add_argument("--cases", help="names with commas; without it all")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()
    segmenter = load_segmenter(arguments.model, arguments.device)
    if segmenter.description.uncertainty is None:
        parser.error(f"{arguments.model} does not say how its probabilities are calibrated")
    arguments.output.mkdir(parents=True, exist_ok=True)
    folders = sorted(path.parent for path in arguments.data.glob("*/ct.nii.gz"))
    for folder in folders:
        file = arguments.output / f"{folder.name}.json"
        if file.exists() or (arguments.cases and folder.name not in arguments.cases.split(",")):
            continue
        _write(file, measure(folder, segmenter, arguments.samples))
        sys.stderr.write(f"{folder.name}\n")
    cases = [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(arguments.output.glob("*.json"))
        if path.name != "uncertainty.json"
    ]
    if not cases:
        parser.error(f"{arguments.data} holds no patients")
    content = summary(cases, segmenter)
    _write(arguments.output / "uncertainty.json", content)
    text = table(content)
    with atomic_write(arguments.output / "uncertainty.md", overwrite=True) as path:
        path.write_text(text, encoding="utf-8")
    sys.stdout.write(text)


def measure(folder: Path, segmenter: Segmenter, samples: int) -> dict[str, Any]:
    """Scores and Dice of the slices of a patient, and the bins of its voxels."""
    volume = read_volume(folder / "ct.nii.gz")
    reference = on_grid(read_volume(folder / "organs.nii.gz", labels=True), volume.geometry)[0]
    found = judge_voxels(segmenter, volume, reference, samples)
    calibration = segmenter.description.uncertainty
    ways = (replace(found.segmentation, doubt=None), found.segmentation)
    stages = (found.probabilities, calibrated_rows(found.probabilities, calibration))
    return {
        "slices": _slices(ways, reference),
        "bins": {
            stage: {
                name: bins.tolist()
                for name, bins in reliability(
                    probabilities, found.labels, found.probabilities
                ).items()
            }
            for stage, probabilities in zip(STAGES, stages, strict=True)
        },
    }


def _slices(ways: tuple[Segmentation, Segmentation], reference: np.ndarray) -> list[list[Any]]:
    """Label, slice, Dice, the score of each way, and whether each way proposes it for review."""
    first = ways[0]
    axis = slice_axis(first.geometry)
    labels = [item.label for item in first.structures]
    dice = slice_dice(first.label_map, reference, labels, axis)
    named = [{(x.structure.label, x.index) for x in slices_to_review(way)} for way in ways]
    rows: list[list[Any]] = []
    for column, structure in enumerate(first.structures):
        scores = [slice_scores(way, structure, axis) for way in ways]
        used = np.isfinite(scores[0]) & np.isfinite(dice[:, column])
        for index in np.flatnonzero(used).tolist():
            is_named = [(structure.label, index) in one for one in named]
            each = [round(float(one[index]), 5) for one in scores]
            rows.append([structure.label, index, float(dice[index, column]), *each, *is_named])
    return rows


def summary(cases: list[dict[str, Any]], segmenter: Segmenter) -> dict[str, Any]:
    """Ranks of both ways and calibration errors of both stages, over all patients."""
    description = segmenter.description
    rows = [row for case in cases for row in case["slices"]]
    labels = [item.label for item in description.structures]
    ways = {}
    for place, way in enumerate(WAYS):
        each = [_rank([row for row in rows if row[0] == label], place) for label in labels]
        known = [value for value in each if value is not None]
        named = [row[2] for row in rows if row[3 + len(WAYS) + place]]
        ways[way] = {
            "pooled": _rank(rows, place),
            "interval": _interval(cases, place),
            "by_structure": each,
            "mean": float(np.mean(known)) if known else None,
            "dice_of_slices_for_review": float(np.mean(named)) if named else None,
            "mean_error": float(np.mean([abs(1 - row[3 + place] - row[2]) for row in rows])),
        }
    stages = {
        stage: {
            name: calibration_error(np.sum([case["bins"][stage][name] for case in cases], axis=0))
            for name in ("likeliest", *map(str, labels))
        }
        for stage in STAGES
    }
    return {
        "model": f"{description.name} {description.version}",
        "cases": len(cases),
        "slices": len(rows),
        "structures": [item.name for item in description.structures],
        "slice_dice": float(np.mean([row[2] for row in rows])),
        "ranks": ways,
        "calibration_errors": stages,
    }


def _rank(rows: list[list[Any]], place: int) -> float | None:
    return rank_correlation([row[3 + place] for row in rows], [row[2] for row in rows])


def _interval(cases: list[dict[str, Any]], place: int, draws: int = 500) -> list[float] | None:
    """95 % bootstrap interval of the pooled rank, over patients."""
    generator = np.random.default_rng(0)
    found = []
    for _ in range(draws if len(cases) > 1 else 0):
        drawn = generator.integers(len(cases), size=len(cases))
        value = _rank([row for number in drawn for row in cases[number]["slices"]], place)
        if value is not None:
            found.append(value)
    return None if not found else [float(value) for value in np.percentile(found, [2.5, 97.5])]


def table(content: dict[str, Any]) -> str:
    """Both tables as Markdown."""
    lines = [
        f"{content['model']}, {content['cases']} patients, {content['slices']} slices, mean Dice "
        f"of a slice {content['slice_dice']:.3f}",
        "",
        "| score of a slice | rank, pooled | rank, mean of the structures | Dice of the slices for "
        "review |",
        "| --- | --- | ---: | ---: |",
    ]
    for way, found in content["ranks"].items():
        low_high = (
            "" if found["interval"] is None else " ({:.2f} to {:.2f})".format(*found["interval"])
        )
        lines.append(
            f"| {way} | {found['pooled']:.3f}{low_high} | {found['mean']:.3f} | "
            f"{found['dice_of_slices_for_review']:.3f} |".replace("-", "−")
        )
    names = ["likeliest class", *content["structures"]]
    lines += ["", f"| calibration error | {' | '.join(names)} | mean of the structures |"]
    lines.append("| --- |" + " ---: |" * (len(names) + 1))
    for stage, errors in content["calibration_errors"].items():
        known = [
            error for name, error in errors.items() if name != "likeliest" and error is not None
        ]
        cells = ["–" if error is None else f"{error:.3f}" for error in errors.values()]
        lines.append(f"| {stage} | {' | '.join(cells)} | {np.mean(known):.3f} |")
    return "\n".join(lines) + "\n"


def _write(file: Path, content: Any) -> None:
    with atomic_write(file, overwrite=True) as path:
        path.write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")


if __name__ == "__main__":
    main()
