"""Who may use a server, and which server a laptop trusts with images."""

from __future__ import annotations

import getpass
import json
import os
import shutil
import stat
import subprocess
import sys
import types
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from command_parts import Run, sdseg
from serve_parts import answers, connected, hello
from worker_parts import posix_only

from SDSegLib.cli.serve import _place
from SDSegLib.errors import InputError, OutputError
from SDSegLib.serve.certificate import make_certificate
from SDSegLib.serve.server import SegmentationServer, ServeSettings
from SDSegLib.serve.tokens import Tokens, add_token, read_tokens
from SDSegLib.version import VERSION
from SDSegLib.wire.address import ServerAddress
from SDSegLib.wire.frames import write_frame
from SDSegLib.wire.tls import fingerprint, first_certificate, server_context
from SDSegLib.worker import remote
from SDSegLib.worker.access import ServerAccess
from SDSegLib.worker.elsewhere import ServerError, check_server
from SDSegLib.worker.saved_server import (
    forget_server,
    save_server,
    saved_address,
    saved_token,
    server_access,
    server_file,
    token_file,
)

__all__ = ["sdseg"]

TOKEN = "a-token-that-is-long-enough"
openssl_only = pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is missing")
pytestmark = openssl_only

Serve = Callable[..., int]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Good, other, expired: each with its key; and one that an issuer has signed."""
    folder = tmp_path_factory.mktemp("certificates")
    for name in ("good", "other", "issuer"):
        make_certificate(folder / f"{name}.pem", folder / f"{name}-key.pem", "localhost")
    request, name = folder / "request.csr", folder / "signed"
    openssl(
        *("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *("-subj", "/CN=laptop", "-keyout", f"{name}-key.pem", "-out", request),
    )
    openssl(
        *("x509", "-req", "-in", request, "-CA", folder / "issuer.pem", "-days", "9"),
        *("-CAkey", folder / "issuer-key.pem", "-CAcreateserial", "-out", f"{name}.pem"),
    )
    both = (folder / "signed.pem").read_text() + (folder / "signed-key.pem").read_text()
    (folder / "laptop.pem").write_text(both)
    shutil.copy(folder / "signed-key.pem", folder / "expired-key.pem")
    openssl(
        *("x509", "-req", "-in", request, "-signkey", folder / "expired-key.pem"),
        *("-days", "-1", "-out", folder / "expired.pem"),
    )
    return folder


def openssl(*arguments: object) -> None:
    subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True)


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No settings of who runs the tests, and no keyring."""
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))
    monkeypatch.delenv("SDSEG_SERVER_TOKEN", raising=False)
    monkeypatch.setitem(sys.modules, "keyring", None)
    remote._known_certificates.clear()


@pytest.fixture
def serve(certificates: Path) -> Iterator[Serve]:
    """Start a server with a certificate; returns its port."""
    servers = []

    def start(name: str = "good", client_issuer: str | None = None) -> int:
        issuer = None if client_issuer is None else certificates / client_issuer
        context = server_context(
            certificates / f"{name}.pem", certificates / f"{name}-key.pem", issuer
        )
        settings = ServeSettings("127.0.0.1", 0, context, Tokens(["x" * 30, TOKEN]))
        servers.append(SegmentationServer(settings, lambda line: None))
        return servers[-1].port

    yield start
    for server in servers:
        server.close()


def says(address: str, token: str = TOKEN) -> str:
    """What a laptop says about a server."""
    try:
        return check_server(ServerAccess(ServerAddress.parse(address), token))
    except ServerError as error:
        return str(error)


def pin(certificates: Path, name: str = "good") -> str:
    return f"sha256={fingerprint(first_certificate(certificates / f'{name}.pem'))}"


