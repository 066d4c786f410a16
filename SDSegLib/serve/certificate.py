"""A certificate that a server signs itself, made with the program openssl."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re
import shutil
import socket
import ssl
import subprocess
from pathlib import Path

from ..errors import InputError, OutputError
from ..language import tr
from ..wire.tls import client_context, first_certificate, server_context

VALID_DAYS = 825
_SECONDS = 60.0
_HOST = re.compile(r"[A-Za-z0-9:][A-Za-z0-9.:-]{0,63}")


def make_certificate(certificate: Path, key: Path, host: str = "", days: int = VALID_DAYS) -> None:
    """Make a key that only its owner can read, and a certificate for a host.

    Args:
        certificate: PEM file to write.
        key: PEM file to write.
        host: Name or address by which clients know this computer; its own name by default.
        days: For how long it holds.

    Raises:
        InputError: If the host has no such name.
        OutputError: If a file exists already or cannot be written, or there is no openssl.
    """
    host = host or socket.getfqdn()
    if not _HOST.fullmatch(host):
        raise InputError(
            tr("{host!r} is no name of a computer; give one with --host.").format(host=host)
        )
    program = shutil.which("openssl")
    if program is None:
        raise OutputError(
            tr(
                "The program openssl, which makes certificates, is not installed; install it, or "
                "use a certificate of your organisation with --certificate and --key."
            )
        )
    if certificate.absolute() == key.absolute():
        raise OutputError(
            tr("{key} cannot hold both the certificate and its key; give two names.").format(
                key=key
            )
        )
    for path in (certificate, key):
        if not path.parent.is_dir():
            raise OutputError(
                tr("There is no folder {path}; make it first.").format(path=path.parent)
            )
        if path.exists():
            raise OutputError(
                tr("{path} exists already; remove it, or give another name.").format(path=path)
            )
    try:
        kind = f"IP:{ipaddress.ip_address(host)}"
    except ValueError:
        kind = f"DNS:{host}"
    is_made = False
    try:
        os.close(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        done = subprocess.run(
            [
                *(program, "req", "-x509", "-newkey", "ec", "-pkeyopt"),
                *("ec_paramgen_curve:prime256v1", "-nodes", "-sha256", "-batch"),
                *("-keyout", str(key), "-out", str(certificate), "-days", str(days)),
                *("-subj", f"/CN={host}", "-addext", f"subjectAltName={kind}"),
            ],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
        is_made = not done.returncode and _are_whole(certificate, key)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OutputError(
            tr("The certificate cannot be made ({error}).").format(error=error)
        ) from None
    finally:
        if not is_made:  # neither existed before; also after Ctrl+C
            for path in (key, certificate):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)
    if done.returncode:
        said = (done.stderr.strip().splitlines() or [tr("no reason given")])[-1]
        raise OutputError(tr("openssl could not make the certificate ({said}).").format(said=said))
    if not is_made:
        raise OutputError(
            tr(
                "The certificate {certificate} and its key could not be written whole; free "
                "space on their disk."
            ).format(certificate=certificate)
        )


def _are_whole(certificate: Path, key: Path) -> bool:
    """Whether the two can be used; openssl does not notice that a disk is full."""
    with contextlib.suppress(InputError):
        server_context(certificate, key, None)
        return True
    return False


def check_certificate(context: ssl.SSLContext, certificate: Path) -> None:
    """Shake hands with oneself, to see that clients can.

    Args:
        context: Of the server.
        certificate: Its PEM file.

    Raises:
        InputError: If the certificate has expired, or is not valid yet.
    """
    trusting = client_context(pinned=first_certificate(certificate))
    # Without a certificate of a client, which only the server's side would miss.
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = context.wrap_bio(to_server, to_client, server_side=True)
    client = trusting.wrap_bio(to_client, to_server, server_hostname="localhost")
    for _ in range(10):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                continue
            except ssl.SSLCertVerificationError as error:
                if side is client:
                    raise InputError(
                        tr(
                            "The certificate {certificate} cannot be used: {verify_message}. "
                            "Make a new one with sdseg serve --make-certificate."
                        ).format(certificate=certificate, verify_message=error.verify_message)
                    ) from None
                return
            except ssl.SSLError:
                return
            if side is client:
                return
