"""The registry of network families. To add one, write its module and add one line to `FAMILIES`.

Importing this package imports neither PyTorch nor any family.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from ..errors import ModelError

if TYPE_CHECKING:
    from .base import Family
    from .description import ModelDescription

FAMILIES = {
    "compact": "SDSegLib.families.compact:CompactFamily",
    "published": "SDSegLib.families.published:PublishedFamily",
    "direct": "SDSegLib.families.direct:DirectFamily",
    "propagate": "SDSegLib.families.propagate:PropagateFamily",
}
"""By the name in `model.json`: module and class, imported when a model of the family is built."""

FAMILIES_OF_ANY_STRUCTURE = frozenset({"propagate"})
"""Families that carry a mask of any structure from slice to slice and segment none of their own."""


def family_class(name: str) -> type[Family]:
    """Import the class of a family.

    Raises:
        ModelError: If no family has this name.
    """
    if name not in FAMILIES:
        raise ModelError(f"There is no family {name!r}; the known ones are {', '.join(FAMILIES)}.")
    module, _, attribute = FAMILIES[name].partition(":")
    return getattr(import_module(module), attribute)


def build_family(description: ModelDescription) -> Family:
    """The networks of a description, with random weights.

    Raises:
        ModelError: If the family is unknown or the network sizes are not valid.
    """
    return family_class(description.family)(description)
