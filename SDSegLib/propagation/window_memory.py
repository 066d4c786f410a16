"""Results of windows, kept so that after a stroke only the windows that it touches are computed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass

from .mask_part import NOTHING, SliceMask

MOST_BYTES = 128 * 2**20


@dataclass(frozen=True, eq=False)
class Computed:
    """The result for one slice.

    Attributes:
        mask: Its mask.
        presence: Probability that the structure is in the slice.
        uncertainty: As `Propagation.uncertainty`.
    """

    mask: SliceMask = NOTHING
    presence: float = 0.0
    uncertainty: float = 0.0


class WindowMemory:
    """Results of the windows that were computed last.

    Args:
        most_bytes: For all masks together; the least recently used are dropped.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._bytes = 0
        self._windows: OrderedDict[Hashable, Mapping[int, Computed]] = OrderedDict()

    def get(
        self, key: Hashable, compute: Callable[[], Mapping[int, Computed]]
    ) -> Mapping[int, Computed]:
        """The results of a window by slice; computed unless they are known.

        Args:
            key: All that they depend on.
            compute: Called if there is nothing under the key.
        """
        if key not in self._windows:
            found = compute()
            self._windows[key] = found
            self._bytes += _bytes_of(found)
            while self._bytes > self._most_bytes and len(self._windows) > 1:
                _, dropped = self._windows.popitem(last=False)
                self._bytes -= _bytes_of(dropped)
        self._windows.move_to_end(key)
        return self._windows[key]


def _bytes_of(found: Mapping[int, Computed]) -> int:
    return sum(item.mask.voxels.nbytes for item in found.values())
