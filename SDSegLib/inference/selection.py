"""Which of a model's structures are wanted."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..volume.structure import Structure


def select_structures(
    available: tuple[Structure, ...], wanted: Sequence[str] | None
) -> tuple[Structure, ...]:
    """The structures with these names or ids, in the model's order; all for None.

    Raises:
        InputError: Naming what is unknown and what there is.
    """
    if not wanted:
        return available
    asked = {name.strip().lower() for name in wanted}
    chosen = tuple(s for s in available if asked & {s.name.lower(), s.id})
    unknown = asked - {name for s in chosen for name in (s.name.lower(), s.id)}
    if unknown:
        raise InputError(
            f"The model has no structure called {', '.join(sorted(unknown))}; it has "
            f"{', '.join(s.id for s in available)}."
        )
    return chosen
