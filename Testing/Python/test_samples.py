"""Several noises: their mean, how far they agree, and numbers of other precision."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from phantom import a_body, stored_as
from tiny_model import tiny_description, write_tiny_model

from SDSegLib.errors import InputError
from SDSegLib.families import build_family
from SDSegLib.inference.device import DeviceChoice
from SDSegLib.inference.samples import average_of, noises_of
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.folder import load_family

CPU = DeviceChoice(torch.device("cpu"), "test")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def segmenter(model_folder: Path) -> Segmenter:
    return Segmenter(load_family(model_folder), CPU, batch=4)


def test_one_sample_is_the_stored_noise_and_has_no_instability(segmenter: Segmenter) -> None:
    result = segmenter.segment(a_body(), samples=1)
    np.testing.assert_array_equal(result.label_map, segmenter.segment(a_body()).label_map)
    assert result.instability is None
    assert result.samples == 1


def test_several_samples_say_where_they_disagree(segmenter: Segmenter) -> None:
    volume = a_body()
    result = segmenter.segment(volume, samples=4)
    assert result.samples == 4
    unsure = result.instability
    assert unsure is not None
    assert unsure.shape == volume.array.shape
    assert unsure.max() > 50
    assert not unsure[:, 0, 0].any()  # air: no network looked at it
    assert not np.array_equal(result.label_map, segmenter.segment(volume).label_map)


def test_the_same_input_gives_the_same_bits_on_a_fresh_segmenter(model_folder: Path) -> None:
    results = [
        Segmenter(load_family(model_folder), CPU).segment(a_body(), samples=3) for _ in range(2)
    ]
    np.testing.assert_array_equal(results[0].label_map, results[1].label_map)
    np.testing.assert_array_equal(results[0].instability, results[1].instability)


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_instability_lies_where_the_labels_lie(
    segmenter: Segmenter, order: tuple[int, ...]
) -> None:
    expected = segmenter.segment(a_body(), samples=2).instability
    stored = segmenter.segment(stored_as(a_body(), order, (1,)), samples=2).instability
    assert stored is not None
    np.testing.assert_array_equal(np.flip(stored, (1,)).transpose(np.argsort(order)), expected)


def test_the_image_is_encoded_once_for_all_samples(segmenter: Segmenter) -> None:
    calls = {"condition": 0, "probabilities": 0}
    family = segmenter.family
    condition, probabilities = family.condition, family.probabilities

    def counted_condition(image: torch.Tensor) -> torch.Tensor:
        calls["condition"] += 1
        return condition(image)

    def counted_probabilities(code: torch.Tensor, noise: torch.Tensor, steps: int) -> torch.Tensor:
        assert len(code) <= 4
        calls["probabilities"] += 1
        return probabilities(code, noise, steps)

    family.condition, family.probabilities = counted_condition, counted_probabilities
    segmenter.segment(a_body(), samples=5)
    assert calls["condition"] > 0
    assert calls["probabilities"] == 5 * calls["condition"]


def test_a_longer_row_of_noises_begins_with_the_shorter_one(segmenter: Segmenter) -> None:
    few, many = noises_of(segmenter.family, 3), noises_of(segmenter.family, 6)
    assert torch.equal(few[0], segmenter.family.stored_noise)
    for one, other in zip(few, many, strict=False):
        assert torch.equal(one, other)
    assert not torch.equal(many[4], many[5])


def test_agreement_is_the_chance_that_two_noises_draw_the_same_class() -> None:
    """By hand: each pair of samples, class by class."""
    answers = iter(torch.rand(3, 2, 8, 32, 32).softmax(dim=2))
    given = []

    def told() -> Iterator[torch.Tensor]:
        for answer in answers:
            given.append(answer)
            yield answer

    averages = average_of(told())
    mean = (given[0] + given[1] + given[2]) / 3
    pairs = [(given[a] * given[b]).sum(dim=1) for a, b in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(averages[:, :8], mean)
    torch.testing.assert_close(averages[:, 8], (pairs[0] + pairs[1] + pairs[2]) / 3)


@pytest.mark.parametrize("samples", [0, -1, 65])
def test_numbers_of_samples_that_make_no_sense_are_refused(
    segmenter: Segmenter, samples: int
) -> None:
    with pytest.raises(InputError, match=f"{samples} samples; 1 to 64"):
        segmenter.segment(a_body(), samples=samples)


def test_auto_is_float32_on_the_processor(segmenter: Segmenter) -> None:
    assert segmenter.precision == "float32"


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_half_precision_reaches_the_networks_and_agrees(
    model_folder: Path, segmenter: Segmenter, precision: str
) -> None:
    half = Segmenter(load_family(model_folder), CPU, precision=precision)
    assert half.precision == precision
    kinds = set()
    hooks = [
        module.register_forward_hook(lambda _, __, out: kinds.add(out.dtype))
        for module in half.family.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    result = half.segment(a_body(), samples=2)
    for hook in hooks:
        hook.remove()
    assert kinds == {getattr(torch, precision)}
    expected = segmenter.segment(a_body(), samples=2)
    assert (result.label_map == expected.label_map).mean() > 0.97
    assert not np.array_equal(result.instability, expected.instability)


def test_float32_runs_no_network_in_half(segmenter: Segmenter) -> None:
    kinds = set()
    for module in segmenter.family.modules():
        if isinstance(module, torch.nn.Conv2d):
            module.register_forward_hook(lambda _, __, out: kinds.add(out.dtype))
    segmenter.segment(a_body())
    assert kinds == {torch.float32}


def test_unknown_precision_is_refused_with_those_there_are(model_folder: Path) -> None:
    with pytest.raises(InputError, match=r"'double'; choose one of auto, float32, float16"):
        Segmenter(load_family(model_folder), CPU, precision="double")


def test_a_device_that_cannot_do_it_says_so(
    model_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_kernel(*_: object) -> torch.Tensor:
        raise RuntimeError('"slow_conv2d_cpu" not implemented for Half')

    monkeypatch.setattr(torch.nn.functional, "conv2d", no_kernel)
    with pytest.raises(InputError, match=r"cpu failed a test .*not implemented.*float32"):
        Segmenter(load_family(model_folder), CPU, precision="float16")


def test_the_estimate_of_a_model_that_predicts_noise_stays_float32(tmp_path: Path) -> None:
    """Its error would be amplified 38.7 times."""
    diffusion = replace(tiny_description().diffusion, prediction="epsilon")
    folder = write_tiny_model(tmp_path / "noise", diffusion=diffusion)
    segmenter = Segmenter(load_family(folder), CPU, precision="bfloat16")
    kinds = []
    schedule = segmenter.family.schedule
    estimate = schedule.estimate_z0

    def watched(*arguments: object) -> torch.Tensor:
        z0 = estimate(*arguments)
        kinds.append(z0.dtype)
        return z0

    schedule.estimate_z0 = watched
    segmenter.segment(a_body())
    assert set(kinds) == {torch.float32}


def test_reverse_steps_are_those_of_the_family(segmenter: Segmenter) -> None:
    family, asked = segmenter.family, []
    probabilities = family.probabilities

    def told(code: torch.Tensor, noise: torch.Tensor, steps: int) -> torch.Tensor:
        asked.append(steps)
        return probabilities(code, noise, steps)

    single = segmenter.segment(a_body()).label_map
    family.probabilities = told
    several = Segmenter(family, CPU, steps=4).segment(a_body()).label_map
    assert set(asked) == {4}
    assert (single != several).any()


@pytest.mark.parametrize("steps", [0, 1001])
def test_steps_that_the_schedule_lacks_are_refused(segmenter: Segmenter, steps: int) -> None:
    with pytest.raises(InputError, match=f"{steps} reverse steps; 1 to 1000 are possible"):
        Segmenter(segmenter.family, CPU, steps=steps)


def test_a_plain_network_has_no_reverse_steps() -> None:
    plain = {"filters": [8, 16, 16], "supervised": 1}
    family = build_family(tiny_description(family="direct", network=plain))
    with pytest.raises(InputError, match="plain network without reverse steps"):
        Segmenter(family, CPU, steps=2)
    Segmenter(family, CPU)
