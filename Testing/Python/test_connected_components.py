"""Small components are removed; the organ, its large parts and what a box cuts off are kept."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from phantom import a_body, stored_as
from scipy import ndimage
from tiny_model import STRUCTURES, write_tiny_model

from SDSegLib.errors import ModelError
from SDSegLib.families.description import ModelDescription
from SDSegLib.inference.connected_components import remove_small_components
from SDSegLib.inference.device import DeviceChoice
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.folder import load_family, read_description
from SDSegLib.resources import resource_folder
from SDSegLib.volume.region import Region

CPU = DeviceChoice(torch.device("cpu"), "test")
ORGAN, OTHER = STRUCTURES[0], STRUCTURES[1]
BOTH = (replace(ORGAN, minimum_component_fraction=0.3), OTHER)


def organ_with(*boxes: tuple[slice, slice, slice]) -> np.ndarray:
    labels = np.zeros((12, 20, 24), np.uint8)
    labels[2:8, 4:10, 5:11] = ORGAN.label
    for box in boxes:
        labels[box] = ORGAN.label
    return labels


def test_an_island_goes_and_the_organ_stays() -> None:
    labels = organ_with(np.s_[10:12, 15:18, 18:22])
    remove_small_components(labels, BOTH)
    np.testing.assert_array_equal(labels, organ_with())


def test_a_large_piece_stays_as_a_cord_that_is_interrupted() -> None:
    labels = organ_with(np.s_[9:12, 4:10, 5:11])
    expected = labels.copy()
    remove_small_components(labels, BOTH)
    np.testing.assert_array_equal(labels, expected)


def test_voxels_that_touch_by_a_corner_belong_together() -> None:
    labels = organ_with(np.s_[8:9, 10:11, 11:12])
    expected = labels.copy()
    remove_small_components(labels, BOTH)
    np.testing.assert_array_equal(labels, expected)


def test_a_structure_without_the_statement_keeps_its_islands() -> None:
    labels = organ_with()
    labels[10:12, 15:18, 18:22] = OTHER.label
    labels[0, 0, 0] = OTHER.label
    expected = labels.copy()
    remove_small_components(labels, BOTH)
    np.testing.assert_array_equal(labels, expected)


def test_a_neighbour_of_another_structure_is_no_bridge() -> None:
    labels = organ_with(np.s_[2:4, 12:14, 5:7])
    labels[2:4, 10:12, 5:7] = OTHER.label
    remove_small_components(labels, BOTH)
    assert not (labels[:, 12:14] == ORGAN.label).any()
    assert (labels == OTHER.label).sum() == 8


@pytest.mark.parametrize(("axis", "end"), list(product(range(3), (0, 1))))
def test_what_a_box_cuts_off_stays_only_if_the_volume_continues_there(axis: int, end: int) -> None:
    cut_off = [slice(9, 10), slice(15, 16), slice(18, 19)]
    cut_off[axis] = slice(0, 1) if end == 0 else slice(-1, None)
    labels = organ_with(tuple(cut_off))
    continues = [(False, False)] * 3
    shut = labels.copy()
    remove_small_components(shut, BOTH, continues)
    np.testing.assert_array_equal(shut, organ_with())
    continues[axis] = (end == 0, end == 1)
    expected = labels.copy()
    remove_small_components(labels, BOTH, continues)
    np.testing.assert_array_equal(labels, expected)


def test_nothing_found_is_nothing_to_do() -> None:
    labels = np.zeros((3, 4, 5), np.uint8)
    remove_small_components(labels, BOTH)
    assert not labels.any()


def removed_by_itk(
    labels: np.ndarray, fractions: dict[int, float], continues: list[tuple[bool, bool]]
) -> np.ndarray:
    """The same rule, component by component, with the components that ITK finds."""
    kept = labels.copy()
    for label, fraction in fractions.items():
        mask = sitk.GetImageFromArray((labels == label).astype(np.uint8))
        components = sitk.GetArrayFromImage(sitk.ConnectedComponent(mask, True))
        voxels = [np.argwhere(components == n) for n in range(1, int(components.max()) + 1)]
        largest = max(map(len, voxels), default=0)
        for place in voxels:
            at_open_face = any(
                (before and place[:, axis].min() == 0)
                or (after and place[:, axis].max() == labels.shape[axis] - 1)
                for axis, (before, after) in enumerate(continues)
            )
            if len(place) < fraction * largest and not at_open_face:
                kept[tuple(place.T)] = 0
    return kept


@pytest.mark.parametrize("seed", range(20))
def test_components_are_those_that_itk_finds(seed: int) -> None:
    generator = np.random.default_rng(seed)
    shape = tuple(generator.integers(1, 10, 3))
    labels = generator.integers(1, 4, shape) * (generator.random(shape) < 0.02 * (seed + 1))
    labels = labels.astype(np.uint8)
    fractions = {STRUCTURES[0].label: 0.3, STRUCTURES[1].label: 1.0}
    continues = [(bool(a), bool(b)) for a, b in generator.integers(0, 2, (3, 2))]
    expected = removed_by_itk(labels, fractions, continues)
    structures = [replace(s, minimum_component_fraction=fractions.get(s.label)) for s in STRUCTURES]
    remove_small_components(labels, structures, continues)
    np.testing.assert_array_equal(labels, expected)


def test_components_are_searched_only_where_the_structure_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Most of a volume is background; a search of all of it takes many times as long."""
    labels = np.zeros((60, 200, 200), np.uint8)
    labels[5:10, 5:10, 5:10] = labels[5:7, 5:7, 12] = 1
    labels[40:50, 100:110, 100:120] = 2
    searched: list[tuple[int, ...]] = []
    label = ndimage.label

    def noted(mask: np.ndarray, *others: np.ndarray) -> Any:
        searched.append(mask.shape)
        return label(mask, *others)

    monkeypatch.setattr(ndimage, "label", noted)
    structures = [replace(item, minimum_component_fraction=0.3) for item in STRUCTURES]
    remove_small_components(labels, structures)
    assert searched == [(5, 5, 8), (10, 10, 20)]
    assert np.count_nonzero(labels == 1) == 125


