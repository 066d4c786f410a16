"""A real HTTP server on 127.0.0.1 for tests of downloads, with the faults of real ones."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass
class FileServer:
    """What the server has, how it behaves, and what it was asked.

    Attributes:
        address: Its address, without a slash at the end.
        files: Contents by path, such as "/models.json".
        cuts: For each coming request of a zip file, after how many bytes its connection is cut.
        shift: How far the parts that it sends lie behind those that were asked for.
        knows_ranges: Whether it continues files; else it sends them whole.
        redirects: Addresses by path.
        asked: Path and Range of each request.
        hosts: Host names that were asked for; another than its own when it is used as a proxy.
    """

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cuts: list[int] = field(default_factory=list)
    shift: int = 0
    knows_ranges: bool = True
    redirects: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    hosts: list[str] = field(default_factory=list)

    def ranges(self, path: str) -> list[str | None]:
        """The Range header of each request for a path."""
        return [wanted for asked, wanted in self.asked if asked == path]


@contextmanager
def serving() -> Iterator[FileServer]:
    """Run a server until the block ends."""
    state = FileServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path  # a proxy is given the whole address
            state.asked.append((path, self.headers.get("Range")))
            state.hosts.append(self.headers["Host"])
            if path in state.redirects:
                self._answer(302, {"Location": state.redirects[path], "Content-Length": "0"})
                return
            if path not in state.files:
                self._answer(404, {"Content-Length": "0"})
                return
            self._send(state.files[path])

        def _send(self, content: bytes) -> None:
            wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            begin, whole = 0, len(content)
            headers = {}
            if wanted and state.knows_ranges:
                begin = int(wanted[1]) + state.shift
                if begin >= whole:
                    self._answer(416, {"Content-Range": f"bytes */{whole}", "Content-Length": "0"})
                    return
                headers["Content-Range"] = f"bytes {begin}-{whole - 1}/{whole}"
            headers["Content-Length"] = str(whole - begin)
            self._answer(206 if "Content-Range" in headers else 200, headers)
            part = content[begin:]
            if state.cuts and self.path.endswith(".zip"):
                part = part[: state.cuts.pop(0)]
                self.close_connection = True
            self.wfile.write(part)

        def _answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
