"""Connected pieces of a label map, from runs of equal voxels: time and memory follow the labels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_EARLIER_ROWS = ((0, -1), (-1, -1), (-1, 0), (-1, 1))  # (k, j) of the neighbours already passed


@dataclass(frozen=True, eq=False)
class Runs:
    """Voxels of one label side by side along the last axis, in the order of the array.

    Attributes:
        plane: Index along the first axis.
        row: Along the second.
        start: First voxel along the third.
        stop: One past the last.
        label: Value of the voxels.
        piece: Number of the connected piece: that of its first run.
    """

    plane: np.ndarray
    row: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    label: np.ndarray
    piece: np.ndarray


def pieces_of(labels: np.ndarray, wanted: np.ndarray) -> Runs:
    """Runs of a label map, and which belong together.

    Voxels of one label that touch by a face, an edge or a corner belong to one piece.

    Args:
        labels: uint8 (k, j, i).
        wanted: 256 booleans: which labels to look at.
    """
    found = [_runs_of(plane, wanted) for plane in labels]
    plane = np.repeat(np.arange(len(found)), [len(part[0]) for part in found])
    row, start, stop, label = (np.concatenate(parts) for parts in zip(*found, strict=True))
    first, second = _touching(plane, row, start, stop, label, labels.shape)
    piece = _united(len(row), first, second)
    return Runs(plane, row, start, stop, label, piece)


def _runs_of(
    plane: np.ndarray, wanted: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Row, start, stop and label of the runs of a plane (j, i)."""
    rows, columns = _used(plane.any(axis=1)), _used(plane.any(axis=0))
    part = plane[rows, columns]
    shown = np.where(wanted[part], part, 0)
    bordered = np.pad(shown, ((0, 0), (1, 1)))
    change = bordered[:, 1:] != bordered[:, :-1]
    row, start = np.nonzero(change & (bordered[:, 1:] != 0))
    _, stop = np.nonzero(change & (bordered[:, :-1] != 0))
    label = shown[row, start]
    return row + rows.start, start + columns.start, stop + columns.start, label


def _used(is_used: Any) -> slice:
    """From the first to the last that is used."""
    used = np.flatnonzero(is_used)
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)


def _touching(
    plane: np.ndarray,
    row: np.ndarray,
    start: np.ndarray,
    stop: np.ndarray,
    label: np.ndarray,
    shape: tuple[int, ...],
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of runs of one label in rows that are neighbours, by their numbers."""
    rows, width = shape[1], shape[2] + 2  # so that one column more on each side stays in its row
    place = plane * rows + row
    starts, lasts = place * width + start, place * width + stop - 1
    firsts, seconds = [], []
    for to_plane, to_row in _EARLIER_ROWS:
        inside = (plane + to_plane >= 0) & (row + to_row >= 0) & (row + to_row < rows)
        runs = np.flatnonzero(inside)
        base = (place[runs] + to_plane * rows + to_row) * width
        low = np.searchsorted(lasts, base + start[runs] - 1, side="left")
        high = np.searchsorted(starts, base + stop[runs], side="right")
        count = np.maximum(high - low, 0)
        first = np.repeat(runs, count)
        within = np.arange(len(first)) - np.repeat(np.cumsum(count) - count, count)
        second = np.repeat(low, count) + within
        same = label[first] == label[second]
        firsts.append(first[same])
        seconds.append(second[same])
    return np.concatenate(firsts), np.concatenate(seconds)


def _united(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The lowest number that each of 0 … `count` − 1 is connected with by pairs."""
    lowest = np.arange(count)
    while True:
        one, other = lowest[first], lowest[second]
        if (one == other).all():
            return lowest
        np.minimum.at(lowest, np.maximum(one, other), np.minimum(one, other))
        while (lowest[lowest] != lowest).any():
            lowest = lowest[lowest]
