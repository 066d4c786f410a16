"""Judge a label map for every case of a data set."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from ..volume.geometry import Geometry
from ..volume.orientation import reorientation_to
from ..volume.volume import Volume
from .grids import on_grid
from .pairs import CasePair
from .predictors import Prediction, Predictor
from .scores import Rules, StructureScore, evaluate_pair
from .worst import DisplayedCase, Snapshot, WorstResults

CaseReport = Callable[[int, str], None]


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a data set.

    Attributes:
        scores: For each case one score per structure, in the order of the names.
        snapshots: The worst results, the worst first.
        notes: For each case what the user should know; cases without notes are left out.
    """

    scores: dict[str, list[StructureScore]]
    snapshots: list[Snapshot]
    notes: dict[str, list[str]]


def evaluate_cases(
    pairs: tuple[CasePair, ...],
    predict: Predictor,
    names: Mapping[int, str],
    rules: Rules | None = None,
    pictures: int = 0,
    report: CaseReport | None = None,
) -> Evaluation:
    """Compare a label map of each case with its reference, on the reference's grid.

    Args:
        pairs: The cases; one is in memory at a time.
        predict: Gives a case's label map.
        names: Name of each label to compare.
        rules: How missing structures are counted.
        pictures: Of how many of the worst results to keep slices.
        report: Told the number of cases done and the name of the next.

    Raises:
        InputError: If a file cannot be used.
    """
    worst = WorstResults(pictures)
    scores, notes = {}, {}
    for done, pair in enumerate(pairs):
        if report is not None:
            report(done, pair.name)
        prediction = predict(pair)
        reference = pair.read_reference(pair.reference)
        found = [*prediction.notes, *prediction.label_map.notes]
        found += [f"The reference: {note}" for note in reference.notes]
        label_map, resampled = on_grid(prediction.label_map, reference.geometry)
        if resampled:
            found.append(
                "The prediction is on another grid than the reference; it was resampled there by "
                "nearest neighbour, which costs accuracy at its surface."
            )
        found += _unnamed(reference.array, names)
        spacing = _array_spacing(reference.geometry)
        scores[pair.name] = evaluate_pair(
            label_map, reference.array, spacing, list(names), rules, distances=not pair.is_flat
        )
        if pictures:
            shown = _displayed(pair.name, prediction, label_map, reference)
            offer_all(worst, shown, names, scores[pair.name])
        if found:
            notes[pair.name] = found
    return Evaluation(scores, worst.snapshots, notes)


def offer_all(
    worst: WorstResults,
    shown: DisplayedCase,
    names: Mapping[int, str],
    scores: list[StructureScore],
) -> None:
    """Offer all structures of a case to the worst results."""
    for score in scores:
        worst.offer(shown, names[score.label], score)


def _array_spacing(geometry: Geometry) -> tuple[float, float, float]:
    i, j, k = geometry.spacing
    return k, j, i


def _unnamed(reference: np.ndarray, names: Mapping[int, str]) -> list[str]:
    """A sentence on labels of the reference that are not compared."""
    others = [int(v) for v in np.unique(reference) if v and int(v) not in names]
    if not others:
        return []
    shown = ", ".join(str(label) for label in others)
    return [f"The reference has labels that are not compared: {shown}."]


def _displayed(
    name: str, prediction: Prediction, label_map: np.ndarray, reference: Volume
) -> DisplayedCase:
    turn = reorientation_to(reference.geometry, "LPS")
    image = None
    if prediction.picture is not None:
        image = prediction.picture[None]
    elif prediction.image is not None:
        image = turn.apply(on_grid(prediction.image, reference.geometry)[0])
    return DisplayedCase(
        name=name,
        image=image,
        reference=turn.apply(reference.array),
        prediction=turn.apply(label_map),
        spacing=turn.spacing(reference.geometry),
    )
