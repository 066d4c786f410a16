"""Many clients at one server at once, some of them bad; is every result right, and nothing left?

    python Testing/serve_many.py --requests 200 --clients 8 --output many.json

`sdseg serve` runs in a process of its own. Good clients ask for runs on random images, one after
the other, and compare each label map with that of this computer. Meanwhile one client is killed
again and again in the middle of a run, one sends its image so slowly that it never ends, one has a
wrong token, and one sends rubbish of all kinds. Read are the memory of the server and of its
computing process, how many runs of others came between a request and its result, files that are
left, and all that the server has printed.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]

import numpy as np  # noqa: E402
from phantom import a_body  # noqa: E402
from serve_parts import (  # noqa: E402
    RunningServer,
    answers,
    connected,
    hello,
    logged_in,
    server_folder,
    start_server,
)

from SDSegLib.errors import SDSegError  # noqa: E402
from SDSegLib.operations.base import run_here  # noqa: E402
from SDSegLib.operations.model_store import ModelStore  # noqa: E402
from SDSegLib.operations.segment import SegmentOperation  # noqa: E402
from SDSegLib.options import RunOptions  # noqa: E402
from SDSegLib.volume.volume import Volume  # noqa: E402
from SDSegLib.wire.frames import write_frame  # noqa: E402
from SDSegLib.worker.access import ServerAccess  # noqa: E402
from SDSegLib.worker.client import WorkerClient  # noqa: E402
from SDSegLib.worker.run import State  # noqa: E402

SHAPES = ((10, 40, 48), (14, 44, 40), (8, 52, 52), (18, 36, 44), (12, 48, 36))
NAME = "Doe^Jane 1970-01-01"
SECRET_SOURCE = "/home/doctor/doe_jane.nii.gz"
_RUN_SECONDS = 300.0
_KILLED = """
import sys
from pathlib import Path
sys.path[:0] = [{root!r}, {tests!r}]
from phantom import a_body
from SDSegLib.operations.segment import SegmentOperation
from SDSegLib.options import RunOptions
from SDSegLib.wire.address import ServerAddress
from SDSegLib.worker.access import ServerAccess
from SDSegLib.worker.client import WorkerClient
access = ServerAccess(ServerAddress.parse({address!r}), sys.stdin.readline().strip())
client = WorkerClient(server=access)
client.start(a_body((60, 80, 80)), SegmentOperation(RunOptions(model="tiny", device="cpu")))
while client.wait(0.02).is_busy:
    print(client.state.value, flush=True)
