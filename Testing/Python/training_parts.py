"""Small patients and tiny settings, so that whole training runs take seconds."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from dataset_trees import save_volume
from phantom import a_body
from tiny_model import STRUCTURES

from SDSegLib.datasets.case import Case
from SDSegLib.datasets.collection import Collection
from SDSegLib.datasets.recipe import LabelRecipe
from SDSegLib.training.job import TrainingJob
from SDSegLib.training.overrides import with_overrides
from SDSegLib.training.recipe import describe, find_preset
from SDSegLib.training.settings import Preset
from SDSegLib.volume.model_input import InputDescription

SHAPE = (6, 36, 40)
SEEN = InputDescription((32, 32), (3.5, 2.5), "LPS", ((-160.0, 240.0), (-1000.0, 1500.0)))

EACH = ("steps=6", "batch=2", "warm_up=2", "log_every=1", "checkpoint_minutes=0")
TINY = {
    "compact": (
        "network.autoencoder_channels=16", "network.encoder_filters=8,8,16",
        "network.encoder_supervised=1",
        "network.condition_channels=16", "network.unet_channels=32", "network.unet_mult=1,1",
        "training.validate_every=3", "input.slice_offsets_mm=-6,-3,0,3,6",
    ),
    "published-tiny": (
        "network.autoencoder.ch_mult=1,1,1", "network.unet.model_channels=32",
        "network.unet.channel_mult=1,1",
    ),
    "direct": ("network.filters=8,8,16,16", "training.validate_every=3"),
}  # fmt: skip
STAGE_FOLDER = {"compact": "diffusion", "published-tiny": "diffusion", "direct": "network"}


def tiny_changes(preset: str) -> list[str]:
    """For `--set`: networks and budget of a preset at their smallest."""
    stages = ["training"] if preset == "direct" else ["training", "autoencoder"]
    return [f"{stage}.{change}" for stage in stages for change in EACH] + list(TINY[preset])


def tiny_preset(name: str, *changes: str) -> Preset:
    return with_overrides(find_preset(name), [*tiny_changes(name), *changes])


def a_case(number: int = 0, drawn: tuple[int, ...] = (1, 2)) -> Case:
    """A body (1) with bone (2); what was not drawn is labelled 0."""
    body = a_body(SHAPE).array
    noise = np.random.default_rng(number).integers(-30, 31, body.shape)
    label_map = (body > -500).astype(np.uint8)
    label_map[body > 500] = 2
    label_map[~np.isin(label_map, drawn)] = 0
    extents = [(2, 34, 2, 36)] * len(body)
    image = (body + noise).astype(np.int16)
    return Case(f"patient {number}", image, label_map, 3.0, frozenset(drawn), list(extents))


def a_collection(structures: int = 2) -> Collection:
    """Without files; its cases come from `a_case`."""
    return Collection(
        "phantoms", "Phantoms", 3, 1, "CT", STRUCTURES[:structures], (), (), (), LabelRecipe(), SEEN
    )


def a_job(preset: Preset, output: Path, **changes: Any) -> TrainingJob:
    """Two patients to learn from and one held out."""
    description = describe(preset, a_collection(), SEEN, "phantoms")
    job = TrainingJob(preset, description, [a_case(0), a_case(1)], [a_case(2)], output)
    return replace(job, **changes)


def write_patients(root: Path, count: int = 4) -> Path:
    """Folders `images` and `labels` of the same patients, for the data set "folder"."""
    for number in range(count):
        case = a_case(number)
        for array, kind in ((case.image, "images"), (case.label_map, "labels")):
            save_volume(array, root / kind / f"p{number}.nii.gz", spacing=(2.5, 3.5, 3.0))
    return root


def curve_of(folder: Path) -> dict[int, dict[str, str]]:
    """The loss curve of a stage as it is written, by step, without what the clock says."""
    with (folder / "curve.csv").open(newline="", encoding="utf-8") as stream:
        return {
            int(row["step"]): {k: v for k, v in row.items() if k != "seconds_a_step"}
            for row in csv.DictReader(stream)
        }
