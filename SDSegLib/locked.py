"""One process at a time changes a file that several write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError

LONGEST_WAIT_SECONDS = 30.0


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """No other process that locks `path` is inside its block meanwhile.

    A lock file lies beside it as long as the block runs; that of a killed process does not hold.

    Args:
        path: The file that is read and written again; it need not exist.

    Raises:
        OutputError: If the lock cannot be made, or another program holds it for too long.
    """
    from filelock import FileLock, Timeout  # 3D Slicer lacks it before the packages are there

    lock = FileLock(path.with_name(f".{path.name}.lock"), timeout=LONGEST_WAIT_SECONDS)
    try:
        lock.acquire()
    except Timeout as error:
        raise OutputError(
            f"{path} is being written by another program for more than "
            f"{LONGEST_WAIT_SECONDS:.0f} s."
        ) from error
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written ({error.strerror or error}); free space on its disk, or "
            "choose another folder."
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # others that wait for it notice and begin anew
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
