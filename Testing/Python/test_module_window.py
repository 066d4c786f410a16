"""The module's window: what it says before the click, and how it looks."""

from __future__ import annotations

import ast
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import NAMES, add_ct, choose_ct, cut_texts, segment, tiny_models, widget
from phantom import a_body
from standin_fixtures import (
    ROOT,
    application,
    module_widget,
    picture,
    process_events,
    process_until,
)
from tiny_model import write_tiny_model

from SDSegLib.models.folder import read_description
from SDSegLib.version import VERSION

__all__ = ["application", "module_widget", "tiny_models", "widget"]

PANEL_WIDTH = 480
WARNING = "#fff3d1"


def test_it_opens_quietly_and_says_what_is_missing(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    assert widget.ui.segmentButton.text == "&Segment"
    assert not widget.ui.segmentButton.enabled
    assert widget.ui.segmentButton.toolTip == "Choose a CT volume first."
    assert widget.ui.statusLabel.text == "Choose a CT volume first."
    for part in ("resultSection", "reviewSection", "editSection", "messageFrame", "progressBar"):
        assert getattr(widget.ui, part).isHidden(), part
    assert not application.dialogs.shown
    assert not application.pip.installed
    widget.window.segment()  # by a script, or a shortcut
    assert not widget.window.controller.isBusy


def test_the_shown_volume_is_suggested_and_never_just_any(widget: Any) -> None:
    import slicer

    ct = add_ct(name="hidden")
    widget.enter()
    assert widget.window.parameters.inputVolume is None
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetActiveVolumeID(ct.GetID())
    widget.exit()
    widget.enter()
    assert widget.window.parameters.inputVolume is ct
    assert widget.ui.segmentButton.enabled


@pytest.mark.parametrize(
    ("values", "words", "severity"),
    [
        (lambda hu: hu + 1024, "HU + 1024", "ask"),
        (lambda hu: (hu / 1000).astype(np.float32), "normalised or no CT", "ask"),
        (lambda hu: hu[:3], "only 3 slices", "tell"),
        (lambda hu: np.zeros_like(hu), "the same value (0)", "refuse"),
    ],
)
def test_a_volume_that_does_not_fit_is_told_in_words(
    widget: Any, values: Callable[[np.ndarray], np.ndarray], words: str, severity: str
) -> None:
    body = a_body()
    array = values(body.array)
    geometry = replace(body.geometry, shape=array.shape)
    choose_ct(widget, replace(body, array=array, geometry=geometry))
    process_until(lambda: bool(widget.ui.inputFindings.text), 10)
    assert words in widget.ui.inputFindings.text
    assert not widget.ui.inputFindings.isHidden()
    box = widget.ui.segmentAnywayCheckBox
    assert widget.ui.segmentButton.enabled == (severity == "tell")
    assert box.isHidden() == (severity != "ask")
    if severity == "ask":
        box.click()
        assert widget.ui.segmentButton.enabled
        choose_ct(widget, replace(body, array=body.array + np.int16(1024)), "another one")
        assert not box.checked  # the answer was for the volume before
        assert not widget.ui.segmentButton.enabled

    # Mended in place, as with Simple Filters: the warning goes.
    import slicer

    node = widget.window.parameters.inputVolume
    slicer.util.updateVolumeFromArray(node, body.array)
    process_until(lambda: widget.ui.inputFindings.isHidden(), 10)
    assert widget.ui.segmentButton.enabled


def test_another_modality_needs_the_users_word(widget: Any) -> None:
    import slicer

    node = choose_ct(widget)
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item = hierarchy.GetItemByDataNode(node) or hierarchy.CreateItem(
        hierarchy.GetSceneItemID(), node
    )
    hierarchy.SetItemAttribute(item, "DICOM.Modality", "MR")
    node.Modified()
    process_until(lambda: not widget.ui.segmentAnywayCheckBox.isHidden(), 10)
    assert "MR" in widget.ui.inputFacts.text
    assert "MR" in widget.ui.inputFindings.text
    assert not widget.ui.segmentButton.enabled
    assert "may not suit the model" in widget.ui.statusLabel.text
    widget.ui.segmentAnywayCheckBox.click()
    assert widget.ui.segmentButton.enabled


def test_model_structures_and_card(widget: Any) -> None:
    import qt

    ui, parameters = widget.ui, widget.window.parameters
    titles = [ui.modelComboBox.itemText(n) for n in range(ui.modelComboBox.count)]
    assert titles == ["Automatic", "Tiny random model", "Two", "Head and neck: organs at risk"]
    assert "region: head and neck, licence: Apache-2.0" in ui.modelFacts.text
    assert ui.modelCard.isHidden()
    ui.modelCardButton.click()
    assert "its labels mean nothing" in ui.modelCard.plainText
    assert not ui.modelCard.isHidden()

    ticked = lambda: list(parameters.structures)  # noqa: E731
    assert ticked() == NAMES
    ui.noStructuresButton.click()
    assert ticked() == []
    assert ui.structureFacts.text == "None ticked: all 7 are segmented"
    ui.structureList.item(5).setCheckState(qt.Qt.Checked)
    assert ticked() == ["Larynx"]
    assert ui.structureFacts.text == "1 of 7"
    assert widget.window.structures.wanted() == ("Larynx",)
    ui.allStructuresButton.click()
    assert ticked() == NAMES
    assert widget.window.structures.wanted() == ()

    ui.modelComboBox.setFocus()
    press_down(ui.modelComboBox)
    assert parameters.model == "two"
    assert ticked() == NAMES[:2]
    assert ui.structureList.count == 2

    parameters.model = "gone"
    assert "gone (not installed)" in ui.modelComboBox.currentText
    assert not ui.structureList.count
    choose_ct(widget)
    assert not ui.segmentButton.enabled
    assert "not installed" in ui.statusLabel.text


def press_down(combo_box: Any) -> None:
    """The user chooses the next item with the keyboard."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    QTest.keyClick(combo_box, Qt.Key.Key_Down)


def test_a_model_is_installed_from_a_file_into_a_folder_of_choice(
    widget: Any, application: Any, tmp_path: Path
) -> None:
    source = write_tiny_model(tmp_path / "download" / "liver", name="liver", title="Leber")
    mine = tmp_path / "my models"
    ui = widget.ui
    ui.advancedSection.click()
    ui.modelFolderEdit.setCurrentPath(str(mine))
    assert "tiny (not installed)" in ui.modelComboBox.currentText
    application.dialogs.expect("Install a model", str(source / "model.json"))
    ui.installModelButton.click()
    process_until(lambda: ui.installModelButton.enabled, 20)
    assert widget.window.messages.text == f'The model "Leber" is installed in {mine / "liver"}.'
    assert "Leber" in [ui.modelComboBox.itemText(n) for n in range(ui.modelComboBox.count)]
    assert read_description(mine / "liver").title == "Leber"

    (source / "model.safetensors").write_bytes(b"damaged")
    application.dialogs.expect("Install a model", str(source / "model.json"))
    ui.installModelButton.click()
    process_until(lambda: ui.installModelButton.enabled, 20)
    assert "model.safetensors is no safetensors file" in widget.window.messages.text

    import slicer

    slicer.util.reloadScriptedModule("SDSegSlicer")
    fresh = slicer.util.getModuleWidget("SDSegSlicer")
    assert fresh.ui.modelFolderEdit.currentPath == str(mine)


def test_a_new_region_is_laid_over_the_volume_and_followed(widget: Any) -> None:
    ct = choose_ct(widget)
    roi = widget.ui.regionSelector.addNode("vtkMRMLMarkupsROINode")
    assert widget.window.parameters.region is roi
    process_until(lambda: "of the volume" in widget.ui.regionFacts.text)
    bounds = [0.0] * 6
    ct.GetRASBounds(bounds)
    assert np.allclose(roi.GetSize(), (np.array(bounds[1::2]) - bounds[::2]) / 2)
    roi.SetCenter(5000, 0, 0)
    process_until(lambda: "holds no voxel" in widget.ui.regionFacts.text)
    assert not widget.ui.segmentButton.enabled
    import slicer

    slicer.mrmlScene.RemoveNode(roi)
    process_until(lambda: widget.ui.segmentButton.enabled)
    assert widget.ui.regionFacts.isHidden()


def test_texts_of_the_window_can_be_translated() -> None:
    """Literals only go through the translation, or lupdate would not find them; and all do."""
    setters = {"setText", "setToolTip", "setFormat", "showStatusMessage", "show", "ask"}
    for path in sorted((ROOT / "SDSegSlicer").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            where = f"{path.name}:{node.lineno}"
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            first = node.args[0]
            if name == "_":
                assert isinstance(first, ast.Constant), f"{where} translates no literal"
            elif name in setters and isinstance(first, ast.Constant):
                has_words = isinstance(first.value, str) and any(c.isalpha() for c in first.value)
                assert not has_words, f"{where} is not translated: {first.value}"


def test_everything_has_a_tool_tip_and_the_keyboard_goes_from_top_to_bottom(widget: Any) -> None:
    ui = widget.ui
    interactive = [
        name
        for name, item in vars(ui).items()
        if name.endswith(
            ("Button", "Selector", "ComboBox", "CheckBox", "SpinBox", "Slider", "Edit")
        )
        and name not in ("segmentButton",)
    ]
    assert len(interactive) > 25
    assert [name for name in interactive if not getattr(ui, name).toolTip] == []

    ui.advancedSection.click()
    choose_ct(widget)
    process_events(0.1)
    order = focus_order(ui.inputSection)
    expected = ["modelCardButton", "structureList", "allStructuresButton", "noStructuresButton",
                "deviceComboBox", "precisionComboBox", "samplesSpinBox", "mirrorCheckBox",
                "installModelButton", "copyLogButton", "segmentButton"]  # fmt: skip
    places = [order.index(name) for name in expected]
    assert places == sorted(places), order


def focus_order(first: Any) -> list[str]:
    """Names of the widgets in the order in which Tab goes through them."""
    names, item = [], first
    while True:
        names.append(item.objectName)
        item = item.nextInFocusChain()
        if item is first or len(names) > 2000:
            return names


def clipped(widget: Any) -> list[str]:
    """Texts that do not fit into their widgets, once Qt has had the time to lay them out."""
    with suppress(TimeoutError):
        process_until(lambda: not cut_texts(widget), 5)
    return cut_texts(widget)


def test_nothing_is_clipped_at_1280_by_720(widget: Any, application: Any, tmp_path: Path) -> None:
    window = application.mainWindow
    assert (window.width, window.height) == (1280, 720)
    picture(window, tmp_path / "empty.png")
    assert clipped(widget) == []
    body = a_body()
    choose_ct(widget, replace(body, array=body.array + np.int16(1024)), "a CT with a long name")
    picture(window, tmp_path / "warned.png")
    assert clipped(widget) == []
    widget.window.parameters.samples = 3
    widget.ui.segmentAnywayCheckBox.click()
    segment(widget)
    picture(window, tmp_path / "done.png")
    assert clipped(widget) == []
    assert widget.ui.inputSection.collapsed
    for section in ("inputSection", "advancedSection", "editSection"):
        getattr(widget.ui, section).click()
    widget.ui.modelCardButton.click()
    widget.window.messages.show("Something went wrong, and this is a long sentence about it. " * 3)
    picture(window, tmp_path / "all.png")
    assert clipped(widget) == []
    assert widget.parent.width <= PANEL_WIDTH


def test_messages_and_log_can_be_copied_without_names_of_patients(
    widget: Any, application: Any
) -> None:
    import slicer

    choose_ct(widget, name="Miller^Jane 1980")
    segment(widget)
    widget.window.messages.show("It failed.")
    widget.ui.messageCopyButton.click()
    copied = slicer.app.clipboard().text()
    assert copied.startswith("It failed.\n\nSDSeg " + VERSION)
    assert "3D Slicer 5." in copied
    assert "Done in" in copied
    widget.ui.messageCloseButton.click()
    assert widget.ui.messageFrame.isHidden()
    widget.ui.copyLogButton.click()
    assert "Done in" in slicer.app.clipboard().text()
    assert "Miller" not in slicer.app.clipboard().text()


def test_the_self_test_fails_when_an_error_was_logged(
    widget: Any, application: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Errors in slots do not stop what was clicked; every run once ended in one unnoticed."""
    import qt
    import slicer

    def fail() -> None:
        raise AttributeError("setCollapsed")

    ended = widget.window.controller._onEnd
    monkeypatch.setattr(
        widget.window.controller,
        "_onEnd",
        lambda run: (ended(run), qt.QTimer.singleShot(0, fail)),
    )
    with pytest.raises(RuntimeError, match="setCollapsed"):
        slicer.selfTests["SDSegSlicer"]()
    assert application.errors
    application.errors.clear()
