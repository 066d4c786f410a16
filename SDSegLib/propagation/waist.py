"""Where a structure ends although the network goes on into its neighbour."""

from __future__ import annotations

import numpy as np

from .mask_part import SliceMask
from .window_memory import Computed

_NARROW = 0.4  # of the area on the last drawn slice
_REGROWN = 1.5  # times the area of the waist
_UNSURE = 0.3  # as `Computed.uncertainty`


class Waist:
    """Watches a structure slice by slice, away from the last drawn one.

    What narrows to a waist and then grows again, without being sure, is mostly something else: the
    brain goes on into the spinal cord, and that into the muscles of the neck. The structure then
    ends at the waist.

    Args:
        drawn: The mask of the last drawn slice.
    """

    def __init__(self, drawn: SliceMask) -> None:
        self._drawn = self._narrowest = np.count_nonzero(drawn.voxels)
        self._number: int | None = None

    def left_at(self, number: int, item: Computed) -> int | None:
        """The slice of the waist, once the structure has been left; None before.

        Args:
            number: The next slice.
            item: Its result; its mask holds something.
        """
        area = np.count_nonzero(item.mask.voxels)
        if area < self._narrowest:
            self._narrowest, self._number = area, number
        is_narrow = self._narrowest <= _NARROW * self._drawn
        is_regrown = area >= _REGROWN * self._narrowest
        return self._number if is_narrow and is_regrown and item.uncertainty >= _UNSURE else None
