"""Agreement of two label maps, structure by structure: Dice, IoU and surface distances by MONAI."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import MissingPackageError
from ..language import tr

if TYPE_CHECKING:
    from torch import Tensor

Convention = Literal["field", "paper"]
Absent = Literal["unknown", "background"]
Status = Literal["compared", "missed", "spurious", "absent", "unknown"]
PERCENTILE = 95.0  # of the Hausdorff distance


@dataclass(frozen=True)
class Rules:
    """How a structure is scored if it is missing from one of the label maps.

    The rules only differ where a label map lacks a structure. Surface distances need both surfaces,
    so they are left out in these cases, and the structure is counted as missed or spurious.

    | reference | prediction | field, unknown | field, background | paper |
    | --- | --- | --- | --- | --- |
    | yes | no | missed: Dice 0 | missed: Dice 0 | missed: Dice 0 |
    | no | yes | unknown: left out | spurious: Dice 0 | spurious: Dice 1 |
    | no | no | unknown: left out | absent: left out | absent: Dice 0 |

    "paper" is the rule of the TransUNet evaluation, commonly used for Dice per volume on BTCV. It
    is only for comparison with published figures, because any prediction of a structure that the
    reference lacks gets Dice 1. IoU is scored in the same way as Dice.

    Attributes:
        convention: "field" or "paper".
        absent: Meaning of a structure missing from a reference: "unknown" (it may not have been
            drawn) or "background" (it is not present). "paper" always counts it.
    """

    convention: Convention = "field"
    absent: Absent = "unknown"


@dataclass(frozen=True)
class StructureScore:
    """Agreement in one structure of one case; undefined values are None.

    Attributes:
        label: The structure's label.
        status: "compared" (both have it), "missed" (only the reference), "spurious" (only the
            prediction), "absent" (neither), or "unknown" (the reference lacks it, and it may not
            have been drawn).
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
    unknown: Collection[int] = (),
) -> list[StructureScore]:
    """Compare two label maps on one grid.

    Args:
        prediction: Integers, (k, j, i).
        reference: Integers, the same shape.
        spacing: Voxel spacing in mm along (k, j, i).
        labels: Which labels to compare, each 1 … 255.
        rules: How missing structures are counted; `Rules()` for None.
        distances: Whether to measure surface distances as well.
        unknown: Labels of which the reference says nothing, under any rules.

    Returns:
        One score per label, in the order of `labels`.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} is not on {reference.shape}")
    rules = rules or Rules()
    box = bounding_box((prediction != 0) | (reference != 0)) or (slice(0),) * 3
    prediction, reference = prediction[box], reference[box]
    return [
        _score(
            prediction == label,
            reference == label,
            spacing,
            label,
            Rules(absent="unknown") if label in unknown else rules,
            distances,
        )
        for label in labels
    ]


def require_monai() -> None:
    """Check before the computation that overlap and surface distances can be measured.

    Raises:
        MissingPackageError: Without MONAI.
    """
    if find_spec("monai") is None:
        raise MissingPackageError(
            "monai", "evaluate", tr("Measuring overlap and surface distances")
        )


def slice_dice(
    prediction: np.ndarray, reference: np.ndarray, labels: Sequence[int], axis: int = 0
) -> np.ndarray:
    """Dice of each slice and structure.

    Args:
        prediction: Label map (k, j, i).
        reference: Label map of the same shape.
        labels: Which labels to compare.
        axis: Array axis across the slices.

    Returns:
        Slices × labels; NaN where a slice has the structure in neither label map, and in all
        slices of a structure that the reference lacks, because its position is unknown.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} is not on {reference.shape}")
    in_plane = tuple(n for n in range(reference.ndim) if n != axis)
    result = np.full((reference.shape[axis], len(labels)), np.nan)
    for column, label in enumerate(labels):
        predicted, expected = prediction == label, reference == label
        if not expected.any():
            continue
        common = np.count_nonzero(predicted & expected, axis=in_plane)
        total = np.count_nonzero(predicted, axis=in_plane) + np.count_nonzero(
            expected, axis=in_plane
        )
        used = total > 0
        result[used, column] = 2 * common[used] / total[used]
    return result


def overlap(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """Dice and intersection over union of two masks (k, j, i), at least one of them not empty."""
    from monai.metrics import compute_dice, compute_iou

    masks = _one_hot(prediction), _one_hot(reference)
    dice = compute_dice(*masks, include_background=True, ignore_empty=False)
    iou = compute_iou(*masks, include_background=True, ignore_empty=False)
    return float(dice), float(iou)


def surface_distances(
    prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, float, float]
) -> tuple[float, float]:
    """95 % Hausdorff distance and average symmetric surface distance of two masks, in mm.

    The surface of a mask consists of its voxels with a face neighbour outside it. The 95 %
    Hausdorff distance is the larger of the two directed 95th percentiles; the average is over the
    voxels of both surfaces together.

    Args:
        prediction: Mask (k, j, i), not empty.
        reference: Mask of the same shape, not empty.
        spacing: Voxel spacing in mm along (k, j, i).
    """
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    masks = _one_hot(prediction), _one_hot(reference)
    millimetres = [float(value) for value in spacing]
    with warnings.catch_warnings():
        # MONAI 1.5 and 1.6 warn about an argument that MONAI itself passes.
        warnings.simplefilter("ignore", FutureWarning)
        hausdorff = compute_hausdorff_distance(
            *masks, include_background=True, percentile=PERCENTILE, spacing=millimetres
        )
        average = compute_average_surface_distance(
            *masks, include_background=True, symmetric=True, spacing=millimetres
        )
    return float(hausdorff), float(average)


def bounding_box(mask: np.ndarray) -> tuple[slice, ...] | None:
    """Bounding box of a mask; None if the mask is empty."""
    from scipy.ndimage import find_objects

    found = find_objects(np.asarray(mask, bool).view(np.uint8))
    return found[0] if found else None


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
    dice, iou = _without_overlap(status, rules)
    hd95 = assd = None
    if status == "compared":
        box = bounding_box(prediction | reference)
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


def _status(predicted: bool, in_reference: bool, rules: Rules) -> Status:
    if in_reference:
        return "compared" if predicted else "missed"
    if rules.convention == "field" and rules.absent == "unknown":
        return "unknown"
    return "spurious" if predicted else "absent"


def _without_overlap(status: Status, rules: Rules) -> tuple[float | None, float | None]:
    """Dice and IoU of a structure that is not in both label maps."""
    if status == "unknown" or (status == "absent" and rules.convention == "field"):
        return None, None
    value = 1.0 if status == "spurious" and rules.convention == "paper" else 0.0
    return value, value


def _one_hot(mask: np.ndarray) -> Tensor:
    """One case, one class: (1, 1, k, j, i)."""
    from torch import from_numpy

    return from_numpy(np.ascontiguousarray(mask))[None, None]
