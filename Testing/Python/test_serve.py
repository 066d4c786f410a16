"""A GPU machine for many laptops: `sdseg serve` and those who use it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from command_parts import Run, sdseg, write_ct
from phantom import a_body
from process_parts import ROOT
from serve_parts import RunningServer, answers, logged_in, server_folder, start_server
from tiny_model import write_tiny_model
from worker_parts import (
    a_long_volume,
    a_new_body,
    poll_until_running,
    posix_only,
    segmenting,
    wait_until,
)

from SDSegLib.operations.base import run_here
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.operations.propagate import PropagateOperation
from SDSegLib.operations.segment import SAME_AGAIN
from SDSegLib.propagation.options import PropagateOptions
from SDSegLib.serve.limits import ServeLimits
from SDSegLib.serve.server import SegmentationServer, ServeSettings
from SDSegLib.serve.tokens import Tokens
from SDSegLib.wire.address import LEAVES, ServerAddress
from SDSegLib.wire.frames import write_frame
from SDSegLib.wire.tls import fingerprint, first_certificate, server_context
from SDSegLib.worker import remote
from SDSegLib.worker.access import ServerAccess
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

__all__ = ["sdseg"]

TOKEN = "a-token-that-is-long-enough"
NAME = "Doe^Jane 1970-01-01"
CPU: dict[str, Any] = {"device": "cpu"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    return server_folder(tmp_path_factory.mktemp("server"))


@pytest.fixture(autouse=True)
def models(folder: tuple[Path, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The laptops have the same models; their settings are not those of who runs the tests."""
    monkeypatch.setenv("SDSEG_MODELS", str(folder[0] / "models"))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "settings"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "settings"))


@pytest.fixture(scope="module")
def running(folder: tuple[Path, str]) -> Iterator[RunningServer]:
    """The server of most tests, warm after the first run; it leaves no file and ends well."""
    server = start_server(*folder)
    yield server
    for process in [server.process.pid, *server.children()]:
        for name in ("cmdline", "environ"):
            facts = Path(f"/proc/{process}/{name}")
            assert not facts.exists() or server.token.encode() not in facts.read_bytes()
        limits = Path(f"/proc/{process}/limits")
        if limits.exists():
            assert re.search(r"^Max core file size +0 ", limits.read_text(), re.MULTILINE)
    assert server.stop() == 0
    assert not server.left_files()
    assert server.token not in server.said
    assert NAME not in server.said
    assert "Traceback" not in server.said


@pytest.fixture
def client(running: RunningServer) -> Iterator[WorkerClient]:
    with WorkerClient(server=running.access) as client:
        yield client


MakeServer = Callable[..., tuple[SegmentationServer, ServerAccess]]


@pytest.fixture
def make_server(folder: tuple[Path, str]) -> Iterator[MakeServer]:
    """Servers in this process, with limits of their own."""
    servers = []

    def make(**limits: Any) -> tuple[SegmentationServer, ServerAccess]:
        certificate = folder[0] / "certificate.pem"
        context = server_context(certificate, folder[0] / "key.pem", None)
        settings = ServeSettings("127.0.0.1", 0, context, Tokens([TOKEN]), ServeLimits(**limits))
        servers.append(server := SegmentationServer(settings, lambda line: None))
        sha256 = fingerprint(first_certificate(certificate))
        address = ServerAddress("localhost", server.port, sha256)
        return server, ServerAccess(address, TOKEN)

    yield make
    for server in servers:
        server.close()
        assert server.budget.used == 0
        assert wait_until(lambda server=server: not sessions_of(server), 5)


def sessions_of(server: SegmentationServer) -> int:
    return len(server._all())


def done(client: WorkerClient, volume: Any, operation: Any) -> Any:
    client.start(volume, operation)
    assert client.wait(120) is State.DONE, (client.error, client.log)
    return client.result


def failed(client: WorkerClient, volume: Any, operation: Any) -> str:
    client.start(volume, operation)
    assert client.wait(120) is State.FAILED
    return client.error


