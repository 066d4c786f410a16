"""`sdseg serve`: a computer that computes for others."""

from __future__ import annotations

import contextlib
import ctypes
import ipaddress
import socket
import stat
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

from ..errors import InputError
from ..language import tr
from ..wire.address import DEFAULT_PORT, ServerAddress
from .interrupt import Interrupt

_LISTEN = f"127.0.0.1:{DEFAULT_PORT}"
_WAIT_SECONDS = 0.2
_MIB = 2**20
_ARENA_MAX, _ARENAS = -8, 2  # of malloc.h


def serve(
    certificate: Annotated[
        Path, typer.Option(help=tr("The server's certificate, a PEM file."))
    ] = Path("sdseg-certificate.pem"),
    key: Annotated[Path, typer.Option(help=tr("Its key, a PEM file without a password."))] = Path(
        "sdseg-key.pem"
    ),
    tokens: Annotated[
        Path, typer.Option(help=tr("File with a token a line, one for each client or group."))
    ] = Path("sdseg-tokens"),
    listen: Annotated[
        str,
        typer.Option(help=tr("Address and port; 0.0.0.0:8743 for all networks of this computer.")),
    ] = _LISTEN,
    client_issuer: Annotated[
        Path | None,
        typer.Option(
            help=tr("Ask clients for a certificate from an issuer in this PEM file, too.")
        ),
    ] = None,
    processes: Annotated[
        int,
        typer.Option(min=1, max=64, help=tr("Computing processes; each has the models in memory.")),
    ] = 1,
    largest_image: Annotated[
        int, typer.Option(min=1, help=tr("Largest image in MiB, unpacked."))
    ] = 2048,
    memory: Annotated[
        int, typer.Option(min=1, help=tr("MiB for the images and results of all clients together."))
    ] = 8192,
    process_memory: Annotated[
        int | None,
        typer.Option(
            min=256, help=tr("MiB that a computing process may take; no limit without it.")
        ),
    ] = None,
    seconds: Annotated[
        float, typer.Option(min=1, help=tr("Longest time that a run may compute."))
    ] = 600.0,
    connections: Annotated[
        int, typer.Option(min=2, max=4096, help=tr("Most connections at a time."))
    ] = 64,
    make_certificate: Annotated[
        bool,
        typer.Option(
            "--make-certificate", help=tr("Make --certificate and --key (with openssl), and end.")
        ),
    ] = False,
    host: Annotated[
        str,
        typer.Option(help=tr("Name of this computer for its clients."), show_default=tr("its own")),
    ] = "",
    make_token: Annotated[
        Path | None, typer.Option(help=tr("Add a token to this file, print it once, and end."))
    ] = None,
) -> None:
    """Compute for other computers: a GPU machine for many laptops.

    Prepare: [bold]sdseg serve --make-certificate --make-token sdseg-tokens[/]

    Start: [bold]sdseg serve --listen 0.0.0.0:8743[/]

    Clients take turns. Images and results are kept in memory only, and nothing is written down
    but counts. Ctrl+C or a request to terminate ends it.
    """
    from ..serve.certificate import make_certificate as make
    from ..serve.tokens import add_token

    place, port = _place(listen)
    if make_certificate:
        make(certificate, key, host)
        typer.echo(tr("wrote {certificate} and {key}").format(certificate=certificate, key=key))
        typer.echo(
            tr("The server's address for its clients: {certificate}").format(
                certificate=_address(certificate, host, port)
            )
        )
    if make_token is not None:
        typer.echo(
            tr("wrote {path}; the new token, shown once: {token}").format(
                path=make_token, token=add_token(make_token)
            )
        )
    if not make_certificate and make_token is None:
        _serve(
            place,
            port,
            host,
            (certificate, key, client_issuer),
            tokens,
            processes,
            {
                "image_bytes": largest_image * _MIB,
                "memory_bytes": memory * _MIB,
                "process_bytes": None if process_memory is None else process_memory * _MIB,
                "run_seconds": seconds,
                "connections": connections,
            },
        )


