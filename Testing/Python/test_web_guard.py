"""Who may talk to the page's server, and what names of files can do: nothing."""

from __future__ import annotations

import http.client
import json
import socket
import stat
import time
import zipfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import pytest
from web_parts import ServerProcess

pytest.importorskip("trame_slicer", reason="needs the extra web")

from SDSegLib.errors import InputError
from SDSegLib.web.uploads import safe_name, unpack


def ask(
    server: ServerProcess,
    path: str,
    method: str = "GET",
    body: bytes | None = None,
    cookie: bool = True,
    **headers: str,
) -> tuple[int, str, http.client.HTTPMessage]:
    """One request to the server, with the cookie that its page has."""
    host = server.base.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=30)
    if cookie:
        headers["Cookie"] = server.cookie
    connection.request(method, path, body, {key.replace("_", "-"): v for key, v in headers.items()})
    response = connection.getresponse()
    text = response.read().decode("utf-8", errors="replace")
    connection.close()
    return response.status, text, response.headers


@pytest.mark.parametrize(
    "path",
    ["/", "/index.html", "/ws", "/session", "/sdseg/client.js", "/?token=wrong", "/download/a/b"],
)
def test_nobody_comes_in_without_the_token(web_server: ServerProcess, path: str) -> None:
    status, text, _ = ask(web_server, path, cookie=False)
    assert status == 403
    assert "whole address" in text
    assert ask(web_server, path, cookie=False, Cookie="sdseg-1=wrong")[0] == 403


def test_the_token_becomes_a_cookie_once_and_leaves_the_address(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server()
    address = f"/?token={server.token}"
    for path, method in ((address, "HEAD"), (f"/session?token={server.token}", "GET")):
        assert ask(server, path, method, cookie=False)[0] == 403  # only the page uses it up
    status, _, headers = ask(server, address, cookie=False)
    assert status == 303
    assert headers["Location"] == "/"
    assert "HttpOnly" in headers["Set-Cookie"]
    assert "SameSite" in headers["Set-Cookie"]
    assert server.token not in headers["Set-Cookie"]
    cookie = headers["Set-Cookie"].partition(";")[0]
    assert ask(server, "/session", cookie=False, Cookie=cookie)[0] == 200
    assert ask(server, address, cookie=False, Cookie=cookie)[0] == 303  # the same browser again
    status, text, headers = ask(server, address, cookie=False)
    assert status == 403
    assert "was used already" in text
    assert "Set-Cookie" not in headers
    name = cookie.partition("=")[0]
    assert ask(server, "/session", cookie=False, Cookie=f"{name}={server.token}")[0] == 403


@pytest.mark.parametrize("host", ["example.org", "127.0.0.1.example.org", "[::1]", "0.0.0.0", ""])
def test_foreign_names_of_this_computer_are_refused(web_server: ServerProcess, host: str) -> None:
    status, text, _ = ask(web_server, "/index.html", Host=host)
    assert status == 421
    assert "127.0.0.1" in text


def test_other_web_pages_are_refused(web_server: ServerProcess) -> None:
    upgrade = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec_WebSocket_Version": "13",
        "Sec_WebSocket_Key": "AAAAAAAAAAAAAAAAAAAAAA==",
    }
    assert ask(web_server, "/ws", Origin="http://example.org", **upgrade)[0] == 403
    assert ask(web_server, "/upload", "POST", Origin="http://example.org")[0] == 403
    assert ask(web_server, "/upload", "POST", Origin="null")[0] == 403


def test_the_page_may_fetch_nothing_from_elsewhere(web_server: ServerProcess) -> None:
    _, _, headers = ask(web_server, "/index.html")
    assert "default-src 'self'" in headers["Content-Security-Policy"]
    assert headers["X-Frame-Options"] == "DENY"


def test_only_this_computer_is_served(web_server: ServerProcess) -> None:
    port = int(web_server.base.rpartition(":")[2])
    listening = Path("/proc/net/tcp").read_text()
    addresses = [line.split()[1] for line in listening.splitlines()[1:] if line.split()[3] == "0A"]
    assert f"0100007F:{port:04X}" in addresses
    assert not any(a.endswith(f":{port:04X}") and not a.startswith("0100007F") for a in addresses)


@pytest.mark.parametrize(
    "path",
    [
        "/download/../../../../etc/passwd",
        "/download/x/..%2f..%2f..%2fetc%2fpasswd",
        "/sdseg/../../../../etc/passwd",
        "/sdseg/..%2f..%2fserver.py",
        "/../../../etc/passwd",
    ],
)
def test_no_path_leads_out_of_what_is_served(web_server: ServerProcess, path: str) -> None:
    status, text, _ = ask(web_server, path)
    assert status in (403, 404)
    assert "root:" not in text