@pytest.mark.slow
def test_many_clients_at_once_and_bad_ones_among_them(tmp_path: Path) -> None:
    """`serve_many.py` in short."""
    sys.path.insert(0, str(ROOT / "Testing"))
    try:
        from serve_many import RUBBISH, run_many
    finally:
        sys.path.remove(str(ROOT / "Testing"))
    outcome = run_many(32, 4, tmp_path / "server", lambda line: None)
    assert (outcome.requests, outcome.wrong, outcome.failed) == (32, 0, [])
    assert outcome.killed >= 1
    assert outcome.denied >= 1
    assert outcome.rubbish >= len(RUBBISH)
    assert outcome.most_before <= 2 * 4  # of the three others, and those before the first turn
    assert outcome.code == 0
    assert outcome.left == []
    said = "\n".join(outcome.said)
    done = int(re.findall(r"\bdone (\d+)", said)[-1])
    assert 32 <= done <= 32 + outcome.killed  # a run may end before its client is killed
    for secret in (NAME, "doe_jane", "Traceback", "tiny", "127.0.0.1 "):
        assert secret not in said
    last, settled = outcome.readings[-1], outcome.readings[len(outcome.readings) // 2]
    assert last.server_mb < settled.server_mb + 8
    assert last.computing_mb < settled.computing_mb + 15


@pytest.mark.slow
def test_the_command_writes_the_same_with_a_server(
    running: RunningServer,
    sdseg: Run,
    tmp_path: Path,
    shared_data: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SDSEG_SERVER_TOKEN", running.token)
    ct = shared_data / "head_neck_oar" / "train" / "pt_11" / "ct.nii.gz"
    arguments = ("segment", ct, "--model", "tiny", "--device", "cpu", "--samples", 2, "--yes")
    found = {}
    for where in ((), ("--server", running.address)):
        name = "there" if where else "here"
        outcome = sdseg(
            *arguments,
            *("--labelmap", tmp_path / f"{name}.nrrd", "--uncertainty", tmp_path / f"{name}u.nrrd"),
            *where,
        )
        assert outcome.code == 0, outcome.err
        assert (f"Goes to {running.address.place}: {LEAVES}" in outcome.err) is bool(where)
        assert running.token not in outcome.err + outcome.out
        found[name] = [
            sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / f"{name}{kind}.nrrd")))
            for kind in ("", "u")
        ]
    assert found["here"][0].any()
    np.testing.assert_array_equal(found["here"], found["there"])


