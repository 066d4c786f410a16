"""Files that the page sends: received into the private folder, zip files unpacked."""

from __future__ import annotations

import asyncio
import itertools
import logging
import re
import shutil
import stat
import zipfile
from contextlib import suppress
from pathlib import Path

from aiohttp import ClientError, web

from ..archives import ARCHIVE_ERRORS, is_damage, problem_with, reason
from ..errors import InputError
from ..language import tr

_log = logging.getLogger(__name__)

LARGEST_UPLOAD_BYTES = 4 * 2**30
LARGEST_UNPACKED_BYTES = 8 * 2**30
MOST_FILES = 20_000
_LONGEST_NAME = 80
_CHUNK = 2**20


def safe_name(name: str) -> str:
    """A file name without folders and what some file systems refuse; the suffix stays."""
    last = re.split(r"[\\/]", name)[-1]
    plain = re.sub(r"[^\w.,;+()\[\]@#=&'\- ]", "_", last).strip(". ")
    return plain[-_LONGEST_NAME:].lstrip(". ") or "file"


def free_path(folder: Path, name: str) -> Path:
    """A path in the folder for a file of this name, numbered if the name is taken."""
    path = folder / safe_name(name)
    numbers = itertools.count(2)
    while path.exists():
        path = folder / f"{next(numbers)}-{safe_name(name)}"
    return path


class Uploads:
    """One upload at a time, of one or many files.

    Args:
        root: The private folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._count = 0
        self._bytes = 0
        self._files: list[Path] = []
        self._folder: Path | None = None

    def begin(self) -> int:
        """Start a new upload; the files of an unfinished one are removed.

        Returns:
            Its number, which its files must name.
        """
        self.discard()
        self._count += 1
        self._bytes = 0
        self._folder = self._root / f"upload-{self._count}"
        self._folder.mkdir()
        return self._count

    async def receive(self, request: web.Request) -> web.Response:
        """Write the body of a request as one file of the upload."""
        if self._folder is None or request.match_info["number"] != str(self._count):
            return _refused(409, tr("Another upload has begun; send the files again."))
        size = request.content_length or 0
        if self._bytes + size > LARGEST_UPLOAD_BYTES:
            return _refused(
                413,
                tr(
                    "More than {largest_upload_bytes} GiB cannot be sent to the page; start it "
                    "with the path: sdseg view CT."
                ).format(largest_upload_bytes=LARGEST_UPLOAD_BYTES // 2**30),
            )
        if size > shutil.disk_usage(self._root).free // 2:
            return _refused(507, tr("There is not enough room for the file on the temporary disk."))
        if len(self._files) >= MOST_FILES:
            return _refused(
                413,
                tr("More than {most_files} files; send one series.").format(most_files=MOST_FILES),
            )
        path = free_path(self._folder, request.query.get("name", "file"))
        try:
            with path.open("xb") as file:
                async for chunk in request.content.iter_chunked(_CHUNK):
                    self._bytes += len(chunk)
                    if self._bytes > LARGEST_UPLOAD_BYTES:
                        raise InputError(tr("The upload is too large."))
                    file.write(chunk)
        except InputError as error:
            return self._given_up(path, 413, str(error))
        except (web.RequestPayloadError, ClientError, ConnectionError, EOFError):
            return self._given_up(
                path, 400, tr("The file did not arrive to its end; send it again.")
            )
        except OSError as error:
            _log.warning("an upload cannot be kept: %s", error.strerror)
            return self._given_up(path, 507, tr("There is no room for it on the temporary disk."))
        except asyncio.CancelledError:
            self._given_up(path, 400, "")
            raise
        if request.match_info["number"] != str(self._count):
            return _refused(409, tr("Another upload has begun; send the files again."))
        self._files.append(path)
        return web.json_response({})

    def _given_up(self, path: Path, status: int, reason: str) -> web.Response:
        """Remove what arrived of a file."""
        with suppress(OSError):
            path.unlink(missing_ok=True)
        return _refused(status, reason)

    def finish(self, number: int) -> tuple[Path, list[Path]]:
        """Finish the upload; the caller must then remove its folder.

        Returns:
            The folder and its files.

        Raises:
            InputError: If it is not the current upload or has no file.
        """
        if self._folder is None or number != self._count or not self._files:
            raise InputError(tr("No file has arrived; send it again."))
        folder, files = self._folder, self._files
        self._folder, self._files = None, []
        return folder, files

    def discard(self) -> None:
        """Remove the files received so far."""
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._folder, self._files = None, []


def _refused(status: int, reason: str) -> web.Response:
    return web.json_response({"error": reason}, status=status)


def is_zip(path: Path) -> bool:
    """Whether a file begins like a zip archive."""
    with path.open("rb") as file:
        return file.read(4) in (b"PK\x03\x04", b"PK\x05\x06")


def unpack(archive: Path, folder: Path) -> list[Path]:
    """Write the files of a zip archive, all into one folder under safe names.

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
                raise InputError(tr("The zip archive holds no files; pack the CT's folder again."))
            if len(members) > MOST_FILES:
                raise InputError(
                    tr("The zip archive holds more than {most_files} files.").format(
                        most_files=MOST_FILES
                    )
                )
            for item in members:
                problem = problem_with(item)
                if problem is not None:
                    raise InputError(
                        tr("The zip archive cannot be unpacked: {problem}.").format(problem=problem)
                    )
            return _write(opened, members, folder)
    except ARCHIVE_ERRORS as error:
        raise InputError(
            tr("The zip archive is damaged ({error}); pack it again.").format(error=reason(error))
        ) from error
    except OSError as error:
        if not is_damage(error):
            raise
        raise InputError(
            tr("The zip archive is damaged ({error}); pack it again.").format(error=reason(error))
        ) from error


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
                        tr(
                            "The zip archive unpacks to more than {largest_unpacked_bytes} GiB; "
                            "unpack it and start the page with the folder: sdseg view FOLDER."
                        ).format(largest_unpacked_bytes=LARGEST_UNPACKED_BYTES // 2**30)
                    )
                target.write(chunk)
        paths.append(path)
    return paths


def _is_plain(item: zipfile.ZipInfo) -> bool:
    mode = item.external_attr >> 16
    hidden = item.filename.startswith("__MACOSX/") or Path(item.filename).name.startswith("._")
    return not item.is_dir() and not stat.S_ISLNK(mode) and not hidden
