"""The module from the click to the segments, through the real worker and real MRML."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import (
    NAMES,
    add_ct,
    choose_ct,
    finish,
    mask_of,
    run_is_counting,
    segment,
    segment_names,
    segmentation_nodes,
    tiny_models,
    widget,
)
from phantom import a_body
from standin_fixtures import StallMeter, application, module_widget, process_until
from tiny_model import STRUCTURES, write_tiny_model
from worker_parts import blocks_of, is_running, posix_only, wait_until

from SDSegLib.errors import InputError
from SDSegLib.options import RunOptions
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import resource_folder
from SDSegLib.worker.run import State

__all__ = ["application", "module_widget", "tiny_models", "widget"]

SAMPLE = resource_folder() / "Samples" / "head-neck-ct.nii.gz"
LONGEST_PAUSE_MS = 500  # generous: the machine that runs the tests may be busy


def temporary_files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_model_is_loaded_while_the_user_looks_at_the_ct(widget: Any) -> None:
    from SDSegSlicerLib.background import sharedWorker

    assert sharedWorker().process_id is None
    choose_ct(widget)
    process_until(lambda: sharedWorker().poll() or sharedWorker().process_id is not None)
    assert widget.ui.segmentButton.enabled
    assert not widget.window.messages.text
    segment(widget)
    outcome = sharedWorker().report
    assert outcome is not None
    assert outcome.warm
    assert outcome.load_seconds == 0


def test_opening_the_module_without_a_ct_starts_nothing(widget: Any) -> None:
    from SDSegSlicerLib.background import sharedWorker

    widget.enter()
    process_until(lambda: True)
    assert sharedWorker().process_id is None


def test_a_click_on_the_sample_gives_segments(
    widget: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    before = set(sys.modules)
    ct = choose_ct(widget, read_volume(SAMPLE), "sample")
    assert widget.ui.inputFacts.text == (
        "271 × 141 × 128 voxels of 2 × 2 × 2.5 mm, values like a CT"
    )
    assert not widget.ui.inputFindings.text
    assert widget.ui.segmentButton.text == "&Segment"
    with StallMeter() as meter:
        run = segment(widget)
    assert run.state is State.DONE, run.error
    (node,) = segmentation_nodes()
    assert segment_names(node) == NAMES
    assert node is widget.window.parameters.resultSegmentation
    assert node.GetName() == "sample segmentation"
    assert any(mask_of(node, name, ct).any() for name in NAMES)
    assert widget.ui.resultTable.rowCount == len(NAMES)
    assert "On the processor (" in widget.ui.resultFacts.text
    sys.stdout.write(
        f"\nlongest pause of the window: {meter.longest_ms:.0f} ms; writing the result took "
        f"{1000 * run.writeSeconds:.0f} ms\n"
    )
    assert meter.longest_ms < LONGEST_PAUSE_MS
    heavy = {"torch", "monai", "SimpleITK", "safetensors"} & (set(sys.modules) - before)
    assert not heavy
    assert not blocks_of(os.getpid())
    assert not temporary_files(tmp_path)


def test_the_second_click_is_three_times_faster(widget: Any) -> None:
    choose_ct(widget)
    first, second = segment(widget), segment(widget)
    assert [node.GetName() for node in segmentation_nodes()] == [
        "ct segmentation",
        "ct segmentation_1",
    ]
    assert second.summary.load_seconds == 0
    sys.stdout.write(
        f"\nfirst click {first.summary.seconds:.2f} s, second {second.summary.seconds:.2f} s\n"
    )
    assert second.summary.seconds * 3 < first.summary.seconds


def test_cancel_brings_the_window_back_and_leaves_the_scene_alone(
    widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from SDSegSlicerLib import runControl

    choose_ct(widget, a_body((60, 96, 96)))
    nodes_before = widget.window.parameters.parameterNode.GetScene().GetNumberOfNodes()
    widget.ui.segmentButton.click()
    assert widget.ui.segmentButton.text == "&Cancel"
    assert not widget.ui.settingsWidget.enabled
    widget.ui.segmentButton.click()  # the second one of a double click
    assert widget.ui.segmentButton.text == "&Cancel"
    monkeypatch.setattr(runControl, "DOUBLE_CLICK_SECONDS", 0.0)  # the next is a click of its own
    process_until(lambda: run_is_counting(widget), 120)
    assert widget.ui.statusLabel.text.startswith("Slice ")
    assert widget.ui.progressBar.maximum == 60
    started = time.monotonic()
    widget.ui.segmentButton.click()
    assert widget.ui.segmentButton.text == "Cancelling…"
    finish(widget)
    assert time.monotonic() - started < 10
    assert widget.ui.segmentButton.text == "&Segment"
    assert widget.ui.segmentButton.enabled
    assert widget.ui.settingsWidget.enabled
    assert "Cancelled" in widget.window.messages.text
    assert not segmentation_nodes()
    scene = widget.window.parameters.parameterNode.GetScene()
    assert scene.GetNumberOfNodes() == nodes_before
    # Ready means ready: the next click works, with the worker still warm.
    assert segment(widget).state is State.DONE
    assert not widget.window.messages.text


@posix_only
def test_a_killed_worker_is_reported_and_the_next_click_works(widget: Any) -> None:
    from SDSegSlicerLib.background import sharedWorker

    choose_ct(widget, a_body((60, 96, 96)))
    widget.ui.segmentButton.click()
    process_until(lambda: run_is_counting(widget), 120)
    pid = sharedWorker().process_id
    os.kill(pid, signal.SIGKILL)
    finish(widget, 30)
    assert widget.window.controller.run.state is State.FAILED
    assert "killed" in widget.window.messages.text
    assert not widget.ui.messageLogButton.isHidden()
    assert widget.ui.segmentButton.text == "&Segment"
    assert not segmentation_nodes()
    assert not blocks_of(os.getpid())
    widget.ui.messageLogButton.click()
    assert not widget.ui.advancedSection.collapsed
    assert "Failed" in widget.ui.logView.plainText
    assert segment(widget).state is State.DONE
    assert not is_running(pid)
    assert not blocks_of(os.getpid())


def test_the_result_lies_where_the_ct_lies_under_linear_and_grid_transforms(widget: Any) -> None:
    from test_mrml import (
        EDGE_OF_A_VOXEL_MM,
        a_grid_transform,
        a_translation,
        world_centroid,
        world_centroid_of_voxels,
    )

    ct = choose_ct(widget)
    for transform in (a_translation(50), a_grid_transform(ct)):
        ct.SetAndObserveTransformNodeID(transform.GetID())
        run = segment(widget)
        assert run.state is State.DONE, run.error
        node = run.resultNode
        assert node.GetParentTransformNode() is transform
        name = max(NAMES, key=lambda item: mask_of(node, item, ct).sum())
        found = world_centroid(node, node.GetSegmentation().GetSegmentIdBySegmentName(name))
        expected = world_centroid_of_voxels(ct, mask_of(node, name, ct))
        assert np.allclose(found, expected, atol=EDGE_OF_A_VOXEL_MM)


def test_scripts_segment_without_a_window(widget: Any) -> None:
    import slicer

    from SDSegLib.errors import InputError, ModelError, SDSegError

    logic = type(widget.logic)()
    ct = add_ct()
    wanted = ["Larynx", "Mandible"]
    node = logic.process(ct, model="tiny", classes=wanted, device="cpu")
    assert node.IsA("vtkMRMLSegmentationNode")
    assert segment_names(node) == wanted
    again = logic.process(ct, node, model="tiny", device="cpu", mode="replace")
    assert again is node
    assert segment_names(node) == NAMES

    roi = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLMarkupsROINode", "box")
    with pytest.raises(InputError, match="no size"):
        logic.process(ct, model="tiny", roi=roi)
    roi.SetCenter(*world_of(ct, (16, 20, 5)))
    roi.SetSize(30, 30, 12)
    inside = logic.process(ct, model="tiny", roi=roi, device="cpu")
    outside = np.ones(ct.GetImageData().GetDimensions()[::-1], bool)
    outside[3:9, 14:28, 8:24] = False
    assert not any((mask_of(inside, name, ct) & outside).any() for name in NAMES)
    assert any(mask_of(inside, name, ct).any() for name in NAMES)

    with pytest.raises(InputError, match="no structure called Liver; it has brainstem"):
        logic.process(ct, model="tiny", classes=["Liver"])
    with pytest.raises(ModelError, match="no model called 'liver'"):
        logic.process(ct, model="liver")
    with pytest.raises(InputError, match="no volume"):
        logic.process(None, model="tiny")
    with pytest.raises(InputError, match='"merge" is unknown'):
        logic.process(ct, node, model="tiny", mode="merge")
    with pytest.raises(SDSegError, match="cuda"):
        logic.process(ct, model="tiny", device="cuda") if not has_cuda() else refuse("cuda")
    # After all that the worker is ready.
    run = logic.process(ct, model="tiny", device="cpu", waitForCompletion=False)
    with pytest.raises(SDSegError, match="A script's segmentation is going on"):
        logic.process(ct, model="tiny")
    process_until(lambda: not run.isBusy, 120)  # the window's event loop is enough
    assert run.state is State.DONE
    assert segment_names(run.resultNode) == NAMES


def world_of(node: Any, index: tuple[int, int, int]) -> np.ndarray:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    return np.array(matrix.MultiplyPoint([*map(float, index), 1.0])[:3])


def has_cuda() -> bool:
    return Path("/dev/nvidia0").exists()


def refuse(word: str) -> None:
    from SDSegLib.errors import SDSegError

    raise SDSegError(word)


@pytest.fixture
def sequences(application: Any) -> Iterator[Any]:
    """The logic of the module Sequences, which moves the shown frames."""
    import slicer

    logic = slicer.vtkSlicerSequencesLogic()
    logic.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    logic.SetMRMLScene(slicer.mrmlScene)
    yield logic
    logic.SetMRMLScene(None)


def test_a_sequence_is_segmented_frame_by_frame(widget: Any, sequences: Any) -> None:
    import slicer

    proxy, browser = a_sequence(3, sequences)
    added: list[str] = []
    tag = slicer.mrmlScene.AddObserver(
        slicer.vtkMRMLScene.NodeAddedEvent, node_names_into(added, "vtkMRMLSegmentationNode")
    )
    node = widget.logic.process(proxy, model="tiny", device="cpu")
    slicer.mrmlScene.RemoveObserver(tag)
    assert added == ["4-D segmentation"]  # frames never enter the scene: removing them crashed it
    sequence = browser.GetSequenceNode(node)
    assert sequence.GetName() == "4-D segmentation"
    assert sequence.GetNumberOfDataNodes() == 3
    assert [sequence.GetNthIndexValue(n) for n in range(3)] == ["0", "1", "2"]
    assert all(segment_names(sequence.GetNthDataNode(n)) == NAMES for n in range(3))
    assert segmentation_nodes() == [node]

    widget.window.parameters.inputVolume = proxy
    assert not widget.ui.allFramesCheckBox.isHidden()
    assert widget.ui.allFramesCheckBox.text == "All 3 frames of the sequence"
    widget.ui.allFramesCheckBox.click()
    run = segment(widget)
    assert run.frameCount == 1
    assert slicer.mrmlScene.IsNodePresent(run.resultNode)
    widget.ui.allFramesCheckBox.click()
    widget.window.parameters.outputSegmentation = run.resultNode
    widget.ui.segmentButton.click()
    assert "new segmentation" in widget.window.messages.text
    assert not widget.window.controller.isBusy


def node_names_into(names: list[str], kind: str) -> Callable[..., None]:
    """An observer of a scene that collects the names of new nodes of a class."""
    import vtk

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def note(scene: Any, event: Any, node: Any) -> None:
        if node.IsA(kind):
            names.append(node.GetName())

    return note


def a_sequence(count: int, logic: Any) -> tuple[Any, Any]:
    """A 4-D volume as the Sequences module shows it: the proxy node and its browser."""
    import slicer

    sequence = slicer.vtkMRMLSequenceNode()
    sequence.SetName("4-D")
    for number in range(count):
        frame = add_ct(name="frame")
        sequence.SetDataNodeAtValue(frame, str(number))
        slicer.mrmlScene.RemoveNode(frame)
    slicer.mrmlScene.AddNode(sequence)
    browser = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSequenceBrowserNode", "browser")
    browser.SetAndObserveMasterSequenceNodeID(sequence.GetID())
    logic.UpdateProxyNodesFromSequences(browser)
    return browser.GetProxyNode(sequence), browser


def test_the_worker_ends_on_request(widget: Any) -> None:
    from SDSegSlicerLib.background import sharedWorker

    choose_ct(widget)
    segment(widget)
    pid = sharedWorker().process_id
    assert is_running(pid)
    widget.ui.stopWorkerButton.click()
    assert wait_until(lambda: not is_running(pid))
    assert segment(widget).state is State.DONE


def test_mirrored_slices_are_averaged_with_where_a_model_has_both_sides(widget: Any) -> None:
    from SDSegLib.inference.load import load_segmenter

    ct = choose_ct(widget)
    plain = segment(widget).resultNode
    widget.ui.mirrorCheckBox.click()
    assert widget.ui.mirrorFacts.text == "twice the time"
    run = segment(widget)
    assert run.state is State.DONE, run.error
    both = load_segmenter(run.options.model, "cpu", mirror=True).segment(a_body())
    for item in both.structures:
        found = mask_of(run.resultNode, item.name, ct)
        np.testing.assert_array_equal(found, both.label_map == item.label)
    assert any(
        (mask_of(plain, name, ct) != mask_of(run.resultNode, name, ct)).any() for name in NAMES
    )

    parameters = widget.window.parameters
    parameters.mirror = False
    assert '"mirror": true' in parameters.resultOptions
    widget.ui.measureButton.click()  # about the result that is there, as it was made
    finish(widget)
    assert widget.window.controller.run.options.mirror


def test_a_model_of_one_side_cannot_look_in_the_mirror(widget: Any, tiny_models: Path) -> None:
    right = replace(STRUCTURES[2], label=1)
    write_tiny_model(tiny_models / "right", name="right", structures=(right,))
    parameters = widget.window.parameters
    parameters.mirror = True
    assert widget.ui.mirrorCheckBox.enabled
    try:
        widget.window.model.reload()
        parameters.model = "right"
        process_until(lambda: not widget.ui.mirrorCheckBox.enabled)
        assert "no counterpart" in widget.ui.mirrorFacts.text
        choose_ct(widget)
        run = segment(widget)
    finally:
        shutil.rmtree(tiny_models / "right")
    assert run.state is State.DONE, run.error
    assert not run.options.mirror


def test_every_option_is_offered_with_the_librarys_limits(widget: Any) -> None:
    from SDSegSlicerLib.parameters import Device, Precision

    infos = RunOptions.infos()
    assert tuple(item.value for item in Device) == infos["device"].choices
    assert tuple(item.value for item in Precision) == infos["precision"].choices
    for name in ("samples", "steps", "batch"):
        box = getattr(widget.ui, f"{name}SpinBox")
        assert (box.minimum, box.maximum) == (1 if name != "batch" else 0, infos[name].maximum)
        assert box.toolTip == infos[name].help
    ct = choose_ct(widget)
    parameters = widget.window.parameters
    parameters.steps, parameters.batch, parameters.samples = 2, 3, 2
    parameters.device, parameters.precision = Device.CPU, Precision.FLOAT32
    parameters.structures = ["Larynx"]
    run = segment(widget)
    assert run.state is State.DONE, run.error
    assert replace(run.options, model=None) == RunOptions(
        structures=("Larynx",), samples=2, steps=2, device="cpu", precision="float32", batch=3
    )
    with pytest.raises(InputError, match="65 samples; 1 to 64 are possible"):
        widget.logic.process(ct, samples=65)
    with pytest.raises(InputError, match="0 reverse steps"):
        widget.logic.process(ct, steps=0)
    node = widget.logic.process(ct, model="tiny", classes=["larynx"], device="cpu")
    assert segment_names(node) == ["Larynx"]


def test_a_ct_is_copied_to_the_worker_once(widget: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import slicer
    from SDSegSlicerLib.background import sharedWorker

    client, opened = sharedWorker(), []
    real = client.open
    monkeypatch.setattr(client, "open", lambda volume: opened.append(volume) or real(volume))
    ct = choose_ct(widget)
    segment(widget)
    widget.window.parameters.structures = ["Larynx"]
    assert segment(widget).state is State.DONE
    assert len(opened) == 1
    array = slicer.util.arrayFromVolume(ct)
    array[:5] = -1000
    slicer.util.arrayFromVolumeModified(ct)
    process_until(lambda: not widget.window.input.isChecking)
    run = segment(widget)
    assert run.state is State.DONE, run.error
    assert len(opened) == 2
    assert run.summary.structures != ()


def test_the_model_that_suits_the_volume_is_proposed(widget: Any) -> None:
    widget.window.parameters.model = ""
    choose_ct(widget)
    assert widget.ui.modelComboBox.currentText == "Automatic: Tiny random model"
    assert "Tiny random model is for CT of the head and neck." in widget.ui.modelFacts.text
    run = segment(widget)
    assert run.state is State.DONE, run.error
    assert run.summary.model == "tiny 0.0.1"
    body = a_body()
    widget.window.parameters.structures = NAMES[:1]
    choose_ct(widget, body, name="next")  # the same model suits it: what is ticked stays
    assert widget.window.parameters.structures == NAMES[:1]
    choose_ct(widget, replace(body, modality=None, array=body.array + np.int16(1024)))
    assert "No installed model is for this image." in widget.ui.modelFacts.text
    assert not widget.ui.segmentButton.enabled


def test_the_longest_pause_includes_drawing_the_result(
    widget: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The views draw a large result after the run has ended; that pause is the one that is felt."""
    import qt

    controller = widget.window.controller
    ended = controller._onEnd

    def draw(run: Any) -> None:
        ended(run)
        qt.QTimer.singleShot(0, lambda: time.sleep(0.4))

    monkeypatch.setattr(controller, "_onEnd", draw)
    choose_ct(widget)
    segment(widget)
    process_until(lambda: controller.longestPause > 0, 10)
    assert controller.longestPause >= 0.39


def test_a_warm_run_does_not_speak_of_loading_and_the_log_is_in_order(widget: Any) -> None:
    from SDSegSlicerLib.background import sharedWorker

    shown: set[str] = set()
    choose_ct(widget)
    waiting = sharedWorker()._outbox._events  # of the worker that gets ready, not taken yet
    wait_until(lambda: any("loaded" in getattr(event, "text", "") for event in list(waiting)), 60)
    segment(widget)
    widget.window.parameters.samples = 2
    widget.ui.segmentButton.click()

    def look() -> bool:
        shown.add(widget.ui.statusLabel.text)
        return not widget.window.controller.isBusy

    process_until(look, 60)
    assert not [text for text in shown if "oading" in text or "tarting" in text]
    lines = widget.ui.logView.plainText.splitlines()
    times = [line[:8] for line in lines]
    assert times == sorted(times), lines
    starts = [number for number, line in enumerate(lines) if "Start segmenting" in line]
    assert starts[0] > next(n for n, line in enumerate(lines) if "loaded" in line), lines
