"""Arrays in memory shared by two processes, which is always freed in the end.

The standard library's `SharedMemory` has a resource tracker, which starts a second process from
`sys.executable`: inside an application that starts the application again. So the mapping is made
here with the same system calls. On POSIX a block has a name only until the worker has opened it;
after that it exists until both processes have ended. On Windows that is always so.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import sys
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from ..operations.base import ArraySpec

_STEP_BYTES = 32 * 2**20
PREFIX = "sdseg-"  # then process id and random part; macOS allows 30 characters in all


class Block:
    """A piece of shared memory, initially zero.

    Attributes:
        name: Name by which the other process opens it.
        size: In bytes.
    """

    def __init__(self, name: str, size: int, create: bool) -> None:
        """Make a block or open one; `Block.create` and `Block.attach` say which.

        Raises:
            OSError: If there is not enough memory, or no block of that name.
        """
        self.name = name
        self.size = size
        self._file = -1
        if sys.platform == "win32":
            self._mapping = mmap.mmap(-1, size, tagname=name)
            return
        import _posixshmem

        flags = os.O_RDWR | (os.O_CREAT | os.O_EXCL if create else 0)
        self._file = _posixshmem.shm_open("/" + name, flags, mode=0o600)
        try:
            if create:
                os.ftruncate(self._file, size)
            self._mapping = mmap.mmap(self._file, size)
        except (OSError, ValueError):
            os.close(self._file)
            if create:
                self.unlink()
            raise

    @classmethod
    def create(cls, name: str, size: int) -> Block:
        """A new block of at least `size` bytes, under a name from `new_name`."""
        return cls(name, max(size, 1), create=True)

    @classmethod
    def attach(cls, name: str, size: int) -> Block:
        """The block that the other process made."""
        return cls(name, max(size, 1), create=False)

    def reserve(self) -> None:
        """Allocate the memory before it is written to.

        Without this, a full /dev/shm would end the writing process with a bus error.

        Raises:
            OSError: If there is not enough memory.
        """
        if sys.platform != "win32" and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file, 0, self.size)

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """The memory as an array; a view, which must be deleted before `close` can free it."""
        import numpy as np

        return np.ndarray(shape, dtype, buffer=self._mapping)

    def unlink(self) -> None:
        """Remove the name; both processes keep their open mappings."""
        unlink(self.name)

    def close(self) -> None:
        """Release the memory; if arrays still use it, it is freed with the last of them."""
        with contextlib.suppress(BufferError):
            self._mapping.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def new_name() -> str:
    """A name that no other block has."""
    return f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"


def unlink(name: str) -> None:
    """Remove a block's name, if there is such a block."""
    if sys.platform != "win32":
        import _posixshmem

        with contextlib.suppress(FileNotFoundError):
            _posixshmem.shm_unlink("/" + name)


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