"""


@dataclass(frozen=True)
class Reading:
    """Memory after some requests, in MB: of the server and of its computing processes."""

    requests: int
    server_mb: float
    computing_mb: float


@dataclass
class Outcome:
    """What was found.

    Attributes:
        requests: Runs of good clients.
        wrong: Of these, results that differ from those of this computer.
        failed: Of these, runs without a result, with the reason.
        seconds: In all.
        longest: Seconds of the slowest request.
        most_before: Most runs of others that ended between a request and its result.
        by_client: Seconds in all for each client.
        killed: Clients that were killed in a run.
        denied: Wrong tokens that were refused.
        rubbish: Pieces of rubbish that were sent.
        readings: Memory.
        left: Files and shared memory that were left.
        said: What the server printed.
        code: Exit code of the server after a request to terminate.
    """

    requests: int = 0
    wrong: int = 0
    failed: list[str] = field(default_factory=list)
    seconds: float = 0.0
    longest: float = 0.0
    most_before: int = 0
    by_client: list[float] = field(default_factory=list)
    killed: int = 0
    denied: int = 0
    rubbish: int = 0
    readings: list[Reading] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    code: int | None = None


class Story:
    """The clients of one server, and what they found.

    Args:
        server: The server.
        requests: Runs of all good clients together.
        clients: Number of good clients.
        tell: Receives a line for each reading.
    """

    def __init__(
        self, server: RunningServer, requests: int, clients: int, tell: Callable[[str], None]
    ) -> None:
        self.outcome = Outcome()
        self._server = server
        self._requests = requests
        self._clients = clients
        self._tell = tell
        self._volumes = [a_named_body(shape) for shape in SHAPES]
        self._operations = [
            SegmentOperation(RunOptions(model="tiny", device="cpu", samples=samples))
            for samples in (1, 2)
        ]
        self._expected = self._here()
        self._lock = threading.Lock()
        self._begun = 0
        self._is_over = threading.Event()

    def run(self) -> Outcome:
        """All clients at once, until the good ones have done their requests."""
        started = time.monotonic()
        bad = [
            threading.Thread(target=self._repeat, args=(function,))
            for function in (self._killed, self._slow, self._wrong_token, self._rubbish)
        ]
        good = [
            threading.Thread(target=self._good, args=(number,)) for number in range(self._clients)
        ]
        self.outcome.by_client = [0.0] * self._clients
        for thread in (*bad, *good):
            thread.start()
        for thread in good:
            thread.join()
        self._is_over.set()
        for thread in bad:
            thread.join()
        self.outcome.seconds = time.monotonic() - started
        return self.outcome

    def _here(self) -> list[list[np.ndarray]]:
        models = ModelStore()
        folder = str(self._server.folder / "models" / "tiny")
        found = []
        for operation in self._operations:
            options = RunOptions(model=folder, device="cpu", samples=operation.options.samples)
            found.append(
                [
                    run_here(SegmentOperation(options), volume, models)[0].label_map
                    for volume in self._volumes
                ]
            )
        return found

    # Clients.

    def _good(self, number: int) -> None:
        chosen = random.Random(number)
        began = time.monotonic()
        with WorkerClient(server=self._server.access) as client:
            while self._has_next():
                place, kind = chosen.randrange(len(SHAPES)), chosen.randrange(2)
                before, started = self.outcome.requests, time.monotonic()
                client.start(self._volumes[place], self._operations[kind])
                state = client.wait(_RUN_SECONDS)
                self._note(
                    time.monotonic() - started,
                    before,
                    "" if state is State.DONE else f"{state}: {client.error}",
                    state is State.DONE
                    and np.array_equal(client.result.label_map, self._expected[kind][place]),
                )
        self.outcome.by_client[number] = time.monotonic() - began

    def _has_next(self) -> bool:
        with self._lock:
            self._begun += 1
            return self._begun <= self._requests

    def _note(self, seconds: float, before: int, error: str, is_right: bool) -> None:
        with self._lock:
            found = self.outcome
            found.most_before = max(found.most_before, found.requests - before)
            found.requests += 1
            found.longest = max(found.longest, seconds)
            found.wrong += not error and not is_right
            if error:
                found.failed.append(error)
            if found.requests % max(1, self._requests // 10) == 0:
                found.readings.append(self._reading())
                self._tell(str(found.readings[-1]))

    def _reading(self) -> Reading:
        children = sum(map(megabytes, self._server.children()))
        return Reading(self.outcome.requests, megabytes(self._server.process.pid), children)

    def _repeat(self, function: Callable[[], None]) -> None:
        while not self._is_over.is_set():
            function()
            self._is_over.wait(0.5)

    def _killed(self) -> None:
        code = _KILLED.format(
            root=str(ROOT),
            tests=str(ROOT / "Testing" / "Python"),
            address=str(self._server.address),
        )
        with subprocess.Popen(
            [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write(self._server.token + "\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.strip() == "running" or self._is_over.is_set():
                    break
            self.outcome.killed += 1
            os.kill(process.pid, signal.SIGKILL)

    def _slow(self) -> None:
        """Announce an image and send a byte now and then."""
        with contextlib.suppress(OSError):
            stream = logged_in(self._server)
            write_frame(stream, {"type": "prepare", "run": 1, **AN_ORDER})
            write_frame(stream, AN_ANNOUNCEMENT)
            stream.write(b"SDSW\0\0\0")
            while not self._is_over.wait(1.0):
                stream.write(b"\0")
            stream.release()

    def _wrong_token(self) -> None:
        access = ServerAccess(self._server.address, "not-the-token-of-this-server")
        with WorkerClient(server=access) as client:
            client.start(self._volumes[0], self._operations[0])
            client.wait(_RUN_SECONDS)
            self.outcome.denied += client.state is State.FAILED and "token" in client.error

    def _rubbish(self) -> None:
        for send in RUBBISH:
            if self._is_over.is_set():
                return
            with contextlib.suppress(OSError, SDSegError):
                send(self._server)
            self.outcome.rubbish += 1


AN_ORDER = {
    "operation": "segment",
    "parameters": {"model": "tiny", "device": "cpu"},
    "weights": None,
}
AN_ANNOUNCEMENT = {
    "type": "arrays",
    "run": 1,
    "key": "v",
    "arrays": {"volume": {"shape": [10, 40, 48], "dtype": "<i2"}},
}


def _plain_bytes(server: RunningServer) -> None:
    with socket.create_connection((server.address.host, server.address.port), 10) as connection:
        connection.sendall(os.urandom(5000))
        connection.settimeout(10)
        connection.recv(1000)


def _web_browser(server: RunningServer) -> None:
    stream = connected(server.address)
    stream.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    answers(stream)
    stream.release()


def _noise(server: RunningServer) -> None:
    stream = logged_in(server)
    stream.write(os.urandom(100_000))
    answers(stream)
    stream.release()


def _messages(*messages: dict, content: bytes = b"") -> Callable[[RunningServer], None]:
    """A client that logs in and sends these."""

    def send(server: RunningServer) -> None:
        stream = logged_in(server)
        for message in messages:
            write_frame(stream, message, content if message["type"] == "bytes" else b"")
        write_frame(stream, {"type": "end"})
        answers(stream)
        stream.release()

    return send


def _long_hello(server: RunningServer) -> None:
    stream = connected(server.address)
    write_frame(stream, hello("x" * 100_000))
    answers(stream)
    stream.release()


PREPARE = {"type": "prepare", "run": 1, **AN_ORDER}
BYTES = {"type": "bytes", "key": "v", "name": "volume", "start": 0, "count": 19200}
RUBBISH: tuple[Callable[[RunningServer], None], ...] = (
    _plain_bytes,
    _web_browser,
    _noise,
    _long_hello,
    _messages({"type": "nonsense"}),
    _messages({"type": "prepare", "run": "1", "operation": [], "parameters": None}),
    _messages({**PREPARE, "operation": "os:system"}),
    _messages({**PREPARE, "parameters": {"model": "../../../etc", "samples": "many"}}),
    _messages({**PREPARE, "parameters": {"model": ["tiny"], "nested": {"a": [{}] * 99}}}),
    _messages(PREPARE, {**AN_ANNOUNCEMENT, "arrays": {"volume": {"shape": [2**39] * 3}}}),
    _messages(
        PREPARE,
        {**AN_ANNOUNCEMENT, "arrays": {"volume": {"shape": [2**13] * 3, "dtype": "<f8"}}},
    ),
    _messages(PREPARE, {**AN_ANNOUNCEMENT, "arrays": {"volume": {"shape": [1], "dtype": "|O"}}}),
    _messages(PREPARE, AN_ANNOUNCEMENT, {**BYTES, "method": "bytes"}, content=b"rubbish"),
    _messages(PREPARE, AN_ANNOUNCEMENT, {**BYTES, "method": "__class__"}, content=b"\x03\x00"),
    _messages(PREPARE, AN_ANNOUNCEMENT, {**BYTES, "start": -5, "method": "bytes"}, content=b""),
    _messages(PREPARE, {"type": "run", "run": 1, "key": "r", "volume": "none", **AN_ORDER}),
    _messages({"type": "drop", "key": {"a": 1}}, {"type": "cancel", "run": None}),
)


def a_named_body(shape: tuple[int, int, int]) -> Volume:
    """A body with a name and a path that must not leave this computer."""
    body = a_body(shape)
    return Volume(body.array, body.geometry, NAME, "CT", Path(SECRET_SOURCE), notes=(NAME,))


def megabytes(process: int) -> float:
    """Memory of a process that it shares with no other."""
    with contextlib.suppress(OSError):
        text = Path(f"/proc/{process}/smaps_rollup").read_text(encoding="ascii")
        private = [line.split()[1] for line in text.splitlines() if line.startswith("Private_")]
        return sum(map(int, private)) / 1024
    return 0.0


def run_many(
    requests: int, clients: int, folder: Path, tell: Callable[[str], None] = print
) -> Outcome:
    """Start a server, let the clients loose on it, end it, and look at what is left."""
    server = start_server(*server_folder(folder), "--largest-image", "64", "--memory", "512")
    try:
        story = Story(server, requests, clients, tell)
        outcome = story.run()
        outcome.left = server.left_files()
        processes = [server.process.pid, *server.children()]
        outcome.code = server.stop()
    finally:
        server.process.kill()
    shared = Path("/dev/shm")
    if shared.is_dir():
        mine = tuple(f"sdseg-{process}-" for process in processes)
        outcome.left += [name for name in os.listdir(shared) if name.startswith(mine)]
    outcome.left += server.left_files()
    outcome.said = server.lines
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--requests", type=int, default=200)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        outcome = run_many(arguments.requests, arguments.clients, Path(folder) / "server")
    text = json.dumps(asdict(outcome), indent=1)
    if arguments.output is None:
        sys.stdout.write(text + "\n")
    else:
        arguments.output.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
