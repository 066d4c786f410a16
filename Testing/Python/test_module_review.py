"""Review and editing in the module: from the least sure slices to corrections that last."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import (
    NAMES,
    choose_ct,
    finish,
    paint_box,
    segment,
    segment_names,
    segmentation_nodes,
    tiny_models,
    widget,
)
from phantom import a_body
from standin_fixtures import application, module_widget
from test_mrml import a_translation, own_voxels

from SDSegLib.inference.load import load_segmenter
from SDSegLib.mrml.segments import is_edited
from SDSegLib.review.slices import slices_to_review
from SDSegLib.worker.run import State

__all__ = ["application", "module_widget", "tiny_models", "widget"]

SHIFT_MM = 30.0


@pytest.fixture
def reviewed(widget: Any) -> tuple[Any, Any]:
    """A shifted CT that is shown, and its result of three samples."""
    import slicer

    ct = choose_ct(widget)
    ct.SetAndObserveTransformNodeID(a_translation(SHIFT_MM).GetID())
    slicer.util.setSliceViewerLayers(background=ct)
    widget.window.parameters.samples = 3
    run = segment(widget)
    assert run.state is State.DONE, run.error
    return ct, run


def plane(view: str, axis: int) -> float:
    """Where a slice view's plane lies along R, A or S in mm, in the world."""
    import slicer

    node = slicer.mrmlScene.GetNodeByID(f"vtkMRMLSliceNode{view}")
    return node.GetSliceToRAS().GetElement(axis, 3)


def foregrounds() -> list[Any]:
    import slicer

    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return [(node.GetForegroundVolumeID(), node.GetForegroundOpacity()) for node in composites]


def test_a_click_on_a_slice_moves_the_views_there_and_it_is_ticked_off(
    widget: Any, reviewed: tuple[Any, Any]
) -> None:
    import qt

    _, run = reviewed
    table, slices = widget.ui.reviewTable, run.summary.slices
    assert 0 < len(slices) <= 3 * len(NAMES)
    assert table.rowCount == len(slices)
    assert [item.instability for item in slices] == sorted(
        (item.instability for item in slices), reverse=True
    )
    for row in (len(slices) - 1, 0):
        table.setCurrentCell(row, 0)
        right, anterior, superior = slices[row].center_ras
        assert plane("Red", 2) == pytest.approx(superior, abs=1e-3)
        assert plane("Green", 1) == pytest.approx(anterior, abs=1e-3)
        assert plane("Yellow", 0) == pytest.approx(right + SHIFT_MM, abs=1e-3)

    widget.ui.checkedNextButton.click()
    assert table.currentRow() == 1
    assert table.item(0, 0).checkState() == qt.Qt.Checked
    assert widget.ui.reviewCount.text == f"1 of {len(slices)} checked"
    table.item(0, 0).setCheckState(qt.Qt.Unchecked)
    assert widget.ui.reviewCount.text == f"0 of {len(slices)} checked"
    for _ in slices:
        widget.ui.checkedNextButton.click()
    assert widget.ui.reviewCount.text == f"{len(slices)} of {len(slices)} checked"


def test_the_overlay_lies_over_the_ct_and_goes_without_a_trace(
    widget: Any, reviewed: tuple[Any, Any]
) -> None:
    import slicer

    ct, run = reviewed
    overlay = widget.window.parameters.instabilityMap
    assert overlay.GetName() == "ct instability (%)"
    assert overlay.GetParentTransformNode() is ct.GetParentTransformNode()
    values = slicer.util.arrayFromVolume(overlay)
    assert values.dtype == np.uint8
    assert 0 < values.max() <= 100
    assert foregrounds() == [(overlay.GetID(), 0.5)] * 3
    display = run.resultNode.GetDisplayNode()
    assert not display.GetVisibility2DFill()  # outlines, so that colours do not mix
    widget.ui.overlaySlider.setValue(0.8)
    assert foregrounds() == [(overlay.GetID(), 0.8)] * 3
    widget.ui.overlayCheckBox.click()
    assert not widget.window.parameters.showInstability
    assert foregrounds() == [(None, 0.0)] * 3
    assert display.GetVisibility2DFill()
    widget.ui.overlayCheckBox.click()
    assert foregrounds() == [(overlay.GetID(), 0.8)] * 3

    # The result changes: it brings a new map, and the old one goes.
    widget.window.parameters.outputSegmentation = run.resultNode
    segment(widget)
    maps = [
        node
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
        if "instability" in node.GetName()
    ]
    assert maps == [widget.window.parameters.instabilityMap]
    widget.window.parameters.samples = 1
    segment(widget)
    assert widget.window.parameters.instabilityMap is None
    assert foregrounds() == [(None, 0.0)] * 3