@pytest.mark.parametrize(
    "name",
    [
        "../../outside.nii",
        "{folder}/outside.nii",
        "..\\..\\outside.nii",
        "a/../../outside.nii",
        "..",
    ],
)
def test_names_of_uploads_stay_in_the_private_folder(
    web_server: ServerProcess, name: str, tmp_path: Path
) -> None:
    number, wanted = new_upload(web_server), quote(name.format(folder=tmp_path))
    assert ask(web_server, f"/upload/{number}?name={wanted}", "PUT", b"text")[0] == 200
    assert not list(tmp_path.iterdir())
    (private,) = web_server.private_folders()
    assert stat.S_IMODE(private.stat().st_mode) == 0o700
    written = [path for path in web_server.temporary.rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in written] == [b"text"]
    assert written[0].parent == private / f"upload-{number}"
    ask(web_server, "/upload", "POST")


def test_an_upload_that_is_too_large_is_refused_before_it_is_sent(
    web_server: ServerProcess,
) -> None:
    number = new_upload(web_server)
    head = f"Content-Length: {50 * 2**30}\r\n\r\n".encode()
    answer = send(web_server, put_request(web_server, number, "a.nii") + head)
    assert answer.startswith(b"HTTP/1.1 413")


def connected(server: ServerProcess) -> socket.socket:
    host, _, port = server.base.removeprefix("http://").partition(":")
    return socket.create_connection((host, int(port)), timeout=30)


def send(server: ServerProcess, request: bytes) -> bytes:
    """Raw bytes to the server, and the first line of its answer."""
    with connected(server) as connection:
        connection.sendall(request)
        return connection.recv(4096).partition(b"\r\n")[0]


def new_upload(server: ServerProcess) -> int:
    """The number of an upload that begins."""
    number: int = json.loads(ask(server, "/upload", "POST")[1])["number"]
    return number


def put_request(server: ServerProcess, number: int, name: str) -> bytes:
    """The beginning of a request that sends a file of an upload; headers may follow."""
    return (
        f"PUT /upload/{number}?name={name} HTTP/1.1\r\n"
        f"Host: {server.base.removeprefix('http://')}\r\nCookie: {server.cookie}\r\n"
    ).encode()


def server_is_well(server: ServerProcess, before: str) -> None:
    """It answers, and has said nothing about trouble since its log was `before`."""
    assert ask(server, "/session")[0] == 200
    said = server.log().removeprefix(before)
    for sign in ("Traceback", "Error", "Unhandled", "exception"):
        assert sign not in said, said


LOCAL = b"Host: 127.0.0.1:%(port)s\r\n"
KNOWN = LOCAL + b"Cookie: %(cookie)s\r\n"
MALFORMED = [
    b"GET / HTTP/1.1\r\nHost: [\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: [::1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: a]b\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xff\xfe\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: \xe2\x84\x80.com\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1:%(port)s@evil\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost:\r\n\r\n",
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + KNOWN + b"Origin: http://[\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + KNOWN + b"Origin: http://[::1\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + KNOWN + b"Origin: \xff\xfe\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + KNOWN + b"Origin: http://\xe2\x84\x80.com\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + LOCAL + b"Cookie: sdseg-%(port)s=\xff\xfe\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + LOCAL + b'Cookie: =;;=\x01;"\r\n\r\n',
    b"GET / HTTP/1.1\r\n" + LOCAL + b'Cookie: sdseg-%(port)s="\\777"; $Path=/\r\n\r\n',
    b"GET /?token=%%ff%%fe HTTP/1.1\r\n" + LOCAL + b"\r\n",
    b"GET /?token=%%ed%%a0%%80 HTTP/1.1\r\n" + LOCAL + b"\r\n",
    b"GET /%%00 HTTP/1.1\r\n" + KNOWN + b"\r\n",
    b"GET /download/%%ff/%%00 HTTP/1.1\r\n" + KNOWN + b"\r\n",
    b"GET http://[/ HTTP/1.1\r\n" + KNOWN + b"\r\n",
    b"NONSENSE / HTTP/9.9\r\n" + KNOWN + b"\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    b"GET / HTTP/1.1\r\n" + KNOWN + b"X: " + b"a" * 20_000 + b"\r\n\r\n",
    b"PUT /upload/x?name=a HTTP/1.1\r\n" + KNOWN + b"Content-Length: -1\r\n\r\n",
    b"PUT /upload/x?name=a HTTP/1.1\r\n" + KNOWN + b"Content-Length: 1e9\r\n\r\n",
    b"POST /upload/" + b"9" * 5000 + b"/done HTTP/1.1\r\n" + KNOWN + b"\r\n",
    b"POST /upload/x/done HTTP/1.1\r\n" + KNOWN + b"\r\n",
    b"GET /ws HTTP/1.1\r\n" + KNOWN + b"\r\n",
    b"GET /ws HTTP/1.1\r\n" + KNOWN + b"Upgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 99\r\nSec-WebSocket-Key: x\r\n\r\n",
]


