"""Select structures of a model by name or id."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import InputError
from ..language import tr
from ..volume.structure import Structure, structure_id


def select_structures(
    available: tuple[Structure, ...], wanted: Sequence[str] | None
) -> tuple[Structure, ...]:
    """The structures with these names or ids, in the model's order; all for None.

    Case and separators do not matter: "larynx" is "Larynx", "right_parotid_gland" is "Right parotid
    gland".

    Raises:
        InputError: Naming the unknown structure and the known ones.
    """
    if not wanted:
        return available
    by_id = {structure_id(name): name.strip() for name in wanted}
    unknown = sorted(by_id[key] for key in set(by_id) - {item.id for item in available})
    if unknown:
        raise InputError(
            tr("The model has no structure called {unknown}; it has {available}.").format(
                unknown=", ".join(unknown), available=", ".join(item.id for item in available)
            )
        )
    return tuple(item for item in available if item.id in by_id)
