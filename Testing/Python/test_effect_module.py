"""A predicted structure is corrected on a slice, and the correction carried, in the module."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from effect_parts import SECONDS, preview_nodes
from module_parts import choose_ct, mask_of, paint_box, segment, tiny_models, widget
from phantom import a_body
from standin_fixtures import application, module_widget, process_events, process_until

from SDSegLib.worker.run import State

pytestmark = pytest.mark.slow
__all__ = ["application", "module_widget", "tiny_models", "widget"]


@pytest.fixture
def corrected(widget: Any, application: Any) -> tuple[Any, Any, Any]:
    """The module after Segment, with the editor open on the larynx: CT, node, effect."""
    application.app.startupCompleted.emit()
    ct = choose_ct(widget, a_body((30, 40, 48)))
    run = segment(widget)
    assert run.state is State.DONE, run.error
    widget.ui.editSection.collapsed = False
    process_events(0.05)
    editor = widget.window.editor.editor
    node = run.resultNode
    segmentation = node.GetSegmentation()
    editor.setCurrentSegmentID(segmentation.GetSegmentIdBySegmentName("Larynx"))
    return ct, node, editor


def test_one_click_carries_a_correction_and_the_rest_of_the_prediction_stays(
    widget: Any, corrected: tuple[Any, Any, Any]
) -> None:
    from SDSegPropagateLib.views import shownSlice

    ct, node, editor = corrected
    predicted = mask_of(node, "Larynx", ct)
    mandible = mask_of(node, "Mandible", ct)
    widget.ui.carryButton.click()
    effect = editor.activeEffect().self()
    assert "No slice has been changed since the prediction" in effect.panel.ui.messageText.text
    first = effect.session.unsureSlices  # as the model that made the prediction says
    assert first
    assert effect.session.nextSlice == first[0]
    assert effect.panel.ui.unsureList.count == len(first)
    effect.panel.ui.nextButton.click()
    assert shownSlice(effect.session.target, 0) == first[0]
    paint_box(node, "Larynx", ct)  # slices 2, 3 and 4
    painted = mask_of(node, "Larynx", ct)
    process_events(0.05)
    assert effect.session.target.drawn.numbers == (2, 3, 4)
    assert effect.session.target.drawn.correct
    left = effect.session.unsureSlices
    assert left == tuple(number for number in first if number > 6)
    assert left
    widget.ui.carryButton.click()
    process_until(lambda: effect.session.error or effect.session.result, SECONDS)
    assert effect.session.error == ""
    assert len(preview_nodes()) == 1
    effect.panel.ui.applyButton.click()
    process_events(0.05)
    assert effect.session.unsureSlices == left  # the model's doubt of the others stays
    carried = mask_of(node, "Larynx", ct)
    assert (carried[2:5] == painted[2:5]).all()
    assert (carried != painted).any()
    far = [z for z in range(30) if abs(z - 3) > 12]
    assert (carried[far] == predicted[far]).all()
    # The editor's mode is to overwrite other segments, so they give way, and only there.
    assert (mask_of(node, "Mandible", ct) == (mandible & ~carried)).all()
    assert (mandible & carried).any()
    editor.setCurrentSegmentID(node.GetSegmentation().GetSegmentIdBySegmentName("Mandible"))
    process_events(0.05)
    assert effect.session.target.drawn.numbers == ()  # what was taken was not drawn there
    editor.setCurrentSegmentID(node.GetSegmentation().GetSegmentIdBySegmentName("Larynx"))
    process_events(0.05)
    editor.undo()
    process_events(0.05)
    assert (mask_of(node, "Larynx", ct) == painted).all()
    assert effect.session.target.drawn.numbers == (2, 3, 4)
    # The result of the next run is a new prediction; the carried segment counts as edited.
    editor.redo()
    widget.ui.segmentButton.click()
    process_until(lambda: not widget.window.controller.isBusy, SECONDS)
    assert (mask_of(node, "Larynx", ct) == carried).all()


def test_another_frame_of_a_sequence_is_computed_anew(application: Any, module_widget: Any) -> None:
    import slicer
    from effect_parts import Person, sample_ct

    from SDSegLib.mrml.volumes import volume_to_node

    module_widget("SDSegSlicer")
    application.app.startupCompleted.emit()
    first = sample_ct()
    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLScene(slicer.mrmlScene)
    sequence = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceNode", "4D")
    for value, shift in (("0", 0), ("1", 3)):
        node = volume_to_node(first)
        slicer.util.arrayFromVolume(node)[...] = np.roll(first.array, shift, axis=2)
        sequence.SetDataNodeAtValue(node, value)
        slicer.mrmlScene.RemoveNode(node)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    person = Person(browser.GetProxyNode(sequence))
    person.draw(20)
    person.draw(26)
    person.choose_effect()
    assert "time sequence" in person.ui.messageText.text
    person.ui.betweenButton.click()
    person.wait_for_preview()
    before = person.session.result
    browser.SetSelectedItemNumber(1)
    logic.UpdateProxyNodesFromSequences(browser)
    process_until(lambda: person.session.result is not before, SECONDS)
    assert person.session.error == ""
    person.editor.setActiveEffect(None)


def test_a_script_carries_a_segment_without_an_editor(application: Any, module_widget: Any) -> None:
    from effect_parts import Person, sample_ct

    from SDSegLib.errors import InputError, SDSegError
    from SDSegLib.mrml.volumes import volume_to_node

    logic = module_widget("SDSegSlicer").logic
    application.app.startupCompleted.emit()
    person = Person(volume_to_node(sample_ct()))
    with pytest.raises(InputError, match="Nothing is drawn yet"):
        logic.propagate(person.node, "organ", person.ct)
    with pytest.raises(InputError, match="Unknown carry 'sideways'"):
        logic.propagate(person.node, "organ", person.ct, carry="sideways")
    with pytest.raises(InputError, match='no segment "liver" any more'):
        logic.propagate(person.node, "liver", person.ct)
    for number in (20, 26, 32):
        person.draw(number)
    drawn = person.mask()
    unsure = logic.propagate(person.node, "organ", person.ct, slices=[20, 26], carry="between")
    assert set(unsure) <= set(range(21, 26))
    carried = person.mask()
    assert (carried[[20, 26, 32]] == drawn[[20, 26, 32]]).all()
    assert carried[20:27].any(axis=(1, 2)).all()
    assert not carried[27:32].any()
    with pytest.raises(SDSegError, match="There is no slice 99"):
        logic.propagate(person.node, "organ", person.ct, slices=[99], axis="k")
    assert (person.mask() == carried).all()
    logic.propagate(person.node, "organ", person.ct, slices=[20, 26, 32], carry="between")
    assert person.mask()[27:32].any(axis=(1, 2)).all()


def test_a_script_writes_nothing_over_what_was_drawn_meanwhile(
    application: Any, module_widget: Any
) -> None:
    import qt
    import slicer
    from effect_parts import Person, disc, sample_ct

    from SDSegLib.errors import InputError
    from SDSegLib.mrml.volumes import volume_to_node

    logic = module_widget("SDSegSlicer").logic
    application.app.startupCompleted.emit()
    person = Person(volume_to_node(sample_ct()))
    person.draw(20)
    person.draw(26)
    qt.QTimer.singleShot(0, lambda: person.draw(23, radius=5.0))
    with pytest.raises(InputError, match="was changed meanwhile"):
        logic.propagate(person.node, "organ", person.ct)
    assert (person.mask()[23] == disc(person.shape, 23, radius=5.0)[23]).all()
    assert person.mask().any(axis=(1, 2)).sum() == 3
    qt.QTimer.singleShot(0, lambda: slicer.mrmlScene.RemoveNode(person.node))
    with pytest.raises(InputError, match="was removed meanwhile"):
        logic.propagate(person.node, "organ", person.ct)