@pytest.mark.parametrize("request_bytes", MALFORMED)
def test_malformed_requests_are_refused_without_a_traceback(
    web_server: ServerProcess, request_bytes: bytes
) -> None:
    before = web_server.log()
    port = web_server.base.rpartition(":")[2].encode()
    cookie = web_server.cookie.encode()
    answer = send(web_server, request_bytes % {b"port": port, b"cookie": cookie})
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer
    server_is_well(web_server, before)


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 1000000\r\n\r\n" + b"x" * 5000,
        b"Transfer-Encoding: chunked\r\n\r\n1000\r\nhalf a chunk",
        b"Content-Length: 1000000\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08",
    ],
)
@pytest.mark.parametrize("how", ["closed", "reset"])
def test_an_upload_that_breaks_off_leaves_no_file_and_no_traceback(
    web_server: ServerProcess, head: bytes, how: str
) -> None:
    before = web_server.log()
    number = new_upload(web_server)
    connection = connected(web_server)
    connection.sendall(put_request(web_server, number, "a.nii") + head)
    time.sleep(0.2)
    if how == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
    connection.close()
    time.sleep(0.3)
    assert not [path for path in web_server.temporary.rglob("*") if path.name == "a.nii"]
    status, text, _ = ask(web_server, f"/upload/{number}/done", "POST")
    assert status == 400
    assert "No file has arrived" in text
    server_is_well(web_server, before)


@pytest.mark.parametrize("body", [b"zz\r\nnot hexadecimal\r\n", b"5\r\nabcdefghij\r\n0\r\n\r\n"])
def test_a_body_that_contradicts_its_frame_is_refused(
    web_server: ServerProcess, body: bytes
) -> None:
    before = web_server.log()
    number = new_upload(web_server)
    head = put_request(web_server, number, "b.nii") + b"Transfer-Encoding: chunked\r\n\r\n"
    answer = send(web_server, head + body)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer
    assert not [path for path in web_server.temporary.rglob("*") if path.name == "b.nii"]
    server_is_well(web_server, before)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("ct.nii.gz", "ct.nii.gz"),
        ("Kopf Ärztin.nrrd", "Kopf Ärztin.nrrd"),
        ("../../etc/passwd", "passwd"),
        ("C:\\scans\\ct.nii", "ct.nii"),
        ("..", "file"),
        ("", "file"),
        ("a\x00b\n.nii", "a_b_.nii"),
        ("Doe, John (2).nii.gz", "Doe, John (2).nii.gz"),
        ('a:b*c?"<d>|.nii', "a_b_c___d__.nii"),
        ("x" * 300 + ".nii.gz", "x" * 73 + ".nii.gz"),
    ],
)
def test_safe_names(name: str, safe: str) -> None:
    assert safe_name(name) == safe


def test_a_zip_cannot_write_outside_its_folder(tmp_path: Path) -> None:
    archive = tmp_path / "tricks.zip"
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr("../../evil.dcm", b"1")
        opened.writestr("/evil.dcm", b"2")
        opened.writestr("deep/evil.dcm", b"3")
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        opened.writestr(link, "/etc/passwd")
    folder = tmp_path / "here" / "unpacked"
    folder.parent.mkdir()
    files = unpack(archive, folder)
    assert {path.parent for path in files} == {folder}
    assert sorted(path.read_bytes() for path in files) == [b"1", b"2", b"3"]
    assert sorted(tmp_path.rglob("*evil*")) == sorted(files)


def test_a_zip_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("SDSegLib.web.uploads.LARGEST_UNPACKED_BYTES", 1000)
    archive = tmp_path / "bomb.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr("zeros", bytes(100_000))
    with pytest.raises(InputError, match="unpacks to more than"):
        unpack(archive, tmp_path / "unpacked")


@pytest.mark.parametrize("content", [b"PK\x03\x04 broken", b""])
def test_a_damaged_zip_is_refused(tmp_path: Path, content: bytes) -> None:
    archive = tmp_path / "broken.zip"
    archive.write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        unpack(archive, tmp_path / "unpacked")


GARBAGE: list[str | bytes] = [
    "not json",
    "[]",
    "{}",
    '{"id": 5}',
    '{"wslink": "1.0", "id": "rpc:1:0", "method": "no.such", "args": [], "kwargs": {}}',
    '{"wslink": "1.0", "id": null, "method": "wslink.hello", "args": 5}',
    "1" * 5000,
    "[" * 5000,
    b"\x00\xff\x00\xff",
    b"\xc1",
    bytes(64),
]


@pytest.mark.parametrize("message", GARBAGE)
def test_garbage_on_the_pages_connection_harms_nothing(
    web_server: ServerProcess, message: str | bytes
) -> None:
    import asyncio

    import aiohttp

    before = web_server.log()

    async def talk() -> None:
        async with aiohttp.ClientSession() as session:
            address = web_server.base.replace("http", "ws") + "/ws"
            async with session.ws_connect(address, headers={"Cookie": web_server.cookie}) as page:
                if isinstance(message, str):
                    await page.send_str(message)
                else:
                    await page.send_bytes(message)
                await asyncio.sleep(0.1)

    with ThreadPoolExecutor(1) as thread:  # a browser of other tests has a loop in this one
        thread.submit(asyncio.run, talk()).result()
    time.sleep(0.1)
    server_is_well(web_server, before)
