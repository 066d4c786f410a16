"""The effect when something changes or goes away while a preview is computed."""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import Any

import pytest
from effect_parts import SECONDS, Person, disc, person, preview_nodes, sample_ct
from standin_fixtures import (
    StallMeter,
    application,
    module_widget,
    picture,
    process_events,
    process_until,
)

from SDSegLib.worker.run import State

pytestmark = pytest.mark.slow
__all__ = ["application", "module_widget", "person"]


def ask(person: Person) -> None:
    """Draw two slices and ask for a preview, which is being computed then."""
    person.draw(20)
    person.draw(32)
    person.choose_effect()
    person.ui.allButton.click()
    process_until(lambda: person.session.isPending, SECONDS)


def test_strokes_and_undo_while_a_preview_is_computed(person: Person) -> None:
    ask(person)
    person.choose_effect("Paint")
    for number in (24, 28):  # the newest request counts
        person.draw(number)
        process_events(0.03)
    person.wait_for_preview()
    assert person.session.result.drawn == (20, 24, 28, 32)
    with StallMeter() as meter:
        person.draw(30)
        process_until(lambda: person.session.isPending, SECONDS)
        person.editor.undo()
        person.wait_for_preview()
    assert person.session.result.drawn == (20, 24, 28, 32)
    assert person.session.error == ""
    assert not person.mask()[30].any()
    # The editor's own work is included: two strokes on a whole volume.
    assert meter.longest_ms < 600
    person.choose_effect()
    person.editor.undo()
    person.ui.applyButton.click()  # at once: it waits for the newest preview
    process_until(lambda: not preview_nodes() and not person.session.isPending, SECONDS)
    assert person.mask()[28].any()  # carried, not drawn: that stroke was taken back
    assert person.drawn() == [20, 24, 32]
    assert (person.mask()[24] == disc(person.shape, 24)[24]).all()


def test_the_result_of_an_older_request_is_never_shown(person: Person) -> None:
    ask(person)
    shown = []
    requests = person.session._requests
    show = requests._onResult
    requests._onResult = lambda request, result: (shown.append(result.drawn), show(request, result))
    person.draw(26)  # while the first is computed
    person.session.refresh()
    assert person.session.isPending
    person.wait_for_preview()
    assert shown == [(20, 26, 32)]


def test_the_segment_is_renamed_then_deleted(person: Person) -> None:
    segmentation = person.node.GetSegmentation()
    ask(person)
    segmentation.GetSegment("organ").SetName("Liver")
    person.wait_for_preview()
    assert person.session.error == ""
    assert len(preview_nodes()) == 1
    segmentation.AddEmptySegment("other", "Other")
    person.editor.setCurrentSegmentID("other")
    segmentation.RemoveSegment("organ")
    process_events(0.1)
    assert preview_nodes() == []
    assert not person.session.isOn
    assert "Nothing is drawn yet" in person.ui.messageText.text
    person.draw(25, segment_id="other")
    process_events(0.1)
    person.ui.allButton.click()
    person.wait_for_preview()
    assert person.session.error == ""
    segmentation.RemoveSegment("other")
    process_events(0.1)
    assert preview_nodes() == []
    assert person.ui.messageText.text == "Select a segment first, or add one."


def test_the_volume_is_swapped_and_removed(person: Person) -> None:
    import slicer

    from SDSegLib.mrml.volumes import volume_to_node

    ask(person)
    other = volume_to_node(sample_ct())
    person.editor.setSourceVolumeNode(other)
    process_events(0.1)
    assert preview_nodes() == []
    assert not person.session.isOn
    process_until(lambda: not person.session.isPending, SECONDS)
    assert preview_nodes() == []
    person.ui.betweenButton.click()
    person.wait_for_preview()
    assert person.session.error == ""
    slicer.mrmlScene.RemoveNode(other)
    process_events(0.1)
    assert preview_nodes() == []
    assert person.ui.messageText.text == "Choose the CT as source volume first."


def test_the_scene_is_saved_and_closed(person: Person, tmp_path: Path) -> None:
    import slicer

    ask(person)
    person.wait_for_preview()
    assert len(preview_nodes()) == 1
    slicer.mrmlScene.SetURL(str(tmp_path / "scene.mrml"))
    slicer.mrmlScene.SetRootDirectory(str(tmp_path))
    slicer.mrmlScene.Commit()
    items = re.findall(r"<[^>]*SDSeg preview[^>]*>", (tmp_path / "scene.mrml").read_text("utf-8"))
    assert len(items) == 1  # no node; its item in the subject hierarchy is not listed
    assert "SubjectHierarchy.ExcludeFrom" in items[0]
    slicer.mrmlScene.StartState(slicer.mrmlScene.SaveState)  # not said by a call of Commit alone
    slicer.mrmlScene.Commit()
    assert "preview" not in (tmp_path / "scene.mrml").read_text("utf-8")
    slicer.mrmlScene.EndState(slicer.mrmlScene.SaveState)
    assert len(preview_nodes()) == 1  # shown again
    person.draw(26)
    process_until(lambda: person.session.isPending, SECONDS)
    slicer.mrmlScene.Clear(0)
    process_events(0.3)
    assert preview_nodes() == []
    assert not person.session.isPending
    assert person.session.target is None


