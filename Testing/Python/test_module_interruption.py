"""The module when something goes away in mid-run: no error, no orphan, ready again."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from module_parts import (
    add_ct,
    choose_ct,
    finish,
    run_is_counting,
    segment,
    segmentation_nodes,
    tiny_models,
    widget,
)
from phantom import a_body
from standin_fixtures import ROOT, application, module_widget, process_events, process_until
from worker_parts import blocks_of, is_running, wait_until

from SDSegLib.worker.run import State

pytestmark = pytest.mark.slow

__all__ = ["application", "module_widget", "tiny_models", "widget"]


def start(widget: Any) -> Any:
    """Click, and wait until some slices are done; returns the CT."""
    ct = choose_ct(widget, a_body((60, 96, 96)))
    widget.ui.segmentButton.click()
    process_until(lambda: run_is_counting(widget), 120)
    return ct


def test_the_volume_is_deleted(widget: Any) -> None:
    import slicer

    ct = start(widget)
    slicer.mrmlScene.RemoveNode(ct)
    finish(widget)
    assert widget.window.controller.run.state is State.CANCELLED
    assert "removed" in widget.window.messages.text
    assert not segmentation_nodes()
    assert widget.ui.segmentButton.text == "&Segment"
    assert widget.ui.statusLabel.text == "Choose a CT volume first."
    choose_ct(widget)
    assert segment(widget).state is State.DONE


def test_the_chosen_output_is_deleted(widget: Any) -> None:
    import slicer

    ct = choose_ct(widget, a_body((60, 96, 96)))
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    widget.window.parameters.outputSegmentation = node
    widget.ui.segmentButton.click()
    process_until(lambda: run_is_counting(widget), 120)
    slicer.mrmlScene.RemoveNode(node)
    finish(widget)
    assert widget.window.controller.run.state is State.CANCELLED
    assert not segmentation_nodes()
    assert widget.window.parameters.outputSegmentation is None
    assert segment(widget).state is State.DONE


def test_the_volume_gets_other_voxels_and_another_grid(widget: Any) -> None:
    import slicer

    ct = start(widget)
    slicer.util.updateVolumeFromArray(ct, a_body((12, 40, 40)).array)
    finish(widget)
    assert widget.window.controller.run.state is State.FAILED
    assert "is not on the grid of the volume" in widget.window.messages.text
    assert not segmentation_nodes()
    assert segment(widget).state is State.DONE


def test_the_scene_is_closed(widget: Any) -> None:
    import slicer

    start(widget)
    slicer.mrmlScene.Clear(0)
    finish(widget)
    assert widget.window.controller.run.state is State.CANCELLED
    assert "scene was closed" in widget.window.messages.text
    assert widget.window.parameters.inputVolume is None
    assert not segmentation_nodes()
    widget.window.parameters.model = "tiny"
    choose_ct(widget)
    assert segment(widget).state is State.DONE


def test_the_module_is_reloaded(widget: Any) -> None:
    import slicer
    from SDSegSlicerLib.background import sharedWorker

    start(widget)
    pid, meter = sharedWorker().process_id, widget.window.controller._meter
    slicer.util.reloadScriptedModule("SDSegSlicer")
    process_events(0.2)
    assert wait_until(lambda: not is_running(pid))
    assert not blocks_of(os.getpid())
    assert not meter._timer.active
    fresh = slicer.util.getModuleWidget("SDSegSlicer")
    assert fresh is not widget
    before = widget.ui.samplesSpinBox.value
    fresh.window.parameters.samples = before + 3
    assert widget.ui.samplesSpinBox.value == before  # nothing follows the node any more
    fresh.window.parameters.samples = 1
    assert fresh.window.parameters.inputVolume is not None
    assert fresh.ui.segmentButton.text == "&Segment"
    assert not segmentation_nodes()
    assert segment(fresh).state is State.DONE
    selection = slicer.app.applicationLogic().GetSelectionNode()
    selection.SetActiveVolumeID(add_ct(name="another").GetID())
    process_events(0.1)  # it follows the views, as after `enter`
    assert fresh.ui.shownText.text == 'The views show "another".'


QUITTING = """
import os, sys
sys.path[:0] = [{root!r}, {tests!r}]
import standin_fixtures
from slicer_standin import boot
session = boot()
session.load_module({root!r} + "/SDSegSlicer/SDSegSlicer.py")
import slicer
from module_parts import choose_ct, run_is_counting
from phantom import a_body
slicer.util.selectModule("SDSegSlicer")
widget = slicer.util.getModuleWidget("SDSegSlicer")
widget.window.parameters.model = "tiny"
choose_ct(widget, a_body((60, 96, 96)))
widget.ui.segmentButton.click()
standin_fixtures.process_until(lambda: run_is_counting(widget), 120)
from SDSegSlicerLib.background import sharedWorker
print(os.getpid(), sharedWorker().process_id, flush=True)
{end}
"""
ENDS = {
    "quit": "slicer.app.quit(); session.close()",
    "forgotten": "",
    "killed": "os.kill(os.getpid(), 9)",
}


@pytest.mark.parametrize("way", list(ENDS))
def test_the_application_ends(way: str, application: Any, tiny_models: Path) -> None:
    if way == "killed" and os.name != "posix":
        pytest.skip("signals are POSIX")
    script = QUITTING.format(root=str(ROOT), tests=str(Path(__file__).parent), end=ENDS[way])
    result = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "SDSEG_MODELS": str(tiny_models), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert len(result.stdout.split()) == 2, result.stderr
    pid, child = (int(word) for word in result.stdout.split())
    assert result.returncode == (-9 if way == "killed" else 0), result.stderr
    assert "Traceback" not in result.stderr, result.stderr
    assert wait_until(lambda: not is_running(child), 20)
    assert wait_until(lambda: not blocks_of(pid), 20)
