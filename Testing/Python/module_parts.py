"""What the tests of the module share: the open window with tiny models, and a user's clicks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from phantom import a_body
from standin_fixtures import process_until
from tiny_model import STRUCTURES, write_tiny_model

from SDSegLib.volume.volume import Volume

NAMES = [structure.name for structure in STRUCTURES]
RUN_SECONDS = 180


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models: "tiny", and "two" with two structures only."""
    folder = tmp_path_factory.mktemp("models")
    write_tiny_model(folder / "tiny")
    write_tiny_model(folder / "two", name="two", title="Two", structures=STRUCTURES[:2])
    return folder


@pytest.fixture
def widget(
    application: Any,
    module_widget: Callable[[str], Any],
    tiny_models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Any:
    """The module's open widget; the tiny model is chosen."""
    monkeypatch.setenv("SDSEG_MODELS", str(tiny_models))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    opened = module_widget("SDSegSlicer")
    opened.window.parameters.model = "tiny"
    return opened


def add_ct(volume: Volume | None = None, name: str = "ct") -> Any:
    """A volume node in the scene."""
    from SDSegLib.mrml.volumes import volume_to_node

    return volume_to_node(replace(volume or a_body(), name=name))


def choose_ct(widget: Any, volume: Volume | None = None, name: str = "ct") -> Any:
    """A volume node in the scene, chosen as input and checked."""
    node = add_ct(volume, name)
    widget.window.parameters.inputVolume = node
    process_until(lambda: not widget.window.input.isChecking)
    return node


def segment(widget: Any, seconds: float = RUN_SECONDS) -> Any:
    """Click on Segment and wait for the end; returns the run."""
    widget.ui.segmentButton.click()
    finish(widget, seconds)
    return widget.window.controller.run


def finish(widget: Any, seconds: float = RUN_SECONDS) -> None:
    """Wait until the window is ready again."""
    process_until(lambda: not widget.window.controller.isBusy, seconds)


def run_is_counting(widget: Any) -> bool:
    """Whether the run has finished some slices and not all."""
    progress = widget.window.controller.run.progress
    return progress is not None and 0 < progress.done < progress.total


def segment_names(node: Any) -> list[str]:
    """Names of a segmentation's segments."""
    segmentation = node.GetSegmentation()
    return [
        segmentation.GetNthSegment(number).GetName()
        for number in range(segmentation.GetNumberOfSegments())
    ]


def mask_of(node: Any, name: str, volume_node: Any) -> np.ndarray:
    """A segment on a volume's grid, bool (k, j, i), by Slicer's own resampling."""
    import slicer

    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    return slicer.util.arrayFromSegmentBinaryLabelmap(node, segment_id, volume_node) > 0


def segmentation_nodes() -> list[Any]:
    """All segmentation nodes of the scene."""
    import slicer

    return list(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))


def paint_box(node: Any, name: str, volume_node: Any) -> None:
    """What a person does in the Segment Editor: fill a small box of a segment."""
    import slicer

    mask = mask_of(node, name, volume_node)
    mask[2:5, 18:24, 20:26] = True
    segment_id = node.GetSegmentation().GetSegmentIdBySegmentName(name)
    slicer.util.updateSegmentBinaryLabelmapFromArray(
        mask.astype(np.uint8), node, segment_id, volume_node
    )


def cut_texts(widget: Any) -> list[str]:
    """Texts that do not fit into their widgets."""
    import qt

    found = []
    panel = widget.ui.contentArea.parentWidget()
    for kind in (qt.QLabel, qt.QPushButton, qt.QToolButton, qt.QCheckBox, qt.QRadioButton):
        for item in panel.findChildren(kind):
            if not item.visible or not item.text or not item.objectName:
                continue
            if kind is qt.QLabel and item.wordWrap:
                if item.height != height_of_text(item):
                    found.append(f"{name(item)} is not as high as its text")
            elif item.width < item.minimumSizeHint.width():
                found.append(f"{name(item)} is cut")
    return found


def height_of_text(label: Any) -> int:
    """The height that a label's text has at the label's width, by another label."""
    import qt

    other = qt.QLabel(label.text)
    other.setWordWrap(True)
    other.setFont(label.font)
    other.setObjectName(label.objectName)  # for the style sheet
    other.setStyleSheet(label.styleSheet)
    other.ensurePolished()
    return other.heightForWidth(label.width)


def name(item: Any) -> str:
    return item.objectName or type(item).__name__
