"""Selectors, parameters and editors of the stand-in on real nodes and real scene files."""

# ruff: noqa: F401, F811

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin_fixtures import add_node, application, example, module_widget, process_events


def listed(selector: Any) -> tuple[Any, ...]:
    return tuple(selector.nodeFromIndex(number) for number in range(selector.nodeCount()))


def test_selectors_follow_the_scene(example: Any) -> None:
    import slicer

    selector = example.ui.volumeSelector
    changes: list[Any] = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", changes.append)
    assert selector.currentNode() is None
    first, second = add_node("ScalarVolume", "CT 1"), add_node("ScalarVolume", "CT 2")
    assert listed(selector) == (first, second)
    assert selector.currentNode() is first  # without "None" the first one is chosen
    assert example.ui.segmentationSelector.currentNode() is None
    second.SetName("PET")
    second.SetHideFromEditors(True)
    assert listed(selector) == (first,)
    second.SetHideFromEditors(False)
    selector.setCurrentNode(second)
    assert selector.currentNodeID == second.GetID()
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is first
    label_map = add_node("LabelMapVolume", "Labels")
    assert label_map in listed(selector)
    selector.showChildNodeTypes = False
    assert listed(selector) == (first,)
    selector.addAttribute("vtkMRMLScalarVolumeNode", "Modality", "CT")
    assert listed(selector) == ()
    first.SetAttribute("Modality", "CT")
    first.Modified()
    assert listed(selector) == (first,)
    assert changes == [first, second, first, None, first]
    valid: list[bool] = []
    selector.connect("currentNodeChanged(bool)", valid.append)
    slicer.mrmlScene.RemoveNode(first)
    assert valid == [False]


def test_closing_the_scene_empties_selectors_and_parameters(example: Any) -> None:
    import slicer

    volume = add_node("ScalarVolume", "CT")
    segmentation = add_node("Segmentation", "Organs")
    example.ui.segmentationSelector.setCurrentNode(segmentation)
    assert (example.parameters.volume, example.parameters.segmentation) == (volume, segmentation)
    example.parameters.samples = 8
    slicer.mrmlScene.Clear(False)
    process_events()
    assert listed(example.ui.volumeSelector) == ()
    assert example.ui.segmentationSelector.currentNode() is None
    assert (example.parameters.volume, example.parameters.samples) == (None, 3)
    again = add_node("ScalarVolume", "Next patient")
    assert example.parameters.volume is again
    assert slicer.app.layoutManager().sliceWidget("Red").mrmlSliceNode() is not None


def test_a_selector_creates_renames_and_deletes(application: Any, example: Any) -> None:
    selector = example.ui.segmentationSelector
    selector.renameEnabled = True
    created = selector.addNode()
    assert selector.currentNode() is created
    application.dialogs.expect("New name", "Organs")
    selector.renameCurrentNode()
    assert created.GetName() == "Organs"
    selector.removeCurrentNode()
    assert selector.currentNode() is None


def test_the_subject_hierarchy_has_items(application: Any) -> None:
    import slicer

    volume = add_node("ScalarVolume", "CT")
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(volume)
    assert item
    study = hierarchy.CreateStudyItem(hierarchy.GetSceneItemID(), "Study")
    hierarchy.SetItemParent(item, study)
    assert hierarchy.GetItemParent(item) == study
    slicer.mrmlScene.RemoveNode(volume)
    assert hierarchy.GetNumberOfItems() == 1
    add_node("ScalarVolume", "CT")
    slicer.mrmlScene.Clear(False)
    assert slicer.mrmlScene.GetSubjectHierarchyNode().GetNumberOfItems() == 0


def test_undo_brings_an_emptied_segment_back(application: Any) -> None:
    import slicer

    volume = slicer.util.addVolumeFromArray(np.zeros((5, 6, 7), np.int16))
    node = add_node("Segmentation", "Organs")
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("larynx", "Larynx", (0, 1, 0))
    mask = np.zeros((5, 6, 7), np.uint8)
    mask[1:3, 2:4, 3:5] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "larynx", volume)
    editor = slicer.qMRMLSegmentEditorWidget()
    editor.setMRMLScene(slicer.mrmlScene)
    editor.setMRMLSegmentEditorNode(add_node("SegmentEditor", "Editor"))
    editor.setMaximumNumberOfUndoStates(3)
    editor.setSegmentationNode(node)
    editor.setSourceVolumeNode(volume)
    editor.saveStateForUndo()
    slicer.util.updateSegmentBinaryLabelmapFromArray(0 * mask, node, "larynx", volume)
    assert not slicer.util.arrayFromSegmentBinaryLabelmap(node, "larynx", volume).any()
    editor.undo()
    assert (slicer.util.arrayFromSegmentBinaryLabelmap(node, "larynx", volume) == mask).all()
    button = slicer.qMRMLSegmentationShow3DButton()
    button.setSegmentationNode(node)
    button.click()
    assert node.GetSegmentation().ContainsRepresentation("Closed surface")
    table = slicer.qMRMLSegmentsTableView()
    table.setSegmentationNode(node)
    node.GetSegmentation().AddEmptySegment("cord", "Cord", (1, 0, 0))
    assert table.displayedSegmentIDs() == ("larynx", "cord")


