"""Folders of images and results on object storage: URLs like s3://BUCKET/FOLDER, by fsspec.

A file is copied to this machine, read, and removed; results are made here and copied there, where
they appear as whole files.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from fnmatch import fnmatch
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import InputError, MissingPackageError, OutputError
from ..language import tr
from ..unfinished import unfinished_folder

IMAGES = (".nii.gz", ".nii", ".nrrd", ".mha")
"""Endings of images in one file each; DICOM folders are read from disks."""
PROBE = ".sdseg-probe"
"""File by which it is tried what can be written; one that a killed run left is replaced."""
_RESULTS = (".seg.nrrd",)
_OBJECT_STORES = {"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "oci", "b2", "r2"}
"""Protocols of stores where a folder is a part of names; to make one would make a bucket."""


class StorageTroubleError(InputError):
    """Storage cannot be read, though another machine, or the same one later, may be able to."""


class StorageWriteError(OutputError):
    """Storage cannot be written: it is not reached, is full, or may not be written."""


def is_url(text: str | Path) -> bool:
    """Whether a text is a URL and no path."""
    return "://" in str(text)


class UrlFolder:
    """A folder on a file system that fsspec knows.

    Args:
        url: Like "s3://BUCKET/FOLDER".

    Raises:
        InputError: If its protocol is unknown, its package is missing, or it holds a password.
    """

    def __init__(self, url: str) -> None:
        refuse_password(url)
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

    @property
    def _bucket(self) -> str:
        """Name of the bucket, or "" if such a file system has none."""
        return self.root.partition("/")[0] if _protocol(self.url) in _OBJECT_STORES else ""

    def check_bucket(self) -> None:
        """Check that the bucket is there, which a store lists as empty else.

        Raises:
            InputError: If it is not.
        """
        bucket = self._bucket
        try:
            with _storage_errors():
                is_there = not bucket or self.system.exists(bucket)
        except StorageError as error:
            raise self._trouble(error) from error
        if not is_there:
            raise InputError(
                tr(
                    "{url}: there is no bucket {bucket}, or you may not see it; check the spelling."
                ).format(url=self.url, bucket=bucket)
            )

    def _trouble(self, error: StorageError) -> StorageTroubleError:
        return StorageTroubleError(
            tr("{url} cannot be read ({error}); check the URL and your access.").format(
                url=self.url, error=error
            )
        )

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
        """Paths below the folder of all files, as they are now, in order.

        Hidden folders are left out, except on object storage.

        Raises:
            InputError: If the folder, or one below it, cannot be listed.
        """
        found = self._listed(self.root, self.system.find) if self._bucket else self._walked()
        start = len(self.root) + 1
        return [path[start:] for path in sorted(found) if path.startswith(f"{self.root}/")]

    def _walked(self) -> list[str]:
        """Paths of all files, with a listing for each folder.

        fsspec's `walk` and `find` take a folder for empty if it cannot be listed; their on_error is
        not passed on to folders below the first.
        """
        found, folders = [], [self.root]
        while folders:
            folder = folders.pop()
            for item in self._listed(folder, partial(self.system.ls, detail=True)):
                path = item["name"].rstrip("/")
                if item["type"] != "directory":
                    found.append(path)
                elif path != folder and not path.rpartition("/")[2].startswith("."):
                    folders.append(path)
        return found

    def _listed(self, folder: str, listing: Callable[[str], list[Any]]) -> list[Any]:
        """What a folder holds; nothing if there is no such folder."""
        try:
            with _storage_errors(), suppress(FileNotFoundError):
                self.system.invalidate_cache()
                return listing(folder)
        except StorageError as error:
            raise StorageTroubleError(
                tr("{url} cannot be listed ({error}); check the URL and your access.").format(
                    url=self.url + folder[len(self.root) :], error=error
                )
            ) from error
        return []

    def has(self, path: str) -> bool:
        """Whether a file is there now.

        Raises:
            StorageTroubleError: If that cannot be told.
        """
        try:
            with _storage_errors(), suppress(FileNotFoundError):
                self.system.invalidate_cache()
                self.system.info(f"{self.root}/{path}")  # exists() is False after any error
                return True
        except StorageError as error:
            raise self._trouble(error) from error
        return False

    def read(self, path: str) -> bytes | None:
        """The content of a small file, or None if there is none.

        Raises:
            StorageTroubleError: If it cannot be read.
        """
        try:
            with _storage_errors(), suppress(FileNotFoundError):
                self.system.invalidate_cache()
                return bytes(self.system.cat_file(f"{self.root}/{path}"))
        except StorageError as error:
            raise self._trouble(error) from error
        return None

    def write(self, contents: Mapping[str, bytes | Path]) -> None:
        """Write files, given by their contents or by files here; all appear whole at the end.

        Raises:
            OutputError: If one cannot be written.
        """
        opened: list[Any] = []
        try:
            new = [path for path in contents if not self.has(path)]
        except StorageTroubleError as error:
            raise StorageWriteError(str(error)) from error
        try:
            with _storage_errors():
                for path, content in contents.items():
                    target = f"{self.root}/{path}"
                    if not self._bucket:
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
            raise StorageWriteError(
                tr("{url} cannot be written ({error}); check your access there.").format(
                    url=self.url, error=error
                )
            ) from error

    def remove(self, path: str) -> None:
        """Remove a file if it is there and that is allowed."""
        with suppress(StorageError), _storage_errors():
            self.system.rm_file(f"{self.root}/{path}")


def refuse_password(url: str) -> None:
    """Refuse a URL with a password, which would be in the table, in messages and in logs.

    Raises:
        InputError: Without the password.
    """
    _, _, rest = url.partition("://")
    start = rest.partition("/")[0]
    secret = start.partition(":")[2]
    has_slash = bool(secret) and "@" not in start and not secret.isdecimal()  # as some of S3 have
    user, _, place = (rest if has_slash else start).rpartition("@")
    if ":" in user:
        raise InputError(
            tr(
                "A URL with a password is not used ({protocol}://…@{place}); give the keys as the "
                "package of the storage prescribes: by environment variables, or in its own files."
            ).format(protocol=_protocol(url), place=place.partition("/")[0])
        )


def _protocol(url: str) -> str:
    return url.partition("://")[0].rpartition("::")[2].lower()


def check_writable(url: str) -> None:
    """Write a small file and remove it again.

    Raises:
        InputError: If the URL cannot be used.
        OutputError: If nothing can be written there.
    """
    folder = UrlFolder(url)
    folder.write({PROBE: b""})
    folder.remove(PROBE)


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
            is_gone = isinstance(error.__cause__, FileNotFoundError)
            raise (InputError if is_gone else StorageTroubleError)(
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