def test_a_certificate_is_known_by_its_fingerprint_or_its_issuer(
    serve: Serve, certificates: Path
) -> None:
    port = serve()
    there = f"The server localhost:{port} is there: SDSeg"
    assert says(f"localhost:{port}?{pin(certificates)}").startswith(there)
    assert says(f"localhost:{port}?{pin(certificates)}").startswith(there)  # known by now
    assert says(f"localhost:{port}?issuer={certificates / 'good.pem'}").startswith(there)
    assert says(f"127.0.0.1:{port}?{pin(certificates)}").startswith("The server 127.0.0.1")


def test_nothing_is_sent_to_a_server_that_is_not_the_right_one(
    serve: Serve, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    monkeypatch.setattr(remote, "write_frame", lambda *arguments: sent.append(arguments))
    port, old = serve(), serve("expired")
    assert "has another certificate" in says(f"localhost:{port}?{pin(certificates, 'other')}")
    assert "is not trusted (self" in says(f"localhost:{port}")
    assert "is not trusted" in says(f"localhost:{port}?issuer={certificates / 'other.pem'}")
    good = f"?issuer={certificates / 'good.pem'}"
    assert "is for another host" in says(f"127.0.0.1:{port}{good}")
    assert "has expired; nothing was sent" in says(
        f"localhost:{old}?{pin(certificates, 'expired')}"
    )
    assert "issuer.txt cannot be read" in says(f"localhost:{port}?issuer=issuer.txt")
    assert not sent


def test_a_server_may_ask_for_certificates_of_clients(serve: Serve, certificates: Path) -> None:
    port = serve(client_issuer="issuer.pem")
    address = f"localhost:{port}?{pin(certificates)}"
    assert "asks for a certificate of this computer" in says(address)
    other = f"{address}&certificate={certificates / 'other.pem'}"
    assert "other.pem and its key cannot be used" in says(other)
    assert "is there" in says(f"{address}&certificate={certificates / 'laptop.pem'}")
    wrong = says(f"{address}&certificate={certificates / 'laptop.pem'}", "x" * 31)
    assert "the token is not one of those" in wrong


def test_versions_that_differ_are_named(
    serve: Serve, certificates: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    address = f"localhost:{serve()}?{pin(certificates)}"
    monkeypatch.setattr(remote, "VERSION", "9.9.9")
    said = says(address)
    assert f"has SDSeg {VERSION}, this computer SDSeg 9.9.9, so results could differ" in said
    assert "token" in says(address, "wrong" * 9)  # versions are for those with a token
    monkeypatch.setattr(remote, "WIRE", 77)
    assert "speaks version 1 of the connection, this SDSeg version 77" in says(address)


def test_something_else_at_the_address(certificates: Path, serve: Serve) -> None:
    assert "nothing listens there" in says("localhost:9")
    assert "its name is unknown" in says("no-such-host.invalid")
    port = serve()
    parsed = ServerAddress.parse(f"localhost:{port}")
    for first in (b"GET / HTTP/1.1\r\n\r\n", b"\0" * 100):
        stream = connected(parsed)
        stream.write(first)
        (answer,) = answers(stream)
        assert answer["message"] == "What came is no message of SDSeg. The connection was closed."
        stream.release()
    for token in (None, 7, ["x"], "", "x" * 600):
        stream = connected(parsed)
        write_frame(stream, hello(token))  # type: ignore[arg-type]
        (answer,) = answers(stream)
        assert answer["kind"] == "token"
        stream.release()


@posix_only
def test_tokens_are_in_a_file_that_others_cannot_read(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    first, second = add_token(path), add_token(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with path.open("a") as file:
        file.write("# the reading room\n\n")
    tokens = read_tokens(path)
    assert (tokens.number(first), tokens.number(second)) == (0, 1)
    assert tokens.number("# the reading room") is None
    path.chmod(0o644)
    with pytest.raises(InputError, match="All users of this computer can read"):
        read_tokens(path)
    path.chmod(0o600)
    for content, reason in (("", "has 0 tokens"), ("abc\n", "is not 20 to 512 characters")):
        path.write_text(content)
        with pytest.raises(InputError, match=reason):
            read_tokens(path)
    with pytest.raises(InputError, match="cannot be read"):
        read_tokens(tmp_path / "nothing")


@posix_only
def test_the_commands_prepare_start_and_save_a_server(
    sdseg: Run, serve: Serve, certificates: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    made = sdseg("serve", "--make-certificate", "--make-token", "sdseg-tokens", "--host", "gpu")
    assert made.code == 0, made.err
    assert f"sdsegs://gpu:8743?{pin(tmp_path, 'sdseg-certificate')}" in made.out
    token = made.out.split()[-1]
    assert read_tokens(Path("sdseg-tokens")).number(token) == 0
    assert stat.S_IMODE(Path("sdseg-key.pem").stat().st_mode) == 0o600
    again = sdseg("serve", "--make-certificate")
    assert again.code == 2
    assert "exists already" in again.err

    expired = ("--certificate", certificates / "expired.pem", "--key", certificates)
    outcome = sdseg("serve", *expired[:3], certificates / "expired-key.pem")
    assert "certificate has expired. Make a new one" in outcome.err
    assert "Nothing can listen" in sdseg("serve", "--listen", "192.0.2.1:1").err
    assert "is no address with a port" in sdseg("serve", "--listen", "8743").err

    address = f"sdsegs://localhost:{serve()}?{pin(certificates)}"
    assert "There is no token" in sdseg("server", "save", address).err
    unknown = sdseg("server", "show").err
    assert "No server was saved" in unknown
    assert "sdseg server save ADDRESS" in unknown
    monkeypatch.setenv("SDSEG_SERVER_TOKEN", TOKEN)
    saved = sdseg("server", "save", address)
    assert saved.code == 0, saved.err
    assert "no names, dates or UIDs" in saved.out
    monkeypatch.delenv("SDSEG_SERVER_TOKEN")
    assert address in sdseg("server", "show").out
    assert sdseg("server", "forget").code == 0
    assert "No server was saved" in sdseg("server", "forget").out
    assert not token_file().read_text().count(TOKEN)
    assert TOKEN not in saved.out + saved.err


def test_a_saved_server_without_a_keyring(monkeypatch: pytest.MonkeyPatch) -> None:
    assert saved_address() is None
    address = ServerAddress.parse(f"gpu.example.org?sha256={'0' * 64}")
    where = save_server(address, TOKEN)
    assert str(token_file()) in where
    assert TOKEN not in server_file().read_text()
    if os.name == "posix":
        assert stat.S_IMODE(token_file().stat().st_mode) == 0o600
    assert server_access("saved") == ServerAccess(address, TOKEN)
    assert server_access(str(address)).token == TOKEN
    with pytest.raises(InputError, match="no token for the server other:8743"):
        server_access("other")
    monkeypatch.setenv("SDSEG_SERVER_TOKEN", "another-token-from-the-job")
    assert saved_token(address) == "another-token-from-the-job"
    server_file().write_text("{damaged")
    assert saved_address() is None
    token_file().parent.chmod(0o500)
    try:
        if os.name == "posix" and getpass.getuser() != "root":
            with pytest.raises(OutputError, match="cannot be written"):
                save_server(address, TOKEN)
    finally:
        token_file().parent.chmod(0o700)


def test_a_token_goes_into_the_keyring_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    kept: dict[tuple[str, str], str] = {}
    errors = types.ModuleType("keyring.errors")
    errors.KeyringError = type("KeyringError", (Exception,), {})  # type: ignore[attr-defined]
    backend = types.SimpleNamespace(priority=5)

    def locked(*_: str) -> str:
        raise errors.KeyringError("locked")

    keyring = types.ModuleType("keyring")
    vars(keyring).update(
        errors=errors,
        get_keyring=lambda: backend,
        set_password=lambda service, name, token: kept.update({(service, name): token}),
        get_password=lambda service, name: kept.get((service, name)),
        delete_password=lambda service, name: kept.pop((service, name)),
    )
    monkeypatch.setitem(sys.modules, "keyring", keyring)
    monkeypatch.setitem(sys.modules, "keyring.errors", errors)
    address = ServerAddress.parse("gpu.example.org:7")
    assert save_server(address, TOKEN) == "the system's keyring"
    assert list(kept.values()) == [TOKEN]
    assert not token_file().exists()
    assert saved_token(address) == TOKEN
    assert forget_server()
    assert not kept

    monkeypatch.setattr(keyring, "set_password", locked)
    monkeypatch.setattr(keyring, "get_password", locked)
    assert str(token_file()) in save_server(address, TOKEN)
    assert saved_token(address) == TOKEN
    backend.priority = 0  # one that keeps no secrets
    assert json.loads(token_file().read_text()) == {"gpu.example.org:7": TOKEN}


@posix_only
def test_a_token_is_a_line_of_its_own_or_is_not_written(tmp_path: Path) -> None:
    """Also after a last line without an end, as editors leave it, and on a full disk."""
    path = tmp_path / "tokens"
    path.write_text("# the ward\n" + "x" * 30, encoding="ascii")
    path.chmod(0o600)
    token = add_token(path)
    tokens = read_tokens(path)
    assert [tokens.number(item) for item in ("x" * 30, token)] == [0, 1]
    before = path.read_bytes()
    code = f"""
import resource, signal
from pathlib import Path
from SDSegLib.errors import OutputError
from SDSegLib.serve.tokens import add_token
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, ({len(before) + 10}, {len(before) + 10}))
try:
    add_token(Path({str(path)!r}))
except OutputError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "cannot be written" in done.stdout
    assert path.read_bytes() == before


@posix_only
def test_a_certificate_that_was_not_made_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next try would say that it exists already."""
    program = tmp_path / "openssl"
    program.write_text(
        "#!/bin/sh\necho part > certificate.pem\necho no space left >&2\nexit 1\n", "ascii"
    )
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    certificate, key = Path("certificate.pem"), Path("key.pem")
    with pytest.raises(OutputError, match="no space left"):
        make_certificate(certificate, key, "localhost")
    assert [path.name for path in tmp_path.iterdir()] == ["openssl"]

    def stopped(*arguments: object, **others: object) -> None:
        certificate.touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess, "run", stopped)
    with pytest.raises(KeyboardInterrupt):
        make_certificate(certificate, key, "localhost")
    assert [path.name for path in tmp_path.iterdir()] == ["openssl"]


@posix_only
def test_a_key_that_everybody_can_read_is_refused(
    certificates: Path, sdseg: Run, tmp_path: Path
) -> None:
    key = shutil.copy(certificates / "good-key.pem", tmp_path / "key.pem")
    key.chmod(0o644)
    add_token(tmp_path / "tokens")
    outcome = sdseg(
        *("serve", "--certificate", certificates / "good.pem", "--key", key),
        *("--tokens", tmp_path / "tokens"),
    )
    assert outcome.code == 2
    assert f"All users of this computer can read the key {key}; change that with:" in outcome.err


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("::1", "is not clear; write an IPv6 address like [::1]:8743"),
        ("::1:8743", "is not clear; write an IPv6 address like [::1]:8743"),
        ("0.0.0.0", "is no address with a port; it looks like 127.0.0.1:8743"),
        ("localhost:", "is no address with a port"),
        ("localhost:²", "is no address with a port"),
        ("localhost:99999", "is no address with a port"),
        ("lo cal:8743", "is no address with a port"),
    ],
)
def test_addresses_that_cannot_be_listened_on(listen: str, expected: str) -> None:
    with pytest.raises(InputError) as caught:
        _place(listen)
    assert expected in str(caught.value)


def test_a_certificate_that_is_not_there_can_be_made(sdseg: Run, tmp_path: Path) -> None:
    files = ("--certificate", tmp_path / "cert.pem", "--key", tmp_path / "key.pem")
    told = sdseg("serve", "--listen", "127.0.0.1:0", *files, "--tokens", tmp_path / "tokens")
    assert told.code == 2
    assert "make both with sdseg serve --make-certificate" in " ".join(told.err.split())


def test_addresses_that_can_be_listened_on() -> None:
    assert _place("[::1]:8743") == ("::1", 8743)
    assert _place("[::]:0") == ("::", 0)
    assert _place(":8743") == ("0.0.0.0", 8743)
    assert _place("gpu-1.example:1") == ("gpu-1.example", 1)


def test_a_damaged_address_is_forgotten_with_its_token(sdseg: Run) -> None:
    save_server(ServerAddress("gpu"), TOKEN)
    server_file().write_text('{"address": "sdsegs://', encoding="ascii")
    unknown = sdseg("server", "show").err
    assert "No server was saved" in unknown
    assert "sdseg server save ADDRESS" in unknown
    assert "were removed" in sdseg("server", "forget").out
    assert not server_file().exists()
    assert not token_file().exists()
    assert "No server was saved" in sdseg("server", "forget").out


@pytest.mark.parametrize(
    ("certificate", "key", "host", "expected"),
    [
        ("a.pem", "a.pem", "localhost", "cannot hold both the certificate and its key"),
        ("no/a.pem", "k.pem", "localhost", "There is no folder no; make it first"),
        ("a.pem", "k.pem", "-x", "'-x' is no name of a computer"),
    ],
)
def test_certificates_that_cannot_be_made(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    certificate: str,
    key: str,
    host: str,
    expected: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises((InputError, OutputError)) as caught:
        make_certificate(Path(certificate), Path(key), host)
    assert expected in str(caught.value)
    assert not list(tmp_path.iterdir())


@posix_only
def test_a_certificate_that_is_not_whole_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """openssl ends well on a full disk."""
    program = tmp_path / "openssl"
    program.write_text("#!/bin/sh\n: > certificate.pem\n", "ascii")
    program.chmod(0o700)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.chdir(tmp_path)
    with pytest.raises(OutputError, match="could not be written whole; free space"):
        make_certificate(Path("certificate.pem"), Path("key.pem"), "localhost")
    assert [path.name for path in tmp_path.iterdir()] == ["openssl"]


def test_a_wrong_listen_is_told_before_a_certificate_is_made(sdseg: Run, tmp_path: Path) -> None:
    files = ("--certificate", tmp_path / "a.pem", "--key", tmp_path / "k.pem")
    outcome = sdseg("serve", "--make-certificate", *files, "--listen", "nonsense")
    assert outcome.code == 2
    assert "'nonsense' is no address" in outcome.err
    assert not (tmp_path / "a.pem").exists()


def test_a_file_of_tokens_from_other_editors(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_bytes(b"\xef\xbb\xbf" + b"x" * 30 + b"\r\n")
    assert read_tokens(path).number("x" * 30) == 0
    path.write_bytes(("x" * 30).encode("utf-16"))
    with pytest.raises(InputError, match="is no text in UTF-8"):
        read_tokens(path)


@pytest.mark.parametrize("token", ["x" * 513, "x" * 20 + "\n" + "y" * 20, "\0" * 30])
def test_what_cannot_be_a_token_is_not_sent(token: str) -> None:
    with pytest.raises(InputError, match="The token for the server gpu:8743 is none") as caught:
        ServerAccess(ServerAddress("gpu"), token)
    assert token not in str(caught.value)


@posix_only
def test_a_saved_token_that_others_could_read_is_made_private() -> None:
    save_server(ServerAddress("gpu"), TOKEN)
    token_file().chmod(0o666)
    assert server_access("saved").token == TOKEN
    assert stat.S_IMODE(token_file().stat().st_mode) == 0o600
