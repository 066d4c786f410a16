"""Structures and images of every kind: what is drawn stays, and what cannot be used is named."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch

from SDSegLib.errors import InputError, ModelError, SDSegError
from SDSegLib.inference.device import DeviceChoice
from SDSegLib.models.registry import bundled_folder, list_models, propagation_models
from SDSegLib.mrml.last_prediction import drawn_in
from SDSegLib.operations.base import OpenVolume
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.operations.propagate import propagate
from SDSegLib.propagation import window_network
from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.propagation.result import Propagation
from SDSegLib.propagation.window_network import WindowNetwork
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

SHAPE = (20, 48, 52)
MODEL = "propagate"


@pytest.fixture(scope="module")
def models() -> ModelStore:
    return ModelStore()


def grid() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    return z, y, x


def a_ct(mask: np.ndarray, spacing: tuple[float, float, float] = (1.0, 1.0, 2.0)) -> Volume:
    """A body in which the structure is brighter."""
    _, y, x = grid()
    body = (((y - 24) / 23) ** 2 + ((x - 26) / 25) ** 2 < 1) | mask
    noise = np.random.default_rng(0).normal(0, 8, SHAPE)
    hu = np.where(body, 20 + 100 * mask + noise, -1000).astype(np.int16)
    return Volume(hu, Geometry(SHAPE, spacing, (0, 0, 0), np.eye(3)))


def only(mask: np.ndarray, *numbers: int) -> np.ndarray:
    drawn = np.zeros(mask.shape, np.uint8)
    drawn[list(numbers)] = mask[list(numbers)]
    return drawn


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * np.count_nonzero(a & b) / max(np.count_nonzero(a) + np.count_nonzero(b), 1)


def carried(
    mask: np.ndarray, models: ModelStore, *numbers: int, volume: Volume | None = None
) -> Propagation:
    """The result of drawing a mask on some slices; these are checked."""
    given = only(mask, *numbers)
    result = propagate(volume or a_ct(mask), given, slices=numbers, device="cpu", models=models)
    assert np.array_equal(result.mask[list(numbers)], given[list(numbers)])
    assert set(np.unique(result.mask)) <= {0, 1}
    return result


STRUCTURES = {
    "three voxels": lambda z, y, x: (y == 20) & (abs(x - 30) <= 1),
    "the whole body": lambda z, y, x: ((y - 24) / 23) ** 2 + ((x - 26) / 25) ** 2 < 1,
    "a tube": lambda z, y, x: abs(np.hypot(y - 24, x - 26) - 8) < 2.5,
    "two pieces": lambda z, y, x: (np.hypot(y - 24, x - 14) < 6) | (np.hypot(y - 24, x - 38) < 6),
    "up to the edge": lambda z, y, x: (y < 20) & (x > 40),
    "a slanting rib": lambda z, y, x: np.hypot(y - 12 - z, x - 10 - 1.5 * z) < 4,
}


@pytest.mark.parametrize("kind", STRUCTURES)
@pytest.mark.parametrize("spacing", [(0.3, 0.3, 7.0), (4.0, 2.0, 0.5)])
def test_structures_of_any_size_and_form(
    kind: str, spacing: tuple[float, float, float], models: ModelStore
) -> None:
    mask = STRUCTURES[kind](*grid())
    result = carried(mask, models, 4, 8, 12, volume=a_ct(mask, spacing))
    inner = [5, 6, 7, 9, 10, 11]
    least = 0.3 if kind == "three voxels" else 0.7
    for number in inner:
        assert dice(result.mask[number] > 0, mask[number]) > least


def test_a_vessel_parts_in_two(models: ModelStore) -> None:
    z, y, x = grid()
    gap = np.clip(z - 8, 0, None) * 1.4
    mask = np.minimum(np.hypot(y - 24, x - 26 - gap), np.hypot(y - 24, x - 26 + gap)) < 4
    result = carried(mask, models, 4, 10, 16)
    for number in (6, 13, 14):
        assert dice(result.mask[number] > 0, mask[number]) > 0.75


def test_a_structure_ends_between_two_drawn_slices(models: ModelStore) -> None:
    """The empty slice was drawn too: it says that nothing is there."""
    z, y, x = grid()
    mask = (np.hypot(y - 24, x - 26) < 9) & (z < 9)
    result = carried(mask, models, 2, 6, 12)
    assert not result.mask[12:].any()
    assert result.mask[3:6].any(axis=(1, 2)).all()


def test_where_the_network_sees_nothing_the_nearest_drawn_mask_stays(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Slices next to drawn ones are never empty only because the image shows no border there."""
    family = models.propagator(models.propagation_model(None), "cpu").network.family

    def sees_nothing(
        channels: torch.Tensor, numbers: torch.Tensor, known: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        count, depth, _, rows, columns = channels.shape
        return torch.full((count, depth, rows, columns), -20.0), torch.full((count, depth), 20.0)

    monkeypatch.setattr(family, "forward", sees_nothing)
    z, y, x = grid()
    mask = np.hypot(y - 24, x - np.where(z < 10, 16, 36)) < np.where(z < 10, 9, 6)
    result = carried(mask, models, 6, 14)
    for number, nearest in ((5, 6), (7, 6), (13, 14), (15, 14)):
        assert np.array_equal(result.mask[number], mask[nearest]), number


def test_values_that_are_no_numbers_count_as_air(models: ModelStore) -> None:
    mask = STRUCTURES["a tube"](*grid())
    volume = a_ct(mask)
    holes = volume.array.astype(np.float32)
    holes[:, :4] = np.nan
    holes[5, 30, 30] = np.inf
    result = carried(mask, models, 4, 12, volume=Volume(holes, volume.geometry))
    assert np.isfinite(result.uncertainty).all()
    assert result.mask[8].any()


def test_a_volume_of_one_slice_stays(models: ModelStore) -> None:
    mask = STRUCTURES["a tube"](*grid())[:1]
    hu = np.where(mask, 100, np.linspace(-50, 50, SHAPE[2])).astype(np.int16)
    volume = Volume(hu, Geometry(hu.shape, (1, 1, 5), (0, 0, 0), np.eye(3)))
    result = propagate(volume, mask, device="cpu", models=models)
    assert np.array_equal(result.mask, mask)
    assert (result.changed, result.next_slice, result.unsure) == ((), None, ())


def test_beyond_an_erased_slice_all_is_erased(models: ModelStore) -> None:
    """The prediction goes on past the end of the structure; somebody erases one slice there."""
    z, y, x = grid()
    tube = np.hypot(y - 24, x - 26) < 8
    truth, prediction = tube & (z < 10), (tube & (z < 16)).astype(np.uint8)
    prediction[12] = 0
    result = propagate(
        a_ct(truth), prediction, slices=[12], correct=True, device="cpu", models=models
    )
    assert result.drawn == (12,)
    assert not result.mask[12:].any()
    assert np.array_equal(result.mask[:12], prediction[:12])
    assert result.changed == (13, 14, 15)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"mask": np.zeros(SHAPE)}, "The mask is empty; draw the structure on at least one slice"),
        ({"mask": np.ones((20, 48, 50))}, "The mask has 50 × 48 × 20 voxels and the CT 52 × 48"),
        ({"mask": np.ones((48, 52))}, r"The mask has 2 dimensions, \(48, 52\); give three"),
        ({"mask": [[[1]]]}, "The mask is a list; give a NumPy array"),
        ({"mask": np.full(SHAPE, "x")}, "The mask holds values of type <U1; give numbers"),
        ({"mask": np.full(SHAPE, np.nan)}, "The mask holds NaN or infinity; give 0 outside"),
        ({"slices": 4}, r"slices is a list of numbers, not 4; give slices=\[4\]"),
        ({"slices": [20]}, "There is no slice 20 along k; the volume has slices 0 to 19"),
        ({"slices": [-1]}, "The slice -1 is not a number from 0"),
        ({"slices": []}, "No slice is named; name at least one whose mask is right"),
        ({"slices": [2]}, r"empty on all slices that are named \(2\); it holds something on 4, 12"),
        ({"axis": "z"}, "Unknown axis 'z'; choose one of k, j, i"),
        ({"carry": "sideways"}, "Unknown carry 'sideways'; choose one of between, up, down, all"),
        ({"correct": True}, "To correct a prediction, name the slices that are right"),
        ({"device": "abacus"}, "Unknown device 'abacus'"),
        ({"volume": np.zeros(SHAPE, np.int16)}, "All voxels of .* have the same value"),
        ({"volume": np.full(SHAPE, np.nan)}, "No voxel of .* is a number"),
    ],
)
def test_what_cannot_be_used_is_named(
    change: dict[str, object], sentence: str, models: ModelStore
) -> None:
    mask = STRUCTURES["a tube"](*grid())
    asked = {"mask": only(mask, 4, 12), "volume": a_ct(mask).array, "device": "cpu", **change}
    volume = Volume(asked.pop("volume"), a_ct(mask).geometry)
    with pytest.raises(InputError, match=sentence):
        propagate(volume, models=models, **asked)


