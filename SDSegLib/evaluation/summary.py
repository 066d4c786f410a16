"""Means over cases and structures, with bootstrap intervals over the cases."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from .scores import StructureScore

METRICS = ("dice", "iou", "hd95_mm", "assd_mm")
DRAWS = 2000
SEED = 0
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean and its uncertainty.

    Attributes:
        mean: Mean over the cases that have a value.
        low: Lower end of the 95 % bootstrap interval; None with fewer than two cases.
        high: Upper end.
        cases: How many cases have a value.
    """

    mean: float
    low: float | None
    high: float | None
    cases: int


@dataclass(frozen=True)
class StructureSummary:
    """One structure over all cases.

    Attributes:
        label: The structure's label.
        cases: Number of cases with a Dice value.
        missed: Cases where the reference has it and the prediction does not.
        spurious: Cases where the prediction has it and it is absent from the reference.
        unknown: Cases whose reference lacks it, where it may not have been drawn.
        metrics: Those of "dice", "iou", "hd95_mm" and "assd_mm" with a value in at least one case.
    """

    label: int
    cases: int
    missed: int
    spurious: int
    unknown: int
    metrics: dict[str, Estimate]


@dataclass(frozen=True)
class Summary:
    """All cases and structures.

    Attributes:
        structures: One entry per structure, in the order of the scores.
        overall: Mean over structures of their means over cases, by metric.
        per_case: For each case, by metric, the mean over its structures that have a value.
    """

    structures: tuple[StructureSummary, ...]
    overall: dict[str, Estimate]
    per_case: dict[str, dict[str, float]]

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def without(
    scores: Mapping[str, Sequence[StructureScore]],
    names: Mapping[int, str],
    set_aside: Mapping[str, Collection[str]],
) -> tuple[dict[str, list[StructureScore]], int]:
    """Scores as if some references had not been drawn.

    Args:
        scores: For each case its scores.
        names: Name of each label.
        set_aside: Names of the structures that count as not drawn, by case.

    Returns:
        The scores, and how many of them were changed.
    """
    found, count = {}, 0
    for case, row in scores.items():
        hidden = set_aside.get(case, ())
        found[case] = [
            StructureScore(one.label, "unknown", None, None, None, None, 0.0, one.prediction_ml)
            if names.get(one.label) in hidden and one.status in ("compared", "missed")
            else one
            for one in row
        ]
        count += sum(a is not b for a, b in zip(row, found[case], strict=True))
    return found, count


def summarise(scores: Mapping[str, Sequence[StructureScore]], draws: int = DRAWS) -> Summary:
    """Summarise the scores of several cases.

    Intervals are percentiles over `draws` random samples of the cases, with replacement and with a
    fixed seed: the same scores always give the same intervals. All structures and metrics use the
    same samples of cases.

    Args:
        scores: For each case its scores; all cases have the same labels in the same order.
        draws: Bootstrap samples.
    """
    if not scores:
        raise ValueError("there are no cases to summarise")
    labels = [[score.label for score in case] for case in scores.values()]
    if any(row != labels[0] for row in labels):
        raise ValueError("the cases do not have the same labels in the same order")
    drawn = _drawn(len(scores), draws)
    of_structure: list[dict[str, Estimate]] = [{} for _ in labels[0]]
    overall: dict[str, Estimate] = {}
    per_case: dict[str, dict[str, float]] = {name: {} for name in scores}
    for metric in METRICS:
        values = _values(scores, metric)
        columns, total = _estimates(values, drawn)
        for found, estimate in zip(of_structure, columns, strict=True):
            if estimate is not None:
                found[metric] = estimate
        if total is not None:
            overall[metric] = total
        for name, row in zip(scores, values, strict=True):
            if np.isfinite(row).any():
                per_case[name][metric] = float(np.nanmean(row))
    structures = [
        _structure([case[column] for case in scores.values()], metrics)
        for column, metrics in enumerate(of_structure)
    ]
    return Summary(tuple(structures), overall, per_case)


def estimate_means(
    values: np.ndarray, draws: int = DRAWS
) -> tuple[list[Estimate | None], Estimate | None]:
    """Means with bootstrap intervals, as `summarise` gives them, of any values.

    Of differences between two runs on the same cases the intervals are those of a paired bootstrap.

    Args:
        values: Cases × structures, NaN where there is no value.
        draws: Bootstrap samples.

    Returns:
        One estimate per structure, None without values, and one for the mean of the structures.
    """
    return _estimates(values, _drawn(len(values), draws))


def _drawn(cases: int, draws: int) -> np.ndarray:
    """How often each case is in each bootstrap sample (draws × cases)."""
    generator = np.random.default_rng(SEED)
    return generator.multinomial(cases, np.full(cases, 1 / cases), size=draws)


def _structure(scores: list[StructureScore], metrics: dict[str, Estimate]) -> StructureSummary:
    statuses = [score.status for score in scores]
    return StructureSummary(
        label=scores[0].label,
        cases=sum(score.dice is not None for score in scores),
        missed=statuses.count("missed"),
        spurious=statuses.count("spurious"),
        unknown=statuses.count("unknown"),
        metrics=metrics,
    )


def _values(scores: Mapping[str, Sequence[StructureScore]], metric: str) -> np.ndarray:
    """Cases × structures, NaN where there is no value."""
    rows = [[getattr(score, metric) for score in case] for case in scores.values()]
    return np.array(rows, dtype=float).reshape(len(rows), -1)


def _estimates(
    values: np.ndarray, drawn: np.ndarray
) -> tuple[list[Estimate | None], Estimate | None]:
    """One estimate per structure and one for the mean of the structures.

    Args:
        values: Cases × structures, with NaN.
        drawn: Samples × cases, how often each case is in the sample.
    """
    known = np.isfinite(values)
    means = _row_means(values, np.ones((1, len(values)), int))[0]
    samples = _row_means(values, drawn)
    columns = [
        None if not count else _estimate(mean, sample, int(count))
        for mean, sample, count in zip(means, samples.T, known.sum(axis=0), strict=True)
    ]
    if not known.any():
        return columns, None
    used = np.isfinite(means)
    # A structure without a case in a sample gets its overall mean, so that every sample averages
    # the same structures.
    complete = np.where(np.isfinite(samples), samples, means)[:, used]
    return columns, _estimate(
        means[used].mean(), complete.mean(axis=1), int(known.any(axis=1).sum())
    )


def _row_means(values: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """Means of the known values of each column (samples × structures); NaN where there is none."""
    known = np.isfinite(values)
    sums = weights @ np.where(known, values, 0.0)
    counts = weights @ known
    return np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)


def _estimate(mean: float, samples: np.ndarray, cases: int) -> Estimate:
    if cases < 2:
        return Estimate(float(mean), None, None, cases)
    low, high = np.nanpercentile(samples, [50 * (1 - LEVEL), 50 * (1 + LEVEL)])
    return Estimate(float(mean), float(low), float(high), cases)
