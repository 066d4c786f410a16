"""Files and folders that are still being written, and what killed processes left of them.

They lie beside the result, which they become by a rename. Their names hold the machine and the
process, so that a later process can tell those of a dead one from those of a running one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from secrets import token_hex

PREFIX = ".sdseg-"

_made: set[Path] = set()
_swept: set[Path] = set()
_lock = threading.RLock()


def unfinished_file(folder: Path, suffix: str = "") -> Path:
    """Create an empty file for a result that will lie in `folder`.

    Those that dead processes left in the folder are removed first.

    Args:
        folder: Folder of the result.
        suffix: Ending of the name, so that writers recognise the format.

    Raises:
        OSError: If no file can be written there.
    """
    _sweep(folder)
    with _lock:
        path = folder / f"{_own_prefix()}{token_hex(4)}{suffix}"
        _made.add(path)
        try:
            path.touch(exist_ok=False)
        except OSError:
            _made.discard(path)
            raise
    return path


@contextmanager
def unfinished_folder(folder: Path) -> Iterator[Path]:
    """A new folder inside `folder` that only this user can enter; removed when the block ends.

    Raises:
        OSError: If it cannot be made.
    """
    _sweep(folder)
    with _lock:
        path = folder / f"{_own_prefix()}{token_hex(4)}"
        _made.add(path)
        try:
            path.mkdir(mode=0o700)
        except OSError:
            _made.discard(path)
            raise
    try:
        yield path
    finally:
        discard(path)


def discard(path: Path) -> None:
    """Remove an unfinished file or folder, if it is still there."""
    with suppress(OSError):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)
    _made.discard(path)


def discard_all() -> None:
    """Remove all that this process has not finished; for the end of the process."""
    with _lock:
        for path in [path for path in _made if path.name.startswith(_own_prefix())]:
            discard(path)


def is_running(process_id: int) -> bool:
    """Whether a process of this machine runs; True where that cannot be told."""
    if os.name != "posix":
        return True  # os.kill would end it
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        return True
    return True


def _sweep(folder: Path) -> None:
    """Call `sweep` once for each folder."""
    if folder not in _swept:
        sweep(folder)


def sweep(folder: Path) -> None:
    """Remove what dead processes of this machine left in a folder.

    Writers do so once for each folder; this is for one that has just ended other processes.
    """
    _swept.add(folder)
    with suppress(OSError):
        for path in folder.glob(f"{PREFIX}{_machine()}-*"):
            number = path.name.removeprefix(f"{PREFIX}{_machine()}-").partition("-")[0]
            if number.isdecimal() and not is_running(int(number)):
                discard(path)


def _own_prefix() -> str:
    return f"{PREFIX}{_machine()}-{os.getpid()}-"


@cache
def _machine() -> str:
    """A mark of this machine, or of this container: process numbers mean nothing elsewhere."""
    space = ""
    with suppress(OSError):
        space = os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(f"{socket.gethostname()} {space}".encode()).hexdigest()[:8]
