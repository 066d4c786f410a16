"""Choosing a CT, an output and a region: what is suggested, shown, hidden, deleted and asked."""

from __future__ import annotations

import gc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import (
    add_ct,
    choose_ct,
    mask_of,
    segment,
    segmentation_nodes,
    tiny_models,
    widget,
)
from standin_fixtures import application, module_widget, process_events, process_until

from SDSegLib.reading.files import read_volume
from SDSegLib.worker.run import State

__all__ = ["application", "module_widget", "tiny_models", "widget"]


def show(node: Any) -> None:
    """What 3D Slicer does when a volume has been loaded."""
    import slicer

    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetActiveVolumeID(node.GetID())
    slicer.app.applicationLogic().PropagateVolumeSelection()


def is_shown(node: Any) -> bool:
    return bool(node.GetDisplayNode().GetVisibility())


# The CT


def test_a_ct_that_is_loaded_while_the_module_is_open_is_suggested(widget: Any) -> None:
    ui, parameters = widget.ui, widget.window.parameters
    first = add_ct(name="first")
    show(first)
    process_until(lambda: parameters.inputVolume is first)
    assert ui.shownWidget.isHidden()

    second = add_ct(name="second")
    show(second)
    process_until(lambda: not ui.shownWidget.isHidden())
    assert parameters.inputVolume is first  # the user's choice is never changed
    assert ui.shownText.text == 'The views show "second".'
    ui.useShownButton.click()
    assert parameters.inputVolume is second
    process_until(lambda: ui.shownWidget.isHidden())

    widget.exit()
    show(first)
    process_events(0.1)
    assert ui.shownWidget.isHidden()
    widget.enter()
    assert not ui.shownWidget.isHidden()


def test_no_ct_is_chosen_again_after_the_user_chose_none(widget: Any) -> None:
    ct = add_ct()
    show(ct)
    process_until(lambda: widget.window.parameters.inputVolume is ct)
    widget.ui.inputSelector.setCurrentNode(None)
    process_events(0.1)
    assert widget.window.parameters.inputVolume is None


def test_a_ct_is_shown_in_the_soft_tissue_window_unless_somebody_chose_another(
    widget: Any,
) -> None:
    ct = add_ct()
    ct.GetDisplayNode().AutoWindowLevelOn()
    widget.window.parameters.inputVolume = ct
    process_until(lambda: not widget.ui.windowComboBox.isHidden())
    display = ct.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (400, 40)
    assert widget.ui.windowComboBox.currentText == "Soft tissue (W 400, L 40)"

    choose(widget.ui.windowComboBox, "Lung")
    assert (display.GetWindow(), display.GetLevel()) == (1500, -600)
    choose(widget.ui.windowComboBox, "As in")
    assert display.GetAutoWindowLevel()
    widget.window.update()
    assert display.GetAutoWindowLevel()

    other = add_ct(name="from DICOM, with a window of its own")
    other.GetDisplayNode().AutoWindowLevelOff()
    other.GetDisplayNode().SetWindowLevel(1234, 56)
    widget.window.parameters.inputVolume = other
    process_until(lambda: not widget.window.input.isChecking)
    process_events(0.1)
    assert other.GetDisplayNode().GetWindow() == 1234
    assert widget.ui.windowComboBox.currentText == "As in the module Volumes"