def test_another_plane_is_offered(models: ModelStore) -> None:
    mask = STRUCTURES["a tube"](*grid())
    volume = a_ct(mask)
    sagittal = np.zeros(SHAPE, np.uint8)
    sagittal[:, :, [20, 30]] = mask[:, :, [20, 30]]
    with pytest.raises(InputError, match=r"slices across i \(20, 30\), not across k; choose"):
        propagate(volume, sagittal, device="cpu", models=models)
    result = propagate(volume, sagittal, axis="i", device="cpu", models=models)
    assert np.array_equal(result.mask[:, :, [20, 30]], sagittal[:, :, [20, 30]])
    assert result.mask[:, :, 25].any()
    z, y, x = grid()
    tilted = (np.hypot(y - 24, x - 26) < 12) & (z == np.round(10 + 0.4 * (x - 26)))
    with pytest.raises(InputError, match=r"one slice at an angle of .* nearest planes, those acr"):
        propagate(volume, tilted, device="cpu", models=models)


def test_only_the_slices_of_one_plane_count(models: ModelStore) -> None:
    """A slice across k and one across i: neither is taken for strips on all slices it crosses."""
    mask = STRUCTURES["the whole body"](*grid())
    volume = a_ct(mask)
    both = only(mask, 6)
    both[:, :, 26] = mask[:, :, 26]
    with pytest.raises(InputError, match=r"several planes, on slices across k \(6\) and i \(26\)"):
        propagate(volume, both, device="cpu", models=models)
    for axis, number in ("k", 6), ("i", 26):
        result = propagate(volume, both, axis=axis, device="cpu", models=models)
        assert result.drawn == (number,)
        place = "kji".index(axis)
        assert np.array_equal(result.mask.take(number, place), both.take(number, place))
    found = drawn_in(MaskPart.of(both), None)
    assert (found.axis, found.numbers) == (0, (6,))  # 4 times as many voxels
    assert drawn_in(MaskPart.of(both), None, axis=0).numbers == (6,)


