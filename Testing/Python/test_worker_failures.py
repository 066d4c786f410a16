"""Requests that cannot be carried out: the library's own sentence, and the worker stays."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom import a_body
from tiny_model import write_tiny_model
from worker_fixtures import client, model, nothing_is_left, temporary
from worker_parts import (
    child_of,
    fail,
    holds_blocks,
    run,
    segmenting,
    wait_until,
)

from SDSegLib.errors import InputError
from SDSegLib.worker.client import WorkerClient

pytestmark = pytest.mark.slow
__all__ = ["client", "model", "nothing_is_left", "temporary"]


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
