"""Slices to look at first: missing ones, unsure ones, and that they are the wrong ones."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from tiny_model import STRUCTURES

from SDSegLib.review.slices import slice_axis, slice_scores, slices_to_review
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.orientation import reorientation_to
from SDSegLib.volume.segmentation import Segmentation

ORGAN, OTHER = STRUCTURES[0], STRUCTURES[1]


def a_segmentation() -> Segmentation:
    """An organ of 4 × 5 voxels on slices 3 … 16, unsure on slices 8 and 9 at its right border."""
    labels = np.zeros((20, 30, 40), np.uint8)
    labels[3:17, 10:14, 20:25] = ORGAN.label
    unsure = np.zeros(labels.shape, np.uint8)
    unsure[8, 10:14, 25] = 255  # outside the organ, in its rim
    unsure[9, 10:14, 24] = 51
    unsure[12, 0:4, 0:4] = 255  # far from it
    a = np.radians(15)
    direction = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    geometry = Geometry(labels.shape, (2.0, 4.0, 3.0), (10.0, -50.0, 70.0), direction)
    return Segmentation(labels, geometry, (ORGAN, OTHER), "test", unsure, samples=4)


def test_the_score_is_the_unsure_share() -> None:
    scores = slice_scores(a_segmentation(), ORGAN, 0)
    assert np.isnan(scores[[0, 1, 2, 17, 18, 19]]).all()
    assert scores[8] == pytest.approx(4 / (4 + 20))
    assert scores[9] == pytest.approx(4 * 0.2 / (4 * 0.2 + 20))
    assert (scores[[3, 4, 10, 12, 16]] == 0).all()
    assert np.isnan(slice_scores(a_segmentation(), OTHER, 0)).all()


def test_the_rim_is_of_millimetres_not_of_voxels() -> None:
    segmentation = a_segmentation()
    assert segmentation.instability is not None
    for column, inside in ((26, True), (27, False)):  # 4 mm are 2 columns of 2 mm
        segmentation.instability[5] = 0
        segmentation.instability[5, 12, column] = 255
        assert (slice_scores(segmentation, ORGAN, 0)[5] > 0) == inside
    for row, inside in ((14, True), (15, False)):  # and 1 row of 4 mm
        segmentation.instability[5] = 0
        segmentation.instability[5, row, 22] = 255
        assert (slice_scores(segmentation, ORGAN, 0)[5] > 0) == inside


def test_the_worst_slice_comes_first_and_its_neighbours_are_left_out() -> None:
    found = slices_to_review(a_segmentation())
    assert [(item.structure.name, item.axis, item.index) for item in found] == [
        ("Brainstem", 0, 8)  # slice 9 is only 3 mm away
    ]


def test_a_slice_on_which_an_organ_vanishes_is_suspicious_even_with_one_sample() -> None:
    segmentation = a_segmentation()
    segmentation.label_map[13] = 0
    single = replace(segmentation, instability=None, samples=1)
    for given in (segmentation, single):
        worst = slices_to_review(given)[0]
        assert (worst.index, worst.score) == (13, 1.0)
    assert len(slices_to_review(single)) == 1
    # Its place is between those on slices 12 and 14.
    i, j, k, _ = np.linalg.inv(segmentation.geometry.affine_ras) @ (*worst.center_ras, 1.0)
    np.testing.assert_allclose((k, j, i), (13, 11.5, 22))


def test_the_centre_is_in_the_middle_of_the_organ_in_the_patient() -> None:
    segmentation = a_segmentation()
    (item,) = slices_to_review(segmentation)
    expected = segmentation.geometry.affine_ras @ (22.0, 11.5, 8.0, 1.0)
    np.testing.assert_allclose(item.center_ras, expected[:3])


def test_how_many_can_be_chosen() -> None:
    segmentation = a_segmentation()
    assert segmentation.instability is not None
    segmentation.instability[3:17, 10:14, 20:25] = np.arange(14, 0, -1)[:, None, None]
    found = slices_to_review(segmentation, per_structure=5)
    assert [item.index for item in found] == [8, 3, 5, 10, 12]
    assert [item.index for item in slices_to_review(segmentation, per_structure=1)] == [8]
    assert slices_to_review(segmentation, per_structure=0) == []


def stored(segmentation: Segmentation, axes: str) -> Segmentation:
    turn = reorientation_to(segmentation.geometry, axes)
    labels = turn.apply(segmentation.label_map)
    matrix = segmentation.geometry.affine_lps
    corner = np.zeros(3)
    columns = []
    for axis, original in enumerate(turn.order):
        step = matrix[:3, 2 - original]
        if axis in turn.flips:
            corner += step * (segmentation.label_map.shape[original] - 1)
            step = -step
        columns.append(step)
    turned = np.eye(4)
    turned[:3, :3] = np.array(columns[::-1]).T
    turned[:3, 3] = matrix[:3, 3] + corner
    assert segmentation.instability is not None
    return replace(
        segmentation,
        label_map=labels,
        instability=turn.apply(segmentation.instability),
        geometry=Geometry.from_affine_lps(labels.shape, turned),
    )


@pytest.mark.parametrize("letters", ["".join(p) for p in permutations("RAI")] + ["PLS", "SLP"])
def test_the_same_place_in_the_patient_however_it_is_stored(letters: str) -> None:
    expected = slices_to_review(a_segmentation())[0]
    turned = stored(a_segmentation(), letters)
    (found,) = slices_to_review(turned)
    assert found.axis == 2 - next(n for n, letter in enumerate(letters) if letter in "SI")
    assert found.score == pytest.approx(expected.score)
    np.testing.assert_allclose(found.center_ras, expected.center_ras, atol=1e-9)


def test_another_axis_can_be_asked_for() -> None:
    segmentation = a_segmentation()
    assert slice_axis(segmentation.geometry) == 0
    found = slices_to_review(segmentation, axis=2)
    assert {item.axis for item in found} == {2}
    assert found[0].index == 24


def test_nothing_found_gives_nothing_to_look_at() -> None:
    segmentation = a_segmentation()
    segmentation.label_map[:] = 0
    assert slices_to_review(segmentation) == []


@pytest.mark.slow
def test_unsure_slices_of_a_patient_are_the_wrong_ones(shared_data: Path) -> None:
    """A patient that the bundled model was not trained on."""
    from scipy import stats

    from SDSegLib.evaluation.scores import slice_dice
    from SDSegLib.inference.load import load_segmenter
    from SDSegLib.reading.files import read_volume

    folder = shared_data / "head_neck_oar" / "train" / "pt_104"
    volume = read_volume(folder / "ct.nii.gz")
    reference = read_volume(folder / "organs.nii.gz").array
    organs = np.s_[36:96]
    part = replace(
        volume,
        array=volume.array[organs],
        geometry=replace(volume.geometry, shape=volume.array[organs].shape),
    )
    result = load_segmenter("head-neck-oar", "cpu").segment(part, samples=4)
    labels = [item.label for item in result.structures]
    dice = slice_dice(result.label_map, reference[organs], labels)
    scores = np.column_stack([slice_scores(result, item, 0) for item in result.structures])
    both = np.isfinite(dice) & np.isfinite(scores)
    assert np.count_nonzero(both) > 100
    assert stats.spearmanr(scores[both], dice[both])[0] < -0.3
    named = [dice[item.index, item.structure.label - 1] for item in slices_to_review(result)]
    assert np.nanmean(named) < dice[both].mean() - 0.1
