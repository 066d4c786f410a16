"""The module with a server: off by default, told at the click, and this computer when it fails."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import NAMES, choose_ct, finish, mask_of, segment, tiny_models, widget
from serve_parts import RunningServer, server_folder, start_server
from standin_fixtures import application, module_widget, process_until

from SDSegLib.worker.run import State
from SDSegLib.worker.saved_server import server_file

__all__ = ["application", "module_widget", "tiny_models", "widget"]

HERE, SERVER = 0, 1


@pytest.fixture(autouse=True)
def settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("XDG_DATA_HOME", "LOCALAPPDATA"):
        monkeypatch.setenv(name, str(tmp_path / "settings"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    started = start_server(*server_folder(tmp_path / "server"))
    yield started
    started.kill()


def compute_on(widget: Any, place: int) -> None:
    """Choose in the list, with the arrow keys."""
    from PySide6.QtCore import Qt
    from PySide6.QtTest import QTest

    key = Qt.Key.Key_Down if place == SERVER else Qt.Key.Key_Up
    QTest.keyClick(widget.ui.computeComboBox, key)
    assert widget.ui.computeComboBox.currentIndex == place


def masks(node: Any, ct: Any) -> list[np.ndarray]:
    return [mask_of(node, name, ct) for name in NAMES]


def test_a_server_computes_the_same_and_this_computer_goes_on_when_it_fails(
    widget: Any, application: Any, server: RunningServer
) -> None:
    import slicer
    from SDSegSlicerLib.background import sharedWorker, workerHere

    ui, window = widget.ui, widget.window
    ui.advancedSection.collapsed = False
    assert ui.computeComboBox.currentText == "This computer"
    assert ui.serverAddressEdit.isHidden()
    ct = choose_ct(widget)
    assert not ui.statusLabel.text
    here = segment(widget)
    assert here.state is State.DONE, here.error

    compute_on(widget, SERVER)
    assert not ui.serverAddressEdit.isHidden()
    assert "Enter address and token" in ui.serverFacts.text
    assert not ui.segmentButton.enabled
    ui.serverAddressEdit.setText("https://somewhere")
    ui.serverSaveButton.click()
    assert "it looks like sdsegs://" in window.messages.text
    ui.serverAddressEdit.setText(str(server.address))
    ui.serverSaveButton.click()
    assert "Enter the token" in window.messages.text
    ui.serverTokenEdit.setText("a-token-that-nobody-knows")
    ui.serverSaveButton.click()
    process_until(lambda: "the token is not one of those" in window.messages.text, 20)
    assert not server_file().exists()
    ui.serverTokenEdit.setText(server.token)
    ui.serverSaveButton.click()
    process_until(lambda: "is there: SDSeg" in window.messages.text, 20)
    assert not ui.serverTokenEdit.text
    told = f"Segment sends the voxels of the CT and its geometry to {server.address.place}; "
    assert ui.statusLabel.text == told + "no names, dates or UIDs."
    assert ui.serverFacts.text.endswith("SDSeg Propagate and Teach compute on this computer.")
    assert ui.segmentButton.enabled

    there = segment(widget)
    assert there.state is State.DONE, there.error
    assert workerHere().process_id is None
    for mine, its in zip(masks(here.resultNode, ct), masks(there.resultNode, ct), strict=True):
        np.testing.assert_array_equal(mine, its)
    assert "is there: SDSeg" in ui.logView.plainText
    for text in (ui.logView.plainText, window.advanced.logText(), window.messages.text):
        assert server.token not in text

    slicer.util.reloadScriptedModule("SDSegSlicer")  # as after the next start
    widget = slicer.util.getModuleWidget("SDSegSlicer")
    ui, window = widget.ui, widget.window
    assert ui.computeComboBox.currentText == "A server"
    assert ui.serverAddressEdit.text == str(server.address)
    process_until(lambda: not window.input.isChecking)
    assert ui.statusLabel.text.startswith(told)

    server.kill()
    application.dialogs.expect("Compute on this computer this time?", "No")
    assert segment(widget).state is State.FAILED
    process_until(lambda: not application.dialogs.missing)
    assert "does not answer" in window.messages.text
    application.dialogs.expect("Compute on this computer this time?", "Yes")
    ui.segmentButton.click()
    process_until(lambda: window.controller.run.server == "", 60)
    finish(widget)
    assert window.controller.run.state is State.DONE
    assert workerHere().process_id is not None
    assert sharedWorker() is not workerHere()  # only this time

    compute_on(widget, HERE)
    assert not ui.statusLabel.text
    assert sharedWorker() is workerHere()
    assert segment(widget).state is State.DONE
