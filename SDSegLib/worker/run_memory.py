"""The shared memory of one run: the volume on its way out, label map and instability back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .blocks import Block, new_name
from .request import Request
from .wire import shared_dtype

_STEP_BYTES = 32 * 2**20


class RunMemory:
    """Blocks that the client names, makes, fills, reads and frees, in this order.

    Args:
        request: What they are for.
    """

    def __init__(self, request: Request) -> None:
        array = request.volume.array
        self._shape = array.shape
        self._dtype = shared_dtype(request.volume)
        self._sizes = {"volume": array.size * self._dtype.itemsize, "label_map": array.size}
        if request.samples > 1:
            self._sizes["instability"] = array.size
        self._names = {kind: new_name() for kind in self._sizes}
        self._blocks: dict[str, Block] = {}

    def announcement(self) -> dict[str, Any]:
        """The entries of a "blocks" message: what will be there."""
        return {
            "blocks": {
                kind: {"name": self._names[kind], "size": size}
                for kind, size in self._sizes.items()
            }
        }

    def make(self) -> None:
        """Make the blocks.

        Raises:
            OSError: If memory is short.
        """
        for kind, size in self._sizes.items():
            self._blocks[kind] = Block.create(self._names[kind], size)

    def fill(self, array: np.ndarray, is_stopped: Callable[[], bool]) -> bool:
        """Copy the voxels in; other threads go on meanwhile.

        Args:
            array: Of the request's volume; any strides and byte order.
            is_stopped: Asked every few milliseconds.

        Returns:
            Whether all were copied.

        Raises:
            OSError: If memory is short.
        """
        for block in self._blocks.values():
            if is_stopped():
                return False
            block.reserve()
        target = self._blocks["volume"].array(self._shape, self._dtype)
        step = max(1, _STEP_BYTES * len(target) // max(1, target.nbytes))
        for start in range(0, len(target), step):
            if is_stopped():
                return False
            np.copyto(target[start : start + step], array[start : start + step])
        return True

    def take(self, kind: str) -> np.ndarray:
        """An ordinary copy of the "label_map" or the "instability", uint8 (k, j, i)."""
        return np.array(self._blocks[kind].array(self._shape, np.uint8))

    def free(self) -> None:
        """Take names and memory away."""
        for block in self._blocks.values():
            block.unlink()
            block.close()
        self._blocks.clear()
