"""Take small pieces of a structure away that lie apart from it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..volume.structure import Structure
from .pieces import Runs, pieces_of


def remove_islands(
    labels: np.ndarray,
    structures: Sequence[Structure],
    goes_on: Sequence[tuple[bool, bool]] = ((False, False),) * 3,
) -> None:
    """Remove the pieces that each structure's `minimum_component_fraction` calls islands, in place.

    Args:
        labels: uint8 (k, j, i).
        structures: Those of the label map.
        goes_on: For each axis, whether the volume goes on before and after the array. Pieces that
            reach such a face are kept: what lies behind it may be the rest of the structure.
    """
    shares = {
        item.label: item.minimum_component_fraction
        for item in structures
        if item.minimum_component_fraction is not None
    }
    wanted = np.zeros(256, bool)
    wanted[list(shares)] = True
    runs = pieces_of(labels, wanted)
    sizes = np.bincount(runs.piece, runs.stop - runs.start, minlength=len(runs.piece))
    kept = np.zeros(len(runs.piece), bool)
    for label, share in shares.items():
        pieces = np.unique(runs.piece[runs.label == label])
        if len(pieces):
            kept[pieces[sizes[pieces] >= share * sizes[pieces].max()]] = True
    kept[runs.piece[_cut_off(runs, labels.shape, goes_on)]] = True
    for n in np.flatnonzero(~kept[runs.piece]):
        labels[runs.plane[n], runs.row[n], runs.start[n] : runs.stop[n]] = 0


def _cut_off(
    runs: Runs, shape: tuple[int, ...], goes_on: Sequence[tuple[bool, bool]]
) -> np.ndarray:
    """Which runs reach a face of the array behind which the volume goes on."""
    sides = (
        (runs.plane, runs.plane + 1),
        (runs.row, runs.row + 1),
        (runs.start, runs.stop),
    )
    cut = np.zeros(len(runs.piece), bool)
    for (first, past), (before, after), size in zip(sides, goes_on, shape, strict=True):
        if before:
            cut |= first == 0
        if after:
            cut |= past == size
    return cut
