"""Write output files completely or not at all, without overwriting others by accident."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import OutputError
from ..language import tr
from ..unfinished import discard, unfinished_file

_DOUBLE_SUFFIXES = (".seg.nrrd", ".nii.gz", ".tar.gz")


def check_output(path: Path, overwrite: bool = False) -> None:
    """Check before the computation that a file can be written later.

    Raises:
        OutputError: If it exists and must not be replaced, or if its folder does not exist or is
            not writable.
    """
    _check(path, overwrite)
    check_name(path)
    discard(_create_beside(path))


def check_name(path: Path) -> None:
    """Check that a file can have this name, whether or not there is one.

    Raises:
        OutputError: If it is too long, or holds what the file system does not allow.
    """
    try:
        path.lstat()
    except OSError as error:
        if error.errno in (errno.ENAMETOOLONG, errno.EINVAL):
            raise OutputError(
                tr("{path} cannot be the name of a file ({reason}); choose another name.").format(
                    path=path, reason=_reason(error)
                )
            ) from None


@contextmanager
def atomic_write(path: Path, overwrite: bool = False) -> Iterator[Path]:
    """Write to a temporary file in the same folder, which then replaces `path`.

    The temporary file has the ending of `path` (".nii.gz", ".seg.nrrd", …), so writers recognise
    the format. If the block fails it is removed, and an older file at `path` remains unchanged.

    Yields:
        The path to write to; an empty file already exists there.

    Raises:
        OutputError: As for `check_output`, and if a write fails.
    """
    _check(path, overwrite)
    temporary = _create_beside(path)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        _check(path, overwrite)
        os.replace(temporary, path)
    except OSError as error:
        raise OutputError(
            tr(
                "{path} cannot be written ({error}); free space on its disk, close the programs "
                "that use it, or choose another folder."
            ).format(path=path, error=_reason(error))
        ) from error
    finally:
        discard(temporary)


@contextmanager
def atomic_together(paths: Iterable[Path], overwrite: bool = False) -> Iterator[dict[Path, Path]]:
    """Write several files, all or none, even if the disk is full at the last one.

    Yields:
        For each path the temporary file to write instead, with the same ending.

    Raises:
        OutputError: As for `atomic_write`; names the requested file, not the temporary one.
    """
    wanted = list(paths)
    staged: dict[Path, Path] = {}
    try:
        for path in wanted:
            _check(path, overwrite)
            staged[path] = _create_beside(path)
        yield staged
        for path, temporary in staged.items():
            _check(path, overwrite)
            os.replace(temporary, path)
    except OutputError as error:
        text = str(error)
        for path, temporary in staged.items():
            text = text.replace(str(temporary), str(path))
        raise OutputError(text) from error
    except OSError as error:
        raise OutputError(
            tr("The results cannot be written ({error}); choose another folder.").format(
                error=_reason(error)
            )
        ) from error
    finally:
        for temporary in staged.values():
            discard(temporary)


def _check(path: Path, overwrite: bool) -> None:
    # os.path returns False where pathlib raises, in folders without access rights.
    if os.path.isdir(path):
        raise OutputError(
            tr("{path} is a folder; give the name of a file in it.").format(path=path)
        )
    if os.path.exists(path) and not overwrite:
        raise OutputError(
            tr(
                "{path} exists already; choose another name or allow overwriting (--overwrite)."
            ).format(path=path)
        )


def _create_beside(path: Path) -> Path:
    folder = path.parent
    try:
        return unfinished_file(folder, _suffix(path))
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not os.path.isdir(folder):
            raise OutputError(
                tr("The folder {folder} does not exist; create it or choose another.").format(
                    folder=folder
                )
            ) from error
        raise OutputError(
            tr("No file can be written in {folder} ({error}); choose another folder.").format(
                folder=folder, error=_reason(error)
            )
        ) from error


def _suffix(path: Path) -> str:
    name = path.name.lower()
    double = next((suffix for suffix in _DOUBLE_SUFFIXES if name.endswith(suffix)), None)
    return double or path.suffix.lower()


def _reason(error: OSError) -> str:
    return error.strerror or str(error)


@contextmanager
def no_empty_folder(folder: Path) -> Iterator[None]:
    """If the block does not end well, no empty folder stays of those that it has created.

    Args:
        folder: That the block may create, with its parents.
    """
    created = [path for path in (folder, *folder.parents) if not path.exists()]
    is_well = False
    try:
        yield
        is_well = True
    finally:
        if not is_well:
            with suppress(OSError):  # of one with something in it
                for path in created:
                    path.rmdir()
