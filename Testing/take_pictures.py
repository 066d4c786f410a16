"""Take the pictures of docs/how-to/module.md: python Testing/take_pictures.py [FOLDER]

The window is the module's own, in the test stand-in for 3D Slicer; the worker, the model and the
scene are real. Look at the pictures before they are committed.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "Testing" / "Python")]
os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")

import standin_fixtures  # noqa: E402
from module_parts import finish, mask_of, run_is_counting  # noqa: E402

RUN_SECONDS = 600


def main(folder: Path) -> None:
    """Go through the tutorial and take a picture at each step."""
    from slicer_standin import boot

    session = boot()
    session.load_module(ROOT / "SDSegSlicer" / "SDSegSlicer.py")
    session.app.startupCompleted.emit()
    import slicer

    ct = slicer.util.loadVolume(str(ROOT / "Resources" / "Samples" / "head-neck-ct.nii.gz"))
    slicer.util.setSliceViewerLayers(background=ct, fit=True)
    bounds = [0.0] * 6
    ct.GetRASBounds(bounds)
    middle = [(low + high) / 2 for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
    slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, *middle[:2], middle[2] + 40)
    slicer.util.selectModule("SDSegSlicer")
    widget = slicer.util.getModuleWidget("SDSegSlicer")
    standin_fixtures.process_until(lambda: not widget.ui.windowComboBox.isHidden(), 60)

    def take(name: str) -> None:
        standin_fixtures.process_events(0.5)
        standin_fixtures.picture(session.mainWindow, folder / f"{name}.png")

    take("input")
    show_setup(widget, take)
    widget.ui.segmentButton.click()
    standin_fixtures.process_until(lambda: run_is_past_a_third(widget), RUN_SECONDS)
    take("running")
    finish(widget, RUN_SECONDS)
    take("result")
    thicken(widget.window.parameters.resultSegmentation, "Larynx", ct)
    widget.window.update()
    widget.window.parameters.outputSegmentation = widget.window.parameters.resultSegmentation
    widget.ui.inputSection.collapsed = False
    take("output")
    widget.ui.measureButton.click()
    finish(widget, RUN_SECONDS)
    widget.ui.resultSection.collapsed = True
    widget.ui.editSection.collapsed = False
    widget.ui.reviewTable.setCurrentCell(0, 0)
    widget.ui.checkedNextButton.click()
    take("review")
    carry_a_correction(session, widget, ct)
    take("propagate")
    problems = standin_fixtures.trouble(session)
    session.close()
    if problems:
        sys.exit("\n".join(problems))


def show_setup(widget: Any, take: Any) -> None:
    """What a fresh 3D Slicer shows at the first click."""
    from SDSegSlicerLib import requirements

    is_there = requirements._isThere
    requirements._isThere = lambda package: package.module == "SimpleITK"
    try:
        widget.ui.segmentButton.click()
        take("setup")
        widget.ui.notNowButton.click()
    finally:
        requirements._isThere = is_there


def thicken(node: Any, name: str, volume_node: Any) -> None:
    """What a person does with Margin in the Segment Editor: grow a segment by a voxel."""
    import numpy as np
    import slicer

    mask = mask_of(node, name, volume_node)
    grown = np.logical_or.reduce(
        [mask, *(np.roll(mask, step, axis) for axis in range(3) for step in (-1, 1))]
    )
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        grown.astype(np.uint8), node, segment_id, volume_node
    )


def carry_a_correction(session: Any, widget: Any, volume_node: Any) -> None:
    """A slice of a gland is made wider, and the preview of the other slices shown."""
    import numpy as np
    import slicer

    window, ui = widget.window, widget.ui
    window.parameters.showInstability = False
    for section in (ui.inputSection, ui.resultSection, ui.reviewSection):
        section.collapsed = True
    ui.editSection.collapsed = False
    session.mainWindow.resize(1280, 1080)
    name = "Left parotid gland"
    node = window.parameters.resultSegmentation
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    editor = window.editor.editor
    editor.setCurrentSegmentID(segment_id)
    ui.carryButton.click()
    mask = mask_of(node, name, volume_node)
    number = int(np.argmax(mask.sum(axis=(1, 2))))
    for _ in range(3):
        plane = mask[number]
        mask[number] |= np.roll(plane, 1, 0) | np.roll(plane, -1, 0) | np.roll(plane, 1, 1)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), node, segment_id, volume_node
    )
    standin_fixtures.process_events(0.1)
    ui.carryButton.click()
    effect = editor.activeEffect().self()
    standin_fixtures.process_until(lambda: effect.session.result or effect.session.error, 600)
    effect.session.jumpTo(number + 2)
    standin_fixtures.process_events(0.5)


def run_is_past_a_third(widget: Any) -> bool:
    progress = widget.window.controller.run.progress
    return run_is_counting(widget) and progress.done * 3 > progress.total


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs" / "images")
