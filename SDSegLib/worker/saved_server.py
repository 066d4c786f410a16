"""The server that a user has chosen: its address in a file, its token in the system's keyring.

Without a keyring (package `keyring`) the token is kept in a file that only the user can read.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import stat
from pathlib import Path
from typing import Any

from ..errors import InputError, OutputError
from ..language import tr
from ..models.registry import user_data_folder
from ..untrusted import read_json
from ..wire.address import ServerAddress
from .access import ServerAccess

TOKEN_VARIABLE = "SDSEG_SERVER_TOKEN"
SAVED = "saved"
"""In the place of an address: the one that was saved."""
_SERVICE = "sdseg server"
_LARGEST_BYTES = 2**16
_WEAKEST_KEYRING = 1  # priorities below that are for keyrings that keep no secret


def server_file() -> Path:
    """The file with the address."""
    return user_data_folder() / "server.json"


def token_file() -> Path:
    """The file with tokens, where there is no keyring."""
    return user_data_folder() / "server-tokens.json"


def saved_address() -> ServerAddress | None:
    """The server that was saved; None if there is none, or the file is damaged."""
    with contextlib.suppress(InputError):
        return ServerAddress.parse(str(_read(server_file()).get("address", "")))
    return None


def save_server(address: ServerAddress, token: str) -> str:
    """Keep address and token for later.

    Returns:
        Where the token is, in words.

    Raises:
        OutputError: If a file cannot be written.
    """
    _write(server_file(), {"address": str(address)})
    keyring = _keyring()
    if keyring is not None:
        from keyring.errors import KeyringError

        try:
            keyring.set_password(_SERVICE, address.place, token)
        except KeyringError:
            pass  # locked, or its user said no
        else:
            _keep_in_file(address.place, None)
            return tr("the system's keyring")
    _keep_in_file(address.place, token)
    return tr("{token_file}, which only you can read").format(token_file=token_file())


def forget_server() -> bool:
    """Remove address and token; returns whether there was any.

    Raises:
        OutputError: If a file cannot be changed.
    """
    address = saved_address()
    if address is not None:
        keyring = _keyring()
        if keyring is not None:
            from keyring.errors import KeyringError

            with contextlib.suppress(KeyringError):
                keyring.delete_password(_SERVICE, address.place)
        _keep_in_file(address.place, None)
    is_damaged = address is None and server_file().exists()
    # Whose token it was cannot be read any more, so none is kept.
    for path in (server_file(), token_file()) if is_damaged else (server_file(),):
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(
                tr("{path} cannot be removed ({reason}).").format(path=path, reason=error.strerror)
            ) from None
    return address is not None or is_damaged


def saved_token(address: ServerAddress) -> str:
    """The token for a server: of the environment, the keyring or the file; "" if there is none."""
    given = os.environ.get(TOKEN_VARIABLE, "").strip()
    if given:
        return given
    keyring = _keyring()
    if keyring is not None:
        from keyring.errors import KeyringError

        with contextlib.suppress(KeyringError):
            found = keyring.get_password(_SERVICE, address.place)
            if found:
                return str(found)
    _make_private(token_file())
    return str(_read(token_file()).get(address.place, ""))


class UnknownServerError(InputError):
    """A server whose address or token was not saved."""


def server_access(text: str) -> ServerAccess:
    """Address and token of a server.

    Args:
        text: An address, or `SAVED`.

    Raises:
        InputError: If it is no address.
        UnknownServerError: If no address was saved, or no token for it.
    """
    if text.strip() == SAVED:
        address = saved_address()
        if address is None:
            raise UnknownServerError(
                tr("No server was saved; give its address and its token first.")
            )
    else:
        address = ServerAddress.parse(text)
    token = saved_token(address)
    if not token:
        raise UnknownServerError(
            tr(
                "There is no token for the server {place}; enter it where the address is saved, "
                "or set the environment variable {token_variable}."
            ).format(place=address.place, token_variable=TOKEN_VARIABLE)
        )
    return ServerAccess(address, token)


def _keyring() -> Any:
    """The system's keyring; None if there is none that keeps secrets."""
    try:
        import keyring
        from keyring.errors import KeyringError
    except ImportError:
        return None
    try:
        backend = keyring.get_keyring()
        return keyring if backend.priority >= _WEAKEST_KEYRING else None
    except (KeyringError, RuntimeError):
        return None


def _keep_in_file(place: str, token: str | None) -> None:
    """Set or remove a token in the file."""
    tokens = _read(token_file())
    if token is None and place not in tokens:
        return
    tokens.pop(place, None)
    if token is not None:
        tokens[place] = token
    _write(token_file(), tokens)


def _make_private(path: Path) -> None:
    """Take the right to read a file from others again, such as a copy from elsewhere gives it."""
    with contextlib.suppress(OSError):
        if os.name == "posix" and path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
            path.chmod(0o600)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = read_json(path, _LARGEST_BYTES)
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _write(path: Path, content: dict[str, Any]) -> None:
    """Write a file that only the user can read; the old one stays until the new one is whole."""
    new = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            json.dump(content, file)
        new.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            new.unlink(missing_ok=True)
        raise OutputError(
            tr("{path} cannot be written ({reason}).").format(path=path, reason=error.strerror)
        ) from None
