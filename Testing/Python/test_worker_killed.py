"""A worker that is killed or hangs, and the application that dies: the next click works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from phantom import a_body
from worker_fixtures import client, model, nothing_is_left, temporary
from worker_parts import (
    a_long_volume,
    blocks_of,
    child_environment,
    child_of,
    customized,
    is_running,
    poll_until,
    poll_until_running,
    posix_only,
    run,
    segmenting,
    wait_until,
)

from SDSegLib.processes.child_process import LIBRARY_FOLDER
from SDSegLib.worker import sentences
from SDSegLib.worker import supervisor as supervisor_module
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

pytestmark = pytest.mark.slow
__all__ = ["client", "model", "nothing_is_left", "temporary"]

FOLDER = Path(__file__).parent


@posix_only
def test_a_worker_killed_in_the_middle_of_a_run(client: WorkerClient, model: str) -> None:
    volume = a_long_volume()
    before = volume.array.copy()
    client.start(volume, segmenting(model, device="cpu", batch=1))
    poll_until_running(client)
    first = child_of(client)
    os.kill(first, signal.SIGKILL)
    assert client.wait(10) is State.FAILED
    assert "killed from outside" in client.error
    assert "memory" in client.error
    assert client.result is None
    assert client.process_id is None
    assert not blocks_of(os.getpid())
    np.testing.assert_array_equal(volume.array, before)
    run(client, model)
    assert child_of(client) != first


@posix_only
def test_a_crash_says_what_was_last_written(client: WorkerClient, model: str) -> None:
    client.start(a_long_volume(), segmenting(model, device="cpu", batch=1))
    poll_until_running(client)
    os.kill(child_of(client), signal.SIGSEGV)
    assert client.wait(10) is State.FAILED
    assert "ended unexpectedly" in client.error
    assert "SIGSEGV" in client.error
    assert "Segmentation fault" in client.details
    assert "segmenter.py" in client.details  # faulthandler tells where
    run(client, model)


@posix_only
def test_a_worker_that_hangs_is_noticed_by_its_silence(client: WorkerClient, model: str) -> None:
    client.start(a_long_volume(), segmenting(model, device="cpu", batch=1))
    poll_until_running(client)
    hung = child_of(client)
    os.kill(hung, signal.SIGSTOP)
    started = time.monotonic()
    assert client.wait(20) is State.FAILED
    assert 2.5 < time.monotonic() - started < 10
    assert "no sign of life for 3 s" in client.error
    assert not is_running(hung)
    run(client, model)


@posix_only
def test_a_worker_that_hangs_at_its_start(client: WorkerClient, model: str) -> None:
    client.close()
    client.start(a_body(), segmenting(model, device="cpu"))
    assert poll_until(client, lambda: client.process_id)
    os.kill(child_of(client), signal.SIGSTOP)
    assert client.wait(20) is State.FAILED
    assert "no sign of life" in client.error
    run(client, model)


@posix_only
def test_a_hung_worker_can_be_cancelled(
    client: WorkerClient, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor_module, "GRACE_SECONDS", 0.5)
    client.start(a_long_volume(), segmenting(model, device="cpu", batch=1))
    poll_until_running(client)
    hung = child_of(client)
    os.kill(hung, signal.SIGSTOP)
    started = time.monotonic()
    client.cancel()
    assert client.wait(10) is State.CANCELLED
    assert time.monotonic() - started < 2.5  # sooner than its silence tells
    assert not is_running(hung)
    assert client.error == ""
    run(client, model)


@posix_only
@pytest.mark.parametrize("sign", [signal.SIGKILL, signal.SIGSTOP])
def test_a_worker_lost_between_two_clicks_costs_time_and_no_failure(
    client: WorkerClient, model: str, monkeypatch: pytest.MonkeyPatch, sign: signal.Signals
) -> None:
    monkeypatch.setattr(supervisor_module, "HANDSHAKE_SECONDS", 1.0)
    run(client, model)
    first = child_of(client)
    os.kill(first, sign)
    run(client, model)
    assert child_of(client) != first
    assert not is_running(first)


def test_a_long_batch_and_a_long_load_are_no_hang(tmp_path: Path, model: str) -> None:
    code = (
        "import threading, time, sys\n"
        "class Slow:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name in ('SDSegLib.inference.load', 'SDSegLib.volume.checks'): time.sleep(4)\n"
        "sys.meta_path.insert(0, Slow())\n"
    )
    environment = customized(tmp_path / "slow", code)
    with WorkerClient(environment=environment, silence_seconds=3.0) as client:
        run(client, model)


@posix_only
def test_the_real_interpreter_behind_a_launcher_is_ended_too(tmp_path: Path, model: str) -> None:
    """PythonSlicer is no interpreter: it starts one and waits for it."""
    launcher = tmp_path / "PythonSlicer"
    launcher.write_text(f'#!/bin/sh\n"{sys.executable}" "$@"\nexit $?\n')
    launcher.chmod(0o755)
    with WorkerClient(
        python=str(launcher), environment=child_environment(), silence_seconds=3.0
    ) as client:
        run(client, model)
        client.start(a_long_volume(), segmenting(model, device="cpu", batch=1))
        poll_until_running(client)
        interpreter = child_of(client)
        os.kill(interpreter, signal.SIGSTOP)
        assert client.wait(20) is State.FAILED
        assert wait_until(lambda: not is_running(interpreter), 5)
        run(client, model)
        interpreter = child_of(client)
    assert wait_until(lambda: not is_running(interpreter), 5)


@posix_only
def test_a_kill_that_only_the_launcher_saw_is_told_from_a_crash() -> None:
    """PythonSlicer exits with 1 and says that the interpreter it started is gone."""
    launcher = "error: [python-real] exit abnormally - Report the problem."
    crash = f"Fatal Python error: Segmentation fault\n{launcher}"
    assert "killed from outside" in sentences.ended(1, "PythonSlicer", True, launcher)
    assert "ended unexpectedly" in sentences.ended(1, "PythonSlicer", True, crash)
    assert "ended unexpectedly" in sentences.ended(1, "PythonSlicer", True, "ValueError: no")


_APPLICATION = """
import sys, time
sys.path[:0] = [{library!r}, {tests!r}]
from worker_parts import *
if __name__ == "__main__":
    client = WorkerClient(environment=child_environment())
    client.start(a_long_volume(), segmenting({model!r}, device="cpu", batch=1))
    if {moment!r} == "running":
        poll_until_running(client)
    elif {moment!r} == "starting":
        poll_until(client, lambda: client.process_id)
    elif {moment!r} == "copying":
        while not blocks_of(os.getpid()): client.poll()
    if {ending!r} == "exit":
        sys.exit(0)
    print("ready", client.process_id, flush=True)
    while True: client.poll()
