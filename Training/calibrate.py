"""Calibrate the probabilities of a model on patients that it was not trained on.

    python Training/calibrate.py --data HELD_BACK --model Resources/Models/head-neck-oar \\
        --version 0.3.1

Writes the entry `uncertainty` of the model's `model.json` (docs/reference/model-json.md) and shows
the calibration error before, after, and with each patient left out of the fit in turn.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from SDSegLib.evaluation.calibration import (
    calibrated_rows,
    calibration_error,
    fit_calibration,
    judge_voxels,
    reliability,
)
from SDSegLib.evaluation.label_maps import on_grid
from SDSegLib.export.atomic import atomic_write
from SDSegLib.inference.load import load_segmenter
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.calibration import Calibration

Rows = dict[str, tuple[np.ndarray, np.ndarray]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True, help="folder of patients held back")
    parser.add_argument("--model", type=Path, required=True, help="model folder")
    parser.add_argument("--version", required=True, help="version of the model from now on")
    arguments = parser.parse_args()
    segmenter = load_segmenter(str(arguments.model))
    segmenter.description = replace(segmenter.description, uncertainty=None)
    rows: Rows = {}
    for folder in sorted(path.parent for path in arguments.data.glob("*/ct.nii.gz")):
        volume = read_volume(folder / "ct.nii.gz")
        reference = on_grid(read_volume(folder / "organs.nii.gz", labels=True), volume.geometry)[0]
        found = judge_voxels(segmenter, volume, reference)
        rows[folder.name] = (found.probabilities, found.labels)
        sys.stderr.write(f"{folder.name}\n")
    calibration = fit_calibration(*together(rows, list(rows)))
    write(arguments.model, calibration, arguments.version)
    show(rows, calibration)


def together(rows: Rows, names: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """The voxels of several patients."""
    return (
        np.concatenate([rows[name][0] for name in names]),
        np.concatenate([rows[name][1] for name in names]),
    )


def write(folder: Path, calibration: Calibration, version: str) -> None:
    """Put the calibration into a model folder, which is a new version then."""
    path = folder / "model.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    weights = content.pop("weights")
    content["version"] = version
    content |= {"uncertainty": calibration.to_json(), "weights": weights}
    with atomic_write(path, overwrite=True) as target:
        text = json.dumps(content, ensure_ascii=False, indent=2)
        target.write_text(text + "\n", encoding="utf-8")


def show(rows: Rows, calibration: Calibration) -> None:
    """Calibration errors as a table."""
    names = list(rows)
    raw, labels = together(rows, names)
    alone = [
        calibrated_rows(
            rows[name][0],
            fit_calibration(*together(rows, [other for other in names if other != name])),
        )
        for name in names
        if len(names) > 1
    ]
    ways = {"as the networks give them": raw, "calibrated": calibrated_rows(raw, calibration)}
    if alone:
        ways["each patient left out in turn"] = np.concatenate(alone)
    say = sys.stdout.write
    say("| probabilities | likeliest class | mean of the structures |\n| --- | ---: | ---: |\n")
    for title, probabilities in ways.items():
        bins = reliability(probabilities, labels, raw)
        errors = [calibration_error(item) for name, item in bins.items() if name != "likeliest"]
        known = [error for error in errors if error is not None]
        likeliest = calibration_error(bins["likeliest"])
        say(f"| {title} | {likeliest:.4f} | {np.mean(known):.4f} |\n")


if __name__ == "__main__":
    main()
