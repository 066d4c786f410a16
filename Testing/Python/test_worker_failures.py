"""The worker when things go wrong: the user reads why, and the next click works."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom import a_body
from tiny_model import write_tiny_model
from worker_parts import (
    SHARED_MEMORY,
    a_long_volume,
    a_new_body,
    blocks_of,
    child_environment,
    customized,
    environment_with_temporary,
    holds_blocks,
    is_running,
    poll_until,
    poll_until_running,
    posix_only,
    segmenting,
    wait_until,
)

from SDSegLib.errors import InputError
from SDSegLib.operations.segment import SegmentOperation
from SDSegLib.processes import child_process as process_module
from SDSegLib.processes.child_process import LIBRARY_FOLDER
from SDSegLib.processes.memory import Block, new_name
from SDSegLib.processes.messages import Message, decode, encode
from SDSegLib.volume.volume import Volume
from SDSegLib.worker import sentences
from SDSegLib.worker import supervisor as supervisor_module
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.protocol import PROTOCOL
from SDSegLib.worker.run import State

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def client(temporary: Path) -> Iterator[WorkerClient]:
    """The one client of all the tests that do not need a special one; each must leave it usable."""
    environment = environment_with_temporary(temporary)
    with WorkerClient(environment=environment, silence_seconds=3.0) as client:
        yield client


@pytest.fixture(autouse=True)
def nothing_is_left(temporary: Path) -> Iterator[None]:
    yield
    assert not blocks_of(os.getpid())
    assert not holds_blocks(os.getpid())
    assert not list(temporary.iterdir())


def run(client: WorkerClient, model: str, volume: Volume | None = None) -> None:
    client.start(volume or a_body(), segmenting(model, device="cpu"))
    assert client.wait(120) is State.DONE, (client.error, client.details)


def fail(client: WorkerClient, volume: Volume, operation: SegmentOperation, *parts: str) -> None:
    """Run, fail, and say all `parts`; then be ready, with no result."""
    client.start(volume, operation)
    assert client.wait(120) is State.FAILED, client.log
    for part in parts:
        assert part in client.error, (client.error, client.details)
    assert not client.is_busy
    assert client.result is None
    assert client.report is None


def child_of(client: WorkerClient) -> int:
    assert client.process_id is not None
    return client.process_id


# Kills and hangs.


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


# The application dies.

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


# Memory.


@posix_only
def test_too_little_memory_for_the_packages(tmp_path: Path, model: str) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_AS, (300 << 20, 300 << 20))"
    with WorkerClient(environment=customized(tmp_path / "limit", code)) as client:
        fail(client, a_body(), segmenting(model, device="cpu"), "emory", "Close other programs")


_LIMIT_LATER = """
import resource, sys, threading, time
def limit():
    modules = {"SDSegLib.inference.load", "SDSegLib.operations.segment"}
    while not modules <= set(sys.modules):
        time.sleep(0.001)
    size = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + (20 << 20)
    resource.setrlimit(resource.RLIMIT_AS, (size, size))
threading.Thread(target=limit, daemon=True).start()
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_too_little_memory_for_the_volume(tmp_path: Path, model: str) -> None:
    body = a_body((200, 256, 256))
    volume = replace(body, array=body.array.astype(np.float64))
    with WorkerClient(environment=customized(tmp_path / "limit", _LIMIT_LATER)) as client:
        fail(client, volume, segmenting(model, device="cpu"), "emory", "crop")


@pytest.mark.parametrize(
    "error", ["MemoryError()", "RuntimeError('CUDA error: out of memory')"], ids=["numpy", "torch"]
)
def test_memory_that_runs_out_in_a_run_ends_the_worker_so_that_all_is_free(
    tmp_path: Path, model: str, error: str
) -> None:
    code = _PATCHED.format(module="SDSegLib.volume.checks", name="check_usable", error=error)
    with WorkerClient(environment=customized(tmp_path / "patch", code)) as client:
        fail(
            client,
            a_body(),
            segmenting(model, device="cpu"),
            "Memory ran out while segmenting",
            "Close other programs",
        )
        assert error.partition("(")[0] in client.details
        assert client.process_id is None


_SMALL_DEVICE = """
import importlib.abc, importlib.machinery, sys
class Patch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != "SDSegLib.families.compact": return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            whole = module.CompactFamily.condition
            def condition(self, image):
                if len(image) > {room}: raise RuntimeError("CUDA out of memory")
                return whole(self, image)
            module.CompactFamily.condition = condition
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Patch())
"""


