"""The registry of network families. To add one, write its module and add one line to `FAMILIES`.

Importing this package imports neither PyTorch nor any family.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Literal

from ..errors import ModelError
from ..language import tr

if TYPE_CHECKING:
    from .base import Family
    from .description import ModelDescription

FAMILIES = {
    "compact": "SDSegLib.families.compact:CompactFamily",
    "published": "SDSegLib.families.published:PublishedFamily",
    "direct": "SDSegLib.families.direct:DirectFamily",
    "propagate": "SDSegLib.families.propagate:PropagateFamily",
    "foundation": "SDSegLib.families.foundation:FoundationFamily",
}
"""By the name in `model.json`: module and class, imported when a model of the family is built."""

Use = Literal["segment", "carry", "start"]
"""What a model is for: it segments its own structures, carries a mask of any structure from slice
to slice, or gives other models a start."""

OTHER_USES: dict[str, Use] = {"propagate": "carry", "foundation": "start"}
"""The use of families that segment no structures of their own."""


def family_class(name: str) -> type[Family]:
    """Import the class of a family.

    Raises:
        ModelError: If no family has this name.
    """
    if name not in FAMILIES:
        raise ModelError(
            tr("There is no family {name!r}; the known ones are {families}.").format(
                name=name, families=", ".join(FAMILIES)
            )
        )
    module, _, attribute = FAMILIES[name].partition(":")
    return getattr(import_module(module), attribute)


def build_family(description: ModelDescription) -> Family:
    """The networks of a description, with random weights.

    Raises:
        ModelError: If the family is unknown or the network sizes are not valid.
    """
    return family_class(description.family)(description)
