"""What the tests of Teach in the module share: corrected cases in the scene, and clicks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from module_parts import add_ct
from phantom import a_body
from standin_fixtures import process_until
from teach_parts import write_foundation
from tiny_model import write_tiny_model
from training_parts import SHAPE, a_case

from SDSegLib.volume.volume import Volume

NAMES = ("Body", "Bone")
MINUTES = 0.45
TEACH_SECONDS = 120


@pytest.fixture
def teaching(
    application: Any,
    module_widget: Callable[[str], Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The module's open widget, with a tiny model to begin with and one that segments."""
    models = tmp_path / "models"
    write_foundation(models / "foundation")
    write_tiny_model(models / "tiny")
    monkeypatch.setenv("SDSEG_MODELS", str(models))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    opened = module_widget("SDSegSlicer")
    opened.window.parameters.model = "tiny"
    opened.models = models
    return opened


def a_ct(number: int) -> Volume:
    """The CT of one of several patients."""
    return Volume(a_case(number).image, a_body(SHAPE).geometry, modality="CT")


def drawn(number: int, names: tuple[str, ...] = NAMES, called: str = "Doe^Jane") -> tuple[Any, Any]:
    """A CT in the scene, and a segmentation as a person would have drawn it."""
    import slicer

    ct = add_ct(a_ct(number), f"{called} {number}")
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", f"drawn {number}")
    node.CreateDefaultDisplayNodes()
    node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
    for label, name in enumerate(NAMES, start=1):
        if name in names:
            mask = (a_case(number).label_map == label).astype(np.uint8)
            key = node.GetSegmentation().AddEmptySegment("", name)
            slicer.util.updateSegmentBinaryLabelmapFromArray(mask, node, key, ct)
    return ct, node


def choose_folder(widget: Any, application: Any, folder: Path) -> None:
    """The user chooses where cases are kept."""
    application.dialogs.expect("Folder for your cases", str(folder))
    widget.ui.caseFolderButton.click()


def open_box(widget: Any, node: Any) -> None:
    """Show what would be added of a segmentation, and wait until it is known."""
    widget.ui.addSegmentationButton.click()
    widget.window.parameters.caseSegmentation = node
    process_until(lambda: "counting" not in widget.ui.addCaseStructures.text, 30)
    process_until(lambda: widget.window.addCase._looking is None, 30)


def add_case(widget: Any, node: Any) -> None:
    """Open the box, agree, click on Add and wait."""
    open_box(widget, node)
    if not widget.ui.caseConsentCheckBox.isHidden():
        widget.ui.caseConsentCheckBox.click()
    assert widget.ui.addCaseButton.enabled, widget.ui.addCaseFacts.text
    widget.ui.addCaseButton.click()
    process_until(lambda: not widget.window.addCase.isBusy, 30)


def add_cases(widget: Any, application: Any, folder: Path, count: int = 3) -> None:
    """Several corrected cases of different patients, in the open section."""
    if widget.ui.teachSection.collapsed:
        widget.ui.teachSection.click()
    choose_folder(widget, application, folder)
    for number in range(count):
        add_case(widget, drawn(number)[1])


def teach(widget: Any, minutes: float = MINUTES) -> Any:
    """Click on Teach; returns the run."""
    from SDSegSlicerLib.teachRun import currentRun

    widget.ui.minutesComboBox.setEditText(f"{minutes:g}")
    assert widget.ui.teachButton.enabled, widget.ui.teachFacts.text
    widget.ui.teachButton.click()
    run = currentRun()
    assert run is not None, widget.window.messages.text
    return run


def wait_for_end(widget: Any, run: Any, seconds: float = TEACH_SECONDS) -> None:
    """Until the run has ended and the window has shown it."""
    process_until(lambda: not run.isBusy and run.isSeen, seconds)
