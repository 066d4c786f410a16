"""How well one label map agrees with another, structure by structure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from .metrics import box_of, overlap, surface_distances

Convention = Literal["field", "paper"]
Absent = Literal["unknown", "background"]
Status = Literal["compared", "missed", "spurious", "absent", "unknown"]


@dataclass(frozen=True)
class Rules:
    """How structures that a label map lacks are counted.

    Where both label maps have a structure all rules agree. Surface distances need both surfaces,
    so they are missing in every other case, and the structure is counted as missed or spurious.

    | reference | prediction | field, unknown | field, background | paper |
    | --- | --- | --- | --- | --- |
    | yes | no | missed: Dice 0 | missed: Dice 0 | missed: Dice 0 |
    | no | yes | unknown: left out | spurious: Dice 0 | spurious: Dice 1 |
    | no | no | unknown: left out | absent: left out | absent: Dice 0 |

    "paper" is the rule of the TransUNet evaluation, with which Dice on BTCV is commonly counted
    per volume. It is there to compare with published figures: of a structure that the reference
    lacks it rewards any prediction. IoU follows the Dice.

    Attributes:
        convention: "field" or "paper".
        absent: What it means that a reference lacks a structure: "unknown" (it may not have been
            drawn) or "background" (it is not there). "paper" always counts it.
    """

    convention: Convention = "field"
    absent: Absent = "unknown"


@dataclass(frozen=True)
class StructureScore:
    """Agreement in one structure of one case; None is what cannot be said.

    Attributes:
        label: The structure's label.
        status: "compared" (both have it), "missed" (only the reference), "spurious" (only the
            prediction), "absent" (neither), or "unknown" (the reference lacks it, which says
            nothing).
        dice: 0 … 1.
        iou: Intersection over union, 0 … 1.
        hd95_mm: 95 % Hausdorff distance.
        assd_mm: Average symmetric surface distance.
        reference_ml: Volume in the reference.
        prediction_ml: Volume in the prediction.
    """

    label: int
    status: Status
    dice: float | None
    iou: float | None
    hd95_mm: float | None
    assd_mm: float | None
    reference_ml: float
    prediction_ml: float


def evaluate_pair(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, float, float],
    labels: Sequence[int],
    rules: Rules | None = None,
    distances: bool = True,
) -> list[StructureScore]:
    """Compare two label maps on one grid.

    Args:
        prediction: Integers, (k, j, i).
        reference: Integers, the same shape.
        spacing: Voxel spacing in mm along (k, j, i).
        labels: Which labels to compare, each 1 … 255.
        rules: How missing structures are counted; `Rules()` for None.
        distances: Whether to measure surface distances too.

    Returns:
        One score per label, in the order of `labels`.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} is not on {reference.shape}")
    rules = rules or Rules()
    box = box_of((prediction != 0) | (reference != 0)) or (slice(0),) * 3
    prediction, reference = prediction[box], reference[box]
    return [
        _score(prediction == label, reference == label, spacing, label, rules, distances)
        for label in labels
    ]


def _score(
    prediction: np.ndarray,
    reference: np.ndarray,
    spacing: tuple[float, float, float],
    label: int,
    rules: Rules,
    distances: bool,
) -> StructureScore:
    voxel_ml = float(np.prod(spacing)) / 1000.0
    status = _status(bool(prediction.any()), bool(reference.any()), rules)
    dice, iou = _counted(status, rules)
    hd95 = assd = None
    if status == "compared":
        box = box_of(prediction | reference)
        assert box is not None
        masks = prediction[box], reference[box]
        dice, iou = overlap(*masks)
        if distances:
            hd95, assd = surface_distances(*masks, spacing)
    return StructureScore(
        label=label,
        status=status,
        dice=dice,
        iou=iou,
        hd95_mm=hd95,
        assd_mm=assd,
        reference_ml=float(np.count_nonzero(reference) * voxel_ml),
        prediction_ml=float(np.count_nonzero(prediction) * voxel_ml),
    )


def _status(predicted: bool, referred: bool, rules: Rules) -> Status:
    if referred:
        return "compared" if predicted else "missed"
    if rules.convention == "field" and rules.absent == "unknown":
        return "unknown"
    return "spurious" if predicted else "absent"


def _counted(status: Status, rules: Rules) -> tuple[float | None, float | None]:
    """Dice and IoU where they do not follow from the masks."""
    if status == "unknown" or (status == "absent" and rules.convention == "field"):
        return None, None
    value = 1.0 if status == "spurious" and rules.convention == "paper" else 0.0
    return value, value
