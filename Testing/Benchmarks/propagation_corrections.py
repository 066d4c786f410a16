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
_APART = 3  # slices between proposed ones
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
    prediction = load_segmenter(HEAD_NECK).segment(volume, probabilities=True)
    chances = prediction.probabilities
    assert chances is not None
    rows = []
    for number, name in organ_names().items():
        wanted, found = labels == number, prediction.label_map == number
        if np.count_nonzero(wanted.any((1, 2))) < 3 or not found.any():
            continue
        rows.append(
            {
                "volume": item.name,
                "name": name,
                **_of_organ(volume, wanted, found, chances[number], propagator),
            }
        )
    return rows


def _of_organ(
    volume: Volume,
    wanted: np.ndarray,
    found: np.ndarray,
    chance: np.ndarray,
    propagator: Propagator,
) -> dict[str, Any]:
    used = np.flatnonzero((wanted | found).any((1, 2)))
    low, high = max(int(used[0]) - _AROUND, 0), min(int(used[-1]) + _AROUND, len(wanted) - 1)
    errors = {z: int(np.count_nonzero(wanted[z] ^ found[z])) for z in range(low, high + 1)}
    worst = sorted(errors, key=lambda z: -errors[z])
    random = np.random.default_rng(0)
    draws = [random.permutation(list(errors)).tolist() for _ in range(_RANDOM_DRAWS)]
    orders = {"worst": [worst], "proposed": [proposed(found, chance)], "random": draws}
    result: dict[str, Any] = {"before": dice(found, wanted)}
    for way, chosen in orders.items():
        both = [
            [_corrected(volume, wanted, found, order[:count], propagator) for count in COUNTS]
            for order in chosen
        ]
        alone, carried = np.mean(both, axis=0).T.tolist()
        result[way] = {"alone": alone, "carried": carried}
    return result


def proposed(found: np.ndarray, chance: np.ndarray) -> list[int]:
    """Slices of a prediction in the order of their doubt, at least three slices apart.

    The doubt of a slice is the number of voxels that are expected to be wrong in it.

    Args:
        found: The prediction, bool (k, j, i).
        chance: Probability of each voxel according to the model that made it.
    """
    doubt = np.where(found, 1 - chance, chance).sum((1, 2))
    order: list[int] = []
    for z in np.argsort(-doubt, kind="stable").tolist():
        if all(abs(z - other) >= _APART for other in order):
            order.append(z)
    return order


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
