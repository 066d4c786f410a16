"""Which slices of a segment were drawn since its last prediction, with real segments and files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from segmentation_maker import LARYNX, SHAPE, STRUCTURES, a_segmentation, a_volume
from test_edit_grid import a_blob, an_empty_segmentation, session

from SDSegLib.mrml.edit_grid import edit_grid, image_with_slices, segment_on_grid, write_segment
from SDSegLib.mrml.last_prediction import (
    DrawnSlices,
    LastPrediction,
    drawn_in,
    last_prediction,
    remember_prediction,
    renewed,
    with_slices_of,
)
from SDSegLib.mrml.segmentation_node import segmentation_to_node
from SDSegLib.mrml.storage import load_segmentation_node, save_segmentation_node
from SDSegLib.mrml.volumes import volume_to_node
from SDSegLib.propagation.marks import SliceMarks
from SDSegLib.propagation.mask_part import MaskPart

slicer = pytest.importorskip("slicer", reason="needs the extra slicer")
__all__ = ["session"]


def draw(node: Any, segment_id: str, ct: Any, axis: int, number: int) -> None:
    """A person fills a rectangle of one slice."""
    grid = edit_grid(node, ct)
    mask = np.zeros(SHAPE, bool)
    np.moveaxis(mask, axis, 0)[number, 2:9, 3:12] = True
    image = image_with_slices(node, segment_id, grid, MaskPart.of(mask), axis, [number])
    write_segment(node, segment_id, image)


def drawn(node: Any, segment_id: str, ct: Any) -> DrawnSlices:
    mask = segment_on_grid(node, segment_id, edit_grid(node, ct))
    return drawn_in(mask, last_prediction(node.GetSegmentation().GetSegment(segment_id)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_drawn_one_by_one_are_found_along_any_axis(axis: int) -> None:
    ct = volume_to_node(a_volume())
    node = an_empty_segmentation(ct)
    assert drawn(node, "organ", ct) == DrawnSlices(None, ())
    for number in (3, 6, 10):
        draw(node, "organ", ct, axis, number)
    assert drawn(node, "organ", ct) == DrawnSlices(axis, (3, 6, 10))


def test_a_few_voxels_on_one_slice_are_on_a_slice_across_the_body() -> None:
    line = np.zeros(SHAPE, bool)
    line[5, 6, 3:9] = True
    assert drawn_in(MaskPart.of(line), None) == DrawnSlices(0, (5,))
    assert drawn_in(MaskPart.of(line), None, body_axis=1) == DrawnSlices(1, (6,))
    assert drawn_in(MaskPart.of(line), None, body_axis=2) == DrawnSlices(None, ())


def test_in_a_whole_structure_nothing_looks_drawn_until_an_axis_is_named() -> None:
    part = MaskPart.of(a_blob())
    assert drawn_in(part, None) == DrawnSlices(None, ())
    assert drawn_in(part, None, axis=1) == DrawnSlices(1, tuple(range(4, 11)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_correction_of_a_models_structure_is_found_also_after_saving(
    axis: int, tmp_path: Path
) -> None:
    ct = volume_to_node(a_volume())
    node = segmentation_to_node(a_segmentation(), ct)
    for item in STRUCTURES:
        assert drawn(node, item.id, ct) == DrawnSlices(None, (), correct=True), item.name
    draw(node, LARYNX.id, ct, axis, 8)
    assert drawn(node, LARYNX.id, ct) == DrawnSlices(axis, (8,), correct=True)
    save_segmentation_node(node, tmp_path / "edited.seg.nrrd")
    again = load_segmentation_node(tmp_path / "edited.seg.nrrd")
    before = last_prediction(node.GetSegmentation().GetSegment(LARYNX.id))
    assert last_prediction(again.GetSegmentation().GetSegment(LARYNX.id)) == before
    assert drawn(again, LARYNX.id, ct) == DrawnSlices(axis, (8,), correct=True)
    assert not drawn(again, STRUCTURES[0].id, ct).numbers


def test_earlier_drawn_slices_count_again_and_undo_brings_them_back() -> None:
    ct = volume_to_node(a_volume())
    node = an_empty_segmentation(ct)
    draw(node, "organ", ct, 0, 3)
    draw(node, "organ", ct, 0, 9)
    history = slicer.vtkSegmentationHistory()
    history.SetMaximumNumberOfStates(10)
    history.SetSegmentation(node.GetSegmentation())
    history.SaveState()
    for number in range(4, 9):  # what a propagation would do
        draw(node, "organ", ct, 0, number)
    segment = node.GetSegmentation().GetSegment("organ")
    mask = segment_on_grid(node, "organ", edit_grid(node, ct))
    remember_prediction(segment, LastPrediction(SliceMarks.of(mask), 0, (3, 9)))
    assert drawn(node, "organ", ct) == DrawnSlices(0, (3, 9))
    history.SaveState()
    grid = edit_grid(node, ct)
    empty = MaskPart.of(np.zeros(SHAPE, bool))
    write_segment(node, "organ", image_with_slices(node, "organ", grid, empty, 0, [6]))
    assert drawn(node, "organ", ct) == DrawnSlices(0, (3, 6, 9))  # emptied: drawn as well
    history.RestorePreviousState()
    assert drawn(node, "organ", ct) == DrawnSlices(0, (3, 9))
    history.RestorePreviousState()
    assert drawn(node, "organ", ct) == DrawnSlices(0, (3, 9))
    assert last_prediction(node.GetSegmentation().GetSegment("organ")) is None


def test_doubtful_slices_are_kept_until_they_or_their_neighbours_are_drawn() -> None:
    last = LastPrediction(SliceMarks.of(a_blob()), doubtful=((0, 9), (0, 3), (0, 6)), is_model=True)
    again = LastPrediction.from_text(last.to_text())
    assert again == last
    assert again.to_correct_first(None, ()) == (9, 3, 6)
    assert again.to_correct_first(0, (2,)) == (9, 6)
    assert again.to_correct_first(1, (2,)) == ()


def test_slices_drawn_across_another_axis_are_protected() -> None:
    mask = MaskPart.of(a_blob())
    last = LastPrediction(SliceMarks.of(mask), 0, (3, 5))
    changed = a_blob()
    changed[:, 15] = True
    found = drawn_in(MaskPart.of(changed), last)
    assert found == DrawnSlices(1, (15,), correct=True, elsewhere=((0, 3), (0, 5)))
    again = LastPrediction(SliceMarks.of(changed), 1, (15,), elsewhere=found.elsewhere)
    assert LastPrediction.from_text(again.to_text()) == again
    assert drawn_in(MaskPart.of(changed), again) == found
    empty = MaskPart.of(np.zeros(SHAPE, bool))
    kept = with_slices_of(empty, MaskPart.of(changed), found.elsewhere).whole() > 0
    expected = np.zeros(SHAPE, bool)
    expected[[3, 5]] = changed[[3, 5]]
    assert (kept == expected).all()


def test_what_a_program_takes_from_a_segment_does_not_count_as_drawn() -> None:
    predicted = LastPrediction(
        SliceMarks.of(a_blob()), is_model=True, doubtful=((0, 4), (0, 8), (0, 5))
    )
    drawn = a_blob()
    drawn[4, :3] = True
    taken = drawn.copy()
    taken[2:6, 9:] = False
    now = renewed(predicted, MaskPart.of(drawn), MaskPart.of(taken))
    assert drawn_in(MaskPart.of(taken), now) == DrawnSlices(0, (4,), correct=True)
    assert drawn_in(MaskPart.of(taken), predicted) != DrawnSlices(0, (4,), correct=True)
    assert now.to_correct_first(now.axis, now.drawn) == (8,)


def test_marks_of_another_grid_and_damaged_tags_are_ignored() -> None:
    last = LastPrediction(SliceMarks.of(a_blob()), 0, (3,))
    assert LastPrediction.from_text(last.to_text()) == last
    before = last.to_text().replace("2;0;k3;;;", "1;0;k3;;")  # of a segment saved earlier
    assert LastPrediction.from_text(before) == last
    other = np.zeros((14, 18, 20), bool)
    other[[2, 7], 3:9, 4:12] = True
    assert drawn_in(MaskPart.of(other), last) == DrawnSlices(0, (2, 7))
    whole = last.to_text()
    for text in ("", "3" + whole[1:], whole[:9], whole.replace(";k3;", ";x3;"), "1;0;ka;;" + whole):
        assert LastPrediction.from_text(text) is None, text


def test_slices_of_another_plane_are_told_from_those_that_they_cross() -> None:
    k, j, i = np.indices((40, 50, 60))
    disc = (j - 25) ** 2 + (i - 30) ** 2 < 100
    axial = disc & np.isin(k, (10, 20))
    sagittal = (abs(k - 16) < 9) & (abs(j - 25) < 7) & (i == 33)
    coronal = (abs(k - 16) < 8) & (abs(i - 30) < 6) & (j == 24)
    for crossing, expected in (
        (sagittal, ((2, 33),)),
        (coronal, ((1, 24),)),
        (sagittal | np.roll(sagittal, 9, axis=2), ((2, 33), (2, 42))),
    ):
        found = drawn_in(MaskPart.of(axial | crossing), None, axis=0)
        assert found == DrawnSlices(0, (10, 20), elsewhere=expected)
    vessel = (abs(j - 20 - k / 2) < 1) & (i == 30)  # a line on each slice that was drawn
    assert drawn_in(MaskPart.of(vessel & (k % 4 == 0)), None, 0).numbers == tuple(range(0, 40, 4))
    thin_end = np.where(k > 20, (i == 30) & (j == 25), disc) & (k % 5 == 0)
    assert drawn_in(MaskPart.of(thin_end), None, 0).numbers == tuple(range(0, 40, 5))
