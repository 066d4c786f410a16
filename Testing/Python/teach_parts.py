"""A tiny model to begin with and small patients, so that teaching takes seconds."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from dataset_trees import save_volume
from training_parts import a_case

from SDSegLib.families import build_family
from SDSegLib.families.description import ModelDescription
from SDSegLib.models.folder import write_model_folder
from SDSegLib.teaching.folder import RUN_STATE
from SDSegLib.training.foundation import FOUNDATION, describe_foundation

SPACING = (2.5, 3.5, 3.0)
NAMES = {"1": "Body", "2": "Bone"}


def write_foundation(folder: Path) -> ModelDescription:
    """A foundation model with random weights, small enough for tests."""
    preset = replace(
        FOUNDATION,
        network=replace(FOUNDATION.network, filters=(8, 8, 16, 16), supervised=1),
        input=replace(FOUNDATION.input, size=(32, 32), slice_offsets_mm=(-3.0, 0.0, 3.0)),
    )
    description = describe_foundation(preset, "foundation", "Start", "phantoms")
    weights = build_family(description).state_dict()
    return write_model_folder(folder, description, weights, "# Start", overwrite=True)


def write_cases(root: Path, count: int = 3, **labels: np.ndarray) -> Path:
    """A folder per case with CT and label map; `labels` replaces the label map of a case."""
    for number in range(count):
        case = a_case(number)
        name = f"p{number}"
        save_volume(case.image, root / name / "ct.nii.gz", spacing=SPACING)
        drawn = labels.get(name, case.label_map)
        save_volume(drawn, root / name / "organs.nii.gz", spacing=SPACING)
    return root


def leave_seconds(run: Path, minutes: float, seconds: float) -> None:
    """Let a stopped run of so many minutes have only a few seconds left."""
    state = json.loads((run / RUN_STATE).read_text(encoding="utf-8"))
    assert state["spent"] < 60 * minutes - seconds
    state["spent"] = 60 * minutes - seconds
    (run / RUN_STATE).write_text(json.dumps(state), encoding="utf-8")


def write_names(path: Path, names: dict[str, str] | None = None) -> Path:
    path.write_text(json.dumps(names or NAMES), encoding="utf-8")
    return path
