"""What drawn slices say of the prediction that they correct."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from .estimate import SliceEstimate
from .mask_part import MaskPart, SliceMask


def corrected(
    found: SliceEstimate, prediction: SliceMask, weight: float, threshold: float
) -> SliceMask:
    """The mask of a slice between the network's estimate and the prediction.

    Unlike `SliceEstimate.best_mask` it serves the Dice of the whole structure, to which a slice
    that is unsure gives little, so that few voxels of it should be risked.

    Args:
        found: The network's estimate.
        prediction: The mask that is corrected; certain, as far as it counts.
        weight: Of the estimate, 0 … 1; the rest is that of the prediction.
        threshold: Probability from which a voxel is inside.
    """
    inside = replace(found, chance=found.presence * found.chance)
    together = inside.averaged([(prediction, 1 - weight)])
    return SliceMask.of(together.corner, together.chance > threshold)


def past_the_end(prediction: MaskPart, drawn: Mapping[int, SliceMask]) -> tuple[int, ...]:
    """Slices of a prediction beyond those that a person erased: the structure has ended there.

    These are the slices without a gap in the prediction from an erased slice on, away from the
    drawn slices that hold the structure. If all were erased, away from the larger part of the
    prediction.

    Args:
        prediction: Along its first axis.
        drawn: Masks of the drawn slices, empty where they were erased.
    """
    holding = [number for number, mask in drawn.items() if not mask.is_empty]
    predicted = set(prediction.used()) - set(drawn)
    beyond: set[int] = set()
    for number, mask in drawn.items():
        side = _outward(number, holding, prediction) if mask.is_empty else 0
        at = number + side
        while side and at in predicted:
            beyond.add(at)
            at += side
    return tuple(sorted(beyond))


def _outward(number: int, holding: Sequence[int], prediction: MaskPart) -> int:
    """1 or −1, away from the structure; 0 where it lies on both sides or cannot be told."""
    before = sum(other < number for other in holding)
    after = len(holding) - before
    if not holding:
        sizes = {z: int(prediction.cut(z).sum()) for z in prediction.used()}
        before = sum(size for z, size in sizes.items() if z < number)
        after = sum(size for z, size in sizes.items() if z > number)
        return int(np.sign(before - after))
    if before and after:
        return 0
    return 1 if before else -1
