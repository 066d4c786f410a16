"""The self test: the clicks of a user, on a small volume, with a tiny model."""

import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from SDSegLib.worker.outcome import State

from SDSegLib.models.registry import MODELS_VARIABLE

from . import selfTestModel
from .requirements import missingPackages
from .runBar import DOUBLE_CLICK_SECONDS
from .sharedWorker import childEnvironment, childPython, closeWorker

_RUN_SECONDS = 180
_MODEL_SECONDS = 300
_NAMES = ["Larynx", "Mandible"]


def clickThrough() -> None:
    """Choose, segment, cancel, segment again into the same node, and look at the result.

    Where packages are missing, a click must say so and offer to install them.
    """
    if missingPackages():
        _seeWhatIsMissing()
        return
    with tempfile.TemporaryDirectory(prefix="sdseg-test-") as folder, _tinyModel(Path(folder)):
        slicer.util.selectModule("SDSegSlicer")
        widget = slicer.util.getModuleWidget("SDSegSlicer")
        try:
            _clickThrough(widget.window, widget.ui)
        finally:
            closeWorker()
    widget.window.connectParameters()


def _seeWhatIsMissing() -> None:
    slicer.util.selectModule("SDSegSlicer")
    widget = slicer.util.getModuleWidget("SDSegSlicer")
    widget.window.enter()
    widget.window.parameters.inputVolume = _smallVolume()
    widget.ui.segmentButton.click()
    assert widget.window.dependencies.isOpen, widget.window.messages.text
    assert not widget.window.controller.isBusy


def _clickThrough(window: Any, ui: Any) -> None:
    window.enter()
    parameters = window.parameters
    assert not ui.segmentButton.enabled
    volumeNode = _smallVolume()
    parameters.inputVolume = volumeNode
    parameters.model = selfTestModel.NAME
    assert ui.segmentButton.enabled

    ui.segmentButton.click()
    assert window.controller.isBusy, window.messages.text
    ui.segmentButton.click()  # the second one of a double click
    assert not window.controller.run.isCancelling
    time.sleep(DOUBLE_CLICK_SECONDS)
    ui.segmentButton.click()
    _waitFor(lambda: not window.controller.isBusy)
    assert window.controller.run.state is State.CANCELLED
    assert slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLSegmentationNode") == 0

    ui.segmentButton.click()
    _waitFor(lambda: not window.controller.isBusy)
    assert window.controller.run.state is State.DONE, window.messages.text
    result = parameters.resultSegmentation
    assert result.GetSegmentation().GetNumberOfSegments() == 7
    assert ui.resultTable.rowCount == 7

    parameters.structures = _NAMES
    parameters.samples = 2
    parameters.outputSegmentation = result
    ui.segmentButton.click()
    _waitFor(lambda: not window.controller.isBusy)
    assert window.controller.run.state is State.DONE, window.messages.text
    assert parameters.resultSegmentation is result
    assert result.GetSegmentation().GetNumberOfSegments() == 7
    assert parameters.instabilityMap is not None


@contextmanager
def _tinyModel(folder: Path) -> Iterator[None]:
    """The tiny model as the only one of the user's, for the time of the test."""
    script = str(Path(selfTestModel.__file__).resolve())
    subprocess.run(
        [childPython(), script, str(folder / selfTestModel.NAME)],
        env=childEnvironment(),
        check=True,
        timeout=_MODEL_SECONDS,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    before = os.environ.get(MODELS_VARIABLE)
    os.environ[MODELS_VARIABLE] = str(folder)
    try:
        yield
    finally:
        if before is None:
            del os.environ[MODELS_VARIABLE]
        else:
            os.environ[MODELS_VARIABLE] = before


def _smallVolume() -> Any:
    """A body of soft tissue in air, 20 slices."""
    k, j, i = np.indices((20, 48, 56))
    body = ((j - 24) / 18) ** 2 + ((i - 28) / 22) ** 2 < 1
    values = np.where(body, np.random.default_rng(0).normal(40, 30, k.shape), -1000)
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "SDSeg self test")
    slicer.util.updateVolumeFromArray(node, values.astype(np.int16))
    node.SetSpacing(5, 5, 5)
    return node


def _waitFor(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + _RUN_SECONDS
    while not condition():
        slicer.app.processEvents()
        time.sleep(0.01)
        if time.monotonic() > end:
            raise TimeoutError(f"Nothing happened within {_RUN_SECONDS} s")