def choose(box: Any, beginning: str) -> None:
    """The user chooses an item of a combo box."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    texts = [box.itemText(number) for number in range(box.count)]
    row = next(number for number, text in enumerate(texts) if text.startswith(beginning))
    box.setFocus()
    while box.currentIndex != row:
        QTest.keyClick(box, Qt.Key.Key_Down if box.currentIndex < row else Qt.Key.Key_Up)


def like_mr(volume: Any) -> Any:
    """Values of a T1-weighted image: soft tissue bright, bone and air dark, nothing below 0."""
    array = volume.array.astype(np.float32)
    tissue = np.interp(array, [-1000, -150, 0, 60, 300, 1500], [5, 700, 320, 420, 90, 20])
    return replace(volume, array=tissue.astype(np.int16), modality=None)


@pytest.mark.parametrize("kind", ["MR-like", "HU + 1024", "MR-like in unsigned values"])
def test_what_is_no_ct_in_hu_is_segmented_only_after_the_users_word(
    widget: Any, shared_data: Path, kind: str
) -> None:
    """The real model and a real CT of the neck, and the two inputs made from it."""
    case = sorted((shared_data / "head_neck_oar" / "train").glob("pt_*/ct.nii.gz"))[0]
    ct = replace(read_volume(case), modality=None)
    volume = like_mr(ct) if "MR" in kind else replace(ct, array=ct.array + np.int16(1024))
    if "unsigned" in kind:
        volume = replace(volume, array=volume.array.astype(np.uint16))
    widget.window.parameters.model = ""
    node = add_ct(volume, kind)
    widget.window.parameters.inputVolume = node
    widget.ui.segmentButton.click()  # at once, before the check is done
    process_until(lambda: not widget.window.input.isChecking, 30)
    process_events(0.1)
    assert not widget.window.controller.isBusy
    assert not widget.ui.segmentButton.enabled
    assert not widget.ui.segmentAnywayCheckBox.isHidden()
    assert "tick the box" in widget.ui.statusLabel.text
    assert not segmentation_nodes()
    assert widget.ui.windowComboBox.isHidden()  # no windows of a CT for what may be none
    widget.ui.segmentAnywayCheckBox.click()
    assert widget.ui.segmentButton.enabled


# Results of another CT or an earlier run


def test_one_result_is_shown_at_a_time_and_one_click_brings_the_others_back(widget: Any) -> None:
    import slicer

    ui, parameters = widget.ui, widget.window.parameters
    anna = choose_ct(widget, name="anna")
    first = segment(widget).resultNode
    assert is_shown(first)
    assert ui.hiddenFrame.isHidden()

    bert = choose_ct(widget, name="bert")
    freed = freed_voxels(bert)
    assert not is_shown(first)  # Anna's organs do not lie over Bert
    assert "anna segmentation" in ui.hiddenText.text
    second = segment(widget).resultNode
    third = segment(widget).resultNode
    assert third is not second
    assert [is_shown(node) for node in (first, second, third)] == [False, False, True]
    assert "bert segmentation" in ui.hiddenText.text

    ui.showHiddenButton.click()
    assert all(map(is_shown, (first, second, third)))
    assert ui.hiddenFrame.isHidden()
    widget.window.update()  # and it stays so
    assert all(map(is_shown, (first, second, third)))

    parameters.inputVolume = anna
    assert [is_shown(node) for node in (first, second, third)] == [True, False, False]
    parameters.inputVolume = bert
    assert [is_shown(node) for node in (first, second, third)] == [False, False, True]
    slicer.mrmlScene.RemoveNode(third)  # the one before is the last one again
    assert [is_shown(node) for node in (first, second)] == [False, True]

    del bert
    slicer.mrmlScene.Clear(0)
    process_events(0.1)
    gc.collect()
    assert freed  # neither the last run nor the check of the CT keeps its memory


def test_segmentations_of_the_user_are_never_hidden(widget: Any) -> None:
    import slicer

    own = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "drawn by hand")
    own.CreateDefaultDisplayNodes()
    choose_ct(widget, name="anna")
    segment(widget)
    choose_ct(widget, name="bert")
    segment(widget)
    assert is_shown(own)
    assert "drawn by hand" not in widget.ui.hiddenText.text


def test_the_map_of_another_ct_goes_and_a_loaded_scene_is_shown_as_it_was_saved(
    widget: Any, tmp_path: Path
) -> None:
    import slicer

    parameters = widget.window.parameters
    parameters.samples = 2
    choose_ct(widget, name="anna")
    first = segment(widget).resultNode
    assert parameters.showInstability
    choose_ct(widget, name="bert")
    assert not parameters.showInstability
    widget.ui.showHiddenButton.click()
    path = str(tmp_path / "scene.mrb")
    slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(path)
    process_events(0.1)
    (node,) = segmentation_nodes()
    assert node is not first
    assert is_shown(node)


def freed_voxels(node: Any) -> list[str]:
    """A list that is filled when a volume node's voxels are freed."""
    freed: list[str] = []
    voxels = node.GetImageData().GetPointData().GetScalars()
    voxels.AddObserver("DeleteEvent", lambda caller, event: freed.append(event))
    return freed


