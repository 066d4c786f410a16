"""The plan of a run: grid, folds, and which share of the time each stage gets."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..volume.model_input import InputDescription
from .cases import TeachCases

SIDE = 128
"""Pixels of a tile's side at which a body is seen whole, as coarse as is still useful."""
LARGEST_SIDES = ((15.0, 144), (45.0, 160), (math.inf, 192))
"""Largest side of a tile up to a number of minutes: a slice takes time by the square of it."""
SMALLEST_SIDE = 64
FACTOR = 16
"""Divisor of a tile's sides, as the U-Net needs it."""
PIXELS_ACROSS = 4.0
"""Pixels across the smallest structure that the grid aims at."""
LEAST_PIXELS_ACROSS = 2.5
"""With fewer, a tile that shows the whole body is too coarse, and several tiles are taken."""
MOST_TILES_A_SIDE = 2
SPACING_STEP_MM = 0.05

MANY_PATIENTS = 8
"""From this number on, one fold of some patients is measured instead of each patient in turn."""
MOST_FOLDS = 3
HELD_OUT_SHARE = 0.2
_FOLDS_SHARE = 0.3
"""Of the time for learning, for all folds together."""
_WRITING_SHARE = 0.03
"""Of the time that is left."""
_LEAST_LEARNING = 0.5
"""Of the time that is left, for learning, however long measuring takes."""


@dataclass(frozen=True)
class Fold:
    """Cases to learn from and cases to measure on, of other patients.

    Attributes:
        learn: Names of cases.
        measure: Names of cases.
    """

    learn: tuple[str, ...]
    measure: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a run will do.

    Attributes:
        folds: Each trained by itself, to measure what the cases teach.
        cases: Names of all cases; the model that is kept learns from them.
        input: Grid, windows and context of the model.
        minutes: For the whole run.
        known: Cases of patients whom the model that is begun with learnt from before; they are no
            test of it.
        kept_known: Cases that are only for measuring, and that it learnt from.
    """

    folds: tuple[Fold, ...]
    cases: tuple[str, ...]
    input: InputDescription
    minutes: float
    known: frozenset[str] = frozenset()
    kept_known: frozenset[str] = frozenset()

    @property
    def is_one_new(self) -> bool:
        """Whether the model that is begun with knows all patients but one."""
        if not self.known or len(self.folds) != 1:
            return False
        return set(self.cases) - self.known == set(self.folds[0].measure)

    def seconds_for_fold(self, left: float, folds_left: int, later: float = 0.0) -> float:
        """How long to learn in the next fold.

        Args:
            left: Seconds that are left of the whole run.
            folds_left: Number of folds that are not done, with this one.
            later: Seconds that everything but learning will take.
        """
        share = _FOLDS_SHARE / max(1, len(self.folds))
        return _for_learning(left, later) * share / (folds_left * share + 1.0 - _FOLDS_SHARE)

    def seconds_for_last(self, left: float, later: float = 0.0) -> float:
        """How long to learn the model that is kept; arguments as above."""
        return _for_learning(left, later)

    def to_json(self) -> dict[str, Any]:
        """For screens and scripts."""
        return {
            "minutes": self.minutes,
            "folds": [{"learn": len(one.learn), "measure": len(one.measure)} for one in self.folds],
            "cases": len(self.cases),
            "known": len(self.known),
            "size": list(self.input.size),
            "spacing": None if self.input.spacing is None else list(self.input.spacing),
        }


def folds_of(
    patients: Mapping[str, str], seed: int = 0, known: Container[str] = ()
) -> tuple[Fold, ...]:
    """Trainings on a part of the cases, which measure what all of them teach.

    With fewer than `MANY_PATIENTS` patients each case is measured once, by a model that did not see
    its patient; with more, those of a fifth of the patients, by one model.

    Args:
        patients: Patient of each case.
        seed: Another seed groups the patients in another way.
        known: Cases that the model which is begun with learnt from; they are not measured.
    """
    new = {patient for case, patient in patients.items() if case not in known}
    names = sorted(new, key=lambda name: _order(seed, name))
    if len(set(patients.values())) < 2 or not names:
        return ()

    def without(held: Sequence[str]) -> Fold:
        learn = tuple(case for case in patients if patients[case] not in held)
        return Fold(learn, tuple(case for case in patients if patients[case] in held))

    if len(names) >= MANY_PATIENTS:
        return (without(names[: math.ceil(HELD_OUT_SHARE * len(names))]),)
    count = min(MOST_FOLDS, len(names))
    return tuple(without(names[place::count]) for place in range(count))


def plan_grid(cases: TeachCases, seen: InputDescription, minutes: float) -> InputDescription:
    """The grid for cases: fine enough for their smallest structure, coarse enough for the time.

    One tile shows the whole slice, because few cases teach best where a structure lies in the body;
    only for structures that would be too small in it, tiles show parts of the slice.

    Args:
        cases: Measured cases.
        seen: Windows and context slices of the network that is begun with.
        minutes: Of the run.
    """
    facts = list(cases.facts.values())
    extent = float(np.percentile([one.extent for one in facts], 75))
    native = float(np.median([one.spacing for one in facts]))
    labels = [item.label for item in cases.structures]
    narrowest = min(
        float(np.median([one.widths[label] for one in facts if label in one.widths]))
        for label in labels
    )
    largest = next(side for limit, side in LARGEST_SIDES if minutes < limit)
    wanted, coarsest, finest = narrowest / PIXELS_ACROSS, extent / SIDE, extent / largest
    if narrowest / finest < LEAST_PIXELS_ACROSS:
        finest = coarsest / MOST_TILES_A_SIDE
    spacing = max(native, finest, min(wanted, coarsest))
    spacing = math.ceil(spacing / SPACING_STEP_MM - 1e-6) * SPACING_STEP_MM
    side = math.ceil(extent / spacing / FACTOR - 1e-6) * FACTOR
    if side > largest:
        side = SIDE
    side = max(SMALLEST_SIDE, side)
    mm = round(spacing, 2)
    return InputDescription(
        size=(side, side),
        spacing=(mm, mm),
        axes=seen.axes,
        windows=seen.windows,
        slice_offsets_mm=seen.slice_offsets_mm,
        repeat=seen.repeat,
        outside=seen.outside,
    )


def _for_learning(left: float, later: float) -> float:
    return max(_LEAST_LEARNING * left, (1.0 - _WRITING_SHARE) * left - later)


def _order(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()