def test_specks_of_seven_structures_go_from_a_large_ct() -> None:
    labels = np.zeros((120, 512, 512), np.uint8)
    generator = np.random.default_rng(0)
    for label in range(1, 8):
        labels[20:90, 60 * label : 60 * label + 40, 200:260] = label
        for k, j, i in generator.integers(0, [119, 509, 509], (30, 3)):
            labels[k : k + 2, j : j + 4, i : i + 4] = label
    structures = [replace(item, minimum_component_fraction=0.3) for item in STRUCTURES]
    remove_small_components(labels, structures)
    assert not labels[:19].any()
    for label in range(1, 8):
        assert (labels[20:90, 60 * label : 60 * label + 40, 200:260] == label).mean() > 0.98


def test_the_model_says_it_and_the_labels_are_the_same_however_the_ct_is_stored(
    tmp_path: Path,
) -> None:
    one_piece = tuple(replace(item, minimum_component_fraction=1.0) for item in STRUCTURES)
    plain = write_tiny_model(tmp_path / "plain")
    strict = write_tiny_model(tmp_path / "strict", structures=one_piece)
    volume = a_body()
    before = Segmenter(load_family(plain), CPU).segment(volume).label_map
    segmenter = Segmenter(load_family(strict), CPU)
    after = segmenter.segment(volume).label_map
    assert 0 < np.count_nonzero(after) < np.count_nonzero(before)
    assert (before[after > 0] == after[after > 0]).all()
    for order in permutations(range(3)):
        stored = segmenter.segment(stored_as(volume, order, (0, 2))).label_map
        np.testing.assert_array_equal(np.flip(stored, (0, 2)).transpose(np.argsort(order)), after)
    alone = segmenter.segment(volume, [one_piece[2].id]).label_map
    np.testing.assert_array_equal(alone > 0, after == one_piece[2].label)


def test_pieces_at_the_faces_of_a_region_stay(tmp_path: Path) -> None:
    one_piece = tuple(replace(item, minimum_component_fraction=1.0) for item in STRUCTURES)
    segmenter = Segmenter(
        load_family(write_tiny_model(tmp_path / "strict", structures=one_piece)), CPU
    )
    whole = segmenter.segment(a_body()).label_map
    box = Region((2, 10, 10), (8, 34, 34))
    inside = segmenter.segment(a_body(), region=box).label_map[box.slices()]
    expected = whole[box.slices()]
    assert (inside[expected > 0] == expected[expected > 0]).all()


def test_the_statement_survives_model_json(tmp_path: Path) -> None:
    structures = (replace(STRUCTURES[0], minimum_component_fraction=0.25), *STRUCTURES[1:])
    folder = write_tiny_model(tmp_path / "tiny", structures=structures)
    assert read_description(folder).structures == structures
    data = read_description(folder).to_json()
    assert "minimum_component_fraction" not in data["structures"][1]
    for wrong in (0, 1.5, "0.3", True):
        data["structures"][0]["minimum_component_fraction"] = wrong
        with pytest.raises(ModelError, match="minimum_component_fraction"):
            ModelDescription.from_json(data)


def test_the_bundled_model_asks_for_it() -> None:
    description = read_description(resource_folder() / "Models" / "head-neck-oar")
    assert {item.minimum_component_fraction for item in description.structures} == {0.3}
