"""Zip archives of others: what is wrong with one, in words."""

from __future__ import annotations

import errno
import lzma
import zipfile
import zlib
from pathlib import Path

from .language import tr

ARCHIVE_ERRORS = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    zlib.error,
    lzma.LZMAError,
    EOFError,
    NotImplementedError,  # compression methods that Python does not know
    RuntimeError,  # a password is needed
    OverflowError,
    ValueError,
    KeyError,
)
"""What `zipfile` raises on damaged, encrypted and unusual archives; a full disk is not among it."""
_ENCRYPTED = 0x1
_KNOWN_METHODS = frozenset(
    (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
)


def begins_as_zip(path: Path) -> bool:
    """Whether a file has the first bytes of a zip file, also if its end is missing."""
    with path.open("rb") as file:
        return file.read(4) == b"PK\x03\x04"


def problem_with(item: zipfile.ZipInfo) -> str | None:
    """Why a member cannot be unpacked, in a few words, or None; nothing of it is read."""
    if item.flag_bits & _ENCRYPTED:
        return tr("it is encrypted; pack it without a password")
    if item.compress_type not in _KNOWN_METHODS:
        return tr(
            "it is compressed by method {compress_type}; pack it as an ordinary zip file"
        ).format(compress_type=item.compress_type)
    return None


def is_damage(error: OSError) -> bool:
    """Whether an error while an archive is read comes from the archive and not from the disk.

    Damaged places of members make `zipfile` seek before the file's beginning; bzip2 gives errors
    without a number.
    """
    return error.errno in (None, errno.EINVAL, errno.EOVERFLOW)


def reason(error: BaseException) -> str:
    """What is wrong with an archive, in words.

    The messages of `zipfile` name members, whose names may be those of patients.
    """
    if isinstance(error, EOFError):
        return tr("it is cut short")
    if isinstance(error, (zlib.error, lzma.LZMAError)) or "CRC" in str(error):
        return tr("its content does not match its checksum or cannot be unpacked")
    if isinstance(error, NotImplementedError):
        return tr("it is packed in a way that is not known")
    return tr("its directory and its content do not belong together")
