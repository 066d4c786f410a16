"""Zip archives of others: what is wrong with one, in words."""

from __future__ import annotations

import lzma
import zipfile
import zlib

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


def problem_with(item: zipfile.ZipInfo) -> str | None:
    """Why a member cannot be unpacked, in a few words, or None; nothing of it is read."""
    if item.flag_bits & _ENCRYPTED:
        return "it is encrypted; pack it without a password"
    if item.compress_type not in _KNOWN_METHODS:
        return f"it is compressed by method {item.compress_type}; pack it as an ordinary zip file"
    return None


def reason(error: BaseException) -> str:
    """What is wrong with an archive, in words."""
    return str(error).rstrip(".") or type(error).__name__
