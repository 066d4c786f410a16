"""The pipeline on volumes as users have them: any axes, spacing and size, and little memory."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path

import numpy as np
import pytest
import torch
from phantom import a_body, stored_as
from tiny_model import INPUT, tiny_description, write_tiny_model

from SDSegLib.errors import CancelledError, InputError, SDSegError
from SDSegLib.inference.device import DeviceChoice
from SDSegLib.inference.progress import Progress
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.folder import load_family
from SDSegLib.volume.doubt import SliceDoubt

CPU = DeviceChoice(torch.device("cpu"), "test")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def segmenter(model_folder: Path) -> Segmenter:
    return Segmenter(load_family(model_folder), CPU, batch=4)


def test_labels_depend_on_the_image_and_lie_on_its_grid(segmenter: Segmenter) -> None:
    volume = a_body()
    result = segmenter.segment(volume)
    assert result.label_map.shape == volume.array.shape
    assert result.geometry.matches(volume.geometry)
    assert len(np.unique(result.label_map)) > 3
    assert not result.label_map[:, 0, 0].any()


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_flipped_and_permuted_storage_gives_the_same_labels_in_the_patient(
    segmenter: Segmenter, order: tuple[int, ...]
) -> None:
    volume = a_body()
    expected = segmenter.segment(volume).label_map
    for signs in product((False, True), repeat=3):
        flips = tuple(axis for axis, flip in enumerate(signs) if flip)
        result = segmenter.segment(stored_as(volume, order, flips)).label_map
        np.testing.assert_array_equal(np.flip(result, flips).transpose(np.argsort(order)), expected)


def test_an_oblique_header_changes_nothing_in_the_voxels(segmenter: Segmenter) -> None:
    volume = a_body()
    angle = np.radians(25)
    tilt = np.array(
        [[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]]
    )
    oblique = replace(volume, geometry=replace(volume.geometry, direction=tilt))
    np.testing.assert_array_equal(
        segmenter.segment(oblique).label_map, segmenter.segment(volume).label_map
    )


@pytest.mark.parametrize("shape", [(3, 90, 120), (2, 20, 150), (1, 8, 9)])
def test_every_voxel_of_tissue_is_seen_however_large_or_small_the_slice(
    model_folder: Path, shape: tuple[int, int, int]
) -> None:
    family = load_family(model_folder)
    always_label_one = torch.zeros(8, 32, 32)
    always_label_one[1] = 1.0
    family.probabilities = lambda condition, noise, steps: always_label_one.expand(
        len(condition), -1, -1, -1
    )
    volume = a_body(shape)
    labels = Segmenter(family, CPU).segment(volume).label_map
    assert (labels[volume.array > -400] == 1).all()


def test_the_same_input_gives_the_same_output_bit_for_bit(model_folder: Path) -> None:
    first = Segmenter(load_family(model_folder), CPU).segment(a_body()).label_map
    second = Segmenter(load_family(model_folder), CPU).segment(a_body()).label_map
    np.testing.assert_array_equal(first, second)


def test_a_wanted_structure_is_the_same_whatever_else_is_asked_for(segmenter: Segmenter) -> None:
    everything = segmenter.segment(a_body()).label_map
    label = int(np.unique(everything)[1])
    structure = segmenter.description.structures[label - 1]
    alone = segmenter.segment(a_body(), [structure.id])
    assert [item.name for item in alone.structures] == [structure.name]
    np.testing.assert_array_equal(alone.label_map > 0, everything == label)


@pytest.mark.parametrize(
    ("order", "flips"), [((0, 1, 2), ()), ((2, 0, 1), (1,)), ((1, 2, 0), (0, 2))]
)
def test_doubt_counts_the_voxels_that_are_expected_to_be_wrong(
    segmenter: Segmenter, order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    volume = stored_as(a_body(), order, flips)
    structures = [segmenter.description.structures[place].id for place in (2, 0)]
    result = segmenter.segment(volume, structures, probabilities=True)
    assert result.doubt is not None
    assert result.probabilities is not None
    assert result.doubt.axis == order.index(0)
    plain = segmenter.segment(a_body(), structures).doubt
    assert plain is not None
    is_flipped = result.doubt.axis in flips
    expected = np.flip(plain.voxels, 1) if is_flipped else plain.voxels
    np.testing.assert_array_equal(result.doubt.voxels, expected)
    assert not np.allclose(expected, np.flip(expected, 1), rtol=0.01)
    others = tuple(axis for axis in range(3) if axis != result.doubt.axis)
    given = result.probabilities.argmax(0)
    for place, structure in enumerate(result.structures):
        chance = result.probabilities[structure.label]
        wrong = np.where(given == structure.label, 1 - chance, chance).sum(others)
        assert wrong.max() > 10
        np.testing.assert_allclose(result.doubt.voxels[place], wrong, atol=0.12 * wrong.max())
        first, *rest = result.doubt.ranked(place)
        assert wrong[first] > 0.9 * wrong.max()
        assert rest
        assert all(abs(first - other) >= 3 for other in rest)
    again = SliceDoubt.from_json(result.doubt.to_json())
    assert again.axis == result.doubt.axis
    np.testing.assert_allclose(again.voxels, result.doubt.voxels, atol=0.051)


def test_an_unknown_structure_is_named_with_those_there_are(segmenter: Segmenter) -> None:
    with pytest.raises(InputError, match=r"called lever; it has brainstem, .*mandible"):
        segmenter.segment(a_body(), ["lever", "mandible"])


def test_progress_counts_every_slice(segmenter: Segmenter) -> None:
    reports: list[Progress] = []
    segmenter.segment(a_body(), report=reports.append)
    assert [report.done for report in reports] == [0, 4, 8, 10]
    assert all(report.total == 10 for report in reports)
    assert reports[0].seconds_left is None
    assert reports[-1].seconds_left == 0


def test_cancelling_stops_before_the_next_batch(segmenter: Segmenter) -> None:
    reports: list[Progress] = []
    with pytest.raises(CancelledError, match="after 4 of 10 slices"):
        segmenter.segment(a_body(), None, reports.append, lambda: reports[-1].done >= 4)


def limit_memory(segmenter: Segmenter, most: int) -> None:
    """Make the networks run out of memory above `most` tiles, as a small GPU would."""
    condition = segmenter.family.condition

    def limited(image: torch.Tensor) -> torch.Tensor:
        if len(image) > most:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return condition(image)

    segmenter.family.condition = limited


def test_short_memory_halves_the_batch_says_so_and_changes_nothing(model_folder: Path) -> None:
    plain = Segmenter(load_family(model_folder), CPU, batch=1).segment(a_body()).label_map
    segmenter = Segmenter(load_family(model_folder), CPU, batch=8)
    limit_memory(segmenter, 2)
    reports: list[Progress] = []
    result = segmenter.segment(a_body(), report=reports.append)
    messages = [report.message for report in reports if report.message]
    assert segmenter.batch == 2
    assert messages[-1] == "Memory ran short; going on with 2 slices at a time."
    assert (result.label_map == plain).mean() > 0.999


def test_too_little_memory_for_one_slice_is_an_error_with_a_way_out(segmenter: Segmenter) -> None:
    limit_memory(segmenter, 0)
    with pytest.raises(SDSegError, match="not enough memory for even one slice; close"):
        segmenter.segment(a_body())


def test_other_errors_of_the_networks_are_not_taken_for_short_memory(segmenter: Segmenter) -> None:
    def broken(image: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("shapes cannot be multiplied")

    segmenter.family.condition = broken
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        segmenter.segment(a_body())


def test_air_alone_gives_an_empty_label_map(segmenter: Segmenter) -> None:
    volume = a_body()
    air = replace(volume, array=np.full_like(volume.array, -1000))
    air.array[0, 0, :9] = -990
    assert not segmenter.segment(air).label_map.any()


def test_voxels_that_are_not_numbers_count_as_air(segmenter: Segmenter) -> None:
    volume = a_body()
    holes = volume.array.astype(np.float32)
    holes[:, :5] = np.nan
    holes[:, 5] = np.inf
    filled = volume.array.copy()
    filled[:, :6] = -1024
    np.testing.assert_array_equal(
        segmenter.segment(replace(volume, array=holes)).label_map,
        segmenter.segment(replace(volume, array=filled)).label_map,
    )


def test_a_model_without_a_spacing_of_its_own_runs_on_the_voxels(tmp_path: Path) -> None:
    description = tiny_description(input=replace(INPUT, spacing=None))
    folder = write_tiny_model(tmp_path / "native", input=description.input)
    volume = a_body()
    result = Segmenter(load_family(folder), CPU).segment(volume)
    assert len(np.unique(result.label_map)) > 3
