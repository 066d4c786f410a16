"""Modules, files and views in the stand-in, and what the library sees of it."""

# ruff: noqa: F401, F811

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin_fixtures import (
    EXAMPLE,
    StallMeter,
    add_node,
    application,
    example,
    module_widget,
    process_events,
)


def test_a_module_is_entered_left_reloaded_and_cleaned_up(application: Any, example: Any) -> None:
    import slicer

    assert slicer.modules.example.path == str(EXAMPLE)
    assert slicer.util.modulePath("Example") == str(EXAMPLE)
    assert slicer.modules.ExampleWidget is example
    assert slicer.util.selectedModule() == "Example"
    assert example.calls == ["enter"]
    slicer.util.reloadScriptedModule("Example")
    process_events()
    new = slicer.util.getModuleWidget("Example")
    assert example.calls == ["enter", "cleanup"]
    assert new is not example
    assert new.ui.applyButton.visible
    slicer.selfTests["Example"](msec=0)
    application.app.moduleManager()._unload("Example")
    assert new.calls == ["cleanup"]  # a reload in 3D Slicer does not call `enter`
    with pytest.raises(AttributeError):
        slicer.modules.example  # noqa: B018


def test_developer_mode_adds_reload_and_test(application: Any, module_widget: Any) -> None:
    from slicer_standin.scripted_module import developer_mode

    developer_mode(True)
    widget = module_widget("Example", EXAMPLE)
    widget.reloadButton.click()
    process_events()
    assert widget.calls[-1] == "cleanup"


def test_files_are_read_and_written(application: Any, tmp_path: Path) -> None:
    import slicer

    array = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    volume = slicer.util.addVolumeFromArray(array, name="CT")
    path = str(tmp_path / "ct ü.nrrd")
    assert slicer.util.saveNode(volume, path)
    loaded = slicer.util.loadVolume(path)
    assert (slicer.util.arrayFromVolume(loaded) == array).all()
    composite = slicer.app.layoutManager().sliceWidget("Red").mrmlSliceCompositeNode()
    assert composite.GetBackgroundVolumeID() == loaded.GetID()
    slicer.util.setSliceViewerLayers(background=volume, foreground=loaded, foregroundOpacity=0.5)
    assert composite.GetForegroundVolumeID() == loaded.GetID()
    with pytest.raises(RuntimeError):
        slicer.util.loadVolume(str(tmp_path / "missing.nrrd"))


def test_slices_show_volume_and_segments(application: Any) -> None:
    import slicer
    from slicer_standin.slice_picture import slice_picture

    volume = slicer.util.addVolumeFromArray(np.full((30, 40, 50), 1000, np.int16))
    volume.CreateDefaultDisplayNodes()
    volume.GetDisplayNode().SetAutoWindowLevel(False)
    volume.GetDisplayNode().SetWindowLevelMinMax(0, 2000)
    node = add_node("Segmentation", "Organs")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.GetSegmentation().AddEmptySegment("a", "A", (1, 0, 0))
    mask = np.zeros((30, 40, 50), np.uint8)
    mask[15] = 1
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, "a", volume)
    slicer.util.setSliceViewerLayers(background=volume, fit=True)
    red = slicer.app.layoutManager().sliceWidget("Red")
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 25, 20, 15)
    colors = {
        tuple(color)
        for color in slice_picture(slicer.mrmlScene, red.sliceLogic())[::9, ::9].reshape(-1, 3)
    }
    assert colors == {(0, 0, 0), (191, 63, 63)} or colors == {(0, 0, 0), (191, 64, 64)}
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 25, 20, 10)
    picture_of_ct = slice_picture(slicer.mrmlScene, red.sliceLogic())
    assert set(np.unique(picture_of_ct)) in ({0, 127}, {0, 128})


def test_the_library_takes_the_stand_in_for_slicer(application: Any) -> None:
    import slicer

    from SDSegLib.mrml.session import open_session

    volume = add_node("ScalarVolume", "CT")
    with open_session() as session:
        assert session.in_application
        assert session.scene is slicer.mrmlScene
    assert slicer.mrmlScene.GetNodeByID(volume.GetID()) is volume
    assert slicer.modules.segmentations.logic().IsA("vtkSlicerSegmentationsModuleLogic")


def test_the_meter_sees_a_stall(application: Any) -> None:
    import time

    import qt

    with StallMeter() as meter:
        process_events(0.05)
        calm = meter.longest_ms
        qt.QTimer.singleShot(0, lambda: time.sleep(0.15))
        process_events(0.05)
    assert calm < meter.longest_ms
    assert meter.longest_ms > 140
    assert meter.ticks > 2
