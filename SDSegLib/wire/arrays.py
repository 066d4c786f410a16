"""Arrays that arrive in parts: shapes and types are checked before memory is taken for them."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..processes.messages import Message
from .packing import PackingError, unpack, values_in_chunk

TYPES = frozenset(
    ("|b1", "|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f2", "<f4", "<f8")
)
MOST_ARRAYS = 4
_MOST_AXES = 3
_LARGEST_EXTENT = 2**40


class Layout:
    """Shape and type of an array from a message, checked.

    Attributes:
        shape: Extents.
        dtype: One of `TYPES`.
    """

    def __init__(self, shape: tuple[int, ...], dtype: str) -> None:
        self.shape = shape
        self.dtype = dtype

    @classmethod
    def from_json(cls, data: object) -> Layout:
        """Read {"shape": […], "dtype": "<i2"}.

        Raises:
            PackingError: If it is something else.
        """
        if not isinstance(data, dict):
            raise PackingError("An array is described by no object.")
        shape, dtype = data.get("shape"), data.get("dtype")
        is_shape = (
            isinstance(shape, list)
            and 0 < len(shape) <= _MOST_AXES
            and all(type(n) is int and 0 <= n < _LARGEST_EXTENT for n in shape)
        )
        if not is_shape or not isinstance(dtype, str) or dtype not in TYPES:
            raise PackingError("An array has a shape or a type that none can have.")
        assert isinstance(shape, list)
        return cls(tuple(shape), dtype)

    @property
    def nbytes(self) -> int:
        """Bytes of the array."""
        return math.prod(self.shape) * int(self.dtype[2:])

    def to_json(self) -> dict[str, Any]:
        """What `from_json` reads."""
        return {"shape": list(self.shape), "dtype": self.dtype}


class ArrivingArrays:
    """Named arrays that are filled by parts, each part once and in order.

    Args:
        layouts: Shape and type by name.

    Raises:
        MemoryError: If there is no memory for them.
    """

    def __init__(self, layouts: Mapping[str, Layout]) -> None:
        self._arrays = {
            name: np.empty(item.shape, np.dtype(item.dtype).newbyteorder("="))
            for name, item in layouts.items()
        }
        self._filled = dict.fromkeys(layouts, 0)

    def add(self, message: Message, content: bytes) -> None:
        """Take the next part of an array, from a "bytes" message.

        Raises:
            PackingError: If it is not the next part of one of these arrays.
        """
        name = message.get("name")
        if not isinstance(name, str) or name not in self._arrays:
            raise PackingError("Voxels came for an array that was not announced.")
        flat = self._arrays[name].reshape(-1)
        start, count = message.get("start"), message.get("count")
        if (
            type(start) is not int
            or type(count) is not int
            or start != self._filled[name]
            or not 0 < count <= min(values_in_chunk(flat.itemsize), flat.size - start)
        ):
            raise PackingError("Voxels came that were not the next ones.")
        part = flat[start : start + count]
        unpack(str(message.get("method")), content, part)
        if part.dtype == bool and part.view(np.uint8).max() > 1:
            raise PackingError("A mask holds values that are neither 0 nor 1.")
        self._filled[name] += count

    @property
    def is_whole(self) -> bool:
        """Whether every value has come."""
        return all(self._filled[name] == array.size for name, array in self._arrays.items())

    def arrays(self) -> dict[str, np.ndarray]:
        """The arrays, in this machine's byte order.

        Raises:
            PackingError: If a part is missing.
        """
        if not self.is_whole:
            raise PackingError("Some voxels have not come.")
        return dict(self._arrays)
