"""All rows, in the order of the report."""

from __future__ import annotations

from ...errors import InputError
from ...language import tr
from ..results import Row
from .compact import COMPACT, COMPACT_SAMPLES
from .nnunet import NNUNET_2D, NNUNET_3D
from .published import DDIM_10, DDIM_50, PUBLISHED, REFERENCE
from .segresnet import SEGRESNET

ROWS = (
    COMPACT,
    COMPACT_SAMPLES,
    NNUNET_2D,
    NNUNET_3D,
    SEGRESNET,
    REFERENCE,
    PUBLISHED,
    DDIM_10,
    DDIM_50,
)


def find_rows(names: str) -> tuple[Row, ...]:
    """The rows in a comma-separated list; all rows if it is empty.

    Raises:
        InputError: Naming the unknown row.
    """
    known = {row.name: row for row in ROWS}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise InputError(
                tr("Unknown row {name!r}; choose from {known}.").format(
                    name=name, known=", ".join(known)
                )
            )
    return tuple(known[name] for name in wanted) or ROWS
