"""What the tests of `sdseg serve` share: a server in a process of its own, and raw connections."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from process_parts import ROOT
from tiny_model import write_tiny_model

from SDSegLib.serve.certificate import make_certificate
from SDSegLib.serve.tokens import add_token
from SDSegLib.version import VERSION
from SDSegLib.wire.address import ServerAddress
from SDSegLib.wire.frames import read_frame, write_frame
from SDSegLib.wire.tls import TlsStream, looking_context
from SDSegLib.worker.access import ServerAccess
from SDSegLib.worker.protocol import PROTOCOL, WIRE

STARTING_SECONDS = 60.0


@dataclass
class RunningServer:
    """`sdseg serve` in a process of its own.

    Attributes:
        process: The process.
        address: As it printed it.
        folder: With certificate, tokens, models; its working folder is `work`, its temporary
            files would go into `temporary`.
        token: One that it accepts.
        lines: What it has printed, both streams.
    """

    process: subprocess.Popen[str]
    address: ServerAddress
    folder: Path
    token: str
    lines: list[str] = field(default_factory=list)

    @property
    def access(self) -> ServerAccess:
        return ServerAccess(self.address, self.token)

    @property
    def said(self) -> str:
        return "\n".join(self.lines)

    def kill(self) -> None:
        """End it at once; afterwards nothing listens on its port any more."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> int:
        """Ask it to end; returns its exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def children(self) -> list[int]:
        """Its computing processes; only Linux shows them."""
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        children = []
        for task in path.parents[1].glob("*/children"):
            children += [int(number) for number in task.read_text().split()]
        return children

    def left_files(self) -> list[str]:
        """Files in its working folder and in the folder for temporary files."""
        folders = (self.folder / "work", self.folder / "temporary")
        return [str(path) for folder in folders for path in folder.rglob("*")]


def server_folder(folder: Path) -> tuple[Path, str]:
    """A folder with certificate, token and the tiny model; and the token."""
    for name in ("work", "temporary", "models"):
        (folder / name).mkdir(parents=True)
    write_tiny_model(folder / "models" / "tiny")
    make_certificate(folder / "certificate.pem", folder / "key.pem", "localhost")
    return folder, add_token(folder / "tokens")


def start_server(
    folder: Path, token: str, *options: str, environment: Mapping[str, str] | None = None
) -> RunningServer:
    """Start `sdseg serve` with the files of `server_folder`, and wait until it listens."""
    temporary = str(folder / "temporary")
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "SDSegLib", "serve", "--listen", "127.0.0.1:0"),
            *("--certificate", str(folder / "certificate.pem"), "--key", str(folder / "key.pem")),
            *("--tokens", str(folder / "tokens"), "--host", "localhost", *options),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=folder / "work",
        env={
            **os.environ,
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "SDSEG_MODELS": str(folder / "models"),
            **dict.fromkeys(("TMPDIR", "TEMP", "TMP"), temporary),
            **(environment or {}),
        },
    )
    lines: list[str] = []

    def listen() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())

    threading.Thread(target=listen, daemon=True).start()
    end = time.monotonic() + STARTING_SECONDS
    while time.monotonic() < end and process.poll() is None:
        for line in lines:
            if "sdsegs://" in line:
                address = ServerAddress.parse(line.split()[-1])
                return RunningServer(process, address, folder, token, lines)
        time.sleep(0.02)
    process.kill()
    raise AssertionError("\n".join(lines))


def connected(address: ServerAddress) -> TlsStream:
    """A connection after the handshake, whose other side does not know yet who it is."""
    connection = socket.create_connection((address.host, address.port), 10)
    stream = TlsStream(connection, looking_context(), is_server=False, host=address.host)
    stream.shake_hands()
    return stream


def hello(token: str, **changes: Any) -> dict[str, Any]:
    """The first message of a client."""
    return {
        "type": "hello",
        "wire": WIRE,
        "protocol": PROTOCOL,
        "sdseg": VERSION,
        "token": token,
        **changes,
    }


def logged_in(server: RunningServer) -> TlsStream:
    """A connection that has shown its token."""
    stream = connected(server.address)
    write_frame(stream, hello(server.token))
    answer, _ = read_frame(stream, 10)
    assert answer["type"] == "hello", answer
    return stream


def answers(stream: TlsStream, seconds: float = 20.0) -> list[dict[str, Any]]:
    """All messages until the other side closes the connection."""
    found = []
    try:
        while True:
            found.append(read_frame(stream, seconds)[0])
    except OSError:
        return found
