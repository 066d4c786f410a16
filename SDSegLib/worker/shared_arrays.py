"""Arrays in memory shared with the worker, which is always freed in the end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..processes.memory import Block, new_name

if TYPE_CHECKING:
    import numpy as np

    from ..operations.base import ArraySpec

_STEP_BYTES = 32 * 2**20


class SharedArrays:
    """Named arrays that one process makes and another opens, in this order.

    The maker calls `announcement`, `make`, `fill` and `free`; the opener gets the announcement in a
    message before the memory exists and calls `opened`. So the opener can remove the names if the
    maker is killed in between.

    Args:
        specs: Shape and type of each array.
    """

    def __init__(self, specs: Mapping[str, ArraySpec]) -> None:
        self._specs = dict(specs)
        self._names = {name: new_name() for name in specs}
        self._blocks: dict[str, Block] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays together."""
        return sum(spec.nbytes for spec in self._specs.values())

    def announcement(self) -> dict[str, Any]:
        """Data for the opener: name and size of each block."""
        return {
            name: {"name": self._names[name], "size": spec.nbytes}
            for name, spec in self._specs.items()
        }

    def make(self) -> None:
        """Make the blocks.

        Raises:
            OSError: If memory is short.
        """
        for name, spec in self._specs.items():
            self._blocks[name] = Block.create(self._names[name], spec.nbytes)

    def fill(self, arrays: Mapping[str, np.ndarray], is_stopped: Callable[[], bool]) -> bool:
        """Reserve all memory and copy arrays into it; other threads keep running.

        Args:
            arrays: By name, of any strides and byte order; those left out stay zero.
            is_stopped: Called every few milliseconds.

        Returns:
            Whether all was copied.

        Raises:
            OSError: If memory is short.
        """
        import numpy as np

        for block in self._blocks.values():
            if is_stopped():
                return False
            block.reserve()
        for name, array in arrays.items():
            target = self._view(name)
            step = max(1, _STEP_BYTES * len(target) // max(1, target.nbytes))
            for start in range(0, len(target), step):
                if is_stopped():
                    return False
                np.copyto(target[start : start + step], array[start : start + step])
        return True

    def taken(self, name: str) -> np.ndarray:
        """An ordinary copy of an array."""
        import numpy as np

        return np.array(self._view(name))

    def free(self) -> None:
        """Release names and memory; mappings of the other process stay open."""
        for block in self._blocks.values():
            block.unlink()
            block.close()
        self._blocks.clear()

    def _view(self, name: str) -> np.ndarray:
        spec = self._specs[name]
        return self._blocks[name].array(spec.shape, spec.dtype)