def test_edits_survive_the_run_that_measures_the_instability(widget: Any) -> None:
    ct = choose_ct(widget)
    node = segment(widget).resultNode
    assert widget.ui.overlayCheckBox.isHidden()  # a single run gives no map
    assert widget.window.parameters.instabilityMap is None
    paint_box(node, "Larynx", ct)
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName("Larynx")
    larynx = own_voxels(node, segment_id)
    widget.ui.measureButton.click()
    finish(widget)
    assert widget.window.controller.run.state is State.DONE
    assert segmentation_nodes() == [node]
    assert own_voxels(node, segment_id) == larynx
    assert is_edited(node.GetSegmentation().GetSegment(segment_id))
    assert widget.ui.reviewTable.rowCount > 0
    assert not widget.ui.overlayCheckBox.isHidden()
    assert widget.ui.samplesSpinBox.value == 1  # what is chosen for the next run stays
    assert widget.window.parameters.outputSegmentation is None


def test_one_click_gives_the_slices_to_review(widget: Any) -> None:
    """Also of a model whose probabilities are not calibrated, and without a map."""
    choose_ct(widget)
    run = segment(widget)
    ui = widget.ui
    assert run.options.samples == 1
    assert "Look at these slices first" in ui.reviewFacts.text
    rows = [
        (ui.reviewTable.item(row, 0).text(), int(ui.reviewTable.item(row, 1).text()))
        for row in range(ui.reviewTable.rowCount)
    ]
    expected = slices_to_review(load_segmenter(run.options.model, "cpu").segment(a_body()))
    assert rows == [(item.structure.name, item.index + 1) for item in expected]
    assert len(rows) > 2
    ui.checkedNextButton.click()
    ui.checkedNextButton.click()
    assert ui.reviewCount.text == f"1 of {len(rows)} checked"
    assert foregrounds() == [(None, 0.0)] * 3
    assert not ui.measureButton.isHidden()


def test_measuring_again_is_about_the_result_and_not_about_the_next_patient(
    widget: Any, tiny_models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parameters = widget.window.parameters
    parameters.structures = ["Larynx", "Mandible"]
    anna = choose_ct(widget, name="anna")
    node = segment(widget).resultNode
    bert = choose_ct(widget, a_body((12, 40, 48)), name="bert")
    parameters.structures = ["Esophagus"]
    assert "anna → anna segmentation" in widget.ui.resultFacts.text
    widget.ui.measureButton.click()
    finish(widget)
    run = widget.window.controller.run
    assert run.state is State.DONE, run.error
    assert run.volumeNode is anna
    assert run.resultNode is node
    assert parameters.resultVolume is anna
    assert parameters.inputVolume is bert
    assert segment_names(node) == ["Larynx", "Mandible"]
    assert {item.structure for item in run.summary.slices} <= {"Larynx", "Mandible"}

    # Another model adds others to the result; its own are measured.
    parameters.inputVolume, parameters.outputSegmentation = anna, node
    parameters.model, parameters.structures = "two", []
    assert segment(widget).resultNode is node
    widget.ui.measureButton.click()
    finish(widget)
    run = widget.window.controller.run
    assert run.state is State.DONE, run.error
    assert run.summary.model == "two 0.0.1"
    assert [item.name for item in run.summary.structures] == NAMES[:2]

    # The scene is opened on another computer.
    shutil.copytree(tiny_models, tmp_path / "models")
    monkeypatch.setenv("SDSEG_MODELS", str(tmp_path / "models"))
    widget.window._onModelsChanged()
    options = widget.window._settingsToMeasure().options
    assert options.model == str(tmp_path / "models" / "two")


def test_the_editor_is_bound_to_the_result_and_its_ct(
    widget: Any, reviewed: tuple[Any, Any]
) -> None:
    ct, run = reviewed
    window = widget.window
    assert window.editor.editor is None  # nothing heavy before it is needed
    widget.ui.editSection.click()
    assert not widget.ui.editSection.collapsed
    editor = window.editor.editor
    assert editor.segmentationNode() is run.resultNode
    assert editor.sourceVolumeNode() is ct
    row = len(run.summary.slices) - 1
    widget.ui.reviewTable.setCurrentCell(row, 0)
    assert editor.currentSegmentID() == run.summary.slices[row].structure_id
    editor.setCurrentSegmentID("larynx")
    run.resultNode.GetSegmentation().RemoveSegment(run.summary.slices[0].structure_id)
    widget.ui.reviewTable.setCurrentCell(0, 0)
    assert editor.currentSegmentID() == ""  # or another structure would be corrected
    editor.undo()

    # Undo in the editor, as the radiologist does.
    before = own_voxels(run.resultNode, "larynx")
    editor.saveStateForUndo()
    paint_box(run.resultNode, "Larynx", ct)
    assert own_voxels(run.resultNode, "larynx") != before
    editor.undo()
    assert own_voxels(run.resultNode, "larynx") == before

    import slicer

    other = segment(widget).resultNode
    assert editor.segmentationNode() is other
    slicer.mrmlScene.Clear(0)
    assert editor.segmentationNode() is None
    assert widget.ui.editSection.isHidden()
