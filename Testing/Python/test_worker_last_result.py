"""Someone clicks again on the same CT: only what has changed is computed anew."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantom import a_body
from tiny_model import write_tiny_model
from worker_parts import child_environment

from SDSegLib.inference.load import load_segmenter
from SDSegLib.volume.region import Region
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume
from SDSegLib.worker.client import State, WorkerClient
from SDSegLib.worker.engine import SAME_AGAIN
from SDSegLib.worker.request import Request


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@pytest.fixture(scope="module")
def client() -> Iterator[WorkerClient]:
    with WorkerClient(environment=child_environment()) as started:
        yield started


def result_of(client: WorkerClient, request: Request) -> tuple[Segmentation, bool]:
    """The result, and whether it was computed."""
    client.start(request)
    assert client.wait(120) is State.DONE, (client.error, client.details)
    assert client.result is not None
    assert client.outcome is not None
    return client.result, SAME_AGAIN not in client.outcome.messages


def test_other_structures_of_the_same_ct_cost_a_moment_and_are_what_a_run_gives(
    client: WorkerClient, model: str
) -> None:
    body = a_body()
    whole, computed = result_of(client, Request(body, model, device="cpu"))
    assert computed
    names = [item.name for item in whole.structures]
    for wanted in ((names[0],), (names[1],), tuple(names[::-1]), None):
        found, computed = result_of(client, Request(body, model, device="cpu", structures=wanted))
        assert not computed
        here = load_segmenter(model, "cpu").segment(body, wanted)
        np.testing.assert_array_equal(found.label_map, here.label_map)
        assert found.structures == here.structures
        assert client.progress is not None
        assert client.progress.done == client.progress.total


def another_voxel(body: Volume) -> Volume:
    array = body.array.copy()
    array[5, 20, 20] += 1
    return replace(body, array=array)


def another_type(body: Volume) -> Volume:
    return replace(body, array=body.array.astype(">f4"))


def another_spacing(body: Volume) -> Volume:
    return replace(body, geometry=replace(body.geometry, spacing=(3.0, 3.5, 2.6)))


@pytest.mark.parametrize("change", [another_voxel, another_type, another_spacing])
def test_a_changed_ct_is_computed_anew(client: WorkerClient, model: str, change) -> None:
    body = a_body()
    result_of(client, Request(body, model, device="cpu"))
    changed = change(body)
    found, computed = result_of(client, Request(changed, model, device="cpu"))
    assert computed
    assert found.geometry is changed.geometry
    here = load_segmenter(model, "cpu").segment(changed)
    np.testing.assert_array_equal(found.label_map, here.label_map)


def test_samples_region_mirror_and_model_are_part_of_what_is_the_same(
    client: WorkerClient, model: str, tmp_path: Path
) -> None:
    body, region = a_body(), Region((2, 5, 5), (6, 30, 30))
    other = str(write_tiny_model(tmp_path / "other", version="0.0.2"))
    several = Request(body, model, device="cpu", samples=3)
    boxed = Request(body, model, device="cpu", region=region)
    requests = [
        Request(body, model, device="cpu"),
        several,
        boxed,
        Request(body, model, device="cpu", mirror=True),
        Request(body, other, device="cpu"),
    ]
    for request in requests:
        first, computed = result_of(client, request)
        assert computed
        if request.mirror:
            here = load_segmenter(model, "cpu", mirror=True).segment(body)
            np.testing.assert_array_equal(first.label_map, here.label_map)
        second, computed = result_of(client, request)
        assert not computed
        np.testing.assert_array_equal(first.label_map, second.label_map)
        assert first.samples == second.samples == request.samples
        assert first.region == second.region
        assert (first.instability is None) == (second.instability is None) == (request.samples == 1)
        if first.instability is not None:
            np.testing.assert_array_equal(first.instability, second.instability)


def test_a_cancelled_run_leaves_nothing_to_take(client: WorkerClient, model: str) -> None:
    body = a_body((60, 96, 96))
    client.start(Request(body, model, device="cpu", batch=1))
    client.cancel()
    assert client.wait(60) is State.CANCELLED
    _, computed = result_of(client, Request(body, model, device="cpu", batch=1))
    assert computed