def test_a_small_device_is_told_of_and_the_worker_stays_warm(tmp_path: Path, model: str) -> None:
    environment = customized(tmp_path / "patch", _SMALL_DEVICE.format(room=2))
    with WorkerClient(environment=environment) as client:
        operation = segmenting(model, device="cpu", batch=8)
        client.start(a_body(), operation)
        assert client.wait(60) is State.DONE, (client.error, client.details)
        assert client.report is not None
        assert len(client.report.messages) == 2
        assert "2 slices at a time" in client.report.messages[-1]
        assert any("2 slices at a time" in line for line in client.log)
        client.start(a_new_body(), operation)
        assert client.wait(60) is State.DONE
        assert client.report.warm
        assert client.report.messages == ()


def test_a_device_too_small_for_one_slice_begins_afresh(tmp_path: Path, model: str) -> None:
    environment = customized(tmp_path / "patch", _SMALL_DEVICE.format(room=0))
    with WorkerClient(environment=environment) as client:
        operation = segmenting(model, device="cpu", batch=2)
        for _ in range(2):
            fail(client, a_body(), operation, "not enough memory for even one slice")
            assert sum("1 slices at a time" in line for line in client.log) == 1
            client.log.clear()


def test_no_shared_memory_for_the_volume(
    client: WorkerClient, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(block: Block) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Block, "reserve", refuse)
        fail(
            client,
            a_body(),
            segmenting(model, device="cpu"),
            "not enough shared memory",
            "No space left on device",
        )
    run(client, model)


def test_no_memory_for_the_result(
    client: WorkerClient, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> np.ndarray:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr("SDSegLib.worker.shared_arrays.SharedArrays.taken", refuse)
        fail(client, a_body(), segmenting(model, device="cpu"), "no memory for the result")
    run(client, model)


def test_a_defect_in_the_clients_own_thread(
    client: WorkerClient, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("a defect")

    monkeypatch.setattr("threading.excepthook", lambda arguments: None)
    with monkeypatch.context() as patch:
        patch.setattr("SDSegLib.worker.supervisor.volume_to_json", broken)
        fail(client, a_body(), segmenting(model, device="cpu"), "ZeroDivisionError: a defect")
        assert "Traceback" in client.details
    run(client, model)


# Packages and interpreters.

_PATCHED = """
import builtins, importlib.abc, importlib.machinery, sys
class Patch(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name != {module!r}: return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        load = spec.loader.exec_module
        def exec_module(module):
            load(module)
            def broken(*arguments, **options): raise {error}
            setattr(module, {name!r}, broken)
        spec.loader.exec_module = exec_module
        return spec
sys.meta_path.insert(0, Patch())
"""


@pytest.mark.parametrize(
    ("torch", "parts"),
    [
        ("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')", ["is missing"]),
        ("raise ImportError('libtorch_cpu.so: undefined symbol: iJIT')", ["undefined symbol"]),
        ("raise OSError('[WinError 126] Error loading c10.dll')", ["Error loading c10.dll"]),
        ("", ["does not work", "'float32'"]),
        ("syntax error", ["does not work", "SyntaxError"]),
        ("import no_such_package", ["'no_such_package' is missing"]),
    ],
    ids=["absent", "broken", "windows", "empty", "damaged", "incomplete"],
)
def test_pytorch_absent_or_broken(tmp_path: Path, model: str, torch: str, parts: list[str]) -> None:
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text(torch)
    with WorkerClient(environment=child_environment(tmp_path)) as client:
        fail(client, a_body(), segmenting(model, device="cpu"), "nstall", sys.executable, *parts)
        assert "Traceback" in client.details
        if not torch:
            package.rename(tmp_path / "mended")
            run(client, model)


@posix_only
def test_a_python_without_any_package(tmp_path: Path, model: str) -> None:
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    bare.chmod(0o755)
    with WorkerClient(python=str(bare), environment=child_environment()) as client:
        fail(client, a_body(), segmenting(model, device="cpu"), "package 'numpy' is missing")


@pytest.mark.parametrize("python", ["/no/such/python", "", str(FOLDER)])
def test_an_interpreter_that_is_none(model: str, python: str) -> None:
    with WorkerClient(python=python) as client:
        fail(client, a_body(), segmenting(model), "PythonSlicer", python)
        fail(client, a_body(), segmenting(model), "PythonSlicer")


@posix_only
@pytest.mark.parametrize(
    ("code", "parts"),
    [
        ("exit 3", ["did not start", "exit code 3"]),
        ("echo 'Python is too old' >&2; exit 1", ["did not start", "Python is too old"]),
        ("exec cat", ["no sign of life"]),
        ("exec sleep 60", ["no sign of life"]),
        ("exec yes", ["no sign of life"]),
    ],
)
def test_a_program_that_is_no_python(
    tmp_path: Path, model: str, code: str, parts: list[str]
) -> None:
    program = tmp_path / "python"
    program.write_text(f"#!/bin/sh\n{code}\n")
    program.chmod(0o755)
    with WorkerClient(python=str(program), silence_seconds=1.0) as client:
        fail(client, a_body(), segmenting(model), *parts)
        assert len(client.log) <= 500


def test_the_application_itself_is_not_taken_for_an_interpreter(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/opt/Slicer/bin/SlicerApp-real")
    monkeypatch.setattr("shutil.which", lambda name: f"/opt/Slicer/bin/{name}")
    assert process_module.default_python() == "/opt/Slicer/bin/PythonSlicer"
    monkeypatch.setattr("shutil.which", lambda name: None)
    assert process_module.default_python() == ""


# The pipe.


def test_an_update_of_the_library_while_the_program_runs(tmp_path: Path, model: str) -> None:
    code = "import SDSegLib.worker.protocol as protocol; protocol.PROTOCOL = 99"
    with WorkerClient(environment=customized(tmp_path / "new", code)) as client:
        fail(
            client, a_body(), segmenting(model, device="cpu"), "protocol 99", "Restart the program"
        )


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


# Requests that cannot be carried out: the library's own sentence, and the worker stays.


def test_what_the_user_can_mend_leaves_the_worker_warm(client: WorkerClient, model: str) -> None:
    run(client, model)
    process = child_of(client)
    body = a_body()
    nothing = replace(body, array=np.full(body.array.shape, np.nan))
    constant = replace(body, array=np.full_like(body.array, 7), source=Path("/ct/leer ü.nrrd"))
    flat = replace(body, geometry=replace(body.geometry, spacing=(1.0, 1.0, 0.0)))
    for volume, operation, parts in [
        (nothing, segmenting(model, device="cpu"), ["No voxel of body is a number"]),
        (constant, segmenting(model, device="cpu"), ["/ct/leer ü.nrrd have the same value (7)"]),
        (flat, segmenting(model, device="cpu"), ["voxel spacing is 1 × 1 × 0 mm"]),
        (body, segmenting("no-such-model"), ["no model called 'no-such-model'", "installed are"]),
        (body, segmenting(" "), ["The model has no name"]),
        (body, segmenting(model, ("liver",), device="cpu"), ["no structure called liver"]),
    ]:
        fail(client, volume, operation, *parts)
        assert child_of(client) == process
        assert wait_until(lambda: not holds_blocks(process), 5)
    run(client, model)
    assert child_of(client) == process


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"device": "tpu"}, "Unknown device 'tpu'"),
        ({"precision": "int3"}, "Unknown precision 'int3'"),
        ({"samples": 0}, "0 samples; 1 to 64 are possible"),
        ({"samples": None}, "None samples: not a whole number"),
        ({"region": (0, 1, 0, 1, 0, 1)}, "it is a Region"),
    ],
)
def test_options_that_are_not_allowed_start_nothing(
    client: WorkerClient, model: str, options: dict[str, Any], sentence: str
) -> None:
    before = client.state
    with pytest.raises(InputError, match=sentence):
        client.start(a_body(), segmenting(model, **options))
    assert client.state is before
    run(client, model)


