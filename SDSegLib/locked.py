"""One process at a time changes a file that several write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import OutputError
from .language import tr

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
            tr(
                "{path} is being written by another program for more than "
                "{longest_wait_seconds:.0f} s."
            ).format(path=path, longest_wait_seconds=LONGEST_WAIT_SECONDS)
        ) from error
    except OSError as error:
        raise OutputError(
            tr(
                "{path} cannot be written ({reason}); free space on its disk, or choose another "
                "folder."
            ).format(path=path, reason=error.strerror or error)
        ) from error
    try:
        yield
    finally:
        with suppress(OSError):  # others that wait for it notice and begin anew
            Path(lock.lock_file).unlink(missing_ok=True)
        lock.release()
