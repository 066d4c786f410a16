"""The effect on unusual segments, volumes and geometries, and when something is missing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from effect_parts import Person, disc, person, preview_nodes, sample_ct
from segmentation_maker import DIRECTIONS
from standin_fixtures import application, module_widget, process_events, process_until
from test_mrml import a_translation, mask_on_grid

from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

pytestmark = pytest.mark.slow
__all__ = ["application", "module_widget", "person"]


def oblique_ct() -> Volume:
    ct = sample_ct()
    geometry = ct.geometry
    return replace(
        ct,
        geometry=Geometry(
            geometry.shape, geometry.spacing, geometry.origin, DIRECTIONS["left-handed"]
        ),
    )


def message(person: Person) -> str:
    process_events(0.05)
    return person.ui.messageText.text if not person.ui.messageFrame.isHidden() else ""


def wait_for_message(person: Person, part: str) -> None:
    """What is drawn, and on what, is read when it has not changed for a moment."""
    process_until(lambda: part in message(person))


def carry_between(person: Person) -> np.ndarray:
    """Draw two slices, carry them with the effect, and return what was drawn."""
    person.draw(20)
    person.draw(26)
    drawn = person.mask()
    person.choose_effect()
    assert person.drawn() == [20, 26], message(person)
    person.ui.betweenButton.click()
    person.wait_for_preview()
    assert person.session.error == ""
    person.ui.applyButton.click()
    process_events(0.05)
    after = person.mask()
    assert (after[[20, 26]] == drawn[[20, 26]]).all()
    assert after[20:27].any(axis=(1, 2)).all()
    assert not after[:20].any()
    assert not after[27:].any()
    return drawn


def test_what_is_missing_is_named_and_nothing_can_be_clicked(person: Person) -> None:
    import slicer

    person.choose_effect()
    assert "Nothing is drawn yet" in message(person)
    buttons = [person.ui.allButton, person.ui.applyButton, person.ui.cancelButton]
    assert not any(button.enabled for button in buttons)
    assert not person.ui.nextButton.enabled
    person.session.carryOrApply()  # the key C
    assert "Nothing is drawn yet" in message(person)
    assert preview_nodes() == []
    person.editor.setSourceVolumeNode(None)
    assert message(person) == "Choose the CT as source volume first."
    person.editor.setSourceVolumeNode(person.ct)
    person.editor.setCurrentSegmentID("")
    assert message(person) == "Select a segment first, or add one."
    person.editor.setCurrentSegmentID("organ")
    person.draw(20)
    assert message(person) == ""
    assert person.ui.allButton.enabled
    person.editor.setSegmentationNode(None)
    process_events(0.05)
    assert person.editor.activeEffect() is None
    person.editor.setSourceVolumeNode(None)
    slicer.mrmlScene.RemoveNode(person.node)
    slicer.mrmlScene.RemoveNode(person.ct)
    person.effect.cleanup()  # as when the editor is deleted
    person.editor.effectByName("SDSeg Propagate").self().updateGUIFromMRML()


def test_without_packages_the_way_to_install_them_is_shown(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegPropagateLib import session as session_module
    from SDSegSlicerLib.requirements import TORCH

    monkeypatch.setattr(session_module, "missingPackages", lambda: [TORCH])
    person.draw(20)
    person.choose_effect()
    person.ui.allButton.click()
    assert "Packages are missing: torch. Open the module SDSeg" in message(person)
    assert not person.session.isPending


@pytest.mark.parametrize("moved", ["both", "volume", "segmentation"])
def test_under_transforms(person: Person, moved: str) -> None:
    shift = a_translation(7.0).GetID()
    if moved != "segmentation":
        person.ct.SetAndObserveTransformNodeID(shift)
    if moved != "volume":
        person.node.SetAndObserveTransformNodeID(shift)
    carry_between(person)


def test_on_an_oblique_volume_the_views_are_turned_first(person: Person) -> None:
    from SDSegLib.mrml.volumes import volume_to_node

    person.ct = volume_to_node(oblique_ct())
    person.node.SetReferenceImageGeometryParameterFromVolumeNode(person.ct)
    person.editor.setSourceVolumeNode(person.ct)
    person.draw(20)
    person.choose_effect()
    assert "No slice view is parallel" in message(person)
    person.ui.addButton.click()
    assert "No slice view shows one of these slices" in message(person)
    person.ui.turnButton.click()
    person.session.refresh()
    person.session.jumpTo(23)
    person.ui.addButton.click()
    assert message(person) == ""
    assert person.drawn() == [20, 23]
    person.ui.drawnList.setCurrentRow(1)
    person.ui.removeButton.click()
    assert person.drawn() == [20]
    person.choose_effect("")
    carry_between(person)


def test_on_a_finer_geometry_the_drawn_voxels_stay(person: Person) -> None:
    import slicer
    import vtk

    converter = slicer.vtkSegmentationConverter
    matrix = vtk.vtkMatrix4x4()
    person.ct.GetIJKToRASMatrix(matrix)
    for row in range(3):
        for column in range(2):
            matrix.SetElement(row, column, matrix.GetElement(row, column) * 0.8)
    person.node.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(),
        converter.SerializeImageGeometry(matrix, [0, 299, 0, 159, 0, 59]),
    )
    assert person.shape == (60, 160, 300)
    carry_between(person)


def test_a_drawing_in_a_tilted_plane_is_refused_with_the_nearest_plane(person: Person) -> None:
    from SDSegLib.mrml.edit_grid import edit_grid, mask_image, write_segment
    from SDSegLib.propagation.mask_part import MaskPart

    k, j, i = np.indices(person.shape)
    plane = abs(k - 30 - 0.35 * (j - 70)) < 0.6
    tilted = plane & ((j - 70) ** 2 + (i - 135) ** 2 < 30**2)
    grid = edit_grid(person.node, person.ct)
    write_segment(person.node, "organ", mask_image(MaskPart.of(tilted), grid))
    person.choose_effect()
    assert "tilted by 24° against the volume's slices" in message(person)
    assert not person.ui.turnButton.isHidden()
    assert not person.ui.allButton.enabled
    person.session.setAxis(0)  # who has drawn a flat organ on axial slices says so
    assert message(person) == ""
    assert len(person.drawn()) > 20


def test_colour_and_other_modalities(person: Person) -> None:
    import slicer
    import vtk

    from SDSegLib.mrml.volumes import volume_to_node

    colour = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLVectorVolumeNode", "photo")
    image = vtk.vtkImageData()
    image.SetDimensions(20, 20, 10)
    image.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colour.SetAndObserveImageData(image)
    person.draw(20)
    person.editor.setSourceVolumeNode(colour)
    person.choose_effect()
    assert "3 values per voxel" in message(person)
    mr = replace(sample_ct(), array=(sample_ct().array.clip(0) // 4).astype(np.int16))
    person.editor.setSourceVolumeNode(volume_to_node(replace(mr, modality=None)))
    wait_for_message(person, "it seems to be cut off at a display window, or scaled")
    assert person.ui.allButton.enabled  # a warning, no refusal
    stated = volume_to_node(replace(mr, modality=None))
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(stated)  # a second item would hide the attribute at times
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    person.editor.setSourceVolumeNode(stated)
    wait_for_message(person, "The image's modality is MR, not CT")
    assert person.ui.allButton.enabled


def test_the_plane_of_the_slices_and_predictions_can_be_named(person: Person) -> None:
    from SDSegLib.mrml.edit_grid import edit_grid, mask_image, write_segment
    from SDSegLib.propagation.mask_part import MaskPart

    k, j, i = np.indices(person.shape)
    ball = (2 * (k - 30)) ** 2 + (j - 70) ** 2 + (i - 135) ** 2 < 20**2
    grid = edit_grid(person.node, person.ct)
    write_segment(person.node, "organ", mask_image(MaskPart.of(ball), grid))
    person.choose_effect()
    assert "It cannot be told which slices were drawn" in message(person)
    assert [person.ui.axisComboBox.itemText(row) for row in range(4)] == [
        "Automatic", "Axial", "Coronal", "Sagittal",
    ]  # fmt: skip
    person.session.setAxis(0)
    assert person.drawn() == list(range(21, 40))
    person.session.setAxis(None)
    person.ui.predictionButton.click()
    assert "No slice has been changed since the prediction" in message(person)
    person.draw(33, radius=8.0)
    process_events(0.05)
    assert person.drawn() == [33]
    assert person.session.target.drawn.correct
    assert message(person) == ""
    assert person.ui.correctCheckBox.checked
    person.ui.correctCheckBox.click()
    assert not person.session.target.drawn.correct
    person.ui.betweenButton.click()
    assert "Between needs two drawn slices" in message(person)


def test_other_segments_stay_unless_the_overwrite_mode_says_otherwise(person: Person) -> None:
    segmentation = person.node.GetSegmentation()
    segmentation.AddEmptySegment("other", "Other")
    person.draw(23, segment_id="other")
    other = person.mask("other")
    editor_node = person.editor.mrmlSegmentEditorNode()
    editor_node.SetOverwriteMode(editor_node.OverwriteNone)
    carry_between(person)
    assert (person.mask("other") == other).all()
    first = person.mask()
    assert (first & other).any()
    person.editor.undo()
    process_events(0.05)
    assert person.drawn() == [20, 26]
    assert person.mask().any(axis=(1, 2)).sum() == 2
    editor_node.SetOverwriteMode(editor_node.OverwriteAllSegments)
    person.ui.betweenButton.click()
    person.wait_for_preview()
    person.ui.applyButton.click()
    process_events(0.05)
    assert (person.mask() == first).all()
    assert (person.mask("other") == (other & ~first)).all()


def test_the_editable_area_is_respected(person: Person) -> None:
    editor_node = person.editor.mrmlSegmentEditorNode()
    person.draw(20)
    person.draw(26)
    drawn = person.mask()
    editor_node.SetSourceVolumeIntensityMask(True)
    editor_node.SetSourceVolumeIntensityMaskRange(0.0, 60.0)
    person.choose_effect()
    person.ui.betweenButton.click()
    person.wait_for_preview()
    wide = mask_on_grid(preview_nodes()[0], "preview", person.ct)
    editor_node.SetSourceVolumeIntensityMaskRange(0.0, 40.0)  # the preview follows
    process_events(0.1)
    shown = mask_on_grid(preview_nodes()[0], "preview", person.ct)
    assert shown.sum() < wide.sum()
    person.ui.applyButton.click()
    process_events(0.05)
    after = person.mask()
    assert (after == shown).all()
    assert (after[[20, 26]] == drawn[[20, 26]]).all()
    values = sample_ct().array[21:26][after[21:26]]
    assert len(values)
    assert values.min() >= 0
    assert values.max() <= 40
    assert (disc(person.shape, 20)[20] == after[20]).all()
    assert person.drawn() == [20, 26]