def test_an_empty_volume(client: WorkerClient, model: str) -> None:
    body = a_body()
    empty = replace(body, array=body.array[:0], geometry=replace(body.geometry, shape=(0, 40, 48)))
    fail(client, empty, segmenting(model, device="cpu"), "is empty (48 × 40 × 0 voxels)")


def test_damaged_weights(client: WorkerClient, tmp_path: Path) -> None:
    folder = write_tiny_model(tmp_path / "tiny")
    with (folder / "model.safetensors").open("r+b") as stream:
        stream.seek(-4, os.SEEK_END)
        stream.write(b"\1\2\3\4")
    fail(client, a_body(), segmenting(str(folder), device="cpu"), "damaged", "Reinstall")


def test_findings_come_with_the_result(client: WorkerClient, model: str) -> None:
    body = a_body()
    run(client, model, replace(body, modality="MR", notes=("A note of the reader.",)))
    assert client.report is not None
    kinds = [finding.kind for finding in client.report.findings]
    assert kinds[:2] == ["modality", "reader"]


@posix_only
def test_a_kill_that_only_the_launcher_saw_is_told_from_a_crash() -> None:
    """PythonSlicer exits with 1 and says that the interpreter it started is gone."""
    launcher = "error: [python-real] exit abnormally - Report the problem."
    crash = f"Fatal Python error: Segmentation fault\n{launcher}"
    assert "killed from outside" in sentences.ended(1, "PythonSlicer", True, launcher)
    assert "ended unexpectedly" in sentences.ended(1, "PythonSlicer", True, crash)
    assert "ended unexpectedly" in sentences.ended(1, "PythonSlicer", True, "ValueError: no")
