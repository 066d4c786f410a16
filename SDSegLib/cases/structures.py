"""The structures of several cases together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from ..volume.same_structures import common_labels
from ..volume.structure import Structure


def all_structures(cases: Sequence[Sequence[Structure]]) -> tuple[Structure, ...]:
    """Each structure once, as the first case that holds it has it, with the labels 1 … N.

    Args:
        cases: The structures of each case.
    """
    found: list[Structure] = []
    for structures in cases:
        known = common_labels(structures, found)
        for item in structures:
            if item.label not in known:
                found.append(replace(item, label=len(found) + 1))
    return tuple(found)
