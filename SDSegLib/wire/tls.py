"""TLS over a socket for one reading and one writing thread, with a time for everything.

The `ssl` module's own sockets must not be read and written by two threads at once. So the
encryption is done in memory under a lock, and the socket carries the encrypted bytes.
"""

from __future__ import annotations

import contextlib
import hashlib
import select
import socket
import ssl
import threading
import time
from pathlib import Path

from ..errors import InputError
from ..language import tr

HANDSHAKE_SECONDS = 10.0
SLOWEST_BYTES_PER_SECOND = 32 * 1024
_GRACE_SECONDS = 15.0
_PIECE = 64 * 1024
_STEP = 2**20


class TooSlowError(ConnectionError):
    """The other side was silent, or slower than allowed."""


class SilentError(TooSlowError):
    """The other side has not begun to say anything; nothing is lost if one waits on."""


class TlsStream:
    """An encrypted connection.

    Args:
        connection: A connected socket; it belongs to the stream from now on.
        context: Certificates and rules.
        is_server: Which side this is.
        host: Name of the server, for the client's side.
    """

    def __init__(
        self, connection: socket.socket, context: ssl.SSLContext, is_server: bool, host: str = ""
    ) -> None:
        connection.setblocking(False)
        with contextlib.suppress(OSError):
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = connection
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming,
            self._outgoing,
            server_side=is_server,
            server_hostname=None if is_server else host,
        )
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._kept = b""

    def shake_hands(self, seconds: float = HANDSHAKE_SECONDS) -> None:
        """Agree on keys.

        Raises:
            ssl.SSLError: If a certificate is refused, or the other side does not speak TLS.
            ConnectionError: If it is gone or too slow.
        """
        end = time.monotonic() + seconds
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self._flush(end)
                self._receive(end)
            except ssl.SSLError:
                with contextlib.suppress(OSError):
                    self._flush(end)  # tell the other side why
                raise
            else:
                self._flush(end)
                return

    def certificate(self) -> bytes:
        """The other side's certificate (DER); b"" if it has shown none."""
        return self._tls.getpeercert(binary_form=True) or b""

    def read(self, count: int, wait: float) -> bytes:
        """Exactly this many bytes.

        Args:
            count: Bytes.
            wait: Longest time in seconds until they come, in addition to what the slowest
                connection takes for them.

        Raises:
            ConnectionError: If the other side is gone, silent or too slow.
        """
        end = time.monotonic() + wait + _GRACE_SECONDS + count / SLOWEST_BYTES_PER_SECOND
        parts, missing = [self._kept[:count]], count - len(self._kept[:count])
        self._kept = self._kept[count:]
        while missing:
            try:
                data = self._decrypted(end)
            except TooSlowError:
                self._kept = b"".join(parts)
                raise
            parts.append(data[:missing])
            self._kept = data[missing:]
            missing -= len(parts[-1])
        return b"".join(parts)

    def write(self, data: bytes) -> None:
        """Send bytes; from any thread.

        Raises:
            ConnectionError: If the other side is gone or too slow.
        """
        with self._writing:
            for start in range(0, len(data), _STEP):
                piece = data[start : start + _STEP]
                try:
                    with self._lock:
                        self._tls.write(piece)
                except ssl.SSLError as error:
                    raise ConnectionError(tr("The connection is not secure any more.")) from error
                seconds = _GRACE_SECONDS + len(piece) / SLOWEST_BYTES_PER_SECOND
                self._flush(time.monotonic() + seconds)

    def close(self) -> None:
        """End the connection; a thread that reads or writes gets a `ConnectionError`."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def release(self) -> None:
        """Give the socket back to the system; no thread may use the stream any more."""
        self.close()
        self._socket.close()

    def _decrypted(self, end: float) -> bytes:
        while True:
            try:
                with self._lock:
                    data = self._tls.read(_PIECE)
            except ssl.SSLWantReadError:
                self._receive(end)
                continue
            except ssl.SSLError as error:  # an alert, or bytes that were changed on their way
                raise ConnectionError(
                    tr("The other side ended it ({error}).").format(error=_reason(error))
                ) from error
            if not data:
                raise ConnectionError(tr("The other side closed the connection."))
            return data

    def _receive(self, end: float) -> None:
        while True:
            try:
                data = self._socket.recv(_PIECE)
                break
            except (BlockingIOError, InterruptedError):
                self._wait(end, for_writing=False)
        if not data:
            raise ConnectionError(tr("The other side closed the connection."))
        with self._lock:
            self._incoming.write(data)

    def _flush(self, end: float) -> None:
        with self._lock:
            data = memoryview(self._outgoing.read())
        while data:
            try:
                data = data[self._socket.send(data) :]
            except (BlockingIOError, InterruptedError):
                self._wait(end, for_writing=True)

    def _wait(self, end: float, for_writing: bool) -> None:
        seconds = end - time.monotonic()
        if seconds <= 0 or not _is_ready(self._socket, for_writing, seconds):
            raise TooSlowError(tr("The other side was silent for too long."))


def server_context(
    certificate: Path, key: Path | None, client_issuer: Path | None
) -> ssl.SSLContext:
    """Rules of the server's side.

    Args:
        certificate: PEM file with its certificate, and those of its issuers.
        key: PEM file with its key; None if that is in the same file.
        client_issuer: PEM file with issuers of clients' certificates; None to ask for none.

    Raises:
        InputError: If a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    _load_pair(context, certificate, key, "server")
    if client_issuer is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        _load_issuer(context, client_issuer)
    return context


