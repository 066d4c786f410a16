"""Means and spreads of a stability run: of the data set, of its cases, and of their slices."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from .stability import CaseStability, SliceJudgement
from .summary import Estimate, summarise


@dataclass(frozen=True)
class Spread:
    """One figure, measured once with each noise.

    Attributes:
        values: By noise; the first is the model's stored noise.
        mean: Their mean.
        deviation: Their standard deviation (n − 1).
        of_mean: The figure of the mean of all samples.
    """

    values: tuple[float, ...]
    mean: float
    deviation: float
    of_mean: float

    @property
    def span(self) -> float:
        """Largest minus smallest."""
        return max(self.values) - min(self.values)


@dataclass(frozen=True)
class StructureStability:
    """One structure over all cases; None is what cannot be said.

    Attributes:
        label: The structure's label.
        dice: Mean Dice over the cases, with its spread.
        pairwise: Mean Dice of pairs of samples, over the cases.
        rank: Spearman's correlation of the score of a slice with its Dice, over all slices.
        slices: How many slices that is.
    """

    label: int
    dice: Spread | None
    pairwise: float | None
    rank: float | None
    slices: int


@dataclass(frozen=True)
class StabilitySummary:
    """All cases.

    Attributes:
        dice: Data set level: mean over the structures of their mean Dice over the cases.
        iou: The same with IoU.
        structures: In the order of the labels.
        pairwise: Instance level: mean over the structures.
        similarity: Mean over the cases, by measure.
        rank: Mean of the structures' rank correlations.
        rank_pooled: Rank correlation over the slices of all structures together.
        slice_dice: Mean Dice of all slices.
        named_dice: Mean Dice of the slices that a reader is told to look at.
    """

    dice: Spread | None
    iou: Spread | None
    structures: tuple[StructureStability, ...]
    pairwise: float | None
    similarity: dict[str, float]
    rank: float | None
    rank_pooled: float | None
    slice_dice: float | None
    named_dice: float | None


def summarise_stability(cases: Sequence[CaseStability]) -> StabilitySummary:
    """Summarise cases that were judged with the same model and number of samples."""
    samples = len(cases[0].of_sample)
    each = [summarise({case.name: case.of_sample[n] for case in cases}) for n in range(samples)]
    mean = summarise({case.name: case.of_mean for case in cases})
    slices = [item for case in cases for item in case.slices]
    structures = []
    for column, item in enumerate(mean.structures):
        mine = [judged for judged in slices if judged.label == item.label]
        structures.append(
            StructureStability(
                label=item.label,
                dice=_spread(
                    [one.structures[column].metrics.get("dice") for one in each],
                    item.metrics.get("dice"),
                ),
                pairwise=_mean(
                    case.pairwise[item.label] for case in cases if item.label in case.pairwise
                ),
                rank=_rank(mine),
                slices=len(mine),
            )
        )
    measures = {name: None for case in cases for name in case.similarity}
    return StabilitySummary(
        dice=_spread([one.overall.get("dice") for one in each], mean.overall.get("dice")),
        iou=_spread([one.overall.get("iou") for one in each], mean.overall.get("iou")),
        structures=tuple(structures),
        pairwise=_mean(item.pairwise for item in structures if item.pairwise is not None),
        similarity={
            name: float(np.mean([c.similarity[name] for c in cases if name in c.similarity]))
            for name in measures
        },
        rank=_mean(item.rank for item in structures if item.rank is not None),
        rank_pooled=_rank(slices),
        slice_dice=_mean(item.dice for item in slices),
        named_dice=_mean(item.dice for item in slices if item.named),
    )


def rank_correlation(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's correlation; None with fewer than three pairs or if one of both is constant."""
    from scipy.stats import spearmanr

    if len(first) < 3 or len(set(first)) == 1 or len(set(second)) == 1:
        return None
    return float(spearmanr(first, second).statistic)


def _spread(each: Sequence[Estimate | None], mean: Estimate | None) -> Spread | None:
    values = tuple(item.mean for item in each if item is not None)
    if mean is None or len(values) < 2:
        return None
    return Spread(values, float(np.mean(values)), float(np.std(values, ddof=1)), mean.mean)


def _rank(slices: Sequence[SliceJudgement]) -> float | None:
    return rank_correlation([item.score for item in slices], [item.dice for item in slices])


def _mean(values: Iterable[float]) -> float | None:
    found = list(values)
    return float(np.mean(found)) if found else None
