"""Writing into a segmentation that exists: what stays, what changes, and the way back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import (
    NAMES,
    choose_ct,
    mask_of,
    paint_box,
    segment,
    segment_names,
    segmentation_nodes,
    tiny_models,
    widget,
)
from standin_fixtures import application, module_widget, process_until
from test_mrml import own_voxels

from SDSegLib.mrml.segments import is_edited
from SDSegLib.worker.run import State

__all__ = ["application", "module_widget", "tiny_models", "widget"]


def segment_id(node: Any, name: str) -> str:
    return node.GetSegmentation().GetSegmentIdBySegmentName(name)


def masks(node: Any, ct: Any) -> dict[str, np.ndarray]:
    return {name: mask_of(node, name, ct) for name in segment_names(node)}


def same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> bool:
    return list(one) == list(other) and all((one[name] == other[name]).all() for name in one)


@pytest.fixture
def first(widget: Any) -> tuple[Any, Any]:
    """A CT, and a segmentation of it in which somebody edited the larynx."""
    ct = choose_ct(widget)
    node = segment(widget).resultNode
    paint_box(node, "Larynx", ct)
    widget.window.parameters.outputSegmentation = node
    return ct, node


def test_other_structures_are_updated_the_edited_one_stays_and_undo_brings_all_back(
    widget: Any, first: tuple[Any, Any]
) -> None:
    ct, node = first
    ui, parameters = widget.ui, widget.window.parameters
    assert not ui.outputModeWidget.isHidden()
    assert ui.updateRadioButton.checked
    assert ui.editedFacts.text == "Edited by hand, stays as it is: Larynx"
    before, larynx = masks(node, ct), own_voxels(node, segment_id(node, "Larynx"))

    parameters.structures = ["Brainstem", "Mandible"]
    parameters.samples = 3  # another mean, so that something changes
    run = segment(widget)
    assert run.state is State.DONE, run.error
    assert run.resultNode is node
    assert segmentation_nodes() == [node]
    assert own_voxels(node, segment_id(node, "Larynx")) == larynx
    after = masks(node, ct)
    assert list(after) == NAMES
    untouched = [name for name in NAMES if name not in ("Brainstem", "Mandible")]
    assert all((after[name] == before[name]).all() for name in untouched)
    assert not same(before, after)

    assert ui.undoButton.enabled
    ui.undoButton.click()
    assert same(masks(node, ct), before)
    assert is_edited(node.GetSegmentation().GetSegment(segment_id(node, "Larynx")))


def test_an_edited_structure_that_is_asked_for_stays_unless_the_user_says_so(
    widget: Any, first: tuple[Any, Any]
) -> None:
    _, node = first
    ui, parameters = widget.ui, widget.window.parameters
    larynx = own_voxels(node, segment_id(node, "Larynx"))
    run = segment(widget)
    assert own_voxels(node, segment_id(node, "Larynx")) == larynx
    assert run.summary.kept == ("Larynx",)
    row = NAMES.index("Larynx")
    assert ui.resultTable.item(row, 1).text() == "kept as edited"

    parameters.outputMode = type(parameters.outputMode).REPLACE
    assert ui.replaceRadioButton.checked
    segment(widget)
    assert own_voxels(node, segment_id(node, "Larynx")) == larynx

    ui.overwriteEditedCheckBox.click()
    assert parameters.overwriteEdited
    assert ui.editedFacts.text == "Edited by hand, will be overwritten: Larynx"
    run = segment(widget)
    assert run.summary.kept == ()
    assert own_voxels(node, segment_id(node, "Larynx")) != larynx
    assert not is_edited(node.GetSegmentation().GetSegment(segment_id(node, "Larynx")))
    ui.undoButton.click()
    assert own_voxels(node, segment_id(node, "Larynx"))[0] == larynx[0]


@pytest.mark.parametrize("changed", [False, True])
def test_a_run_that_fails_while_it_writes_leaves_nothing_to_undo(
    widget: Any, first: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch, changed: bool
) -> None:
    """Before its first change, or after it; earlier runs can still be taken back."""
    from SDSegSlicerLib import segmentationRun

    from SDSegLib.errors import OutputError

    ct, node = first
    ui, parameters = widget.ui, widget.window.parameters
    before = masks(node, ct)
    write = segmentationRun.write_result

    def fails(*arguments: Any, **others: Any) -> None:
        if changed:
            write(*arguments, **others)
        raise OutputError("The label map was refused.")

    parameters.samples = 3  # another mean, so that something changes
    for is_first in (True, False):
        monkeypatch.setattr(segmentationRun, "write_result", fails)
        assert segment(widget).state is State.FAILED
        assert "was refused" in widget.window.messages.text
        assert same(masks(node, ct), before)
        if is_first:
            assert not ui.undoButton.enabled
            monkeypatch.setattr(segmentationRun, "write_result", write)
            assert segment(widget).state is State.DONE
            start, before = before, masks(node, ct)
            assert not same(before, start)
            parameters.samples = 2
    assert ui.undoButton.enabled
    ui.undoButton.click()
    assert same(masks(node, ct), start)
    assert not ui.undoButton.enabled


def test_replacing_removes_other_segments_and_undo_brings_them_back(
    widget: Any, first: tuple[Any, Any]
) -> None:
    ct, node = first
    node.GetSegmentation().AddEmptySegment("mine", "Mine")
    before = masks(node, ct)
    widget.ui.replaceRadioButton.click()
    widget.window.parameters.structures = ["Mandible"]
    segment(widget)
    assert set(segment_names(node)) == {"Larynx", "Mandible"}
    widget.ui.undoButton.click()
    after = masks(node, ct)
    assert set(after) == set(before)
    assert all((after[name] == before[name]).all() for name in before)


def test_surfaces_are_made_anew_and_the_node_keeps_its_place(
    widget: Any, first: tuple[Any, Any]
) -> None:
    _, node = first
    button = widget.window.result.show3DButton
    button.click()
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    node.SetName("larynx work")
    segment(widget)
    assert node.GetName() == "larynx work"
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    assert button.enabled
    assert button.checked


def test_updating_within_a_region_leaves_the_rest_of_a_structure(
    widget: Any, first: tuple[Any, Any]
) -> None:
    import slicer

    ct, node = first
    before = masks(node, ct)
    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    bounds = [0.0] * 6
    ct.GetRASBounds(bounds)
    roi.SetCenter(*(sum(bounds[2 * n : 2 * n + 2]) / 2 for n in range(3)))
    roi.SetSize(60, 60, 15)
    widget.window.parameters.region = roi
    assert "% of the volume" in widget.ui.regionFacts.text
    widget.window.parameters.samples = 3
    run = segment(widget)
    assert run.state is State.DONE, run.error
    inside = np.zeros(before["Mandible"].shape, bool)
    inside[run_region(run, ct)] = True
    after = masks(node, ct)
    assert all((after[name] == before[name])[~inside].all() for name in NAMES)
    assert any((after[name] != before[name])[inside].any() for name in NAMES)
    assert "Only the region was segmented." in widget.ui.resultFacts.text


def run_region(run: Any, ct: Any) -> tuple[slice, slice, slice]:
    import slicer

    from SDSegLib.mrml.volumes import region_from_roi

    roi = slicer.mrmlScene.GetFirstNodeByName("box")
    return region_from_roi(roi, ct).slices()


def test_what_cannot_be_written_into_is_refused_before_the_run_and_nothing_changes(
    widget: Any, first: tuple[Any, Any]
) -> None:
    from test_mrml import a_translation

    ct, node = first
    before, last = masks(node, ct), widget.window.controller.run
    ct.SetAndObserveTransformNodeID(a_translation(20).GetID())
    assert segment(widget) is last
    assert "put both under the same transform" in widget.window.messages.text
    ct.SetAndObserveTransformNodeID(None)
    assert same(masks(node, ct), before)
    node.CreateClosedSurfaceRepresentation()
    node.GetSegmentation().SetSourceRepresentationName("Closed surface")
    assert segment(widget) is last
    assert "stores its segments as Closed surface" in widget.window.messages.text
    node.GetSegmentation().CreateRepresentation("Binary labelmap")
    node.SetSourceRepresentationToBinaryLabelmap()
    assert segment(widget).state is State.DONE


def test_choices_survive_saving_closing_and_loading_the_scene(
    widget: Any, first: tuple[Any, Any], tmp_path: Path, module_widget: Callable[[str], Any]
) -> None:
    import slicer

    ui, parameters = widget.ui, widget.window.parameters
    parameters.structures = ["Larynx"]
    parameters.samples = 2
    parameters.outputMode = type(parameters.outputMode).REPLACE
    parameters.device = type(parameters.device).CPU
    segment(widget)
    summary = parameters.summary
    path = str(tmp_path / "Ödem scene.mrb")
    slicer.util.saveScene(path)

    slicer.mrmlScene.Clear(0)
    parameters = widget.window.parameters
    assert parameters.resultSegmentation is None
    assert parameters.samples == 1
    assert ui.resultSection.isHidden()
    assert ui.outputModeWidget.isHidden()

    slicer.util.loadScene(path)
    parameters = widget.window.parameters
    assert parameters.model == "tiny"
    assert list(parameters.structures) == ["Larynx"]
    assert parameters.samples == 2
    assert parameters.device.value == "cpu"
    assert ui.deviceComboBox.currentText == "Processor (CPU)"
    assert ui.replaceRadioButton.checked
    assert ui.inputSelector.currentNode().GetName() == "ct"
    assert ui.outputSelector.currentNode() is parameters.resultSegmentation
    assert parameters.summary == summary
    assert ui.resultTable.rowCount == 1
    assert parameters.instabilityMap.GetName() == "ct instability (%)"
    assert segment(widget).state is State.DONE

    ui.editSection.collapsed = False
    old = widget.window.editor.editor
    slicer.util.reloadScriptedModule("SDSegSlicer")
    fresh = slicer.util.getModuleWidget("SDSegSlicer")
    fresh.ui.editSection.collapsed = False
    fresh.ui.carryButton.click()
    assert fresh.window.editor.editor.activeEffect() is not None
    assert old.activeEffect() is None  # the hidden one would paint as well
    assert list(fresh.window.parameters.structures) == ["Larynx"]
    assert fresh.ui.samplesSpinBox.value == 2
    assert fresh.ui.resultTable.rowCount == 1


def test_another_patients_ct_does_not_go_into_this_ones_segmentation(widget: Any) -> None:
    ui, parameters = widget.ui, widget.window.parameters
    anna = choose_ct(widget, name="anna")
    node = segment(widget).resultNode
    parameters.outputSegmentation = node
    assert ui.segmentButton.enabled
    assert ui.foreignOutputCheckBox.isHidden()

    bert = choose_ct(widget, name="bert")
    assert parameters.outputSegmentation is None
    parameters.outputSegmentation = node
    assert not ui.segmentButton.enabled
    assert 'belongs to the volume "anna"' in ui.statusLabel.text
    ui.foreignOutputCheckBox.click()
    assert ui.segmentButton.enabled
    parameters.inputVolume = anna
    assert parameters.outputSegmentation is node
    assert not parameters.foreignOutput  # the word was given for another pair
    parameters.inputVolume = bert
    assert parameters.outputSegmentation is None


def test_the_table_keeps_what_earlier_runs_found(widget: Any) -> None:
    parameters = widget.window.parameters
    choose_ct(widget)
    parameters.outputSegmentation = segment(widget).resultNode
    parameters.structures = ["Larynx"]
    segment(widget)
    assert widget.ui.resultTable.rowCount == len(NAMES)
    parameters.outputSegmentation = None
    segment(widget)
    assert widget.ui.resultTable.rowCount == 1


def test_an_error_that_nobody_expected_leaves_the_window_ready(
    widget: Any, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegSlicerLib import segmentationRun

    def refuse(*_: Any, **__: Any) -> None:
        raise RuntimeError("VTK said no")

    choose_ct(widget)
    with monkeypatch.context() as patch:
        patch.setattr(segmentationRun, "write_result", refuse)
        assert segment(widget).state is State.FAILED
    assert "VTK said no" in application.errors.pop()
    assert "could not be written" in widget.window.messages.text
    assert widget.ui.segmentButton.text == "&Segment"
    assert widget.ui.settingsWidget.enabled
    assert segment(widget).state is State.DONE
    assert len(segmentation_nodes()) == 1


def test_a_map_of_instability_is_no_ct(widget: Any) -> None:
    parameters = widget.window.parameters
    parameters.samples = 2
    choose_ct(widget, name="anna")
    segment(widget)
    first = parameters.instabilityMap
    choose_ct(widget, name="bert")
    segment(widget)
    assert first.GetScene() is not None  # anna's stays with anna
    parameters.inputVolume = first
    process_until(lambda: not widget.window.input.isChecking)
    assert not widget.ui.segmentButton.enabled
    assert "map of instability" in widget.ui.statusLabel.text