"""


@posix_only
@pytest.mark.parametrize(
    ("moment", "ending"),
    [
        ("copying", "kill"),
        ("starting", "kill"),
        ("running", "kill"),
        ("running", "terminate"),
        ("starting", "exit"),
        ("running", "exit"),
    ],
)
def test_when_the_application_dies_nothing_is_left(
    tmp_path: Path, model: str, moment: str, ending: str
) -> None:
    script = tmp_path / "application.py"
    script.write_text(
        _APPLICATION.format(
            library=str(LIBRARY_FOLDER),
            tests=str(FOLDER),
            model=model,
            moment=moment,
            ending=ending,
        )
    )
    mark = str(tmp_path)
    environment = {**os.environ, "SDSEG_TEST_MARK": mark}
    with subprocess.Popen(
        [sys.executable, script], stdout=subprocess.PIPE, env=environment
    ) as application:
        assert application.stdout is not None
        if ending != "exit":
            assert application.stdout.readline().startswith(b"ready")
            application.send_signal(signal.SIGKILL if ending == "kill" else signal.SIGTERM)
        application.wait(30)
    assert wait_until(lambda: not processes_with(mark), 10), processes_with(mark)
    assert not blocks_of(application.pid)


def processes_with(mark: str) -> list[str]:
    """Processes with this text in their environment; only Linux shows them."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in path.read_bytes() and is_running(int(path.parent.name)):
                found.append(path.parent.name)
        except OSError:
            continue
    return found