# Deleted choices


def test_a_deleted_ct_leaves_the_choice_empty_and_says_so(widget: Any) -> None:
    import slicer

    parameters = widget.window.parameters
    parameters.samples = 2
    anna = choose_ct(widget, name="anna")
    segment(widget)  # makes a map of instability, which is a volume too
    bert = choose_ct(widget, name="bert")
    assert parameters.instabilityMap is not None
    slicer.mrmlScene.RemoveNode(bert)
    process_events(0.1)
    assert parameters.inputVolume is None
    assert widget.ui.inputSelector.currentNode() is None
    assert widget.window.messages.text == 'The chosen CT "bert" was deleted; choose another one.'
    assert not widget.ui.segmentButton.enabled
    parameters.inputVolume = anna
    process_until(lambda: widget.ui.segmentButton.enabled)


def test_a_deleted_output_or_region_is_not_replaced_by_another(widget: Any) -> None:
    import slicer

    parameters, ui = widget.window.parameters, widget.ui
    choose_ct(widget)
    foreign = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "somebody's")
    mine = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    parameters.outputSegmentation = mine
    slicer.mrmlScene.RemoveNode(mine)
    process_events(0.1)
    assert parameters.outputSegmentation is None
    assert ui.outputSelector.currentNode() is None
    assert "goes into a new segmentation" in widget.window.messages.text
    assert foreign.GetSegmentation().GetNumberOfSegments() == 0

    small = ui.regionSelector.addNode("vtkMRMLMarkupsROINode")
    other = ui.regionSelector.addNode("vtkMRMLMarkupsROINode")
    assert parameters.region is other
    slicer.mrmlScene.RemoveNode(other)
    process_events(0.1)
    assert parameters.region is None
    assert small.GetScene() is not None
    assert "the whole volume is segmented" in widget.window.messages.text
    assert segment(widget).state is State.DONE


def test_deleting_something_else_changes_no_choice(widget: Any) -> None:
    import slicer

    ct = choose_ct(widget, name="anna")
    slicer.mrmlScene.RemoveNode(add_ct(name="bert"))
    process_events(0.1)
    assert widget.window.parameters.inputVolume is ct
    assert not widget.window.messages.text


# The region


def a_turned_box(ct: Any, degrees: float, size: tuple[float, float, float]) -> Any:
    """A box in the middle of a CT, turned about the body's long axis."""
    import slicer
    import vtk

    bounds = [0.0] * 6
    ct.GetRASBounds(bounds)
    turn = vtk.vtkTransform()
    turn.Translate(*((low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)))
    turn.RotateZ(degrees)
    box = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    box.SetAndObserveObjectToNodeMatrix(turn.GetMatrix())
    box.SetSize(*size)
    return box


def voxels_in(box: Any, ct: Any) -> np.ndarray:
    """Voxels whose centres are in a box, one after another by MRML's own transforms."""
    import vtk

    to_object = vtk.vtkMatrix4x4()
    to_object.DeepCopy(box.GetObjectToNodeMatrix())
    to_object.Invert()
    to_ras = vtk.vtkMatrix4x4()
    ct.GetIJKToRASMatrix(to_ras)
    k, j, i = ct.GetImageData().GetDimensions()[::-1]
    found = np.zeros((k, j, i), bool)
    half = np.array(box.GetSize()) / 2
    for index in np.ndindex(k, j, i):
        point = to_object.MultiplyPoint(to_ras.MultiplyPoint([*index[::-1], 1.0]))
        found[index] = bool((np.abs(point[:3]) <= half).all())
    return found


