"""Which structures of two sources are the same: by name, or else by code."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from .structure import Structure

_SIDES = {"l": "left", "r": "right"}
_GENERIC = frozenset(("85756007", "91723000", "123037004"))
"""SNOMED codes that say nothing about which structure it is: tissue, anatomical structure."""
_PRIVATE = "99"


def common_labels(sources: Sequence[Structure], targets: Sequence[Structure]) -> dict[int, int]:
    """The target's label of each source structure that the target has too.

    Structures are the same if their names are, in any case, with any separators and in any order
    of the words; or else if their codes are. A name or code that several have matches none.
    """
    found: dict[int, int] = {}
    for key_of in (_name, _words, _codes):
        rest = [item for item in sources if item.label not in found]
        left = [item for item in targets if item.label not in found.values()]
        ours, theirs = _unique(rest, key_of), _unique(left, key_of)
        found |= {ours[key].label: theirs[key].label for key in ours if key in theirs}
    return found


def _unique(
    structures: Sequence[Structure], key_of: Callable[[Structure], Hashable]
) -> dict[Hashable, Structure]:
    keys = [key_of(item) for item in structures]
    return {
        key: item
        for key, item in zip(keys, structures, strict=True)
        if key is not None and keys.count(key) == 1
    }


def _name(item: Structure) -> Hashable:
    return item.id.replace("-", "") or None


def _words(item: Structure) -> Hashable:
    return tuple(sorted(_SIDES.get(word, word) for word in item.id.split("-"))) or None


def _codes(item: Structure) -> Hashable:
    kind, modifier = item.type, item.modifier
    if kind.scheme.startswith(_PRIVATE) or kind.value in _GENERIC:
        return None
    side = None if modifier is None else (modifier.scheme, modifier.value)
    return kind.scheme, kind.value, side