def test_a_damaged_model_is_named(tmp_path: Path, models: ModelStore) -> None:
    mask = STRUCTURES["a tube"](*grid())
    volume, given = a_ct(mask), only(mask, 4, 12)
    broken = tmp_path / "broken"
    shutil.copytree(bundled_folder() / MODEL, broken)
    weights = broken / "model.safetensors"
    content = weights.read_bytes()
    weights.write_bytes(content[:-100])
    with pytest.raises(ModelError, match=r"model\.safetensors is cut short"):
        propagate(volume, given, model=str(broken), device="cpu", models=models)
    weights.unlink()
    with pytest.raises(ModelError, match=r"lacks model\.safetensors; reinstall"):
        propagate(volume, given, model=str(broken), device="cpu", models=models)
    with pytest.raises(ModelError, match="segments its own structures and cannot carry"):
        propagate(volume, given, model="head-neck-oar", device="cpu", models=models)


def test_it_is_not_offered_for_segmentation() -> None:
    assert MODEL in [model.description.name for model in propagation_models()]
    assert MODEL not in [model.description.name for model in list_models()[0]]


def test_too_little_memory_is_told(models: ModelStore, monkeypatch: pytest.MonkeyPatch) -> None:
    mask = STRUCTURES["a tube"](*grid())

    def short_of_memory(*_: object) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    network = models.propagator(models.propagation_model(None), "cpu").network
    monkeypatch.setattr(network.family, "forward", short_of_memory)
    with pytest.raises(SDSegError, match="not enough memory to carry the mask"):
        propagate(a_ct(mask), only(mask, 4, 12), device="cpu", models=models)


def test_a_small_graphics_card_hands_over_to_the_processor(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    family = models.propagator(models.propagation_model(None), "cpu").network.family
    network = WindowNetwork(family, DeviceChoice(torch.device("cpu"), "stands for a card"))
    network.choice = DeviceChoice(torch.device("meta"), "a card without memory")
    plain, calls = family.forward, []

    def once_short_of_memory(*arguments: torch.Tensor) -> object:
        calls.append(arguments[0].device.type)
        if calls == ["meta"]:
            raise torch.OutOfMemoryError("out of memory")
        return plain(*arguments)

    monkeypatch.setattr(family, "forward", once_short_of_memory)
    monkeypatch.setattr(window_network, "computing_with", lambda *_: nullcontext())
    size = 48
    known = torch.tensor([[0]])
    logits, _ = network._run(torch.zeros(1, 3, 15, size, size), torch.zeros(1, 3, 44), known)
    assert calls == ["meta", "cpu"]
    assert logits.shape == (1, 3, size, size)
    assert str(network.choice) == "cpu: meta ran out of memory"


def test_a_volume_is_looked_through_once(
    models: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether all voxels are numbers is not asked again for a stroke."""
    mask = STRUCTURES["a tube"](*grid())
    opened = OpenVolume(a_ct(mask))
    propagate(opened, only(mask, 4, 8), device="cpu", models=models)
    monkeypatch.setattr(
        "SDSegLib.operations.propagate.judge_input", lambda volume: pytest.fail("again")
    )
    propagate(opened, only(mask, 4, 10), device="cpu", models=models)
