"""Corrections of a model's predictions: some slices are replaced by the reference, and carried."""

from __future__ import annotations

from typing import Any

import numpy as np
from propagation_protocols import dice, placed
from propagation_sets import HEAD_NECK, organ_names

from SDSegLib.datasets.collection import Item
from SDSegLib.inference.load import load_segmenter
from SDSegLib.propagation.carry import Propagator
from SDSegLib.propagation.options import PropagateOptions
from SDSegLib.propagation.stack import Stack
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.volume import Volume

COUNTS = (1, 2, 3)
WAYS = ("worst", "proposed", "random")
_AROUND = 3  # slices around prediction and reference that may be corrected
_RANDOM_DRAWS = 3


def corrections(item: Item, propagator: Propagator) -> list[dict[str, Any]]:
    """For each organ of a patient, Dice of the whole organ before and after corrections.

    Returns:
        JSON types, one entry an organ: `volume`, `name`, `before`, and for each way of choosing
        slices the Dice `alone` (these slices replaced) and `carried`, for 1, 2 and 3 slices.
    """
    volume = read_volume(item.image)
    assert item.label is not None
    labels = np.asarray(read_volume(item.label).array)
    prediction = load_segmenter(HEAD_NECK).segment(volume)
    assert prediction.doubt is not None
    places = {structure.label: n for n, structure in enumerate(prediction.structures)}
    rows = []
    for number, name in organ_names().items():
        wanted, found = labels == number, prediction.label_map == number
        if np.count_nonzero(wanted.any((1, 2))) < 3 or not found.any():
            continue
        proposed = prediction.doubt.ranked(places[number], count=max(COUNTS))
        rows.append(
            {
                "volume": item.name,
                "name": name,
                **_of_organ(volume, wanted, found, list(proposed), propagator),
            }
        )
    return rows


def _of_organ(
    volume: Volume,
    wanted: np.ndarray,
    found: np.ndarray,
    proposed: list[int],
    propagator: Propagator,
) -> dict[str, Any]:
    used = np.flatnonzero((wanted | found).any((1, 2)))
    low, high = max(int(used[0]) - _AROUND, 0), min(int(used[-1]) + _AROUND, len(wanted) - 1)
    errors = {z: int(np.count_nonzero(wanted[z] ^ found[z])) for z in range(low, high + 1)}
    worst = sorted(errors, key=lambda z: -errors[z])
    random = np.random.default_rng(0)
    draws = [random.permutation(list(errors)).tolist() for _ in range(_RANDOM_DRAWS)]
    orders = {"worst": [worst], "proposed": [proposed], "random": draws}
    result: dict[str, Any] = {"before": dice(found, wanted)}
    for way, chosen in orders.items():
        both = [
            [_corrected(volume, wanted, found, order[:count], propagator) for count in COUNTS]
            for order in chosen
        ]
        alone, carried = np.mean(both, axis=0).T.tolist()
        result[way] = {"alone": alone, "carried": carried}
    return result


def _corrected(
    volume: Volume,
    wanted: np.ndarray,
    found: np.ndarray,
    chosen: list[int],
    propagator: Propagator,
) -> tuple[float, float]:
    """Dice after these slices are replaced, alone and carried to their neighbours."""
    replaced = found.copy()
    replaced[chosen] = wanted[chosen]
    alone = dice(replaced, wanted)
    options = PropagateOptions(slices=tuple(sorted(chosen)), axis="k", carry="all", correct=True)
    results = propagator.carry(Stack.of(volume, replaced, options), options)
    carried = replaced
    for z, item in results.items():
        carried[z] = placed(item.mask, wanted.shape[1:])
    return alone, dice(carried, wanted)