def client_context(
    issuer: Path | None = None, certificate: Path | None = None, pinned: bytes | None = None
) -> ssl.SSLContext:
    """Rules of the client's side: the server's certificate is checked.

    Args:
        issuer: PEM file with issuers to trust; None for the system's.
        certificate: PEM file with this side's certificate and key.
        pinned: The one certificate (DER) to trust, whatever host it names.

    Raises:
        InputError: If a file cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if pinned is not None:
        context.check_hostname = False
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        context.load_verify_locations(cadata=pinned)
    elif issuer is not None:
        _load_issuer(context, issuer)
    else:
        context.load_default_certs()
    if certificate is not None:
        _load_pair(context, certificate, None, "client")
    return context


def looking_context(certificate: Path | None = None) -> ssl.SSLContext:
    """Rules of a client that only looks at the server's certificate, and tells nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if certificate is not None:
        _load_pair(context, certificate, None, "client")
    return context


def fingerprint(certificate: bytes) -> str:
    """SHA-256 of a certificate (DER), 64 hexadecimal digits."""
    return hashlib.sha256(certificate).hexdigest()


def first_certificate(path: Path) -> bytes:
    """The first certificate (DER) of a PEM file.

    Raises:
        InputError: If there is none.
    """
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    try:
        text = path.read_text(encoding="ascii", errors="replace")
        start = text.index(begin)
        return ssl.PEM_cert_to_DER_cert(text[start : text.index(end, start) + len(end)])
    except OSError as error:
        raise InputError(
            tr("{path} cannot be read ({reason}).").format(path=path, reason=error.strerror)
        ) from error
    except ValueError:
        raise InputError(tr("{path} holds no certificate (PEM).").format(path=path)) from None


def _load_pair(context: ssl.SSLContext, certificate: Path, key: Path | None, whose: str) -> None:
    try:
        context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as error:
        raise InputError(
            tr(
                "The {whose}'s certificate {certificate} and its key cannot be used ({error}); "
                "give PEM files that belong together, the key without a password."
            ).format(whose=whose, certificate=certificate, error=_reason(error))
        ) from None
    except OSError as error:
        if whose == "server" and isinstance(error, FileNotFoundError):
            raise InputError(
                tr(
                    "The server's certificate {certificate} or its key {key} is not there; check "
                    "the names, or make both with sdseg serve --make-certificate."
                ).format(certificate=certificate, key=key)
            ) from None
        raise InputError(
            tr(
                "The {whose}'s certificate {certificate} or its key cannot be read ({reason}); "
                "check names and rights."
            ).format(whose=whose, certificate=certificate, reason=error.strerror)
        ) from None


def _load_issuer(context: ssl.SSLContext, issuer: Path) -> None:
    try:
        context.load_verify_locations(cafile=issuer)
    except ssl.SSLError as error:
        raise InputError(
            tr("{issuer} holds no certificates (PEM; {error}).").format(
                issuer=issuer, error=_reason(error)
            )
        ) from None
    except OSError as error:
        raise InputError(
            tr("{issuer} cannot be read ({reason}).").format(issuer=issuer, reason=error.strerror)
        ) from None


def _no_password() -> str:
    """Without it, OpenSSL would ask at the terminal."""
    return ""


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "unknown").replace("_", " ").lower()


def _is_ready(connection: socket.socket, for_writing: bool, seconds: float) -> bool:
    """Wait until a socket can be used; `select.select` knows only low numbers on POSIX."""
    if hasattr(select, "poll"):
        poll = select.poll()
        try:
            poll.register(connection, select.POLLOUT if for_writing else select.POLLIN)
        except ValueError:  # closed
            raise ConnectionError(tr("The connection is closed.")) from None
        return bool(poll.poll(1000 * seconds))
    reading, writing = ([], [connection]) if for_writing else ([connection], [])
    return any(select.select(reading, writing, [], seconds))
