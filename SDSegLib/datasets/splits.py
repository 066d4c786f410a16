"""Hold items back for validation or test: by patient, and the same ones every time."""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Sequence

from ..errors import InputError
from .collection import Item


def hold_out(
    items: Sequence[Item], fraction: float, seed: int = 0, patients: str | None = None
) -> tuple[tuple[Item, ...], tuple[Item, ...]]:
    """Divide items into those that stay and those held back.

    Patients are put in the order of a hash of the seed and their name, and the first ones are held
    back, so the choice depends on nothing else: not on the order of files, nor on the machine.

    Args:
        items: What to divide.
        fraction: Share of the patients to hold back, at least one unless it is 0.
        seed: Another one gives another choice.
        patients: Regular expression that finds the patient in an item's name (its first group if
            it has one), where a patient has several items. Each item is a patient without it.

    Returns:
        Those that stay and those held back, both in the order of `items`.

    Raises:
        InputError: If the fraction or the expression cannot be used, or nothing would stay.
    """
    if not 0.0 <= fraction < 1.0:
        raise InputError(f"A share of {fraction:g} cannot be held back; give 0 up to below 1.")
    if fraction == 0.0 or not items:
        return tuple(items), ()
    patient_of = _patients(items, patients)
    names = sorted(set(patient_of.values()), key=lambda name: _rank(seed, name))
    count = math.ceil(len(names) * fraction - 1e-9)
    if count >= len(names):
        raise InputError(
            f"Of {len(names)} patients none would be left to train on; hold back a smaller share "
            f"than {fraction:g}, or give more data."
        )
    held = set(names[:count])
    return (
        tuple(item for item in items if patient_of[item.name] not in held),
        tuple(item for item in items if patient_of[item.name] in held),
    )


def usual_share(items: Sequence[Item], patients: str | None = None) -> float:
    """A fifth for validation, as in nnU-Net's five folds; nothing if there are too few patients."""
    return 0.2 if len(set(_patients(items, patients).values())) >= 5 else 0.0


def _rank(seed: int, name: str) -> bytes:
    return hashlib.sha256(f"{seed}/{name}".encode()).digest()


def _patients(items: Sequence[Item], pattern: str | None) -> dict[str, str]:
    if pattern is None:
        return {item.name: item.name for item in items}
    try:
        expression = re.compile(pattern)
    except re.error as error:
        raise InputError(f"patients={pattern!r} is no regular expression ({error}).") from error
    found = {}
    for item in items:
        match = expression.search(item.name)
        if match is None:
            raise InputError(
                f"The expression patients={pattern!r} finds no patient in the name {item.name}; "
                "correct it."
            )
        found[item.name] = match[1] if expression.groups and match[1] else match[0]
    return found
