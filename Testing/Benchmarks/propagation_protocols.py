"""How propagation is measured on one structure: what is drawn, and which slices are scored."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from propagation_sets import Structure
from scipy.ndimage import distance_transform_edt, gaussian_filter

from SDSegLib.mrml.fill_between import fill_between_slices
from SDSegLib.propagation.carry import Propagator
from SDSegLib.propagation.classic import copy_nearest, interpolate_distances
from SDSegLib.propagation.mask_part import MaskPart, SliceMask
from SDSegLib.propagation.options import PropagateOptions
from SDSegLib.propagation.stack import Stack
from SDSegLib.volume.volume import Volume

GAPS = (4, 8, 16)
REACHES = (3, 6, 10)
NETWORK, CONTOURS, DISTANCES, NEAREST = "network", "contours", "distances", "nearest"
RIVALS = (CONTOURS, DISTANCES, NEAREST)
BEYOND = 8
_END_GAP = 4
_SHIFTS = ((1, 0), (-1, 1), (2, 0), (0, -2), (0, 1), (-1, -1))

Masks = Mapping[int, np.ndarray]


@dataclass(frozen=True)
class Protocol:
    """What is drawn of a structure, and what is scored.

    Attributes:
        name: "every 4", "middle", "end up", "end down".
        drawn: Numbers of the drawn slices.
        scored: Numbers of the slices that are compared with the reference.
        carry: As `PropagateOptions.carry`.
    """

    name: str
    drawn: tuple[int, ...]
    scored: tuple[int, ...]
    carry: str


def protocols(mask: np.ndarray) -> Iterator[Protocol]:
    """The first, every n-th and the last slice; one middle slice; all but the end.

    Args:
        mask: The reference, bool (k, j, i).
    """
    holding = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
    present = set(holding)
    first, last = holding[0], holding[-1]
    for gap in GAPS:
        drawn = sorted({*range(first, last + 1, gap), last} & present)
        scored = [z for z in holding if z not in drawn]
        if scored:
            yield Protocol(f"every {gap}", tuple(drawn), tuple(scored), "between")
    middle = holding[len(holding) // 2]
    near = [z for z in holding if 0 < abs(z - middle) <= max(REACHES)]
    yield Protocol("middle", (middle,), tuple(near), "all")
    for name, edge, side, carry in (("end up", last, 1, "up"), ("end down", first, -1, "down")):
        drawn = [z for z in holding if (edge - z) * side in range(_END_GAP, last, _END_GAP)]
        scored = [edge + side * n for n in range(-_END_GAP + 1, BEYOND + 1)]
        scored = [z for z in scored if 0 <= z < len(mask)]
        if drawn and len(scored) > _END_GAP:
            yield Protocol(name, tuple(sorted(drawn)), tuple(scored), carry)


def measure(
    structure: Structure, propagator: Propagator, with_rivals: bool, is_unsteady: bool
) -> dict[str, Any]:
    """All protocols on one structure.

    Args:
        structure: Where it is.
        propagator: The model.
        with_rivals: Whether to measure the rivals too.
        is_unsteady: Whether the drawn slices are shifted or ragged.

    Returns:
        JSON types: `set`, `volume`, `name`, `group`, and `slices`: for each protocol a list of
        `{slice, distance, holds, uncertainty, is_empty, dice: {method: value}}`.
    """
    volume, mask = structure.read()
    random = np.random.default_rng(0)
    result = {}
    for protocol in protocols(mask):
        drawn = {z: unsteady(mask[z], random) if is_unsteady else mask[z] for z in protocol.drawn}
        slices = _by_network(volume, mask, drawn, protocol, propagator)
        if with_rivals and not protocol.name.startswith("end"):
            for name, found in _by_rivals(mask, drawn, protocol, volume).items():
                for row in slices:
                    row["dice"][name] = found[row["slice"]]
        result[protocol.name] = slices
    return {
        "set": structure.set,
        "volume": structure.volume,
        "name": structure.name,
        "group": structure.group,
        "slices": result,
    }


def dice(found: np.ndarray, wanted: np.ndarray) -> float:
    """Dice of two masks; 1 if both are empty."""
    total = int(np.count_nonzero(found)) + int(np.count_nonzero(wanted))
    return 2 * int(np.count_nonzero(found & wanted)) / total if total else 1.0


def part_of(masks: Masks, shape: tuple[int, int, int]) -> MaskPart:
    """A mask of some slices (j, i) along k."""
    return MaskPart.joined(shape, {z: SliceMask.of((0, 0), mask) for z, mask in masks.items()})


def placed(mask: SliceMask, shape: tuple[int, ...]) -> np.ndarray:
    """A slice's mask on all its voxels."""
    whole = np.zeros(shape, bool)
    row, column = mask.corner
    rows, columns = mask.voxels.shape
    whole[row : row + rows, column : column + columns] = mask.voxels
    return whole


def unsteady(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """A mask (j, i) shifted by one or two voxels, or with a ragged border."""
    if random.random() < 0.5:
        drawn = np.roll(mask, _SHIFTS[int(random.integers(len(_SHIFTS)))], (0, 1))
    else:
        noise = gaussian_filter(random.normal(size=mask.shape), 1)
        distance = distance_transform_edt(mask) - distance_transform_edt(~mask)
        drawn = distance + noise / noise.std() * 0.8 > 0
    return drawn if drawn.any() else mask


def _by_network(
    volume: Volume, mask: np.ndarray, drawn: Masks, protocol: Protocol, propagator: Propagator
) -> list[dict[str, Any]]:
    options = PropagateOptions(slices=protocol.drawn, axis="k", carry=protocol.carry)
    stack = Stack.of(volume, part_of(drawn, volume.geometry.shape), options)
    results = propagator.carry(stack, options)
    rows = []
    for z in protocol.scored:
        found = results[z]
        rows.append(
            {
                "slice": z,
                "distance": min(abs(z - number) for number in protocol.drawn),
                "holds": bool(mask[z].any()),
                "uncertainty": float(found.uncertainty),
                "presence": float(found.presence),
                "is_empty": found.mask.is_empty,
                "dice": {NETWORK: dice(placed(found.mask, mask.shape[1:]), mask[z])},
            }
        )
    return rows


def _by_rivals(
    mask: np.ndarray, drawn: Masks, protocol: Protocol, volume: Volume
) -> dict[str, dict[int, float]]:
    """Dice of each rival by slice, on the box that holds the structure."""
    used = mask.any(axis=0)
    for one in drawn.values():
        used = used | one
    box = tuple(
        slice(max(int(line[0]) - 3, 0), int(line[-1]) + 4)
        for line in (np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0)))
    )
    known = {z: np.ascontiguousarray(one[box]) for z, one in drawn.items()}
    depth, (step_i, step_j, _) = len(mask), volume.geometry.spacing
    made = {
        CONTOURS: contours(known, depth),
        DISTANCES: interpolate_distances(known, depth, (step_j, step_i)),
        NEAREST: copy_nearest(known, depth),
    }
    return {
        name: {z: dice(found[z], mask[z][box]) for z in protocol.scored}
        for name, found in made.items()
    }


def contours(known: Masks, depth: int) -> np.ndarray:
    """Morphological contour interpolation: *Fill between slices* of 3D Slicer and of OHIF."""
    first = next(iter(known.values()))
    stack = np.zeros((depth, *first.shape), np.uint8)
    for z, mask in known.items():
        stack[z] = mask
    return fill_between_slices(stack, axis=0) > 0
