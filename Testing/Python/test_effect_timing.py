"""The effect under attack: what a person may do at the wrong moment."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from effect_parts import SECONDS, Person, disc, patient, person, preview_nodes
from standin_fixtures import application, module_widget, process_events, process_until
from test_mrml import a_translation, mask_on_grid

pytestmark = pytest.mark.slow
__all__ = ["application", "module_widget", "person"]


def carried(person: Person, direction: str = "between") -> None:
    getattr(person.ui, f"{direction}Button").click()
    person.wait_for_preview()
    assert person.session.error == ""


def two_slices(person: Person) -> np.ndarray:
    person.draw(20)
    person.draw(26)
    person.choose_effect()
    return person.mask()


def apply_late(person: Person, happens: Callable[[], None]) -> None:
    """Apply a preview that is out of date; something happens just before the new one is there."""
    two_slices(person)
    carried(person)
    person.draw(23, radius=9.0)
    session = person.session
    give = session._requests._onResult

    def give_late(*result: Any) -> None:
        session._requests._onResult = give
        happens()
        give(*result)

    session._requests._onResult = give_late
    person.ui.applyButton.click()
    assert session.isPending
    process_until(lambda: session._requests._onResult is give, SECONDS)
    process_until(lambda: not session.isPending, SECONDS)
    process_events(0.1)
    assert preview_nodes() == []
    assert session.error == ""


def test_apply_that_waits_never_writes_into_another_segment(person: Person) -> None:
    person.node.GetSegmentation().AddEmptySegment("other", "Other")
    apply_late(person, lambda: person.editor.setCurrentSegmentID("other"))
    assert not person.mask("other").any()
    assert person.mask().any(axis=(1, 2)).sum() == 3


def test_apply_that_waits_never_overwrites_a_stroke(person: Person) -> None:
    apply_late(person, lambda: person.draw(24, radius=5.0))
    assert (person.mask()[24] == disc(person.shape, 24, radius=5.0)[24]).all()
    assert person.mask()[25].any()
    assert person.drawn() == [20, 23, 24, 26]


def test_apply_that_waits_finds_the_segment_deleted(person: Person) -> None:
    apply_late(person, lambda: person.node.GetSegmentation().RemoveSegment("organ"))
    assert person.ui.messageText.text == "Select a segment first, or add one."


def test_a_transform_is_applied_under_a_preview(person: Person) -> None:
    two_slices(person)
    carried(person)
    shift = a_translation(7.0)
    person.node.SetAndObserveTransformNodeID(shift.GetID())
    process_events(0.1)
    person.wait_for_preview()
    assert preview_nodes()[0].GetTransformNodeID() == shift.GetID()
    assert not person.session._asked.grid.is_volumes
    before = person.session.result
    import vtk

    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(0, 3, -11.0)
    shift.SetMatrixTransformToParent(matrix)
    process_until(lambda: person.session.result is not before, SECONDS)
    person.wait_for_preview()
    assert person.session.error == ""
    person.ui.applyButton.click()
    process_events(0.1)
    assert person.mask()[23].any()


def test_three_voxels_holes_and_pieces(person: Person) -> None:
    tiny = np.zeros(person.shape, bool)
    tiny[[20, 26], 70, 134:137] = True
    for number in (20, 26):
        person.stroke(number, tiny)
    person.choose_effect()
    assert person.drawn() == [20, 26]
    carried(person, "all")
    person.ui.applyButton.click()
    process_events(0.1)
    assert (person.mask()[[20, 26]] == tiny[[20, 26]]).all()
    ring = np.zeros(person.shape, bool)
    for number in (20, 26, 30):
        ring[number] = (
            disc(person.shape, number)[number] & ~disc(person.shape, number, radius=6)[number]
        )
        ring[number, 20:25, 40:46] = True
        person.stroke(number, ring)
    person.wait_for_preview()
    assert person.session.error == ""
    person.ui.applyButton.click()
    process_events(0.1)
    assert (person.mask()[[20, 26, 30]] == ring[[20, 26, 30]]).all()


def test_whole_body(person: Person) -> None:
    body = patient()
    for number in (0, 20, 40, 59):
        person.stroke(number, body)
    person.choose_effect()
    assert person.drawn() == [0, 20, 40, 59]
    carried(person, "all")
    person.ui.applyButton.click()
    process_events(0.1)
    after = person.mask()
    assert (after[[0, 20, 40, 59]] == body[[0, 20, 40, 59]]).all()


def test_an_erased_slice_stays_empty(person: Person) -> None:
    two_slices(person)
    carried(person, "all")
    shown = mask_on_grid(preview_nodes()[0], "preview", person.ct).any(axis=(1, 2)).sum() - 2
    assert person.ui.statusLabel.text == f"Preview on {shown} slices. Apply takes it."
    person.ui.applyButton.click()
    process_events(0.1)
    assert person.ui.statusLabel.text.startswith(f"Carried to {shown} slices.")
    number = 28
    assert person.mask()[number].any()
    person.stroke(number, np.zeros(person.shape, bool))
    process_events(0.1)
    assert person.drawn() == [20, 26, number]
    person.wait_for_preview()
    assert person.session.error == ""
    person.ui.applyButton.click()
    process_events(0.1)
    assert not person.mask()[number].any()
    assert person.drawn() == [20, 26, number]


def test_slices_in_two_planes(person: Person) -> None:
    two_slices(person)
    carried(person, "between")
    person.ui.applyButton.click()
    process_events(0.1)
    first = person.mask()
    k, j, _ = np.indices(person.shape)
    column = first.copy()
    column[:, :, 135] = (k[:, :, 135] > 18) & (k[:, :, 135] < 28) & (abs(j[:, :, 135] - 70) < 10)
    person.stroke(135, column, axis=2)
    process_events(0.1)
    carried(person, "all")
    person.ui.applyButton.click()
    process_events(0.1)
    after = person.mask()
    assert (after[:, :, 135] == column[:, :, 135]).all()
    assert (after[[20, 26]][..., :135] == column[[20, 26]][..., :135]).all()


@pytest.mark.parametrize(
    "mode", ["OverwriteAllSegments", "OverwriteVisibleSegments", "OverwriteNone"]
)
def test_overwrite_modes_with_a_hidden_segment(person: Person, mode: str) -> None:
    segmentation = person.node.GetSegmentation()
    for name in ("seen", "hidden"):
        segmentation.AddEmptySegment(name, name)
    person.draw(23, segment_id="seen")
    person.draw(24, segment_id="hidden")
    person.node.GetDisplayNode().SetSegmentVisibility("hidden", False)
    seen, hidden = person.mask("seen"), person.mask("hidden")
    node = person.editor.mrmlSegmentEditorNode()
    node.SetOverwriteMode(getattr(node, mode))
    two_slices(person)
    carried(person)
    person.ui.applyButton.click()
    process_events(0.1)
    after = person.mask()
    assert after[23:25].any(axis=(1, 2)).all()
    loses = {"OverwriteAllSegments": (1, 1), "OverwriteVisibleSegments": (1, 0)}.get(mode, (0, 0))
    for name, before, gone in (("seen", seen, loses[0]), ("hidden", hidden, loses[1])):
        assert (person.mask(name) == (before & ~after if gone else before)).all(), name


def test_inside_another_segment(person: Person) -> None:
    segmentation = person.node.GetSegmentation()
    segmentation.AddEmptySegment("area", "area")
    area = np.zeros(person.shape, bool)
    area[:, :, 120:140] = True
    for number in range(15, 30):
        person.stroke(number, area, segment_id="area")
    node = person.editor.mrmlSegmentEditorNode()
    node.SetOverwriteMode(node.OverwriteNone)
    drawn = two_slices(person)
    node.SetMaskMode(person.node.EditAllowedInsideSingleSegment)
    node.SetMaskSegmentID("area")
    carried(person)
    shown = mask_on_grid(preview_nodes()[0], "preview", person.ct)
    person.ui.applyButton.click()
    process_events(0.1)
    after = person.mask()
    assert (after == shown).all()
    assert (after[[20, 26]] == drawn[[20, 26]]).all()
    assert not after[21:26][:, :, :120].any()
    assert after[21:26].any()
    assert person.drawn() == [20, 26]


def test_apply_twice_and_cancel_change_once(person: Person) -> None:
    two_slices(person)
    carried(person)
    person.ui.applyButton.click()
    once = person.mask()
    person.ui.applyButton.click()
    person.session.apply()
    person.session.cancel()
    process_events(0.2)
    assert (person.mask() == once).all()
    person.editor.undo()
    process_events(0.1)
    assert person.mask().any(axis=(1, 2)).sum() == 2
    assert person.drawn() == [20, 26]

    # A click on Apply does not outlive the drawing that it was about.
    person.ui.allButton.click()
    person.draw(23, radius=9.0)
    process_until(lambda: person.session.isPending, SECONDS)
    person.ui.applyButton.click()
    for number in (20, 23, 26):
        person.stroke(number, np.zeros(person.shape, bool))
    process_events(0.1)
    assert "Nothing is drawn yet" in person.ui.messageText.text
    for number in (20, 26):
        person.draw(number)
    person.wait_for_preview()
    assert person.mask().any(axis=(1, 2)).sum() == 2
    assert len(preview_nodes()) == 1


def test_hidden_and_duplicated(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer

    display = person.node.GetDisplayNode()
    display.SetSegmentVisibility("organ", False)
    drawn = two_slices(person)
    carried(person)
    effect = person.effect.scriptedEffect
    monkeypatch.setattr(effect, "confirmCurrentSegmentVisible", lambda: effect.NotConfirmed)
    person.ui.applyButton.click()
    process_events(0.1)
    assert (person.mask() == drawn).all()
    assert len(preview_nodes()) == 1
    monkeypatch.undo()
    person.ui.applyButton.click()
    process_events(0.1)
    assert display.GetSegmentVisibility("organ")
    assert person.mask()[23].any()
    segmentation = person.node.GetSegmentation()
    copy = slicer.vtkSegment()
    copy.DeepCopy(segmentation.GetSegment("organ"))
    segmentation.AddSegment(copy, "copy")
    person.node.GetDisplayNode().SetSegmentVisibility("organ", False)
    person.editor.setCurrentSegmentID("copy")
    process_events(0.1)
    assert person.drawn() == [20, 26]
    before = person.mask("organ")
    node = person.editor.mrmlSegmentEditorNode()
    node.SetOverwriteMode(node.OverwriteNone)
    person.draw(23, radius=8, segment_id="copy")
    process_events(0.1)
    carried(person)
    person.ui.applyButton.click()
    process_events(0.1)
    assert (person.mask("organ") == before).all()
    assert person.drawn() == [20, 23, 26]


def test_lists_name_the_slices_of_the_present_volume(person: Person) -> None:
    person.draw(20)
    person.choose_effect()
    texts = [person.ui.drawnList.item(0).text()]
    person.session.setAxis(0)
    person.node.SetAndObserveTransformNodeID(a_translation(7.0).GetID())
    import vtk

    transform = person.node.GetParentTransformNode()
    matrix = vtk.vtkMatrix4x4()
    matrix.SetElement(2, 3, 50.0)
    transform.SetMatrixTransformToParent(matrix)
    process_events(0.1)
    texts.append(person.ui.drawnList.item(0).text())
    assert texts[0] != texts[1]


def test_this_is_a_prediction_can_be_undone(person: Person) -> None:
    two_slices(person)
    person.ui.predictionButton.click()
    process_events(0.1)
    assert person.drawn() == []
    person.editor.undo()
    process_events(0.1)
    assert person.drawn() == [20, 26]


def test_remove_needs_a_chosen_slice(person: Person) -> None:
    two_slices(person)
    assert not person.ui.removeButton.enabled
    person.ui.drawnList.setCurrentRow(1)
    assert person.ui.removeButton.enabled
    person.ui.removeButton.click()
    assert person.drawn() == [20]
    assert not person.ui.removeButton.enabled


def test_slices_in_two_planes_from_the_start(person: Person) -> None:
    person.draw(20)
    person.draw(26)
    person.stroke(135, disc(person.shape, 135, axis=2, radius=8.0), axis=2)
    person.choose_effect()
    assert person.drawn() == [20, 26]
    assert person.session.target.drawn.elsewhere == ((2, 135),)
    before = person.mask()
    carried(person)
    person.ui.applyButton.click()
    process_events(0.1)
    after = person.mask()
    assert (after[[20, 26]] == before[[20, 26]]).all()
    assert (after[:, :, 135] == before[:, :, 135]).all()
    assert after[23].sum() > before[23].sum()
    assert person.drawn() == [20, 26]


def test_nothing_to_carry_is_said_and_not_applied(person: Person) -> None:
    for number in (0, 59):
        person.draw(number)
    person.choose_effect()
    carried(person, "up")
    assert "nothing to carry in this direction" in person.ui.statusLabel.text
    assert not person.ui.applyButton.enabled
    assert person.ui.cancelButton.enabled
    drawn = person.mask()
    person.session.carryOrApply()
    process_events(0.1)
    assert (person.mask() == drawn).all()


def test_a_preview_that_does_not_follow_is_computed_anew_by_apply(person: Person) -> None:
    two_slices(person)
    person.ui.followCheckBox.click()
    carried(person)
    result = person.session.result
    person.draw(23, radius=8.0)
    process_events(0.2)
    assert person.session.result is result
    assert "drawn since this preview" in person.ui.statusLabel.text
    person.ui.applyButton.click()
    process_until(lambda: not person.session.hasPreview, SECONDS)
    assert (person.mask()[23] == disc(person.shape, 23, radius=8.0)[23]).all()
    assert person.mask()[22].any()
    person.draw(24, radius=6.0)
    process_events(0.2)
    assert preview_nodes() == []


def test_a_segment_that_was_imported_from_a_cropped_label_map(person: Person) -> None:
    import slicer
    import vtk

    labels = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    values = np.zeros((40, 60, 80), np.int16)
    values[[10, 16], 20:40, 20:40] = 1
    values[13, 5:10, 5:10] = 2
    slicer.util.updateVolumeFromArray(labels, values)
    matrix = vtk.vtkMatrix4x4()
    person.ct.GetIJKToRASMatrix(matrix)
    corner = matrix.MultiplyPoint([100, 40, 10, 1])
    for row in range(3):
        matrix.SetElement(row, 3, corner[row])
    labels.SetIJKToRASMatrix(matrix)
    person.node.GetSegmentation().RemoveAllSegments()
    slicer.modules.segmentations.logic().ImportLabelmapToSegmentationNode(labels, person.node)
    person.node.SetReferenceImageGeometryParameterFromVolumeNode(person.ct)
    first, other = person.node.GetSegmentation().GetSegmentIDs()
    person.editor.setCurrentSegmentID(first)
    drawn, kept = person.mask(first), person.mask(other)
    person.choose_effect()
    assert person.drawn() == [20, 26]
    carried(person)
    person.ui.applyButton.click()
    process_events(0.1)
    after = person.mask(first)
    assert (after[[20, 26]] == drawn[[20, 26]]).all()
    assert after[23].any()
    assert (person.mask(other) == (kept & ~after)).all()
    person.editor.undo()
    process_events(0.1)
    assert (person.mask(first) == drawn).all()
