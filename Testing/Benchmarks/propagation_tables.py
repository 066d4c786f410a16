"""Markdown tables of what the propagation benchmark measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from propagation_corrections import COUNTS, WAYS
from propagation_protocols import GAPS, NETWORK, REACHES, RIVALS
from scipy.stats import spearmanr

Row = dict[str, Any]
TITLES = {
    NETWORK: "propagate",
    "contours": "morphological contours",
    "distances": "signed distances",
    "nearest": "nearest slice",
}
_EQUAL = 0.001


def every_table(rows: Sequence[Row]) -> str:
    """Dice over the slices that are not drawn, for each gap, beside the rivals."""
    lines = []
    for gap in GAPS:
        name = f"every {gap}"
        used = [row["slices"][name] for row in rows if name in row["slices"]]
        if not used:
            continue
        by_method = {m: np.array([_mean(one, m) for one in used]) for m in (NETWORK, *RIVALS)}
        best = np.max([by_method[rival] for rival in RIVALS], axis=0)
        share = float(np.mean(by_method[NETWORK] >= best - _EQUAL))
        cells = [f"{by_method[method].mean():.3f}" for method in (NETWORK, *RIVALS)]
        lines.append([f"every {gap}th", len(used), *cells, f"{100 * share:.0f} %"])
    head = ["slices drawn", "structures", *(TITLES[m] for m in (NETWORK, *RIVALS))]
    return table([*head, "not worse than its best rival"], lines)


def reach_table(rows: Sequence[Row]) -> str:
    """Dice of one middle slice carried to both sides, by groups of structures."""
    groups = sorted({row["group"] for row in rows})
    lines = [_reach_line("all", rows)]
    lines += [
        _reach_line(group, [row for row in rows if row["group"] == group])
        for group in groups
        if len(groups) > 1
    ]
    head = ["one middle slice carried to", "structures"]
    for reach in REACHES:
        head += [f"±{reach}", f"nearest slice ±{reach}"]
    return table(head, lines)


def end_table(rows: Sequence[Row]) -> str:
    """Slices beyond the end that are empty, and slices of the structure that are lost.

    These are its last four, the one before them being drawn, and those around one middle slice.
    """
    found = [
        one
        for row in rows
        for name in ("end up", "end down")
        for one in row["slices"].get(name, [])
    ]
    beyond = [one["is_empty"] for one in found if not one["holds"]]
    inside = [one["is_empty"] for one in found if one["holds"]]
    if not beyond or not inside:
        return ""
    around = [one["is_empty"] for row in rows for one in row["slices"]["middle"]]
    line = [f"{100 * np.mean(beyond):.0f} %", f"{100 * np.mean(inside):.1f} %"]
    line += [len(beyond), len(inside), f"{100 * np.mean(around):.1f} %", len(around)]
    head = ["beyond: empty", "last four: lost", "slices beyond", "slices of the last four"]
    reach = f"±{max(REACHES)} of a middle one"
    return table([*head, f"{reach}: lost", f"slices {reach}"], [line])


def uncertainty_line(rows: Sequence[Row]) -> str:
    """Rank correlation of uncertainty and error of the slices with every 8th drawn."""
    used = [row["slices"]["every 8"] for row in rows if "every 8" in row["slices"]]
    flat = [one for part in used for one in part]
    if len(flat) < 3:
        return ""
    whole = _rank(flat)
    within = [value for part in used if len(part) >= 5 and not np.isnan(value := _rank(part))]
    text = f"Rank correlation of uncertainty with error: {whole:.2f} over all slices"
    return text + (f", {np.mean(within):.2f} within a structure." if within else ".")


def unsteady_table(steady: Sequence[Row], unsteady: Sequence[Row]) -> str:
    """What drawn slices that are shifted or ragged cost, for the network and the rivals."""
    lines = []
    names = [*(f"every {gap}" for gap in GAPS), "middle"]
    for name in names:
        cells: list[Any] = [f"{name}th" if name != "middle" else f"one, ±{REACHES[0]}"]
        for method in (NETWORK, *RIVALS):
            pairs = [
                (_near(a["slices"][name], method, name), _near(b["slices"][name], method, name))
                for a, b in zip(steady, unsteady, strict=True)
                if name in a["slices"] and name in b["slices"]
            ]
            pairs = [pair for pair in pairs if not np.isnan(pair).any()]
            before, after = np.mean(pairs, axis=0) if pairs else (np.nan, np.nan)
            cells += [f"{after:.3f} ({after - before:+.3f})"]
        lines.append(cells)
    return table(["slices drawn unsteadily", *(TITLES[m] for m in (NETWORK, *RIVALS))], lines)


def correction_table(rows: Sequence[Row]) -> str:
    """Rise of Dice of whole organs by corrected slices, alone and carried."""
    before = float(np.mean([row["before"] for row in rows]))
    lines = []
    best: list[float] = []
    for way in WAYS:
        for place, count in enumerate(COUNTS):
            alone, carried = (
                float(np.mean([row[way][kind][place] for row in rows])) - before
                for kind in ("alone", "carried")
            )
            worse = np.mean([row[way]["carried"][place] < row["before"] - _EQUAL for row in rows])
            if way == "worst":
                best.append(carried)
            ratio = f"{carried / alone:.1f}" if alone > 0 else "–"
            share = f"{100 * carried / best[place]:.0f} %" if best[place] > 0 else "–"
            lines.append(
                [
                    way,
                    count,
                    f"{100 * alone:+.1f}",
                    f"{100 * carried:+.1f}",
                    ratio,
                    share,
                    f"{100 * worse:.0f} %",
                ]
            )
    head = ["slices", "how many", "replaced alone, points", "carried, points", "ratio"]
    text = table([*head, "of the worst's rise", "organs worse than before"], lines)
    return f"{len(rows)} organs, mean Dice before {before:.3f}.\n\n{text}"


def speed_table(found: Row) -> str:
    """Seconds from a click to the preview."""
    titles = {"first": "all windows", "stroke": "after a stroke on one drawn slice"}
    lines = [
        [
            titles[kind],
            *(f"{found[kind][m]:.2f}" if m in found[kind] else "" for m in (NETWORK, *RIVALS)),
        ]
        for kind in titles
    ]
    return table(["seconds", *(TITLES[m] for m in (NETWORK, *RIVALS))], lines)


def table(head: Iterable[Any], lines: Iterable[Iterable[Any]]) -> str:
    """A Markdown table."""
    cells = [str(cell) for cell in head]
    rows = ["| " + " | ".join(cells) + " |", "| --- |" + " ---: |" * (len(cells) - 1)]
    rows += ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines]
    return "\n".join(rows) + "\n"


def _reach_line(title: str, rows: Sequence[Row]) -> list[Any]:
    cells: list[Any] = [title, len(rows)]
    for reach in REACHES:
        for method in (NETWORK, "nearest"):
            values = [
                _mean([one for one in row["slices"]["middle"] if one["distance"] <= reach], method)
                for row in rows
            ]
            cells.append(f"{np.nanmean(values):.3f}")
    return cells


def _near(found: Sequence[Row], method: str, name: str) -> float:
    if name == "middle":
        found = [one for one in found if one["distance"] <= REACHES[0]]
    return _mean(found, method)


def _mean(found: Sequence[Row], method: str) -> float:
    values = [one["dice"][method] for one in found]
    return float(np.mean(values)) if values else float("nan")


def _rank(found: Sequence[Row]) -> float:
    unsure = [one["uncertainty"] for one in found]
    errors = [1 - one["dice"][NETWORK] for one in found]
    if len(set(unsure)) < 2 or len(set(errors)) < 2:
        return float("nan")
    return float(spearmanr(unsure, errors).statistic)


TABLES: dict[str, Callable[[Sequence[Row]], str]] = {
    "every": every_table,
    "reach": reach_table,
    "end": end_table,
    "uncertainty": uncertainty_line,
}
