"""Memory runs out, in the worker or in the application: the user reads where, and what to do."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantom import a_body
from worker_fixtures import client, model, nothing_is_left, temporary
from worker_parts import (
    a_new_body,
    customized,
    fail,
    posix_only,
    run,
    segmenting,
)

from SDSegLib.processes.memory import Block
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

pytestmark = pytest.mark.slow
__all__ = ["client", "model", "nothing_is_left", "temporary"]


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
