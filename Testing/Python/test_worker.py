"""The warm worker as a window uses it: click, watch, cancel, click again."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from clock import undisturbed_clock
from phantom import a_body, stored_as
from tiny_model import write_tiny_model
from worker_fixtures import model, temporary
from worker_parts import (
    a_long_volume,
    a_new_body,
    blocks_of,
    child_environment,
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
from SDSegLib.inference.load import load_segmenter
from SDSegLib.operations.segment import SAME_AGAIN, SegmentOperation
from SDSegLib.processes.child_process import LIBRARY_FOLDER
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.region import Region
from SDSegLib.volume.volume import Volume
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State, VolumeInWorker

__all__ = ["model", "temporary"]


@pytest.fixture(scope="module")
def shared_client(temporary: Path) -> Iterator[WorkerClient]:
    with WorkerClient(environment=environment_with_temporary(temporary)) as client:
        yield client


@pytest.fixture
def client(shared_client: WorkerClient, temporary: Path) -> Iterator[WorkerClient]:
    """A client whose child is mostly warm; tests leave neither memory nor files."""
    yield shared_client
    shared_client.on_change = None
    assert not blocks_of(os.getpid())
    assert not holds_blocks(os.getpid())
    assert not list(temporary.iterdir())


@pytest.fixture
def cold_client(client: WorkerClient) -> WorkerClient:
    client.close()
    return client


def run(client: WorkerClient, volume: Volume | VolumeInWorker, operation: SegmentOperation) -> None:
    client.start(volume, operation)
    assert client.wait(120) is State.DONE, (client.error, client.details)


def test_the_first_click_pays_for_the_start_and_the_next_ones_do_not(
    cold_client: WorkerClient, model: str
) -> None:
    client = cold_client
    volume = a_body()
    opened = client.open(volume)
    run(client, opened, segmenting(model, device="cpu"))
    first, result = client.report, client.result
    assert first is not None
    assert result is not None
    process = client.process_id
    assert process is not None
    run(client, opened, segmenting(model, device="cpu"))
    second = client.report
    assert second is not None
    assert client.result is not None
    assert client.process_id == process

    assert not first.warm
    assert first.load_seconds > 0
    assert second.warm
    assert second.load_seconds == 0
    assert first.device == "cpu: asked for"
    assert first.model == "tiny 0.0.1"
    np.testing.assert_array_equal(client.result.label_map, result.label_map)

    assert SAME_AGAIN in second.messages  # so only another volume shows that the model is kept

    client.close_volume(opened)
    assert wait_until(lambda: not holds_blocks(process), 5)
    other = a_new_body((12, 44, 40))
    run(client, other, segmenting(model, device="cpu"))
    third = client.report
    assert third is not None
    assert client.process_id == process
    assert SAME_AGAIN not in third.messages
    assert third.warm
    assert third.load_seconds == 0
    segmenter = load_segmenter(model, "cpu")
    np.testing.assert_array_equal(client.result.label_map, segmenter.segment(other).label_map)

    here = segmenter.segment(volume)
    np.testing.assert_array_equal(result.label_map, here.label_map)
    assert result.structures == here.structures
    assert result.geometry is volume.geometry
    assert result.instability is None


def test_a_window_sees_each_state_and_the_slices_count_up(client: WorkerClient, model: str) -> None:
    states, slices, threads = [], [], set()

    def draw(changed: WorkerClient) -> None:
        states.append(changed.state)
        threads.add(threading.current_thread())
        if changed.progress is not None and changed.state is State.RUNNING:
            slices.append(changed.progress.done)

    client.on_change = draw
    client.start(a_long_volume(), segmenting(model, device="cpu", batch=1))
    assert client.state is State.STARTING
    assert client.is_busy
    assert states == []  # told from poll only
    client.wait(120)
    order = sorted(set(states), key=states.index)
    assert order == [State.STARTING, State.RUNNING, State.DONE]
    assert slices == sorted(slices)
    assert len(set(slices)) > 3
    assert client.progress is not None
    assert client.progress.done == client.progress.total == 120
    assert threads == {threading.current_thread()}
    assert any("Start segmenting" in line for line in client.log)
    assert any("Done in" in line for line in client.log)
    assert client.poll() is False


def test_cancel_takes_less_than_a_batch_and_the_worker_stays_warm(
    client: WorkerClient, model: str
) -> None:
    client.start(a_long_volume(), segmenting(model, device="cpu", batch=1))
    poll_until_running(client)
    started = time.monotonic()
    client.cancel()
    assert client.is_cancelling
    assert client.wait(30) is State.CANCELLED
    assert time.monotonic() - started < 1.0
    assert client.result is None
    assert not client.is_cancelling
    process = client.process_id
    assert process is not None
    assert wait_until(lambda: not holds_blocks(process), 5)
    run(client, a_body(), segmenting(model, device="cpu", batch=1))
    assert client.process_id == process
    assert client.report is not None
    assert client.report.warm


def test_cancel_during_the_start_is_at_once_and_the_start_is_not_lost(
    cold_client: WorkerClient, model: str
) -> None:
    client = cold_client
    client.start(a_body(), segmenting(model, device="cpu"))
    assert poll_until(client, lambda: client.process_id is not None)
    assert client.state is State.STARTING
    started = time.monotonic()
    client.cancel()
    assert client.wait(30) is State.CANCELLED
    assert time.monotonic() - started < 1.0
    process = client.process_id
    run(client, a_body(), segmenting(model, device="cpu"))
    assert client.process_id == process


def test_cancel_right_after_start(cold_client: WorkerClient, model: str) -> None:
    client = cold_client
    for _ in range(3):
        client.start(a_body(), segmenting(model, device="cpu"))
        client.cancel()
        assert client.wait(30) is State.CANCELLED
    client.cancel()  # nothing to cancel
    assert client.state is State.CANCELLED
    run(client, a_body(), segmenting(model, device="cpu"))


def test_options_reach_the_segmenter(client: WorkerClient, model: str) -> None:
    volume = a_body()
    region = Region((2, 5, 6), (9, 30, 40))
    operation = segmenting(
        model,
        ("larynx", "Mandible"),
        device="cpu",
        precision="float32",
        batch=3,
        samples=3,
        region=region,
    )
    run(client, volume, operation)
    result = client.result
    assert result is not None
    expected = load_segmenter(model, "cpu", 3, "float32").segment(
        volume, ["larynx", "mandible"], samples=3, region=region
    )
    np.testing.assert_array_equal(result.label_map, expected.label_map)
    assert expected.instability is not None
    np.testing.assert_array_equal(result.instability, expected.instability)
    assert [item.name for item in result.structures] == ["Larynx", "Mandible"]
    assert result.samples == 3
    assert result.region == region
    assert not result.label_map[:2].any()
    assert result.label_map.flags.writeable


@pytest.mark.parametrize("kind", ["<i2", ">i2", "<f4", ">f8", "u2", "i4"])
def test_any_kind_of_number_in_any_storage_arrives_unharmed(
    client: WorkerClient, model: str, kind: str
) -> None:
    body = a_body()
    if kind == "u2":
        body = replace(body, array=body.array + 1024)
    run(client, body, segmenting(model, device="cpu"))
    assert client.result is not None
    expected = client.result.label_map
    order, flips = (2, 0, 1), (0, 2)
    volume = stored_as(replace(body, array=body.array.astype(kind)), order, flips)
    assert not volume.array.flags.c_contiguous
    before = volume.array.copy()
    run(client, volume, segmenting(model, device="cpu"))
    assert client.report is not None
    labels = client.result.label_map
    assert labels.any()
    np.testing.assert_array_equal(np.flip(labels, flips).transpose(np.argsort(order)), expected)
    np.testing.assert_array_equal(volume.array, before)
    kinds = {finding.kind for finding in client.report.findings}
    assert ("hu-offset" in kinds) == (kind == "u2")


def test_another_model_or_new_weights_are_loaded_and_the_old_ones_are_not_used(
    client: WorkerClient, tmp_path: Path
) -> None:
    volume = a_body()
    folder = write_tiny_model(tmp_path / "a")
    run(client, volume, segmenting(str(folder), device="cpu"))
    run(client, volume, segmenting(str(folder), device="cpu"))
    assert client.report is not None
    assert client.report.warm
    other = write_tiny_model(tmp_path / "b", version="2.0")
    run(client, volume, segmenting(str(other), device="cpu"))
    assert client.report is not None
    assert not client.report.warm
    assert client.report.model == "tiny 2.0"
    folder.rename(tmp_path / "old")
    write_tiny_model(folder, version="3.0", network={"condition_channels": 8})
    run(client, volume, segmenting(str(folder), device="cpu"))
    assert client.report.model == "tiny 3.0"
    assert not client.report.warm


def test_names_in_any_script_and_relative_folders(
    client: WorkerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "Modèle für 頭頸部"
    write_tiny_model(folder, title="Тест")
    volume = replace(a_body(), name="Müller, 太郎", source=folder / "bild.nrrd")
    run(client, volume, segmenting(str(folder), device="cpu"))
    monkeypatch.chdir(tmp_path)
    run(client, volume, segmenting(folder.name, device="cpu"))
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path))
    (tmp_path / "torch.py").write_text("raise RuntimeError('not the real one')")
    with WorkerClient() as other:  # in the environment of this very moment
        run(other, volume, segmenting("tiny", device="cpu"))
        monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "none"))
        other.start(volume, segmenting("tiny", device="cpu"))
        assert other.wait(60) is State.FAILED
        assert "no model called 'tiny'" in other.error


def test_a_library_in_a_folder_of_any_script(tmp_path: Path) -> None:
    folder = tmp_path / "Bücherei 図書館"
    folder.mkdir()
    (folder / "SDSegLib").symlink_to(LIBRARY_FOLDER / "SDSegLib")
    script = folder / "application.py"  # its folder is the first on its path
    script.write_text(
        "import sys, SDSegLib.processes.child_process as process\n"
        "from pathlib import Path\n"
        "from SDSegLib.operations.segment import SegmentOperation\n"
        "from SDSegLib.options import RunOptions\n"
        "from SDSegLib.worker.client import WorkerClient\n"
        "process.LIBRARY_FOLDER = Path(__file__).parent  # the link, not where it leads\n"
        "client = WorkerClient()\n"
        "client.warm_up(SegmentOperation(RunOptions(model='none')))\n"
        "while not any('no model called' in line for line in client.log):\n"
        "    client.poll()\n"
        "    assert not any('ended' in line for line in client.log), client.log\n",
        encoding="utf-8",
    )
    subprocess.run(
        [sys.executable, script], env=child_environment(), cwd=tmp_path, check=True, timeout=60
    )


def test_warming_up_before_the_first_click(cold_client: WorkerClient, model: str) -> None:
    client = cold_client
    before = client.state
    client.warm_up(segmenting(model, device="cpu"))
    assert client.state is before
    assert poll_until(client, lambda: client.process_id)
    run(client, a_body(), segmenting(model, device="cpu"))
    assert client.report is not None
    assert client.report.warm


def test_warming_up_the_wrong_model_is_a_line_in_the_log(client: WorkerClient) -> None:
    before = client.state, client.error
    client.warm_up(segmenting("no-such-model"))
    assert poll_until(client, lambda: any("no model called" in line for line in client.log))
    assert (client.state, client.error) == before


def test_a_new_client_is_idle_and_starts_nothing() -> None:
    client = WorkerClient()
    assert client.state is State.IDLE
    assert not client.is_busy
    assert client.poll() is False
    assert client.wait(1) is State.IDLE
    assert client.process_id is None
    client.close()
    assert client.state is State.IDLE


def test_an_idle_worker_ends_and_the_next_click_starts_another(model: str) -> None:
    with WorkerClient(environment=child_environment(), idle_seconds=0.5) as client:
        run(client, a_body(), segmenting(model, device="cpu"))
        first = client.process_id
        assert first is not None
        assert poll_until(client, lambda: client.process_id is None, 20)
        assert client.state is State.DONE
        assert any("nothing to do" in line for line in client.log)
        assert not is_running(first)
        run(client, a_body(), segmenting(model, device="cpu"))
        assert client.process_id != first


@pytest.mark.parametrize("moment", ["at once", "starting", "running"])
def test_close_in_the_middle(client: WorkerClient, model: str, moment: str) -> None:
    client.start(a_long_volume(), segmenting(model, device="cpu", batch=1))
    if moment != "at once":
        assert poll_until(client, lambda: client.process_id is not None)
    if moment == "running":
        poll_until_running(client)
    process = client.process_id
    started = time.monotonic()
    client.close()
    assert time.monotonic() - started < 3.0
    assert client.state is State.CANCELLED
    assert client.result is None
    assert process is None or not is_running(process)
    assert not blocks_of(os.getpid())
    client.close()
    run(client, a_body(), segmenting(model, device="cpu"))


def test_a_result_outlives_the_worker(model: str) -> None:
    with WorkerClient(environment=child_environment()) as client:
        run(client, a_body(), segmenting(model, device="cpu"))
    assert client.state is State.DONE
    assert client.result is not None
    assert client.result.label_map.any()


def test_a_forgotten_client_takes_its_child_along(model: str) -> None:
    client = WorkerClient(environment=child_environment())
    run(client, a_body(), segmenting(model, device="cpu"))
    process = client.process_id
    assert process is not None
    del client
    assert wait_until(lambda: not is_running(process))


def test_what_cannot_be_started_raises_and_changes_nothing(
    client: WorkerClient, model: str
) -> None:
    text = Volume(np.full((2, 2, 2), "x"), Geometry((2, 2, 2), (1, 1, 1), (0, 0, 0), np.eye(3)))
    before = client.state
    with pytest.raises(InputError, match="not numbers"):
        client.start(text, segmenting(model))
    assert client.state is before
    client.start(a_body(), segmenting(model, device="cpu"))
    with pytest.raises(RuntimeError, match="busy"):
        client.start(a_body(), segmenting(model, device="cpu"))
    assert client.wait(120) is State.DONE


def test_two_clients_at_once(model: str) -> None:
    small, large = a_body(), a_body((14, 48, 40))
    with (
        WorkerClient(environment=child_environment()) as one,
        WorkerClient(environment=child_environment()) as two,
    ):
        one.start(small, segmenting(model, device="cpu"))
        two.start(large, segmenting(model, device="cpu"))
        assert one.wait(120) is State.DONE
        assert two.wait(120) is State.DONE
        assert one.process_id != two.process_id
        assert one.result is not None
        assert two.result is not None
        assert one.result.label_map.shape == small.array.shape
        assert two.result.label_map.shape == large.array.shape


def test_the_owner_is_never_blocked_for_longer_than_a_frame_or_two(
    client: WorkerClient, model: str
) -> None:
    """A window with a large CT; three tries, for what other programs on the computer do."""
    shape = (300, 512, 512)
    array = np.random.default_rng(0).integers(-1000, 1500, shape, dtype=np.int16)
    volume = Volume(array, Geometry(shape, (0.8, 0.8, 1.0), (0, 0, 0), np.eye(3)))
    longest = {}
    for attempt in range(3):
        longest[attempt] = 0.0

        def timed(call, *arguments, attempt=attempt):
            started = undisturbed_clock()
            call(*arguments)
            longest[attempt] = max(longest[attempt], undisturbed_clock() - started)

        timed(client.start, volume, segmenting(model, device="cpu", batch=1))
        while client.state is State.STARTING:
            timed(client.poll)
            time.sleep(0.005)
        assert client.state is State.RUNNING, (client.error, client.details)
        timed(client.cancel)
        while client.is_busy:
            timed(client.poll)
            time.sleep(0.005)
        assert client.state is State.CANCELLED
        if longest[attempt] < 0.03:
            return
    pytest.fail(f"longest calls: {longest}")


def test_a_large_result_is_taken_over_off_the_owners_thread(
    client: WorkerClient, model: str
) -> None:
    shape = (300, 512, 512)
    array = np.full(shape, -1000, np.int16)  # air costs no time
    array[150:152, 200:300, 200:300] = 40
    volume = Volume(array, Geometry(shape, (0.8, 0.8, 1.0), (0, 0, 0), np.eye(3)))
    longest = []
    for _ in range(3):
        client.start(volume, segmenting(model, device="cpu"))
        longest.append(0.0)
        while client.is_busy:
            started = undisturbed_clock()
            client.poll()
            longest[-1] = max(longest[-1], undisturbed_clock() - started)
            time.sleep(0.005)
        assert client.state is State.DONE, (client.error, client.details)
        assert client.result is not None
        assert client.result.label_map.shape == shape
        if longest[-1] < 0.03:
            return
    pytest.fail(f"longest polls: {longest}")


@posix_only
def test_an_application_that_keeps_the_interpreter_to_itself(
    client: WorkerClient, model: str
) -> None:
    """An event loop in C that lets Python in for a moment every 50 ms, as in 3D Slicer."""
    event_loop = ctypes.PyDLL(None).usleep
    run(client, a_body(), segmenting(model, device="cpu"))
    client.start(a_body((12, 128, 128)), segmenting(model, device="cpu"))
    turns = 0
    while client.is_busy and turns < 400:
        event_loop(50_000)
        client.poll()
        turns += 1
    assert client.state is State.DONE, (client.error, client.log)


def test_the_client_needs_no_heavy_package() -> None:
    code = (
        "import sys\n"
        "import SDSegLib.worker.client, SDSegLib.operations.segment\n"
        "heavy = {'torch', 'monai', 'SimpleITK', 'qt', 'ctk', 'vtk', 'slicer', 'safetensors'}\n"
        "print(sorted(heavy & {name.partition('.')[0] for name in sys.modules}))\n"
        "print('multiprocessing.resource_tracker' in sys.modules)\n"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code],
        env=child_environment(LIBRARY_FOLDER),
        capture_output=True,
        text=True,
        check=True,
    )
    assert answer.stdout.split("\n")[:2] == ["[]", "False"]
