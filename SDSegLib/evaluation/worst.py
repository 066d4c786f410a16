"""Keep the slices with the worst results, so that the cases need not stay in memory."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .scores import StructureScore, bounding_box

MARGIN_MM = 40.0


@dataclass(frozen=True, eq=False)
class SlicePicture:
    """One slice, cropped to the surroundings of a structure.

    Attributes:
        index: Slice index in the volume, from 0 for the first displayed slice, in LPS the lowest;
            None if there is only one slice.
        image: HU, (rows, columns), or for a picture uint8, with colours as the last axis; None
            without an image.
        reference: Mask of the same shape.
        prediction: Mask of the same shape.
    """

    index: int | None
    image: np.ndarray | None
    reference: np.ndarray
    prediction: np.ndarray


@dataclass(frozen=True, eq=False)
class Snapshot:
    """Slices of one structure in one case, for display.

    Attributes:
        case: Name of the case.
        structure: Name of the structure.
        score: Score of the structure.
        slices: The slice with the largest error, and the one with most of the structure.
        pixel: Row and column spacing in mm.
    """

    case: str
    structure: str
    score: StructureScore
    slices: tuple[SlicePicture, ...]
    pixel: tuple[float, float]


@dataclass(frozen=True, eq=False)
class DisplayedCase:
    """A case's arrays on one grid for display: (k, j, i), volumes in LPS axes if possible.

    Attributes:
        name: Name of the case.
        image: HU, or for a picture uint8, perhaps with colours as the last axis; None without one.
        reference: Label map.
        prediction: Label map.
        spacing: In mm along (k, j, i).
    """

    name: str
    image: np.ndarray | None
    reference: np.ndarray
    prediction: np.ndarray
    spacing: tuple[float, float, float]


@dataclass(frozen=True, eq=False)
class ComparedCase:
    """A reference and a prediction on one grid.

    Attributes:
        prediction: Label map (k, j, i).
        reference: Label map of the same shape.
        spacing: In mm along (k, j, i).
        displayed: Returns the arrays to draw; called only if the worst results are drawn.
        distances: Whether to measure surface distances.
        notes: Remarks for the user, one sentence each.
    """

    prediction: np.ndarray
    reference: np.ndarray
    spacing: tuple[float, float, float]
    displayed: Callable[[], DisplayedCase]
    distances: bool
    notes: list[str]


class WorstResults:
    """The `count` results with the lowest Dice; if equal, those with more reference volume."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._kept: list[Snapshot] = []

    @property
    def snapshots(self) -> list[Snapshot]:
        """The worst first."""
        return list(self._kept)

    def add(self, case: DisplayedCase, structure: str, score: StructureScore) -> None:
        """Keep the slices of a result if it is among the worst so far."""
        if self.count == 0 or score.dice is None or score.status == "absent":
            return
        if len(self._kept) == self.count and _order(score) >= _order(self._kept[-1].score):
            return
        self._kept.append(_snapshot(case, structure, score))
        self._kept.sort(key=lambda item: _order(item.score))
        del self._kept[self.count :]


def _order(score: StructureScore) -> tuple[float, float]:
    assert score.dice is not None
    return score.dice, -score.reference_ml


def _snapshot(case: DisplayedCase, structure: str, score: StructureScore) -> Snapshot:
    reference, prediction = case.reference == score.label, case.prediction == score.label
    error = np.count_nonzero(reference ^ prediction, axis=(1, 2))
    size = np.count_nonzero(reference if reference.any() else prediction, axis=(1, 2))
    indices = list(dict.fromkeys((int(error.argmax()), int(size.argmax()))))
    pixel = case.spacing[1], case.spacing[2]
    rows, columns = _surroundings((reference | prediction)[indices].any(axis=0), pixel)
    slices = tuple(
        SlicePicture(
            index=index if len(reference) > 1 else None,
            image=None if case.image is None else case.image[index, rows, columns].copy(),
            reference=reference[index, rows, columns].copy(),
            prediction=prediction[index, rows, columns].copy(),
        )
        for index in indices
    )
    return Snapshot(case.name, structure, score, slices, pixel)


def _surroundings(mask: np.ndarray, pixel: tuple[float, float]) -> tuple[slice, slice]:
    box = bounding_box(mask)
    assert box is not None
    rows, columns = (
        slice(max(0, side.start - round(MARGIN_MM / size)), side.stop + round(MARGIN_MM / size))
        for side, size in zip(box, pixel, strict=True)
    )
    return rows, columns
