"""What more cases would probably give: a power law through the Dice of trainings on fewer cases."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from ..language import tr

MORE_CASES = 5
USUAL_EXPONENT = 0.35
"""Of the error, one minus Dice, over the number of cases: an assumption, not a measurement."""
EXPONENTS = (0.15, 0.6)
"""Between which the exponent is taken to lie; the range that is told comes from both."""
_HIGHEST = 0.98


def learning_curve(
    points: Sequence[tuple[int, float]], cases: int, more: int = MORE_CASES
) -> Mapping[str, Any]:
    """The points, and the Dice to expect with more cases.

    The error is taken as a · n^(−b) for n cases. With points at several n, b is fitted to them and
    limited to `EXPONENTS`; with one it is the usual one. The range comes from both limits.

    Args:
        points: Number of cases that were learnt from, and mean Dice of others.
        cases: Number of cases of the model itself.
        more: Further cases to ask about.

    Returns:
        JSON types: `points`, `cases`, `more`, `expected`, `low`, `high`, `is_fitted`. Without
        points only `points` and `cases`.
    """
    rows = sorted((count, dice) for count, dice in points if count > 0)
    listed = [{"cases": count, "dice": round(dice, 4)} for count, dice in rows]
    if not rows:
        return {"points": [], "cases": cases}
    counts = sorted({count for count, _ in rows})
    exponent, is_fitted = USUAL_EXPONENT, False
    if len(counts) > 1:
        exponent, is_fitted = _fitted(rows), True
    largest = counts[-1]
    here = [dice for count, dice in rows if count == largest]
    error = max(1 - _HIGHEST, 1 - sum(here) / len(here))

    def expected(b: float) -> float:
        return round(1 - error * (largest / (cases + more)) ** b, 3)

    limits = sorted(expected(b) for b in EXPONENTS)
    return {
        "points": listed,
        "cases": cases,
        "more": more,
        "expected": expected(exponent),
        "low": limits[0],
        "high": limits[1],
        "is_fitted": is_fitted,
    }


def _fitted(rows: Sequence[tuple[int, float]]) -> float:
    """The exponent of a least-squares line through the logarithms."""
    x = [math.log(count) for count, _ in rows]
    y = [math.log(max(1 - _HIGHEST, 1 - dice)) for _, dice in rows]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    over = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True))
    slope = over / sum((a - mean_x) ** 2 for a in x)
    return min(EXPONENTS[1], max(EXPONENTS[0], -slope))


def in_words(curve: Mapping[str, Any]) -> str:
    """One sentence for the user; empty without points."""
    if "expected" not in curve:
        return ""
    basis = (
        tr("from the trainings on fewer cases") if curve["is_fitted"] else tr("by an assumption")
    )
    return tr(
        "{more} more cases would probably give a mean Dice of about {expected:.2f} "
        "({low:.2f} to {high:.2f}; estimated {basis})."
    ).format(
        more=curve["more"],
        expected=curve["expected"],
        low=curve["low"],
        high=curve["high"],
        basis=basis,
    )
