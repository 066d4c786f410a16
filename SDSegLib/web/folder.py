"""The server's private temporary folder: uploads and downloads, gone when the server ends."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_PREFIX = "sdseg-view-"


@contextmanager
def private_folder() -> Iterator[Path]:
    """A folder that only this user can look into; removed at the end.

    Temporary files of all libraries go there too. Folders of servers that were killed are removed
    as well.
    """
    _remove_orphans(Path(tempfile.gettempdir()))
    before = tempfile.tempdir
    folder = Path(tempfile.mkdtemp(prefix=f"{_PREFIX}{os.getpid()}-"))
    tempfile.tempdir = str(folder)
    try:
        yield folder
    finally:
        tempfile.tempdir = before
        shutil.rmtree(folder, ignore_errors=True)


def _remove_orphans(root: Path) -> None:
    for folder in root.glob(f"{_PREFIX}*-*"):
        number = folder.name[len(_PREFIX) :].partition("-")[0]
        if number.isdigit() and not _is_running(int(number)) and _is_mine(folder):
            shutil.rmtree(folder, ignore_errors=True)


def _is_mine(folder: Path) -> bool:
    if folder.is_symlink() or not folder.is_dir():
        return False
    return os.name != "posix" or folder.stat().st_uid == os.getuid()


def _is_running(process_id: int) -> bool:
    if os.name != "posix":
        return True  # os.kill would end it
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
