"""Which structures of two sources are the same: by name, or else by code."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Sequence

from .structure import LEFT, RIGHT, Structure

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
    for key_of in (_name, _words, codes_of):
        rest = [item for item in sources if item.label not in found]
        taken = set(found.values())
        left = [item for item in targets if item.label not in taken]
        ours, theirs = _unique(rest, key_of), _unique(left, key_of)
        found |= {ours[key].label: theirs[key].label for key in ours if key in theirs}
    return found


def codes_of(item: Structure) -> tuple[str, str, tuple[str, str] | None] | None:
    """Scheme and value of a structure's type, and those of its side or other modifier.

    None if they do not say which structure it is: private codes, and such as "Tissue".
    """
    kind, modifier = item.type, item.modifier
    if kind.scheme.startswith(_PRIVATE) or kind.value in _GENERIC:
        return None
    side = None if modifier is None else (modifier.scheme, modifier.value)
    return kind.scheme, kind.value, side


def side_of(item: Structure) -> str:
    """The side of the patient, "left" or "right", by the code, or else by the name; "" for none."""
    by_code = {LEFT.value: "left", RIGHT.value: "right"}
    if item.modifier is not None and item.modifier.value in by_code:
        return by_code[item.modifier.value]
    words = {_SIDES.get(word, word) for word in item.id.split("-")}
    sides = words & {"left", "right"}
    return sides.pop() if len(sides) == 1 else ""


def _unique(
    structures: Sequence[Structure], key_of: Callable[[Structure], Hashable]
) -> dict[Hashable, Structure]:
    keys = [key_of(item) for item in structures]
    counts = Counter(keys)
    return {
        key: item
        for key, item in zip(keys, structures, strict=True)
        if key is not None and counts[key] == 1
    }


def _name(item: Structure) -> Hashable:
    return item.id.replace("-", "") or None


def _words(item: Structure) -> Hashable:
    return tuple(sorted(_SIDES.get(word, word) for word in item.id.split("-"))) or None
