"""Scripted effects in the stand-in: made, called and written as in 3D Slicer."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from standin_fixtures import add_node, application

__all__ = ["application"]

FOLDER = Path(__file__).parent / "slicer_standin" / "example"


@pytest.fixture
def calls(application: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The list of calls of an effect that is registered, but not imported before this test."""
    monkeypatch.syspath_prepend(str(FOLDER))
    import slicer

    source = (FOLDER / "NotedLib" / "NotedEffect.py").as_posix()
    for name in [name for name in sys.modules if name.partition(".")[0] == "NotedLib"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(RuntimeError, match="import NotedLib first"):
        slicer.qSlicerSegmentEditorScriptedEffect(None).setPythonSource(source)
    import NotedLib
    from NotedLib.NotedEffect import newEffect

    newEffect().self().register()
    with pytest.raises(RuntimeError, match="registered already"):
        newEffect().self().register()
    return NotedLib.CALLS


@pytest.fixture
def editor(application: Any) -> Any:
    """An editor with a volume and a segmentation, made before any effect is registered."""
    import slicer
    import vtk

    volume, node = add_node("ScalarVolume", "CT"), add_node("Segmentation", "Organs")
    image = vtk.vtkImageData()
    image.SetDimensions(8, 7, 6)
    image.AllocateScalars(vtk.VTK_SHORT, 1)
    volume.SetAndObserveImageData(image)
    slicer.util.arrayFromVolume(volume)[...] = 0
    node.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    node.CreateDefaultDisplayNodes()
    for name in ("a", "b"):
        node.GetSegmentation().AddEmptySegment(name, name)
    made = slicer.qMRMLSegmentEditorWidget()
    made.setMRMLScene(slicer.mrmlScene)
    made.setMRMLSegmentEditorNode(add_node("SegmentEditor", "settings"))
    made.setSegmentationNode(node)
    made.setSourceVolumeNode(volume)
    made.setCurrentSegmentID("a")
    return made


def test_an_effect_is_copied_into_editors_and_told_what_follows(
    editor: Any, calls: list[Any]
) -> None:
    assert "Noted" not in editor.availableEffectNames()
    editor.updateEffectList()
    assert "Noted" in editor.availableEffectNames()
    editor.setActiveEffectByName("Noted")
    assert calls[-2:] == [3, "activate"]
    effect = editor.activeEffect()
    effect.setParameter("Size", 5)
    assert calls[-1] == 5
    editor.setActiveEffectByName("Paint")
    assert calls[-1] == "deactivate for 'Paint'"
    assert editor.activeEffect() is None
    editor.setActiveEffectByName("Noted")
    editor.setSegmentationNode(None)  # it is deactivated first
    assert calls[-1] == "deactivate for ''"


def test_writing_respects_other_segments_masks_and_undo(editor: Any, calls: list[Any]) -> None:
    import slicer

    from SDSegLib.mrml.edit_grid import edit_grid, mask_image, segment_on_grid, write_segment
    from SDSegLib.propagation.mask_part import MaskPart

    editor.updateEffectList()
    editor.setActiveEffectByName("Noted")
    effect, node = editor.activeEffect(), editor.segmentationNode()
    grid = edit_grid(node, editor.sourceVolumeNode())
    mode = slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeSet

    def image(*slices: int) -> Any:
        mask = np.zeros((6, 7, 8), bool)
        mask[list(slices), 2:5, 2:6] = True
        return mask_image(MaskPart.of(mask), grid)

    def used(key: str) -> tuple[int, ...]:
        return segment_on_grid(node, key, grid).used()

    settings = editor.mrmlSegmentEditorNode()
    write_segment(node, "b", image(1, 2))
    settings.SetOverwriteMode(settings.OverwriteNone)
    effect.saveStateForUndo()
    effect.modifySelectedSegmentByLabelmap(image(2, 3), mode)
    assert (used("a"), used("b")) == ((2, 3), (1, 2))
    settings.SetOverwriteMode(settings.OverwriteAllSegments)
    effect.saveStateForUndo()
    effect.modifySelectedSegmentByLabelmap(image(2, 4), mode)
    assert (used("a"), used("b")) == ((2, 4), (1,))
    editor.undo()
    assert (used("a"), used("b")) == ((2, 3), (1, 2))
    settings.SetMaskSegmentID("b")
    settings.SetMaskMode(node.EditAllowedInsideSingleSegment)
    settings.SetMaskSegmentID("b")
    settings.SetOverwriteMode(settings.OverwriteNone)
    effect.modifySelectedSegmentByLabelmap(image(1, 5), mode)
    assert used("b") == (1, 2)
    assert 1 in used("a")
    assert 5 not in used("a")
