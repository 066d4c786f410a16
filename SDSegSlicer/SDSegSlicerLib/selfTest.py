"""The self test: simulated clicks, on a small volume, with a tiny model."""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import slicer
from SDSegPropagateLib.selfTest import carryThrough

from SDSegLib.models.registry import MODELS_VARIABLE
from SDSegLib.worker.run import State

from . import selfTestModel
from .background import childEnvironment, childPython, closeWorker
from .requirements import missingPackages
from .runControl import DOUBLE_CLICK_SECONDS
from .selfTestTeach import addAndTeach

_RUN_SECONDS = 180
_MODEL_SECONDS = 300
_NAMES = ["Larynx", "Mandible"]


def clickThrough() -> None:
    """Choose, segment, cancel, segment again into the same node, carry a mask, add cases, teach.

    Raises:
        RuntimeError: If packages are missing, so that nothing can be segmented, or if an error was
            written to the application's log meanwhile.
    """
    logged = _ErrorLog()
    if missingPackages():
        _checkThatPackagesAreOffered()
        names = ", ".join(package.name for package in missingPackages())
        raise RuntimeError(
            f"Nothing was segmented: the packages {names} are not installed in 3D Slicer's Python. "
            "Click Install in the module, then run the test again."
        )
    with tempfile.TemporaryDirectory(prefix="sdseg-test-") as folder, _tinyModel(Path(folder)):
        slicer.util.selectModule("SDSegSlicer")
        widget = slicer.util.getModuleWidget("SDSegSlicer")
        try:
            _clickThrough(widget.window, widget.ui)
            carryThrough(widget.window, widget.ui, _waitFor)
            addAndTeach(
                widget.window,
                widget.ui,
                Path(folder) / "cases",
                lambda: _segmentAnother(widget.window, widget.ui),
                _waitFor,
            )
        finally:
            closeWorker()
    widget.window.connectParameters()
    errors = logged.errors()
    if errors:
        raise RuntimeError("Errors were logged during the test:\n" + "\n".join(errors))


class _ErrorLog:
    """Errors that reach the application's log file from now on.

    Exceptions in slots and observers, and errors of VTK and Qt, do not stop a Python test; all of
    them are in that file.

    Raises:
        RuntimeError: If the application writes no log file.
    """

    def __init__(self) -> None:
        path = slicer.app.errorLogModel().filePath
        if not path or not Path(path).is_file():
            raise RuntimeError("3D Slicer writes no log file, so the test cannot see its errors.")
        self._path = Path(path)
        self._start = self._path.stat().st_size

    def errors(self) -> list[str]:
        """Messages logged as errors; 3D Slicer begins each message with its level."""
        slicer.app.processEvents()  # messages are written by the event loop
        with self._path.open("rb") as file:
            file.seek(self._start)
            text = file.read().decode("utf-8", errors="replace")
        messages = re.split(r"^(?=\[[A-Z]+\])", text, flags=re.MULTILINE)
        return [item for item in messages if re.match(r"\[(ERROR|CRITICAL|FATAL)\]", item)]


def _checkThatPackagesAreOffered() -> None:
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


def _segmentAnother(window: Any, ui: Any) -> None:
    """The CT of another patient, and its result."""
    parameters = window.parameters
    parameters.outputSegmentation = None
    parameters.samples = 1
    parameters.inputVolume = _smallVolume(seed=1)
    ui.segmentButton.click()
    _waitFor(lambda: not window.controller.isBusy)
    assert window.controller.run.state is State.DONE, window.messages.text


@contextmanager
def _tinyModel(folder: Path) -> Iterator[None]:
    """Make the tiny model the only one of the user's during the test."""
    script = str(Path(selfTestModel.__file__).resolve())
    made = subprocess.run(
        [childPython(), script, str(folder / selfTestModel.NAME)],
        env=childEnvironment(),
        check=False,
        capture_output=True,
        text=True,
        errors="replace",
        timeout=_MODEL_SECONDS,
        creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
    )
    if made.returncode:
        raise RuntimeError(
            f"The test's model could not be made in a child process of {childPython()}, as the "
            f"worker is one:\n{made.stderr}"
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


def _smallVolume(seed: int = 0) -> Any:
    """A body of soft tissue in air, 20 slices."""
    k, j, i = np.indices((20, 48, 56))
    body = ((j - 24) / 18) ** 2 + ((i - 28) / 22) ** 2 < 1
    values = np.where(body, np.random.default_rng(seed).normal(40, 30, k.shape), -1000)
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
