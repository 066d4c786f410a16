"""What goes through the worker's pipes: noise, input by hand, and shared memory by name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from worker_fixtures import client, model, nothing_is_left, temporary
from worker_parts import (
    SHARED_MEMORY,
    blocks_of,
    child_environment,
    customized,
    holds_blocks,
    run,
    segmenting,
    wait_until,
)

from SDSegLib.processes.child_process import LIBRARY_FOLDER
from SDSegLib.processes.memory import Block, new_name
from SDSegLib.processes.messages import Message, decode, encode
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.protocol import PROTOCOL

pytestmark = pytest.mark.slow
__all__ = ["client", "model", "nothing_is_left", "temporary"]


_NOISE = """
import atexit, os, sys, threading, time
print("half a line", end="")
def noise():
    while True:
        os.write(1, b'{"type": "result", "run": 1}\\n\\xff\\xfe\\n[1,2]\\n{"type": 7}\\nnoise')
        print("noise from Python")
        time.sleep(0.002)
print('{"type": "no such message"}')
print("[" * 100000)
class Later:
    def find_spec(self, name, path=None, target=None):
        if name == "SDSegLib.inference.load":
            threading.Thread(target=noise, daemon=True).start()
sys.meta_path.insert(0, Later())
atexit.register(print, "noise at exit")
"""


def test_libraries_that_print(tmp_path: Path, model: str) -> None:
    with WorkerClient(environment=customized(tmp_path / "noise", _NOISE)) as client:
        run(client, model)
        run(client, model)


def by_hand(text: str) -> subprocess.CompletedProcess[str]:
    """Run the worker from a shell with `text` on its standard input."""
    return subprocess.run(
        [sys.executable, "-m", "SDSegLib.worker"],
        input=text,
        cwd=LIBRARY_FOLDER,
        env=child_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_the_worker_by_hand_ends_quietly_with_its_input() -> None:
    for text in ("", "no message\n{}\n[]\n\n"):
        answer = by_hand(text)
        assert answer.returncode == 0
        assert answer.stderr == ""
        (hello,) = answer.stdout.split()[:1]
        assert hello == '{"type":'


class ByHand:
    """A worker that the test itself speaks with."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "SDSegLib.worker"],
            cwd=LIBRARY_FOLDER,
            env=child_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.pid = self._process.pid
        self.tell(
            type="setup", protocol=PROTOCOL, idle_seconds=60, heartbeat_seconds=60, model_bytes=0
        )

    def tell(self, **message: object) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(encode(message))
        self._process.stdin.flush()

    def hear(self, kind: str) -> Message:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = decode(line)
            if message is not None and message["type"] == kind:
                return message
        raise AssertionError(f"no {kind}")

    def end(self) -> int:
        self._process.communicate(timeout=30)
        return self._process.returncode


@pytest.fixture
def by_hand_worker() -> Iterator[ByHand]:
    worker = ByHand()
    yield worker
    worker.end()


@pytest.fixture
def two_blocks() -> Iterator[dict[str, Block]]:
    blocks = {kind: Block.create(new_name(), 5000) for kind in ("volume", "label_map")}
    yield blocks
    for block in blocks.values():
        block.unlink()
        block.close()


def announcement(blocks: dict[str, Block]) -> dict[str, dict[str, object]]:
    return {kind: {"name": block.name, "size": block.size} for kind, block in blocks.items()}


def test_the_worker_refuses_another_protocol(by_hand_worker: ByHand) -> None:
    by_hand_worker.tell(type="setup", protocol=0)
    assert "Restart the program" in by_hand_worker.hear("error")["message"]
    assert by_hand_worker.end() == 1


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="sees shared memory as files")
@pytest.mark.parametrize("is_open", [False, True])
def test_the_worker_cleans_up_after_an_application_that_is_gone(
    by_hand_worker: ByHand, two_blocks: dict[str, Block], is_open: bool
) -> None:
    assert len(blocks_of(os.getpid())) == 2
    by_hand_worker.tell(type="blocks", key="run-1", blocks=announcement(two_blocks))
    if is_open:
        by_hand_worker.tell(type="open", key="run-1")
    assert by_hand_worker.end() == 0
    assert not blocks_of(os.getpid())


@pytest.mark.skipif(not SHARED_MEMORY.is_dir(), reason="sees shared memory as files")
def test_the_worker_does_not_hold_the_memory_of_a_run_that_is_over(
    by_hand_worker: ByHand, two_blocks: dict[str, Block]
) -> None:
    tell = by_hand_worker.tell
    operation = segmenting("no-such-model", device="cpu")
    order = {"operation": operation.name, "parameters": operation.parameters()}
    tell(type="prepare", run=1, folder="", models=None, **order)
    assert "no model called" in by_hand_worker.hear("error")["message"]
    tell(type="blocks", key="run-1", blocks=announcement(two_blocks))
    tell(type="open", key="run-1")
    assert wait_until(lambda: not blocks_of(os.getpid()), 5)  # it was opened
    tell(type="drop", key="run-1")
    assert wait_until(lambda: not holds_blocks(by_hand_worker.pid), 5)