# Parameters


def test_parameters_and_widgets_follow_each_other(example: Any) -> None:
    parameters, ui = example.parameters, example.ui
    assert (ui.samplesSpinBox.value, ui.samplesSpinBox.maximum) == (3, 32)
    ui.samplesSpinBox.value = 7
    ui.smoothCheckBox.click()
    ui.modeComboBox.currentIndex = 0
    ui.thresholdSlider.value = 0.25
    ui.folderEdit.currentPath = "/data/ü"
    assert (parameters.samples, parameters.smooth) == (7, False)
    assert parameters.mode.name == "FAST"
    assert (parameters.threshold, parameters.folder) == (0.25, Path("/data/ü"))
    parameters.samples = 9
    parameters.mode = type(parameters.mode).FULL
    assert (ui.samplesSpinBox.value, ui.modeComboBox.currentText) == (9, "Full")
    parameters.disconnectGui(0)
    ui.samplesSpinBox.value = 2
    assert parameters.samples == 9


def test_parameters_refuse_what_they_are_not(example: Any) -> None:
    parameters = example.parameters
    with pytest.raises(ValueError, match="33"):
        parameters.samples = 33
    with pytest.raises(TypeError):
        parameters.samples = "3"
    with pytest.raises(TypeError):
        parameters.volume = add_node("Segmentation", "Organs")
    with pytest.raises(AttributeError):
        parameters.sample = 3
    with pytest.raises(AttributeError):
        parameters.sample  # noqa: B018
    assert (parameters.samples, parameters.volume) == (3, None)


def test_only_the_pairs_that_slicer_knows_can_be_connected(application: Any, example: Any) -> None:
    import ctk
    import qt

    for name, widget in (
        ("samples", ctk.ctkSliderWidget()),  # for float alone
        ("names", qt.QLineEdit()),
        ("limit", qt.QSpinBox()),
        ("volume", qt.QComboBox()),
        ("mode", ctk.ctkCheckableComboBox()),
    ):
        with pytest.raises(RuntimeError, match="cannot connect"):
            example.parameters.connectParametersToGui({name: widget})
    with pytest.raises(ValueError, match="nothing"):
        example.parameters.connectParametersToGui({"nothing": qt.QSpinBox()})


@pytest.mark.parametrize("suffix", [".mrb", ".mrml"])
def test_parameters_survive_in_a_scene_file(example: Any, tmp_path: Path, suffix: str) -> None:
    import slicer

    segmentation = add_node("Segmentation", "Organs ü")
    parameters = example.parameters
    parameters.segmentation = segmentation
    parameters.samples, parameters.names, parameters.limit = 12, ["a", "b"], 5
    parameters.names.append("c; d, é")
    parameters.mode = type(parameters.mode).FAST
    parameters.folder = Path("/data/x y")
    path = tmp_path / f"scene{suffix}"
    assert slicer.util.saveScene(str(path))
    slicer.mrmlScene.Clear(False)
    process_events()
    assert (example.parameters.samples, list(example.parameters.names)) == (3, [])
    slicer.util.loadScene(str(path))
    process_events()
    parameters = example.parameters
    assert parameters.segmentation.GetName() == "Organs ü"
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    assert hierarchy.GetItemByDataNode(parameters.segmentation)
    assert (parameters.samples, parameters.names) == (12, ["a", "b", "c; d, é"])
    assert (parameters.mode.name, parameters.limit) == ("FAST", 5)
    assert parameters.folder == Path("/data/x y")
    assert example.ui.samplesSpinBox.value == 12


def test_what_3d_slicer_does_not_survive_is_trouble(application: Any) -> None:
    import slicer

    node = add_node("Segmentation", "Organs")
    node.CreateDefaultDisplayNodes()
    slicer.mrmlScene.RemoveNode(node.GetDisplayNode())
    assert "crashes" in application.errors.pop()
    slicer.mrmlScene.RemoveNode(node)
    node.GetSegmentation().AddEmptySegment("a")
    assert "Failed to access subject hierarchy node" in application.errors[0]
    application.errors.clear()
    whole = add_node("Segmentation", "Organs")
    whole.CreateDefaultDisplayNodes()
    slicer.mrmlScene.RemoveNode(whole)


def test_a_deleted_choice_is_replaced_by_the_row_above_as_in_a_combo_box(example: Any) -> None:
    import slicer

    selector = example.ui.volumeSelector
    selector.noneEnabled = True
    first, second = add_node("ScalarVolume", "CT 1"), add_node("ScalarVolume", "CT 2")
    selector.setCurrentNode(second)
    slicer.mrmlScene.RemoveNode(second)
    assert selector.currentNode() is first  # which nobody has chosen
    slicer.mrmlScene.RemoveNode(first)
    assert selector.currentNode() is None
