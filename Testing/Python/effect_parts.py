"""What the tests of the effect share: an editor on the sample CT, and a person who draws."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import ndimage
from standin_fixtures import process_events, process_until

from SDSegLib.reading.files import read_volume
from SDSegLib.resources import resource_folder
from SDSegLib.volume.volume import Volume

SECONDS = 120
CENTRE, RADIUS = (70, 135), 14.0  # row and column of the structure that is drawn


def sample_ct() -> Volume:
    """The middle of the sample CT, 60 slices."""
    whole = read_volume(resource_folder() / "Samples" / "head-neck-ct.nii.gz")
    return replace(
        whole,
        array=np.ascontiguousarray(whole.array[30:90]),
        geometry=replace(whole.geometry, shape=(60, *whole.geometry.shape[1:])),
        modality="CT",
    )


class Person:
    """Somebody at a Segment Editor, with a CT and an empty segment.

    Attributes:
        editor: The `qMRMLSegmentEditorWidget`.
        ct: The volume node.
        node: The segmentation node.
    """

    def __init__(self, ct: Any) -> None:
        import slicer

        self.ct = ct
        self.node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "mine")
        self.node.CreateDefaultDisplayNodes()
        self.node.SetReferenceImageGeometryParameterFromVolumeNode(ct)
        self.node.GetSegmentation().AddEmptySegment("organ", "Organ", [0.2, 0.7, 0.3])
        slicer.util.setSliceViewerLayers(background=ct)
        self.editor = slicer.qMRMLSegmentEditorWidget()
        self.editor.setMaximumNumberOfUndoStates(10)
        self.editor.setMRMLScene(slicer.mrmlScene)
        editor_node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentEditorNode")
        self.editor.setMRMLSegmentEditorNode(editor_node)
        self.editor.setSegmentationNode(self.node)
        self.editor.setSourceVolumeNode(ct)
        self.editor.setCurrentSegmentID("organ")

    @property
    def effect(self) -> Any:
        return self.editor.effectByName("SDSeg Propagate").self()

    @property
    def session(self) -> Any:
        return self.effect.session

    @property
    def ui(self) -> Any:
        return self.effect.panel.ui

    def choose_effect(self, name: str = "SDSeg Propagate") -> None:
        self.editor.setActiveEffectByName(name)
        process_events(0.05)

    def draw(
        self, number: int, axis: int = 0, radius: float = RADIUS, segment_id: str = "organ"
    ) -> None:
        """Fill a disc on a slice, in place of what was there, with Paint."""
        self.stroke(number, disc(self.shape, number, axis, radius), axis, segment_id)

    def stroke(
        self, number: int, wanted: np.ndarray, axis: int = 0, segment_id: str = "organ"
    ) -> None:
        """Make one slice of a segment as in `wanted`, with an undo state."""
        from SDSegLib.mrml.edit_grid import edit_grid, image_with_slices, write_segment
        from SDSegLib.propagation.mask_part import MaskPart

        self.editor.saveStateForUndo()
        grid = edit_grid(self.node, self.ct)
        image = image_with_slices(self.node, segment_id, grid, MaskPart.of(wanted), axis, [number])
        write_segment(self.node, segment_id, image)

    @property
    def shape(self) -> tuple[int, int, int]:
        from SDSegLib.mrml.edit_grid import edit_grid

        return edit_grid(self.node, self.ct).geometry.shape

    def mask(self, segment_id: str = "organ") -> np.ndarray:
        """A segment's voxels on the grid that it is edited on."""
        from SDSegLib.mrml.edit_grid import edit_grid, segment_on_grid

        return segment_on_grid(self.node, segment_id, edit_grid(self.node, self.ct)).whole() > 0

    def wait_for_preview(self, seconds: float = SECONDS) -> None:
        """Wait until the preview is up to date, or an error is shown."""
        process_events(0.05)
        process_until(
            lambda: self.session.error or (self.session.result and not self.session.isPending),
            seconds,
        )

    def drawn(self) -> list[int]:
        """Numbers in the list of drawn slices, as voxel numbers from 0."""
        widget = self.ui.drawnList
        return [int(widget.item(row).text().split()[0]) - 1 for row in range(widget.count)]


def patient() -> np.ndarray:
    """The patient's body on each slice of the sample CT, as a person would outline it."""
    inside = np.zeros(sample_ct().array.shape, bool)
    for number, values in enumerate(sample_ct().array):
        pieces, count = ndimage.label(values > -300)
        sizes = ndimage.sum_labels(np.ones_like(pieces), pieces, range(1, count + 1))
        inside[number] = ndimage.binary_fill_holes(pieces == 1 + int(np.argmax(sizes)))
    return inside


def disc(shape: tuple[int, ...], number: int, axis: int = 0, radius: float = RADIUS) -> np.ndarray:
    """A mask with a disc on one slice."""
    mask = np.zeros(shape, bool)
    plane = np.moveaxis(mask, axis, 0)[number]
    rows, columns = np.indices(plane.shape)
    centre = CENTRE if axis == 0 else (plane.shape[0] // 2, plane.shape[1] // 2)
    plane[...] = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
    return mask


def preview_nodes() -> list[Any]:
    """Nodes of previews in the scene."""
    import slicer

    nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
    return [node for node in nodes if node.GetName() == "SDSeg preview"]


@pytest.fixture
def person(application: Any, module_widget: Callable[[str], Any]) -> Iterator[Person]:
    """A person with the sample CT; the extension is installed."""
    module_widget("SDSegSlicer")
    application.app.startupCompleted.emit()
    from SDSegLib.mrml.volumes import volume_to_node

    somebody = Person(volume_to_node(sample_ct()))
    yield somebody
    somebody.editor.setActiveEffect(None)