def test_a_turned_region_is_respected_and_the_rest_of_the_structures_stays(widget: Any) -> None:
    parameters = widget.window.parameters
    ct = choose_ct(widget)
    whole = segment(widget).resultNode
    names = [item.name for item in widget.window.controller.run.summary.structures]
    before = {name: mask_of(whole, name, ct) for name in names}
    box = a_turned_box(ct, 40.0, (70.0, 30.0, 15.0))
    inside = voxels_in(box, ct)
    parameters.region = box
    process_until(lambda: "turned box" in widget.ui.regionFacts.text)
    percent = round(100 * inside.mean())
    assert f"{percent} %" in widget.ui.regionFacts.text

    run = segment(widget)
    assert run.state is State.DONE, run.error
    union = np.logical_or.reduce([mask_of(run.resultNode, name, ct) for name in names])
    assert union.any()
    assert not (union & ~inside).any()
    assert union[inside].sum() == np.logical_or.reduce(list(before.values()))[inside].sum()
    volume = sum(item.milliliters for item in run.summary.structures)
    assert volume == pytest.approx(union.sum() * np.prod(ct.GetSpacing()) / 1000, rel=0.01)

    parameters.outputSegmentation = whole
    parameters.samples = 3  # another mean, so that something changes
    segment(widget)
    after = {name: mask_of(whole, name, ct) for name in names}
    assert all((after[name] == before[name])[~inside].all() for name in names)
    assert any((after[name] != before[name])[inside].any() for name in names)
    percents = slicer_array(widget.window.parameters.instabilityMap)
    assert percents[inside].any()
    assert not percents[~inside].any()


def slicer_array(node: Any) -> np.ndarray:
    import slicer

    return slicer.util.arrayFromVolume(node)


# The output


def test_update_never_takes_the_output_out_of_its_transform_unsaid(widget: Any) -> None:
    import slicer
    from test_mrml import a_translation

    parameters = widget.window.parameters
    ct = choose_ct(widget)
    first = segment(widget)
    node = first.resultNode
    shift = a_translation(20)
    node.SetAndObserveTransformNodeID(shift.GetID())
    parameters.outputSegmentation = node
    assert segment(widget) is first  # refused before a run began
    assert "put both under the same transform" in widget.window.messages.text
    assert node.GetParentTransformNode() is shift

    widget.ui.replaceRadioButton.click()
    run = segment(widget)
    assert run.state is State.DONE
    assert node.GetParentTransformNode() is None
    assert 'was under the transform "shift" and is under no transform now' in (
        widget.ui.resultFacts.text
    )
    assert ct.GetParentTransformNode() is None
    slicer.mrmlScene.RemoveNode(shift)


def test_undo_ends_after_its_last_state_and_does_not_claim_more(widget: Any) -> None:
    ui, parameters = widget.ui, widget.window.parameters
    ct = choose_ct(widget)
    node = segment(widget).resultNode
    assert not ui.undoButton.enabled
    parameters.outputSegmentation = node
    states = [mask_of(node, "Mandible", ct)]
    for samples in (2, 3):
        parameters.samples = samples
        segment(widget)
        states.append(mask_of(node, "Mandible", ct))
    for number in (1, 0):
        assert ui.undoButton.enabled
        ui.undoButton.click()
        assert "was taken back" in widget.window.messages.text
        assert (mask_of(node, "Mandible", ct) == states[number]).all()
    assert not ui.undoButton.enabled


# Tab


def test_tab_reaches_ct_region_and_output(widget: Any, application: Any) -> None:
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest
    from PySide6.QtWidgets import QApplication

    ct = choose_ct(widget)
    other = add_ct(name="another")
    process_events(0.1)
    ui, reached = widget.ui, []
    application.mainWindow.activateWindow()
    ui.inputSection.setFocus()
    for _ in range(40):
        QTest.keyClick(application.mainWindow, Qt.Key.Key_Tab)
        focused = QApplication.focusWidget()
        owner = focused if focused.objectName else focused.parentWidget()
        reached.append(owner.objectName)
        if owner.objectName == "inputSelector":
            QTest.keyClick(focused, Qt.Key.Key_Down)
    wanted = ["inputSelector", "modelComboBox", "regionSelector", "outputSelector", "segmentButton"]
    places = [reached.index(name) for name in wanted]
    assert places == sorted(places), reached
    assert widget.window.parameters.inputVolume is other is not ct
