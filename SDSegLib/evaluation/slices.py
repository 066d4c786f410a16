"""Dice of each slice, for relating errors to where in the volume they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


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
        slices of a structure that the reference lacks, whose place is unknown.
    """
    if prediction.shape != reference.shape:
        raise ValueError(f"prediction {prediction.shape} is not on {reference.shape}")
    in_plane = tuple(n for n in range(reference.ndim) if n != axis)
    result = np.full((reference.shape[axis], len(labels)), np.nan)
    for column, label in enumerate(labels):
        predicted, referred = prediction == label, reference == label
        if not referred.any():
            continue
        common = np.count_nonzero(predicted & referred, axis=in_plane)
        total = np.count_nonzero(predicted, axis=in_plane) + np.count_nonzero(
            referred, axis=in_plane
        )
        used = total > 0
        result[used, column] = 2 * common[used] / total[used]
    return result
