"""The tokens that a server accepts; only their checksums are kept in memory."""

from __future__ import annotations

import errno
import hashlib
import hmac
import os
import secrets
import stat
import sys
from pathlib import Path

from ..errors import InputError, OutputError
from ..language import tr
from ..wire.address import LONGEST_TOKEN as LONGEST

SHORTEST = 20
_MOST = 1000
_READ_BYTES = 2**20


class Tokens:
    """Tokens that may use a server.

    Args:
        tokens: At least one.
    """

    def __init__(self, tokens: list[str]) -> None:
        self._digests = [_digest(token) for token in tokens]

    def number(self, token: object) -> int | None:
        """Which one this is; None if it is none of them. Takes the same time for all."""
        if not isinstance(token, str) or len(token) > LONGEST:
            return None
        given, found = _digest(token), None
        for number, digest in enumerate(self._digests):
            if hmac.compare_digest(digest, given):
                found = number
        return found


def read_tokens(path: Path) -> Tokens:
    """Read a file with a token a line; empty lines and those that begin with # do not count.

    Raises:
        InputError: If it cannot be read, everybody on the computer can read it, or it has none.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(_READ_BYTES).decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            tr(
                "The file of tokens {path} is no text in UTF-8; make one with: sdseg serve "
                "--make-token {path}"
            ).format(path=path)
        ) from None
    except OSError as error:
        raise InputError(
            tr(
                "The file of tokens {path} cannot be read ({reason}); make one with: sdseg "
                "serve --make-token {path}"
            ).format(path=path, reason=error.strerror)
        ) from None
    if sys.platform != "win32" and mode & (stat.S_IROTH | stat.S_IWOTH):
        raise InputError(
            tr(
                "All users of this computer can read the file of tokens {path}; change that "
                "with: chmod 600 {path}"
            ).format(path=path)
        )
    lines = [line.strip() for line in text.splitlines()]
    tokens = [line for line in lines if line and not line.startswith("#")]
    if not tokens or len(tokens) > _MOST:
        raise InputError(
            tr(
                "The file of tokens {path} has {count} tokens; it needs one, a line for each "
                "client, and at most {most}."
            ).format(path=path, count=len(tokens), most=_MOST)
        )
    short = [number for number, token in enumerate(tokens, 1) if not _is_good(token)]
    if short:
        raise InputError(
            tr(
                "Token {short} in {path} is not {shortest} to {longest} characters long; make a "
                "new one with: sdseg serve --make-token {path}"
            ).format(short=short[0], path=path, shortest=SHORTEST, longest=LONGEST)
        )
    return Tokens(tokens)


def add_token(path: Path) -> str:
    """Make a token and add it to a file that only its owner can read.

    Raises:
        OutputError: If the file cannot be written.
    """
    token = secrets.token_urlsafe(32)
    try:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(file, "r+b", buffering=0) as stream:
            end = stream.seek(0, os.SEEK_END)
            line = f"{token}\n".encode("ascii")
            if end:
                stream.seek(end - 1)
                line = line if stream.read(1) == b"\n" else b"\n" + line  # typed by hand
            if stream.write(line) != len(line):
                stream.truncate(end)  # a part of a token would make the file unusable
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    except OSError as error:
        raise OutputError(
            tr("{path} cannot be written ({reason}).").format(path=path, reason=error.strerror)
        ) from None
    return token


def _is_good(token: str) -> bool:
    return SHORTEST <= len(token) <= LONGEST and token.isprintable()


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
