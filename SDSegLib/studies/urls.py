"""Folders of images and results on object storage: URLs like s3://BUCKET/FOLDER, by fsspec.

A file is copied to this machine, read, and removed; results are made here and copied there, where
they appear as whole files.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import InputError, MissingPackageError, OutputError
from ..language import tr
from ..unfinished import unfinished_folder

IMAGES = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Endings of images in one file each; DICOM folders are read from disks."""
_RESULTS = (".seg.nrrd",)


def is_url(text: str | Path) -> bool:
    """Whether a text is a URL and no path."""
    return "://" in str(text)


class UrlFolder:
    """A folder on a file system that fsspec knows.

    Args:
        url: Like "s3://BUCKET/FOLDER".

    Raises:
        InputError: If its protocol is unknown or its package is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from fsspec.core import url_to_fs  # not needed for folders on disks
        except ModuleNotFoundError:
            raise MissingPackageError(
                "fsspec", "cluster", tr("The URL {url}").format(url=url)
            ) from None
        self.url = url.rstrip("/")
        try:
            with _storage_errors():
                self.system, self.root = url_to_fs(self.url)
        except StorageError as error:
            raise InputError(
                tr("The URL {url} cannot be used ({error}).").format(url=url, error=error)
            ) from error
        self.root = self.root.rstrip("/")

    def images(self, pattern: str | None = None) -> list[str]:
        """Paths below the folder of all images, or of those that match, in order.

        Raises:
            InputError: If the folder cannot be listed.
        """
        return sorted(
            path
            for path in self.files()
            if path.lower().endswith(IMAGES)
            and not path.lower().endswith(_RESULTS)
            and not any(part.startswith(".") for part in path.split("/"))
            and (pattern is None or PurePosixPath(path).match(pattern) or fnmatch(path, pattern))
        )

    def files(self) -> list[str]:
        """Paths below the folder of all files, as they are now.

        Raises:
            InputError: If the folder cannot be listed.
        """
        found: list[str] = []
        try:
            with _storage_errors(), suppress(FileNotFoundError):
                self.system.invalidate_cache()
                found = self.system.find(self.root)
        except StorageError as error:
            raise InputError(
                tr("{url} cannot be listed ({error}); check the URL and your access.").format(
                    url=self.url, error=error
                )
            ) from error
        start = len(self.root) + 1
        return [path[start:] for path in found if path.startswith(f"{self.root}/")]

    def has(self, path: str) -> bool:
        """Whether a file is there now; False if that cannot be told."""
        with suppress(StorageError), _storage_errors():
            self.system.invalidate_cache()
            return bool(self.system.exists(f"{self.root}/{path}"))
        return False

    def read(self, path: str) -> bytes | None:
        """The content of a small file, or None if there is none or it cannot be read."""
        with suppress(StorageError), _storage_errors():
            self.system.invalidate_cache()
            return bytes(self.system.cat_file(f"{self.root}/{path}"))
        return None

    def write(self, contents: Mapping[str, bytes | Path]) -> None:
        """Write files, given by their contents or by files here; all appear whole at the end.

        Raises:
            OutputError: If one cannot be written.
        """
        opened: list[Any] = []
        new = [path for path in contents if not self.has(path)]
        try:
            with _storage_errors():
                for path, content in contents.items():
                    target = f"{self.root}/{path}"
                    self.system.makedirs(target.rpartition("/")[0], exist_ok=True)
                    file = self.system.open(target, "wb", autocommit=False)
                    opened.append(file)
                    file.write(content.read_bytes() if isinstance(content, Path) else content)
                    file.close()
                while opened:
                    opened[0].commit()
                    opened.pop(0)
        except StorageError as error:
            for file in opened:
                with suppress(StorageError), _storage_errors():
                    file.discard()
            for path in new:  # some systems write at once
                self.remove(path)
            raise OutputError(
                tr("{url} cannot be written ({error}); check your access there.").format(
                    url=self.url, error=error
                )
            ) from error

    def remove(self, path: str) -> None:
        """Remove a file if it is there and that is allowed."""
        with suppress(StorageError), _storage_errors():
            self.system.rm_file(f"{self.root}/{path}")


def check_writable(url: str) -> None:
    """Write a small file and remove it again.

    Raises:
        InputError: If the URL cannot be used.
        OutputError: If nothing can be written there.
    """
    folder, name = UrlFolder(url), ".sdseg-probe"
    folder.write({name: b""})
    folder.remove(name)


@contextmanager
def fetched(url: str) -> Iterator[Path]:
    """A copy of a file on this machine, removed when the block ends.

    Raises:
        InputError: If it cannot be fetched; errors of the block name the URL, not the copy.
    """
    folder, _, name = url.rpartition("/")
    system = UrlFolder(folder)
    with unfinished_folder(Path(tempfile.gettempdir())) as here:
        copy = here / name
        try:
            with _storage_errors():
                system.system.get_file(f"{system.root}/{name}", os.fspath(copy))
        except StorageError as error:
            raise InputError(
                tr(
                    "{url} cannot be fetched ({error}); check your access and free space in "
                    "{folder}."
                ).format(url=url, error=error, folder=tempfile.gettempdir())
            ) from error
        try:
            yield copy
        except InputError as error:
            raise InputError(str(error).replace(str(copy), url)) from error


class StorageError(Exception):
    """Whatever a file system raised; each has errors of its own."""


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        # s3fs, gcsfs and others pass on errors of the libraries that they use.
        text = " ".join((str(error) or type(error).__name__).split())
        raise StorageError(text[:300]) from error
