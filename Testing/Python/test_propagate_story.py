"""Someone draws a structure on some slices of a real CT and gets the others."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from worker_parts import child_environment

import SDSegLib
from SDSegLib.errors import CancelledError
from SDSegLib.operations.base import OpenVolume
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.operations.propagate import PropagateOperation, propagate
from SDSegLib.propagation import carry
from SDSegLib.propagation.classic import copy_nearest
from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.propagation.options import PropagateOptions
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume
from SDSegLib.worker.client import WorkerClient
from SDSegLib.worker.run import State

PAROTID = 3


@pytest.fixture(scope="module")
def volume(shared_data: Path) -> Volume:
    return read_volume(patient(shared_data) / "ct.nii.gz")


@pytest.fixture(scope="module")
def truth(shared_data: Path) -> np.ndarray:
    """The right parotid gland, bool (k, j, i)."""
    return read_volume(patient(shared_data) / "organs.nii.gz").array == PAROTID


@pytest.fixture(scope="module")
def models() -> ModelStore:
    return ModelStore()


def patient(shared_data: Path) -> Path:
    return sorted((shared_data / "head_neck_oar" / "validation").iterdir())[0]


def slices_of(mask: np.ndarray) -> list[int]:
    return np.flatnonzero(mask.any(axis=(1, 2))).tolist()


def only(mask: np.ndarray, numbers: list[int]) -> np.ndarray:
    """The mask on these slices alone."""
    drawn = np.zeros(mask.shape, np.uint8)
    drawn[numbers] = mask[numbers]
    return drawn


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / (np.count_nonzero(a) + np.count_nonzero(b))


def test_three_drawn_slices_become_the_organ(
    volume: Volume, truth: np.ndarray, models: ModelStore
) -> None:
    inside = slices_of(truth)
    drawn = [inside[0], inside[len(inside) // 2], inside[-1]]
    result = propagate(volume, only(truth, drawn), device="cpu", models=models)
    assert result.drawn == tuple(drawn)
    assert np.array_equal(result.mask[drawn], truth[drawn])
    others = [z for z in inside if z not in drawn]
    copied = copy_nearest({z: truth[z] for z in drawn}, len(truth))
    assert dice(result.mask[others] > 0, truth[others]) > dice(copied[others], truth[others])
    assert dice(result.mask[others] > 0, truth[others]) > 0.75
    assert set(result.unsure) <= set(result.changed)
    assert result.next_slice in result.changed
    assert result.volume_ml() == pytest.approx(
        np.count_nonzero(result.mask) * volume.geometry.voxel_volume_ml
    )


def test_it_goes_only_where_it_is_sent(
    volume: Volume, truth: np.ndarray, models: ModelStore
) -> None:
    inside = slices_of(truth)
    first, last = inside[4], inside[-5]
    given = only(truth, [first, last])
    opened = OpenVolume(volume)
    by_carry = {
        name: propagate(opened, given, carry=name, device="cpu", models=models)
        for name in ("between", "up", "down", "all")
    }
    assert by_carry["between"].changed == tuple(range(first + 1, last))
    assert by_carry["up"].changed == tuple(range(last + 1, len(truth)))
    assert by_carry["down"].changed == tuple(range(first))
    together = sum(by_carry[name].mask.astype(int) for name in ("between", "up", "down"))
    assert np.array_equal(together - 2 * given.astype(int), by_carry["all"].mask)
    assert not by_carry["between"].mask[last + 1 :].any()
    held = slices_of(by_carry["all"].mask)
    assert held == list(range(held[0], held[-1] + 1))
    assert abs(held[0] - inside[0]) <= 4
    assert abs(held[-1] - inside[-1]) <= 4


def test_where_the_prediction_was_right_a_correction_changes_little(
    volume: Volume, truth: np.ndarray, models: ModelStore
) -> None:
    """One slice alone, without the prediction of the others, does not tell so much of them."""
    inside = slices_of(truth)
    middle = inside[len(inside) // 2]
    options = {"slices": [middle], "device": "cpu", "models": models}
    corrected = propagate(volume, truth.astype(np.uint8), correct=True, **options)
    anew = propagate(volume, only(truth, [middle]), **options)
    near = [z for z in inside if 0 < abs(z - middle) <= 5]
    assert dice(corrected.mask[near] > 0, truth[near]) > 0.93
    assert dice(anew.mask[near] > 0, truth[near]) < 0.9


def test_a_correction_stays_near_and_other_slices_stay_as_they_are(
    volume: Volume, truth: np.ndarray, models: ModelStore
) -> None:
    inside = slices_of(truth)
    middle = inside[len(inside) // 2]
    prediction = np.roll(truth, 3, axis=2).astype(np.uint8)  # wrong on every slice
    prediction[middle] = truth[middle]
    result = propagate(
        volume, prediction, slices=[middle], correct=True, device="cpu", models=models
    )
    assert np.array_equal(result.mask[middle], truth[middle])
    assert set(result.changed) == set(range(middle - 10, middle + 11)) - {middle}
    far = [z for z in range(len(truth)) if abs(z - middle) > 10]
    assert np.array_equal(result.mask[far], prediction[far])
    for step in (-1, 1):
        near = middle + step
        assert dice(result.mask[near] > 0, truth[near]) > dice(prediction[near] > 0, truth[near])
    assert dice(result.mask > 0, truth) > dice(prediction > 0, truth) + 0.02


def test_a_stroke_changes_only_what_it_touches(
    volume: Volume, truth: np.ndarray, models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[tuple[int, ...]] = []
    estimate = carry.WindowNetwork.estimate

    def counted(network: object, stack: object, slices: tuple[int, ...], *rest: object) -> object:
        looked.append(tuple(slices))
        return estimate(network, stack, slices, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(carry.WindowNetwork, "estimate", counted)
    inside = slices_of(truth)
    spread = np.repeat(truth, 3, axis=0)  # a structure of several windows
    long = replace(
        volume,
        array=np.repeat(volume.array, 3, axis=0),
        geometry=replace(volume.geometry, shape=spread.shape),
    )
    drawn = [3 * z for z in inside[::4]]
    opened = OpenVolume(long)
    before = propagate(opened, only(spread, drawn), device="cpu", models=models)
    assert len(looked) > 3
    count = len(looked)
    again = propagate(opened, only(spread, drawn), device="cpu", models=models)
    assert len(looked) == count
    assert np.array_equal(again.mask, before.mask)
    stroke = only(spread, drawn)
    stroke[drawn[-1]] = np.roll(stroke[drawn[-1]], 1, axis=1)
    after = propagate(opened, stroke, device="cpu", models=models)
    fresh = looked[count:]
    assert all(drawn[-1] in window or window[0] > drawn[-1] for window in fresh)
    assert np.array_equal(after.mask[: drawn[1]], before.mask[: drawn[1]])
    assert not np.array_equal(after.mask, before.mask)
    alone = propagate(long, stroke, device="cpu", models=models)
    assert np.array_equal(after.mask, alone.mask)


@pytest.mark.parametrize("axis", ["k", "j", "i"])
def test_any_axis_and_an_oblique_grid_give_the_same(
    volume: Volume, truth: np.ndarray, models: ModelStore, axis: str
) -> None:
    inside = slices_of(truth)
    drawn = inside[::8]
    part = slice(inside[0] - 8, inside[-1] + 9)
    shifted = [z - part.start for z in drawn]
    hu, mask = volume.array[part], only(truth, drawn)[part]
    step = volume.geometry.spacing
    plain = Volume(hu, Geometry(hu.shape, step, (0, 0, 0), np.eye(3)))
    expected = propagate(plain, mask, slices=shifted, axis="k", device="cpu", models=models)

    place = "kji".index(axis)
    turn = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]])
    spacing = [step[1], step[0]]
    spacing.insert(place, step[2])
    moved = np.ascontiguousarray(np.moveaxis(hu, 0, place))
    tilted = Volume(
        moved, Geometry(moved.shape, (spacing[2], spacing[1], spacing[0]), (5, 6, 7), turn)
    )
    result = propagate(
        tilted, np.moveaxis(mask, 0, place), slices=shifted, axis=axis, device="cpu", models=models
    )
    assert result.axis == place
    assert np.array_equal(np.moveaxis(result.mask, place, 0), expected.mask)


def test_the_worker_gives_the_same(volume: Volume, truth: np.ndarray, models: ModelStore) -> None:
    given = only(truth, slices_of(truth)[::8])
    options = PropagateOptions(carry="between", device="cpu")
    expected = propagate(volume, given, carry="between", device="cpu", models=models)
    with WorkerClient(environment=child_environment()) as client:
        opened = client.open(volume)
        for is_warm in (False, True):
            client.start(opened, PropagateOperation(options, MaskPart.of(given)))
            assert client.wait(120) is State.DONE, (client.error, client.details)
            assert client.report.warm is is_warm
            assert np.array_equal(client.result.mask, expected.mask)
            np.testing.assert_allclose(client.result.uncertainty, expected.uncertainty, atol=1e-4)
            assert client.result.next_slice == expected.next_slice
        client.start(opened, PropagateOperation(options, np.zeros(given.shape)))
        assert client.wait(120) is State.FAILED
        assert "draw the structure on at least one slice" in client.error


def test_it_can_be_cancelled(volume: Volume, truth: np.ndarray, models: ModelStore) -> None:
    with pytest.raises(CancelledError, match=r"Cancelled after 0 of 128 slices\."):
        propagate(volume, only(truth, [80]), device="cpu", models=models, is_cancelled=lambda: True)


def test_a_script_finds_it_in_the_package(volume: Volume, truth: np.ndarray) -> None:
    assert SDSegLib.propagate is propagate
    opened = SDSegLib.OpenVolume(volume)
    result = SDSegLib.propagate(opened, truth, slices=[80, 84], carry="between", device="cpu")
    assert result.changed == (81, 82, 83)