def test_without_the_server_this_computer_goes_on_only_if_the_user_wants(
    sdseg: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDSEG_SERVER_TOKEN", TOKEN)
    ct = write_ct(tmp_path / "ct.nii.gz")
    arguments = ("segment", ct, "--model", "tiny", "--device", "cpu", "--yes")
    arguments = (*arguments, "--server", "localhost:9", "--labelmap", tmp_path / "a.nii.gz")
    outcome = sdseg(*arguments)
    assert outcome.code == 2
    assert "localhost:9 does not answer" in outcome.err
    assert "--or-local" in outcome.err
    assert not (tmp_path / "a.nii.gz").exists()
    outcome = sdseg(*arguments, "--or-local")
    assert outcome.code == 0, outcome.err
    assert "localhost:9 does not answer" in outcome.err
    assert (tmp_path / "a.nii.gz").exists()


def test_only_voxels_and_geometry_leave_and_only_once(
    client: WorkerClient, running: RunningServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = []
    write = remote.write_frame

    def record(stream: Any, message: dict[str, Any], content: bytes = b"") -> None:
        sent.append((message, len(content)))
        write(stream, message, content)

    monkeypatch.setattr(remote, "write_frame", record)
    body = a_new_body()
    volume = replace(body, name=NAME, source=Path("/secret/jane.nii.gz"), notes=(NAME,))
    opened = client.open(volume)
    model = str(running.folder / "models" / "tiny")  # a path, which stays here as well
    first = done(client, opened, segmenting(model, **CPU))
    assert client.report is not None
    assert client.report.findings[0].message == NAME  # known here
    assert not client.report.warm or client.report.load_seconds == 0
    done(client, opened, segmenting(model, **CPU))
    assert SAME_AGAIN in client.report.messages
    expected, _ = run_here(segmenting(model, **CPU), volume, ModelStore())
    np.testing.assert_array_equal(first.label_map, expected.label_map)
    assert first.structures == expected.structures
    assert first.geometry is volume.geometry

    text = json.dumps([message for message, _ in sent])
    for secret in ("Doe", "jane", "secret", str(running.folder), os.getcwd(), NAME):
        assert secret not in text
    assert text.count(running.token) == 1  # in the hello
    assert "token" in sent[0][0]
    kinds = [message["type"] for message, _ in sent]
    assert kinds.count("volume") == 1
    assert kinds.count("run") == 2
    assert 0 < sum(size for _, size in sent) < body.array.nbytes
    assert running.token not in "\n".join(client.log)
    assert running.token not in repr(running.access)


def test_a_mask_is_carried_as_on_this_computer(client: WorkerClient) -> None:
    volume = a_new_body((12, 48, 48))
    mask = np.zeros(volume.array.shape, bool)
    mask[4, 16:30, 14:34] = mask[8, 18:30, 16:34] = True
    operation = PropagateOperation(PropagateOptions(device="cpu"), mask)
    there = done(client, volume, operation)
    here, _ = run_here(operation, volume, ModelStore())
    np.testing.assert_array_equal(there.part.voxels, here.part.voxels)
    np.testing.assert_array_equal(there.uncertainty, here.uncertainty)
    assert there.part.corner == here.part.corner
    assert there.changed == here.changed
    empty = PropagateOperation(PropagateOptions(device="cpu"), np.zeros(volume.array.shape, bool))
    assert "empty" in failed(client, volume, empty) or "drawn" in client.error


def test_cancel_stops_it_there_and_the_next_run_is_right(client: WorkerClient) -> None:
    client.start(a_long_volume(), segmenting("tiny", batch=1, **CPU))
    poll_until_running(client)
    client.cancel()
    assert client.wait(30) is State.CANCELLED
    volume = a_new_body()
    there = done(client, volume, segmenting("tiny", **CPU))
    here, _ = run_here(segmenting("tiny", **CPU), volume, ModelStore())
    np.testing.assert_array_equal(there.label_map, here.label_map)


def test_who_waits_sees_how_many_come_before(running: RunningServer, client: WorkerClient) -> None:
    with WorkerClient(server=running.access) as other:
        other.start(a_long_volume(), segmenting("tiny", batch=1, **CPU))
        poll_until_running(other)
        client.start(a_new_body(), segmenting("tiny", **CPU))
        assert wait_until(
            lambda: client.poll() is None or (client.progress and client.progress.message)
        )
        assert client.progress is not None
        assert client.progress.message == "Waiting for the server: one run comes before this one."
        assert client.state is State.STARTING
        other.cancel()
        assert client.wait(60) is State.DONE
        assert other.wait(10) is State.CANCELLED


def test_the_model_is_the_same_one_or_none(
    client: WorkerClient, running: RunningServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    says = failed(client, a_body(), segmenting("taught-yesterday", **CPU))
    assert "'taught-yesterday' is not installed here; there are: tiny" in says
    write_tiny_model(tmp_path / "mine" / "tiny", version="0.0.2", network={"unet_channels": 64})
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "mine"))
    says = failed(client, a_body(), segmenting("tiny", **CPU))
    assert "'tiny' has other weights here (version 0.0.1)" in says
    assert client.process_id is None


@pytest.mark.slow
def test_a_server_that_is_killed_in_a_run_ends_the_run_with_a_reason(
    folder: tuple[Path, str],
) -> None:
    server = start_server(*folder)
    with WorkerClient(server=server.access) as client:
        client.start(a_long_volume(), segmenting("tiny", batch=1, **CPU))
        poll_until_running(client)
        children = server.children()
        server.kill()
        assert client.wait(30) is State.FAILED
        assert "The connection to the server localhost" in client.error
        assert "was lost" in client.error
        assert failed(client, a_body(), segmenting("tiny", **CPU)).endswith("check the port.")
    for child in children:  # they end with the server
        assert wait_until(lambda child=child: not Path(f"/proc/{child}/cmdline").exists(), 20)


@posix_only
@pytest.mark.slow
def test_a_request_to_terminate_ends_it_well_in_a_run(folder: tuple[Path, str]) -> None:
    server = start_server(*folder)
    with WorkerClient(server=server.access) as client:
        client.start(a_long_volume(), segmenting("tiny", batch=1, **CPU))
        poll_until_running(client)
        started = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        assert client.wait(30) is State.FAILED
        assert "it is being shut down" in client.error
        assert server.process.wait(30) == 0
        assert time.monotonic() - started < 15
    assert "Traceback" not in server.said
    assert not server.left_files()


def test_limits_of_size_time_and_number(make_server: MakeServer) -> None:
    server, access = make_server(image_bytes=20_000, run_seconds=0.5, connections=2)
    with WorkerClient(server=access) as client:
        says = failed(client, a_body((20, 60, 60)), segmenting("tiny", **CPU))
        assert "the image has 0.1 MiB, and at most 0.0 MiB are allowed here; crop it" in says
        small = a_body((4, 40, 48))
        long = segmenting("tiny", samples=64, steps=50, batch=1, **CPU)
        assert "the run took longer than 0 s" in failed(client, small, long)
        with WorkerClient(server=access) as second:  # one client may have half
            assert "too many connections" in failed(second, small, long)
    assert server.counts["over a limit"] == 3


@pytest.mark.slow
def test_images_of_others_make_room_and_are_sent_again(make_server: MakeServer) -> None:
    body = a_body((10, 40, 48))
    size = body.array.nbytes
    _, access = make_server(memory_bytes=int(2.5 * size), memory_seconds=5.0)
    with WorkerClient(server=access) as first, WorkerClient(server=access) as second:
        opened = [(first, first.open(a_new_body())), (second, second.open(a_new_body()))]
        for _ in range(2):
            for client, volume in opened:
                done(client, volume, segmenting("tiny", **CPU))
        assert any("sending it again" in line for line in first.log + second.log)
        assert "needs 0.3 MiB for its arrays, and at most 0.1 MiB are allowed" in failed(
            first, a_body((40, 60, 60)), segmenting("tiny", **CPU)
        )


@pytest.mark.slow
def test_the_next_run_connects_again_after_a_pause(make_server: MakeServer) -> None:
    server, access = make_server(idle_seconds=0.0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("SDSegLib.wire.tls._GRACE_SECONDS", 0.5)
        with WorkerClient(server=access) as client:
            opened = client.open(a_new_body())
            first = done(client, opened, segmenting("tiny", **CPU))
            assert wait_until(lambda: not sessions_of(server), 10)
            second = done(client, opened, segmenting("tiny", structures=None, **CPU))
            np.testing.assert_array_equal(first.label_map, second.label_map)
            assert any("the next run connects again" in line for line in client.log)
    assert server.counts["lost"] == 0


def test_a_client_that_is_too_slow_is_sent_away(make_server: MakeServer) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("SDSegLib.wire.tls._GRACE_SECONDS", 0.3)
        server, access = make_server()
        running = RunningServer(None, access.address, Path(), TOKEN)  # type: ignore[arg-type]
        stream = logged_in(running)
        stream.write(b"SDSW\0\0\0\xff\0\0\0\0{")  # the rest of its frame never comes
        assert answers(stream) == []
        assert wait_until(lambda: server.counts["lost"] == 1, 5)
        stream.release()


@pytest.mark.slow
def test_a_defect_of_a_lane_costs_one_run(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, access = make_server()
    shown = []
    monkeypatch.setattr(threading, "excepthook", shown.append)
    lane = server._lanes[0]
    monkeypatch.setattr(lane, "_watch", lambda *_: 1 // 0)
    with WorkerClient(server=access) as client:
        assert "a defect of the server" in failed(client, a_body(), segmenting("tiny", **CPU))
        done(client, a_new_body(), segmenting("tiny", **CPU))
    assert shown[0].exc_type is ZeroDivisionError


def test_what_a_client_may_not_ask_is_refused_with_a_sentence(running: RunningServer) -> None:
    order = {"operation": "segment", "parameters": {"model": "tiny"}, "weights": None}
    for changes, says in (
        ({"operation": "os:system"}, "does not know the operation"),
        ({"parameters": {"model": "/etc"}}, "'/etc' is not installed here"),
        ({"parameters": {"model": str(running.folder / "models" / "tiny")}}, "not installed"),
        ({"operation": "propagate", "parameters": {}}, "values that it cannot have (KeyError)"),
    ):
        stream = logged_in(running)
        write_frame(stream, {"type": "prepare", "run": 1, **order, **changes})
        write_frame(stream, {"type": "end"})
        errors = [item for item in answers(stream) if item["type"] == "error"]
        assert [says in item["message"] for item in errors] == [True], errors
        stream.release()