def _serve(
    listen: str,
    port: int,
    host: str,
    files: tuple[Path, Path, Path | None],
    tokens: Path,
    processes: int,
    limits: dict,
) -> None:
    from ..serve.certificate import check_certificate
    from ..serve.limits import ServeLimits
    from ..serve.server import SegmentationServer, ServeSettings
    from ..serve.tokens import read_tokens
    from ..wire.tls import server_context

    _forbid_dumps()
    _share_arenas()
    certificate, key, client_issuer = files
    _check_private(key)
    context = server_context(certificate, key, client_issuer)
    check_certificate(context, certificate)
    settings = ServeSettings(
        listen, port, context, read_tokens(tokens), ServeLimits(**limits), processes
    )
    threading.excepthook = _tell_defect
    with Interrupt() as interrupt:
        server = SegmentationServer(settings, typer.echo)
        try:
            address = _address(certificate, host, server.port)
            place = ServerAddress(listen, server.port).place
            typer.echo(
                tr("SDSeg computes for others at {place}; Ctrl+C ends it.").format(place=place)
            )
            typer.echo(
                tr("The server's address for its clients: {address}").format(address=address)
            )
            sys.stdout.flush()
            while not interrupt.is_set():
                threading.Event().wait(_WAIT_SECONDS)
        finally:
            server.close()
        interrupt.forget()


def _check_private(key: Path) -> None:
    """Raise `InputError` if everybody on this computer could pose as the server."""
    with contextlib.suppress(OSError):  # the reader of the key says what is wrong
        mode = key.stat().st_mode
        if sys.platform != "win32" and mode & (stat.S_IROTH | stat.S_IWOTH):
            raise InputError(
                tr(
                    "All users of this computer can read the key {key}; change that with: "
                    "chmod 600 {key}"
                ).format(key=key)
            )


def _place(text: str) -> tuple[str, int]:
    """Address and port of "HOST:PORT"."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise InputError(
            tr("{text!r} is no address with a port; it looks like {listen}.").format(
                text=text, listen=_LISTEN
            )
        )
    if ":" in host and not (host.startswith("[") and host.endswith("]")):
        raise InputError(
            tr("{text!r} is not clear; write an IPv6 address like [::1]:{port}.").format(
                text=text, port=DEFAULT_PORT
            )
        )
    host = host.strip("[]")
    try:
        ipaddress.ip_address(host)
    except ValueError:
        if host and not host.replace("-", "").replace(".", "").isalnum():
            raise InputError(
                tr("{text!r} is no address with a port; use {listen}.").format(
                    text=text, listen=_LISTEN
                )
            ) from None
    return host or "0.0.0.0", int(port)


def _address(certificate: Path, host: str, port: int) -> ServerAddress:
    from ..wire.tls import fingerprint, first_certificate

    return ServerAddress(
        host or socket.getfqdn(), port, fingerprint(first_certificate(certificate))
    )


def _forbid_dumps() -> None:
    """A dump of the memory after a crash would hold images."""
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, resource.getrlimit(resource.RLIMIT_CORE)[1]))


def _share_arenas() -> None:
    """Let all threads take memory from few pools of the C library, on Linux.

    By default each of the many short threads leaves some freed memory in a pool of its own.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(_ARENA_MAX, _ARENAS)


def _tell_defect(arguments: threading.ExceptHookArgs) -> None:
    """A defect in a thread: where and what kind, without the values that a traceback quotes."""
    trace = arguments.exc_traceback
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    place = "?" if trace is None else f"{Path(trace.tb_frame.f_code.co_filename).name}"
    line = 0 if trace is None else trace.tb_lineno
    kind = arguments.exc_type.__name__
    typer.echo(
        tr("A defect of the server: {kind} in {place}, line {line}.").format(
            kind=kind, place=place, line=line
        ),
        err=True,
    )
