"""Memory shared by two processes, which is always freed in the end.

The standard library's `SharedMemory` has a resource tracker, which starts a second process from
`sys.executable`: inside an application that starts the application again. So the mapping is made
here with the same system calls. On POSIX a block has a name only until the worker has opened it;
after that it exists until both processes have ended. On Windows that is always so. Memory that a
child hands back needs no name on Linux, and room in /dev/shm, of which containers have 64 MiB, does
not limit it.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import secrets
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

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
    def to_hand_over(cls, size: int) -> Block:
        """A new block for the other process, which opens it by `place` and `taken_over`.

        Raises:
            OSError: If there is not enough memory.
        """
        if sys.platform != "linux":
            block = cls.create(new_name(), size)
            block.reserve()
            return block
        block = cls.__new__(cls)
        block.name, block.size = "", max(size, 1)
        block._file = os.memfd_create("sdseg", os.MFD_CLOEXEC)
        try:
            os.ftruncate(block._file, block.size)
            block._mapping = mmap.mmap(block._file, block.size)
        except (OSError, ValueError):
            os.close(block._file)
            raise
        return block

    @property
    def place(self) -> dict[str, Any]:
        """Plain values by which the other process opens the block."""
        if self.name:
            return {"name": self.name, "size": self.size}
        return {"process": os.getpid(), "file": self._file, "size": self.size}

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

    @property
    def mapping(self) -> mmap.mmap:
        """The memory."""
        return self._mapping

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


def taken_over(place: Mapping[str, Any]) -> mmap.mmap:
    """The memory of a block that the other process made with `to_hand_over`, without a copy.

    It lives as long as the mapping, or an array that lies in it.

    Raises:
        OSError: If there is no such block, or no memory to map it.
    """
    if sys.platform == "win32":
        return mmap.mmap(-1, place["size"], tagname=place["name"])
    if "name" in place:
        import _posixshmem

        file = _posixshmem.shm_open("/" + place["name"], os.O_RDWR, mode=0o600)
        unlink(place["name"])
    else:
        file = os.open(f"/proc/{place['process']}/fd/{place['file']}", os.O_RDWR | os.O_CLOEXEC)
    try:
        return mmap.mmap(file, place["size"])
    finally:
        os.close(file)


def new_name() -> str:
    """A name that no other block has."""
    return f"{PREFIX}{os.getpid()}-{secrets.token_hex(4)}"


def unlink(name: str) -> None:
    """Remove a block's name, if there is such a block."""
    if sys.platform != "win32":
        import _posixshmem

        with contextlib.suppress(FileNotFoundError):
            _posixshmem.shm_unlink("/" + name)
