"""Limits of memory and time for reading one file, which hold in a process made for that.

Readers call `expect_image` once a header has told the image's size, and `new_array` for its voxels.
In other processes `expect_image` only checks that there is memory at all.
"""

from __future__ import annotations

import math
import os
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..language import tr
from .memory import Block
from .status import Status

if TYPE_CHECKING:
    import numpy as np

MORE_THAN_THE_IMAGE = 2 * 2**30
SECONDS = 60.0
_LATER_SECONDS = 1.0
_BYTES_PER_SECOND_OF_DISK = 2e6  # a slow network drive
_BYTES_PER_SECOND_OF_VOXELS = 2e7
_MEMORY_FACTS = Path("/proc/meminfo")


class TooLargeError(InputError):
    """An image does not fit into this computer's memory; the message lacks the path."""


def allow_shared_memory() -> None:
    """Lift a limit of this process's files, for shared memory counts as one; it writes no other."""
    if sys.platform != "win32":
        import resource

        most = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


class ReadingLimits:
    """The limits of this process, and the memory in which it hands voxels over.

    Args:
        status: Where the parent sees them.
    """

    def __init__(self, status: Status) -> None:
        self._status = status
        self._alarm = 0.0
        self._blocks: dict[int, Block] = {}
        self._source = ""
        self._file = ""
        self._most = -1
        if sys.platform != "win32":
            import resource

            self._most = resource.getrlimit(resource.RLIMIT_AS)[0]
            # A dump would hold the patient's image.
            resource.setrlimit(
                resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1])
            )
        sys.addaudithook(self._on_event)

    def begin(self, source: Path) -> None:
        """Begin to read a file or folder."""
        self._file = str(source)
        self._alarm = 0.0
        self._limit_memory(0)
        self._limit_time(SECONDS)
        self._source = str(source)

    def end(self) -> None:
        """The file was read, or refused: no limits until the next."""
        self._source = ""
        if sys.platform != "win32":
            signal.setitimer(signal.ITIMER_REAL, 0)
        self._limit_memory(None)

    def expect(self, stored: int, returned: int) -> None:
        """Allow for an image of these sizes in bytes."""
        self._limit_memory(stored + 2 * returned)
        self._limit_time(
            SECONDS + stored / _BYTES_PER_SECOND_OF_DISK + returned / _BYTES_PER_SECOND_OF_VOXELS
        )

    def new_array(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        """An array in memory that can be handed over without a copy."""
        try:
            block = Block.to_hand_over(math.prod(shape) * dtype.itemsize)
        except OSError as error:
            raise MemoryError(str(error)) from error
        array = block.array(shape, dtype)
        self._blocks[_address(array)] = block
        return array

    def release(self, array: np.ndarray) -> None:
        """Close the memory of an array that is not handed over."""
        block = self._blocks.pop(_address(array), None)
        if block is not None:
            block.close()

    def block_of(self, array: np.ndarray) -> Block:
        """The memory of an array; if it lies elsewhere, a copy of it."""
        block = self._blocks.get(_address(array))
        if block is None or not array.flags.c_contiguous or block.size < array.nbytes:
            copy = self.new_array(array.shape, array.dtype)
            copy[...] = array
            return self._blocks[_address(copy)]
        return block

    def free(self) -> None:
        """Close all memory that was handed over."""
        for block in self._blocks.values():
            block.close()
        self._blocks.clear()

    def _on_event(self, event: str, arguments: tuple[Any, ...]) -> None:
        """Python's report of what it does: note which of the source's files is opened.

        Then a death can name it, and the time for it begins anew.
        """
        if event != "open" or not self._source or not isinstance(arguments[0], (str, bytes)):
            return
        path = os.fsdecode(arguments[0])
        if path != self._file and path.startswith(self._source):
            self._file = path
            try:
                size = os.stat(path).st_size
            except OSError:
                size = 0
            self._limit_time(SECONDS + size / _BYTES_PER_SECOND_OF_DISK)

    def _limit_time(self, seconds: float) -> None:
        """Let the system end this process after that time, also if its parent is gone."""
        end = time.monotonic() + seconds
        self._status.write(seconds, end, self._file)
        # The parent is the first to act, unless it is gone; so one alarm may serve several files.
        if sys.platform != "win32" and not 0 <= self._alarm - end <= 2 * _LATER_SECONDS:
            signal.setitimer(signal.ITIMER_REAL, seconds + 2 * _LATER_SECONDS)
            self._alarm = end + 2 * _LATER_SECONDS

    def _limit_memory(self, more: int | None) -> None:
        """Limit this process to what it has, the image and 2 GiB; None for no limit."""
        if sys.platform != "linux":
            return
        import resource

        limit = self._most
        if more is not None:
            limit = _address_space() + more + MORE_THAN_THE_IMAGE
            if self._most != resource.RLIM_INFINITY:
                limit = min(limit, self._most)
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


_limits: ReadingLimits | None = None


def set_limits(limits: ReadingLimits) -> None:
    """Make this process one that reads files for another."""
    global _limits
    _limits = limits


def expect_image(stored: int, returned: int) -> None:
    """Tell the size of the image that a header declares, before it is read.

    Args:
        stored: Bytes of its voxels as they are stored, unpacked.
        returned: Bytes of its voxels as they are returned.

    Raises:
        TooLargeError: If this computer does not have that much memory.
    """
    need, free = max(stored, returned), _free_memory()
    if free is not None and need > free:
        raise TooLargeError(
            tr(
                "The image takes {need:.1f} GiB of memory, and this computer has {free:.1f} GiB "
                "to spare; crop it or use a larger machine."
            ).format(need=need / 2**30, free=free / 2**30)
        )
    if _limits is not None:
        _limits.expect(stored, returned)


def new_array(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array for the voxels of an image that is read; all zero, or not initialised."""
    import numpy as np

    if _limits is None:
        return np.empty(shape, dtype)
    return _limits.new_array(shape, np.dtype(dtype))


def release_array(array: np.ndarray) -> None:
    """Free the voxels of an image that were only looked at; the array must not be used again."""
    if _limits is not None:
        _limits.release(array)


def _free_memory() -> int | None:
    """Bytes that can be used without others having to give way; None if the system does not say."""
    try:
        lines = _MEMORY_FACTS.read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    facts = {line.partition(":")[0]: line.split()[1] for line in lines if len(line.split()) > 1}
    if "MemAvailable" not in facts:
        return None
    return 1024 * (int(facts["MemAvailable"]) + int(facts.get("SwapFree", 0)))


def _address_space() -> int:
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _address(array: np.ndarray) -> int:
    address: int = array.__array_interface__["data"][0]
    return address


def is_time_out(code: int | None) -> bool:
    """Whether a process with this exit code was ended by its time limit."""
    return sys.platform != "win32" and code == -signal.SIGALRM


def resident_bytes() -> int:
    """Memory that this process uses now; 0 where the system does not say."""
    if sys.platform != "linux":
        return 0
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")
