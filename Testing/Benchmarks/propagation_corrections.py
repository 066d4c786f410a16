"""Corrections of a model's predictions: some slices are replaced by the reference, and carried."""

from __future__ import annotations

from typing import Any

import numpy as np
from propagation_protocols import dice, part_of, placed
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
_OFFSETS = (0, 2)
_GAP = 4


def corrections(item: Item, propagator: Propagator) -> list[dict[str, Any]]:
    """For each organ of a patient, Dice of the whole organ before and after corrections.

    Returns:
        JSON types, one entry an organ: `volume`, `name`, `before`, and for each way of choosing
        slices the Dice `alone` (these slices replaced) and `carried`, for 1, 2 and 3 slices.
    """
    volume = read_volume(item.image)
    assert item.label is not None
    labels = np.asarray(read_volume(item.label).array)
    prediction = load_segmenter(HEAD_NECK).segment(volume).label_map
    rows = []
    for number, name in organ_names().items():
        wanted, found = labels == number, prediction == number
        if np.count_nonzero(wanted.any((1, 2))) < 3 or not found.any():
            continue
        rows.append(
            {"volume": item.name, "name": name, **_of_organ(volume, wanted, found, propagator)}
        )
    return rows


def _of_organ(
    volume: Volume, wanted: np.ndarray, found: np.ndarray, propagator: Propagator
) -> dict[str, Any]:
    used = np.flatnonzero((wanted | found).any((1, 2)))
    low, high = max(int(used[0]) - _AROUND, 0), min(int(used[-1]) + _AROUND, len(wanted) - 1)
    errors = {z: int(np.count_nonzero(wanted[z] ^ found[z])) for z in range(low, high + 1)}
    worst = sorted(errors, key=lambda z: -errors[z])
    random = np.random.default_rng(0)
    draws = [random.permutation(list(errors)).tolist() for _ in range(_RANDOM_DRAWS)]
    orders = {"worst": [worst], "proposed": [proposed(volume, found, propagator)], "random": draws}
    result: dict[str, Any] = {"before": dice(found, wanted)}
    for way, chosen in orders.items():
        both = [
            [_corrected(volume, wanted, found, order[:count], propagator) for count in COUNTS]
            for order in chosen
        ]
        alone, carried = np.mean(both, axis=0).T.tolist()
        result[way] = {"alone": alone, "carried": carried}
    return result


def proposed(volume: Volume, found: np.ndarray, propagator: Propagator) -> list[int]:
    """Slices of a prediction in the order in which the model doubts them, a few slices apart.

    Every fourth slice of the prediction is taken as drawn and carried to the others, twice, so that
    each slice is carried to at least once. The doubt of a slice is its uncertainty.
    """
    holding = np.flatnonzero(found.any((1, 2))).tolist()
    doubt: dict[int, float] = {}
    for offset in _OFFSETS:
        drawn = tuple(holding[offset::_GAP]) or (holding[0],)
        options = PropagateOptions(slices=drawn, axis="k", carry="all")
        part = part_of({z: found[z] for z in drawn}, volume.geometry.shape)
        results = propagator.carry(Stack.of(volume, part, options), options)
        for z, item in results.items():
            if holding[0] - _AROUND <= z <= holding[-1] + _AROUND and not (
                item.mask.is_empty and not found[z].any()
            ):
                area = max(int(np.count_nonzero(found[z])), 1)
                doubt[z] = max(doubt.get(z, 0.0), float(item.uncertainty) * area**0.5)
    order: list[int] = []
    for z in sorted(doubt, key=lambda number: -doubt[number]):
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
    if not wanted[chosen].any():
        return alone, alone
    options = PropagateOptions(slices=tuple(sorted(chosen)), axis="k", carry="all", correct=True)
    results = propagator.carry(Stack.of(volume, replaced, options), options)
    carried = replaced
    for z, item in results.items():
        carried[z] = placed(item.mask, wanted.shape[1:])
    return alone, dice(carried, wanted)
