"""Someone clicks again on the same CT: only what has changed is computed anew."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mask_operation import GrowOperation
from phantom import a_body
from tiny_model import write_tiny_model
from worker_fixtures import model
from worker_parts import child_environment, customized, poll_until_running, segmenting

from SDSegLib.inference.load import load_segmenter
from SDSegLib.operations.base import run_here
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.operations.segment import SAME_AGAIN, SegmentOperation
from SDSegLib.options import RunOptions
from SDSegLib.volume.region import Region
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State, VolumeInWorker
from SDSegLib.worker.shared_arrays import SharedArrays

__all__ = ["model"]


@pytest.fixture(scope="module")
def client() -> Iterator[WorkerClient]:
    with WorkerClient(environment=child_environment()) as started:
        yield started


def result_of(
    client: WorkerClient, volume: Volume | VolumeInWorker, operation: SegmentOperation
) -> tuple[Segmentation, bool]:
    """The result, and whether it was computed."""
    client.start(volume, operation)
    assert client.wait(120) is State.DONE, (client.error, client.details)
    assert client.result is not None
    assert client.report is not None
    return client.result, SAME_AGAIN not in client.report.messages


def test_other_structures_of_the_same_ct_cost_a_moment_and_are_what_a_run_gives(
    client: WorkerClient, model: str
) -> None:
    body = a_body()
    opened = client.open(body)
    whole, computed = result_of(client, opened, segmenting(model, device="cpu"))
    assert computed
    names = [item.name for item in whole.structures]
    for wanted in ((names[0],), (names[1].upper(),), tuple(names[::-1]), None):
        found, computed = result_of(client, opened, segmenting(model, wanted, device="cpu"))
        assert not computed
        here = load_segmenter(model, "cpu").segment(body, wanted)
        np.testing.assert_array_equal(found.label_map, here.label_map)
        assert found.structures == here.structures
        assert found.doubt is not None
        assert here.doubt is not None
        assert here.doubt.voxels.shape == (len(here.structures), len(body.array))
        np.testing.assert_allclose(found.doubt.voxels, here.doubt.voxels, atol=0.051)
        assert client.progress is not None
        assert client.progress.done == client.progress.total


def test_a_ct_that_was_opened_is_copied_once_and_again_only_by_another_worker(
    client: WorkerClient, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = []
    fill = SharedArrays.fill
    monkeypatch.setattr(
        SharedArrays,
        "fill",
        lambda arrays, given, is_stopped: copied.extend(given) or fill(arrays, given, is_stopped),
    )
    opened = client.open(a_body())
    first, _ = result_of(client, opened, segmenting(model, device="cpu"))
    result_of(client, opened, segmenting(model, device="cpu", mirror=True))
    assert copied == ["volume"]
    process = client.process_id
    assert process is not None
    os.kill(process, 9)
    again, computed = result_of(client, opened, segmenting(model, device="cpu"))
    assert copied == ["volume", "volume"]
    assert computed
    np.testing.assert_array_equal(again.label_map, first.label_map)


def test_a_third_open_ct_takes_the_place_of_the_first(client: WorkerClient, model: str) -> None:
    first, second, third = (client.open(a_body()) for _ in range(3))
    for volume, is_new in (
        (first, True),
        (second, True),
        (first, False),
        (third, True),  # the second was used longest ago
        (first, False),
        (second, True),
        (second, False),
    ):
        _, computed = result_of(client, volume, segmenting(model, device="cpu"))
        assert computed == is_new


def test_a_changed_ct_is_opened_anew_and_computed_anew(client: WorkerClient, model: str) -> None:
    body = a_body()
    result_of(client, client.open(body), segmenting(model, device="cpu"))
    changed = replace(body, array=body.array[::-1])
    found, computed = result_of(client, client.open(changed), segmenting(model, device="cpu"))
    assert computed
    assert found.geometry is changed.geometry
    here = load_segmenter(model, "cpu").segment(changed)
    np.testing.assert_array_equal(found.label_map, here.label_map)


def test_samples_region_mirror_and_model_are_part_of_what_is_the_same(
    client: WorkerClient, model: str, tmp_path: Path
) -> None:
    body, region = a_body(), Region((2, 5, 5), (6, 30, 30))
    opened = client.open(body)
    other = str(write_tiny_model(tmp_path / "other", version="0.0.2"))
    for operation in (
        segmenting(model, device="cpu"),
        segmenting(model, device="cpu", samples=3),
        segmenting(model, device="cpu", region=region),
        segmenting(model, device="cpu", mirror=True),
        segmenting(other, device="cpu"),
    ):
        options = operation.options
        first, computed = result_of(client, opened, operation)
        assert computed
        if options.mirror:
            here = load_segmenter(model, "cpu", mirror=True).segment(body)
            np.testing.assert_array_equal(first.label_map, here.label_map)
        second, computed = result_of(client, opened, operation)
        assert not computed
        np.testing.assert_array_equal(first.label_map, second.label_map)
        assert first.samples == second.samples == options.samples
        assert first.region == second.region
        assert (first.instability is None) == (second.instability is None) == (options.samples == 1)
        if first.instability is not None:
            np.testing.assert_array_equal(first.instability, second.instability)


def test_a_cancelled_run_leaves_nothing_to_use(client: WorkerClient, model: str) -> None:
    opened = client.open(a_body((60, 96, 96)))
    client.start(opened, segmenting(model, device="cpu", batch=1))
    poll_until_running(client)
    client.cancel()
    assert client.wait(60) is State.CANCELLED
    _, computed = result_of(client, opened, segmenting(model, device="cpu", batch=1))
    assert computed


def test_two_models_stay_loaded_within_the_budget_and_one_goes_beyond_it(tmp_path: Path) -> None:
    models = [str(write_tiny_model(tmp_path / name, name=name)) for name in ("one", "two")]

    def loads(model_bytes: int) -> list[bool]:
        """Whether each of four runs, by turns with the two models, had to load."""
        with WorkerClient(environment=child_environment(), model_bytes=model_bytes) as client:
            warm = []
            for model in (*models, *models):
                result_of(client, a_body(), segmenting(model, device="cpu"))
                assert client.report is not None
                warm.append(client.report.warm)
            return [not item for item in warm]

    assert loads(2**30) == [True, True, False, False]
    assert loads(1) == [True, True, True, True]


_REGISTER = """
import SDSegLib.operations.base as base
base.OPERATIONS["grow"] = "mask_operation:GrowOperation"
"""


def test_an_operation_takes_a_mask_along_and_gives_one_back(tmp_path: Path, model: str) -> None:
    body = a_body()
    mask = body.array > 500
    environment = customized(tmp_path / "register", _REGISTER)
    tests = str(Path(__file__).parent)
    environment["PYTHONPATH"] = os.pathsep.join([environment["PYTHONPATH"], tests])
    operation = GrowOperation(mask[::-1, :, ::-1], 2)  # any strides
    expected, answer = run_here(operation, body, ModelStore())
    with WorkerClient(environment=environment) as client:
        opened = client.open(body)
        client.start(opened, operation)
        assert client.wait(60) is State.DONE, (client.error, client.details)
        grown, mean = client.result
        np.testing.assert_array_equal(grown, expected[0])
        assert grown.sum() > mask.sum()
        assert mean == expected[1] == body.array[operation.mask].mean()
        client.start(opened, GrowOperation(np.zeros_like(mask)))
        assert client.wait(60) is State.FAILED
        assert client.error == "The mask is empty; draw a slice first."
        found, _ = result_of(client, opened, segmenting(model, device="cpu"))
    np.testing.assert_array_equal(
        found.label_map, load_segmenter(model, "cpu").segment(body).label_map
    )
    assert answer.device == "cpu: no network"


def test_a_volume_is_there_after_any_number_of_cancelled_starts(model: str) -> None:
    """While a child starts, answers about an earlier sending come late."""
    volume = a_body((60, 512, 512))
    for cancels in (1, 3, 6):
        with WorkerClient(environment=child_environment()) as client:
            opened = client.open(volume)
            for _ in range(cancels):
                client.start(opened, segmenting(model, device="cpu"))
                client.cancel()
                assert client.wait(60) is State.CANCELLED
            client.start(
                opened, segmenting(model, device="cpu", region=Region((0, 0, 0), (2, 9, 9)))
            )
            assert client.wait(120) is State.DONE, (client.error, client.log)


def test_a_handle_works_after_the_client_was_closed(model: str) -> None:
    client = WorkerClient(environment=child_environment())
    opened = client.open(a_body())
    first, _ = result_of(client, opened, segmenting(model, device="cpu"))
    client.close()
    again, computed = result_of(client, opened, segmenting(model, device="cpu"))
    client.close()
    assert computed
    np.testing.assert_array_equal(first.label_map, again.label_map)


def test_a_volume_that_the_worker_does_not_have_is_sent_again(
    client: WorkerClient, model: str
) -> None:
    opened = client.open(a_body())
    opened.is_open = True  # whatever made the client believe so
    _, computed = result_of(client, opened, segmenting(model, device="cpu"))
    assert computed
    assert any("sending it again" in line for line in client.log)


def test_a_model_that_changes_or_goes_is_not_used_from_memory(
    client: WorkerClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tiny_model(tmp_path / "models" / "mine", name="mine")
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    with WorkerClient() as client:
        opened = client.open(a_body())
        operation = SegmentOperation(RunOptions(device="cpu"))
        result_of(client, opened, operation)
        assert client.report is not None
        assert client.report.model == "mine 0.0.1"
        description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        description["version"] = "9.9"
        description["input"]["windows"] = [[-500, 500]] * len(description["input"]["windows"])
        (folder / "model.json").write_text(json.dumps(description), encoding="utf-8")
        changed, computed = result_of(client, opened, operation)
        assert computed
        assert client.report.model == "mine 9.9"
        here = load_segmenter(str(folder), "cpu").segment(a_body())
        np.testing.assert_array_equal(changed.label_map, here.label_map)
        shutil.rmtree(folder)
        result_of(client, opened, operation)
        assert client.report.model.startswith("head-neck-oar")


def test_cancelling_a_run_keeps_the_model(client: WorkerClient, model: str) -> None:
    result_of(client, a_body(), segmenting(model, device="cpu", batch=64))
    client.start(a_body((60, 96, 96)), segmenting(model, device="cpu", batch=1))
    poll_until_running(client)
    client.cancel()
    assert client.wait(60) is State.CANCELLED
    result_of(client, a_body(), segmenting(model, device="cpu"))
    assert client.report is not None
    assert client.report.warm
