"""Zip files that the page sends, unpacked without trusting anything in them."""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path

from ..errors import InputError
from .inbox import MOST_FILES, free_path

LARGEST_UNPACKED_BYTES = 8 * 2**30
_CHUNK = 2**20


def is_zip(path: Path) -> bool:
    """Whether a file begins like a zip archive."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Write the files of a zip, all into one folder under harmless names.

    Folders inside the archive are flattened, so no name can lead elsewhere; links are left out.

    Args:
        archive: The zip file.
        folder: Made here.

    Returns:
        The files.

    Raises:
        InputError: If it is damaged, empty, locked with a password, or unpacks to too much.
    """
    folder.mkdir()
    try:
        with zipfile.ZipFile(archive) as opened:
            members = [item for item in opened.infolist() if _is_plain(item)]
            if not members:
                raise InputError("The zip archive holds no files; pack the CT's folder again.")
            if len(members) > MOST_FILES:
                raise InputError(f"The zip archive holds more than {MOST_FILES} files.")
            return _write(opened, members, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise InputError(f"The zip archive is damaged ({error}); pack it again.") from error
    except RuntimeError as error:  # how zipfile says that a password is needed
        raise InputError(f"The zip archive cannot be opened: {error}.") from error


def _write(opened: zipfile.ZipFile, members: list[zipfile.ZipInfo], folder: Path) -> list[Path]:
    left = LARGEST_UNPACKED_BYTES
    paths = []
    for item in members:
        path = free_path(folder, item.filename)
        with opened.open(item) as source, path.open("wb") as target:
            while chunk := source.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise InputError(
                        f"The zip archive unpacks to more than {LARGEST_UNPACKED_BYTES // 2**30} "
                        "GiB; unpack it and start the page with the folder: sdseg view FOLDER."
                    )
                target.write(chunk)
        paths.append(path)
    return paths


def _is_plain(item: zipfile.ZipInfo) -> bool:
    mode = item.external_attr >> 16
    hidden = item.filename.startswith("__MACOSX/") or Path(item.filename).name.startswith("._")
    return not item.is_dir() and not stat.S_ISLNK(mode) and not hidden
