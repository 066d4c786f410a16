"""Cases on the model's grid, and one training of a network on some of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..datasets.case import Case, volume_case
from ..datasets.cases import load_items
from ..datasets.collection import Item
from ..errors import InputError
from ..export.label_values import whole_numbers
from ..families import build_family
from ..families.base import segmentation_family
from ..families.description import ModelDescription
from ..language import tr
from ..reading.files import read_volume
from ..training.compact import COMPACT
from ..training.direct import DIRECT
from ..training.job import TrainingJob, train
from ..training.run import Machine, quiet
from ..training.settings import Preset
from ..volume.tiles import tiles_of
from .start import Start

if TYPE_CHECKING:
    from ..training.job import TrainingProgress

MOST_STEPS = 1_000_000
BATCH = 8
"""Slices per step."""
FOLD_BATCH = 2
"""Of a network for left-out cases that begins with nothing. It has a part of the time, and smaller
batches let it take nearly as many steps as the model: with few steps it knows too little to tell
what the model will be worth.
"""
_TRIAL_STEPS = 2
_HOPELESS = 3.0
"""So many times as slow as float32 in its first trial, and bfloat16 is not tried again."""
_ANEW = {"optimizer": "muon", "rate": 8e-3, "muon_rate": 2e-2}
_FURTHER = {"optimizer": "adamw", "rate": 2e-4}
"""Optimiser for structures that are new, and for a model that is taught further."""
_FURTHER_STEPS = {False: (10, 100), True: (30, 300)}
"""Steps for each case, and at least, without and with left-out cases."""
_NEW_STEPS = 100
"""For each case, of up to `_FEW_STRUCTURES` new structures, on tiles that show whole slices."""
_LEAST_NEW_STEPS = 500
_FEW_STRUCTURES = 3
_HEADS_SHARE = 0.2
"""Of learning, in which only the new heads learn, on the features of the bundled encoder."""
_CONTRAST_HU = 250.0
"""Of new structures: few cases do not show what a contrast agent changes."""
_AUTOENCODER_SHARE = 0.2
"""Of the time, for the label-map autoencoder where structures are new to it."""


def most_steps(
    start: Start, cases: int, is_measured: bool, tiles: float = 1.0, batch: int = BATCH
) -> int:
    """Steps after which learning ends although time is left.

    A model that is taught further learns what is new in few steps, and with more of them it forgets
    what its own many cases had taught it (see the training log). Left-out cases show that; where
    there are none, fewer steps are taken. With more steps than some hundred for each case, a model
    that begins with nothing learns its cases by heart and gets no better for other patients.

    Args:
        start: What is begun with.
        cases: Number of cases to learn from.
        is_measured: Whether left-out cases decide how much of it is kept.
        tiles: Tiles of a slice.
        batch: Slices per step.
    """
    if start.parent is None:
        share = tiles * max(1.0, len(start.structures) / _FEW_STRUCTURES) * BATCH / batch
        return round(share * max(_LEAST_NEW_STEPS, _NEW_STEPS * cases))
    if start.is_wider:
        return MOST_STEPS
    each, least = _FURTHER_STEPS[is_measured]
    return max(least, each * cases)


def teach_preset(
    start: Start, minutes: float, seed: int, steps: int = MOST_STEPS, batch: int = BATCH
) -> Preset:
    """How a network learns in a given time, or a number of steps."""
    preset = COMPACT if start.model.description.family == "compact" else DIRECT
    shared: dict[str, Any] = {
        "steps": steps,
        "minutes": minutes,
        "batch": batch,
        "warm_up": 20,
        "ema_decay": 0.99,
        "elastic": 4.0,
        "ema_warm_up": True,
        "validate_every": 0,
        "checkpoint_minutes": 0.5,
        "log_every": 5,
        "seed": seed,
    }
    known = start.parent is not None
    if not known or start.is_wider:
        shared["contrast"] = _CONTRAST_HU
    autoencoder = None
    has_codes = start.model.description.network.get("codes") is not None
    if preset.autoencoder is not None and start.is_wider and not has_codes:
        mine = {**shared, "minutes": _AUTOENCODER_SHARE * minutes, "further": True}
        autoencoder = replace(preset.autoencoder, **mine)
        shared["minutes"] = (1 - _AUTOENCODER_SHARE) * minutes
    if not known and preset.family == "direct":
        shared["heads_share"] = _HEADS_SHARE
    rates = _FURTHER if known else _ANEW
    training = replace(preset.training, **rates, **shared)
    return replace(preset, training=training, autoencoder=autoencoder)


@dataclass(frozen=True, eq=False)
class Learner:
    """Trains networks on cases of one model's grid.

    Attributes:
        start: What is begun with.
        description: Of the new model.
        cases: Cases on its grid with its labels, by name.
        device: Lightning's name of the device.
        seed: Of all random numbers.
        precision: Lightning's name.
        is_measured: Whether left-out cases decide how much of the result is kept.
        batch: Slices per step.
    """

    start: Start
    description: ModelDescription
    cases: Mapping[str, Case]
    device: str
    seed: int
    precision: str
    is_measured: bool = True
    batch: int = BATCH

    def learn(
        self,
        names: Sequence[str],
        seconds: float,
        folder: Path,
        sources: Sequence[Path],
        report: Callable[[int, dict[str, float]], None],
        is_stopped: Callable[[], bool],
    ) -> TrainingProgress:
        """Train for some time, or go on with a training in the folder; its `model` is the result.

        Args:
            names: Cases to learn from.
            seconds: How long, in all runs together.
            folder: Of the training.
            sources: Model folders to begin with.
            report: Called after each step with its number and losses.
            is_stopped: Called after each step; true saves and stops.
        """
        cases = [self.cases[name] for name in names]
        size = self.description.input.size
        tiles = sum(tiles_of_slice(case, size) for case in cases) / max(1, len(cases))
        steps = most_steps(self.start, len(cases), self.is_measured, tiles, self.batch)
        preset = teach_preset(self.start, seconds / 60, self.seed, steps, self.batch)
        job = TrainingJob(
            preset,
            self.description,
            cases,
            [],
            folder,
            tuple(sources),
            needs_all=False,  # a structure may have been drawn in the left-out cases alone
        )
        machine = Machine(
            accelerator=self.device,
            precision=self.precision,
            is_stopped=is_stopped,
            report=report,
        )
        quiet()
        return train(job, machine)


def tiles_of_slice(case: Case, size: tuple[int, int]) -> float:
    """By how many tiles of a size the body is covered in a slice, on average."""
    slices = sum(extent is not None for extent in case.extents)
    return len(tiles_of(case.extents, size)) / max(1, slices)


def on_grid(
    items: Sequence[Item], collection: Any, description: ModelDescription, start: Start
) -> dict[str, Case]:
    """Cases on the grid of a model, with its labels, by name.

    Args:
        items: The cases.
        collection: Their data set.
        description: The new model.
        start: Its labels.
    """
    cases = load_items(items, collection, description.input, collection.num_classes)
    return {
        item.name: relabelled(case, start.labels) for item, case in zip(items, cases, strict=True)
    }


def completed(
    case: Case, item: Item, parent_map: Path, description: ModelDescription, start: Start
) -> Case:
    """A case with the parent's own result for structures that were not drawn in it.

    It is taken where nothing was drawn, so that the new model does not forget these structures.

    Args:
        case: On the grid, with the labels of the new model.
        item: Its files.
        parent_map: Label map of the parent for it.
        description: The new model.
        start: Its labels.
    """
    missing = start.known - case.drawn
    if not missing:
        return case
    volume = read_volume(item.image, item.series)
    stored = read_volume(parent_map, labels=True)
    if not stored.geometry.matches(volume.geometry, 0.01):
        raise InputError(
            tr("{parent_map} is not on the voxels of its CT any more; remove it.").format(
                parent_map=parent_map
            )
        )
    predicted = whole_numbers(parent_map, stored.array)
    classes = len(description.structures) + 1
    whole = volume_case(
        item.name, volume, predicted, start.known, description.input, classes
    ).label_map
    added = np.isin(whole, sorted(missing)) & (case.label_map == 0)
    label_map = np.where(added, whole, case.label_map).astype(np.uint8)
    return replace(case, label_map=label_map, drawn=case.drawn | missing)


def relabelled(case: Case, labels: Mapping[int, int]) -> Case:
    """A case with other label numbers; labels that are not named become background."""
    table = np.zeros(256, np.uint8)
    for before, after in labels.items():
        table[before] = after
    drawn = frozenset(labels[label] for label in case.drawn if label in labels)
    return replace(case, label_map=table[case.label_map], drawn=drawn)


@dataclass(frozen=True)
class Pace:
    """How fast networks of a size are here.

    Attributes:
        precision: Lightning's name of the faster precision for learning.
        slice_seconds: To segment one tile.
    """

    precision: str
    slice_seconds: float


def pace_of(description: ModelDescription, device: str, batch: int = 4) -> Pace:
    """Try some steps of a network of this size.

    On a GPU, and on a CPU whose instructions know bfloat16, that is faster; on others it is slower.
    """
    family = segmentation_family(build_family(description)).to(device)
    image = torch.zeros(batch, description.input.channels, *description.input.size, device=device)
    if device == "cpu":
        seconds: dict[str, float] = {}
        first = 0.0
        for name, mixed in (("32-true", False), ("bf16-mixed", True)):
            for trial in range(_TRIAL_STEPS):  # the last one counts
                started = time.process_time()  # other programs do not count
                with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
                    features = family.condition(image[:1])  # bfloat16 may take ten times as long
                features.float().square().mean().backward()
                seconds[name] = time.process_time() - started
                if trial == 0 and mixed and seconds[name] > _HOPELESS * first:
                    break
                first = first or seconds[name]
        precision = min(seconds, key=lambda name: seconds[name])
    else:
        fast = device == "cuda" and torch.cuda.is_bf16_supported()
        precision = "bf16-mixed" if fast else "32-true"
    family.eval()
    taken = 0.0
    with torch.inference_mode():
        for _ in range(_TRIAL_STEPS):
            started = time.perf_counter()
            float(family.probabilities(family.condition(image)).sum())
            taken = time.perf_counter() - started
    return Pace(precision, taken / batch)
