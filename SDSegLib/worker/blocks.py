"""Memory that two processes share, without leaving any behind.

The standard library's `SharedMemory` has a tracker of its own, which starts a second process from
`sys.executable`: inside an application that is the application once more. So the mapping is made
here, from the same parts. On POSIX a block has a name only until the worker has opened it; from
then on it lives as long as one of the two processes does. On Windows that is always so.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

PREFIX = "sdseg-"  # then the process and chance; macOS allows 30 characters in all


class Block:
    """A piece of shared memory, full of zeros at first.

    Attributes:
        name: Under which the other process finds it.
        size: In bytes.
    """

    def __init__(self, name: str, size: int, create: bool) -> None:
        """Make a block or open one; `Block.create` and `Block.attach` say which.

        Raises:
            OSError: If there is not enough memory, or nothing of that name.
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
        """Make sure that the memory is there before it is written to.

        Without this, a full /dev/shm would end the writing process with a bus error.

        Raises:
            OSError: If it is not.
        """
        if sys.platform != "win32" and hasattr(os, "posix_fallocate"):
            os.posix_fallocate(self._file, 0, self.size)

    def array(self, shape: tuple[int, ...], dtype: Any) -> np.ndarray:
        """The memory as an array; a view, which must be gone before `close` can free it."""
        import numpy as np

        return np.ndarray(shape, dtype, buffer=self._mapping)

    def unlink(self) -> None:
        """Take the name away; both processes keep what they have open."""
        unlink(self.name)

    def close(self) -> None:
        """Let go of the memory; if arrays still look at it, it goes with the last of them."""
        with contextlib.suppress(BufferError):
            self._mapping.close()
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def new_name() -> str:
    """A name that no other block has."""
    return f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"


def unlink(name: str) -> None:
    """Take a block's name away, if there is such a block."""
    if sys.platform != "win32":
        import _posixshmem

        with contextlib.suppress(FileNotFoundError):
            _posixshmem.shm_unlink("/" + name)