def test_the_worker_is_killed_and_stopped(person: Person) -> None:
    from SDSegSlicerLib.background import closeWorker, sharedWorker

    ask(person)
    person.wait_for_preview()
    mask = person.mask()
    person.draw(26)
    process_until(lambda: sharedWorker().state is State.RUNNING, SECONDS)
    os.kill(sharedWorker().process_id, signal.SIGKILL)
    process_until(lambda: person.session.error, SECONDS)
    assert "killed from outside" in person.ui.messageText.text
    assert preview_nodes() == []
    person.ui.allButton.click()
    person.wait_for_preview()
    assert person.session.error == ""
    assert len(preview_nodes()) == 1
    person.draw(28)
    process_until(lambda: person.session.isPending, SECONDS)
    closeWorker()
    process_until(lambda: person.session.error or not person.session.isPending, SECONDS)
    assert (person.mask()[20] == mask[20]).all()


def test_with_a_server_the_effect_says_where_previews_are_computed(
    person: Person, tmp_path: Path
) -> None:
    from SDSegSlicerLib.background import chooseServer, sharedWorker, workerHere

    from SDSegLib.wire.address import ServerAddress
    from SDSegLib.worker.access import ServerAccess

    person.draw(20)
    person.choose_effect()
    assert "server" not in person.ui.statusLabel.text
    person.choose_effect("Paint")
    chooseServer(ServerAccess(ServerAddress("gpu.hospital.example"), "a token"))
    try:
        person.choose_effect()
        assert person.ui.statusLabel.text == (
            "Previews are computed on this computer, because each stroke asks for one. The server "
            "gpu.hospital.example:8743 computes Segment."
        )
        picture(person.ui.statusLabel.parentWidget(), tmp_path / "effect.png")
        person.draw(32)
        person.ui.allButton.click()
        person.wait_for_preview()
        assert workerHere().process_id is not None
        assert sharedWorker().process_id is None
        assert "gpu.hospital" not in person.ui.statusLabel.text
    finally:
        chooseServer(None)


def test_segment_has_priority_and_the_preview_follows(person: Person, monkeypatch: Any) -> None:
    from SDSegSlicerLib.background import sharedWorker
    from SDSegSlicerLib.segmentationRun import RunSettings, SegmentationRun

    from SDSegLib.options import RunOptions

    ask(person)
    run = SegmentationRun(sharedWorker(), RunSettings(person.ct, RunOptions(model="head-neck-oar")))
    run.start()  # the preview gives way
    assert run.isBusy
    person.draw(26)
    process_events(0.1)
    assert "when the segmentation that is going on has ended" in person.ui.statusLabel.text
    run.cancel()
    while run.isBusy:
        run.poll()
        process_events(0.02)
    assert run.state is State.CANCELLED
    person.wait_for_preview()
    assert person.session.result.drawn == (20, 26, 32)


def test_keys_cancel_and_no_effect(person: Person, application: Any) -> None:
    from PySide6.QtCore import QMetaObject
    from PySide6.QtGui import QShortcut

    ask(person)
    person.wait_for_preview()
    before = person.mask()
    keys = {
        shortcut.key.toString(): shortcut
        for shortcut in application.mainWindow.findChildren(QShortcut)
    }
    assert set(keys) == {"C", "N"}
    person.ui.cancelButton.click()
    assert preview_nodes() == []
    assert (person.mask() == before).all()
    person.draw(26)
    process_events(0.1)
    assert not person.session.isPending  # after Cancel nothing follows
    QMetaObject.invokeMethod(keys["C"], "activated")
    person.wait_for_preview()
    QMetaObject.invokeMethod(keys["N"], "activated")
    import slicer

    red = slicer.mrmlScene.GetNodeByID("vtkMRMLSliceNodeRed").GetSliceToRAS().GetElement(2, 3)
    spacing = sample_ct().geometry
    wanted = spacing.origin[2] + person.session.result.next_slice * spacing.spacing[2]
    assert red == pytest.approx(wanted, abs=0.01)
    QMetaObject.invokeMethod(keys["C"], "activated")
    process_events(0.1)
    assert preview_nodes() == []
    assert person.mask()[23].any()
    person.draw(27, radius=9.0)
    person.wait_for_preview()
    person.choose_effect("")
    assert preview_nodes() == []
    assert not any(key.enabled for key in application.mainWindow.findChildren(QShortcut))
