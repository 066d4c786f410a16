"""4-D volumes: the frames of a volume node's sequence, and a sequence of their segmentations."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ..language import tr
from ..volume.segmentation import Segmentation
from ..volume.volume import Volume
from .segmentation_node import place_beside, segmentation_to_node
from .segments import PreparedLabels
from .session import private_scene, require_slicer
from .volumes import volume_from_node

if TYPE_CHECKING:
    from slicer import (
        vtkMRMLScalarVolumeNode,
        vtkMRMLSegmentationNode,
        vtkMRMLSequenceBrowserNode,
        vtkMRMLSequenceNode,
    )


class FrameSequence:
    """The sequence whose current frame a volume node shows, and its sequence browser.

    Args:
        volume_node: The shown node (a "proxy" in 3D Slicer).
        browser: The browser it belongs to.
        sequence: The sequence of the frames.
    """

    def __init__(
        self,
        volume_node: vtkMRMLScalarVolumeNode,
        browser: vtkMRMLSequenceBrowserNode,
        sequence: vtkMRMLSequenceNode,
    ) -> None:
        self.volume_node = volume_node
        self.browser = browser
        self.sequence = sequence

    @property
    def count(self) -> int:
        """Number of frames."""
        return int(self.sequence.GetNumberOfDataNodes())

    @property
    def is_present(self) -> bool:
        """Whether browser, sequence and shown node are still in the scene."""
        scene = self.volume_node.GetScene()
        return scene is not None and all(
            scene.IsNodePresent(node) for node in (self.browser, self.sequence, self.volume_node)
        )

    def volume(self, index: int) -> Volume:
        """One frame; its voxels are a view into the frame's node.

        Raises:
            InputError: If the frame is not a usable volume.
        """
        node = self.sequence.GetNthDataNode(index)
        try:
            return volume_from_node(node)
        except InputError as error:
            raise InputError(
                tr("Frame {index} of {count}: {error}").format(
                    index=index + 1, count=self.count, error=error
                )
            ) from error


def frames_of(volume_node: vtkMRMLScalarVolumeNode) -> FrameSequence | None:
    """The sequence of a volume node; None if it is a plain volume or has a single frame."""
    scene = volume_node.GetScene()
    for number in range(scene.GetNumberOfNodesByClass("vtkMRMLSequenceBrowserNode")):
        browser = scene.GetNthNodeByClass(number, "vtkMRMLSequenceBrowserNode")
        sequence = browser.GetSequenceNode(volume_node)
        if sequence is not None and sequence.GetNumberOfDataNodes() > 1:
            return FrameSequence(volume_node, browser, sequence)
    return None


class SegmentationSequence:
    """Segmentations of a sequence's frames; nothing is in the scene before `finish`."""

    def __init__(self, frames: FrameSequence) -> None:
        self._frames = frames
        self._sequence = require_slicer().vtkMRMLSequenceNode()
        self._sequence.SetName(f"{frames.volume_node.GetName()} segmentation")
        self._sequence.SetIndexName(frames.sequence.GetIndexName())
        self._sequence.SetIndexUnit(frames.sequence.GetIndexUnit())
        self._sequence.SetIndexType(frames.sequence.GetIndexType())

    def add(
        self, index: int, segmentation: Segmentation, prepared: PreparedLabels | None = None
    ) -> None:
        """Keep the result of one frame.

        The node is made in a separate scene, from which the sequence copies it. In the
        application's scene it would take a name (the sequence would be called "… segmentation_3"
        after three frames), enter the subject hierarchy, which logs an error when it is removed
        again, and have to be removed together with its display node, never after it: the
        application crashes if the display node goes first.

        Raises:
            OutputError: If Slicer refuses the label map.
        """
        with private_scene() as scene:
            node = segmentation_to_node(
                segmentation, scene=scene, name=self._sequence.GetName(), prepared=prepared
            )
            self._sequence.SetDataNodeAtValue(node, self._frames.sequence.GetNthIndexValue(index))

    def finish(self) -> vtkMRMLSegmentationNode:
        """Add the sequence to the browser of the frames; returns the node that shows one."""
        volume_node, browser = self._frames.volume_node, self._frames.browser
        scene = volume_node.GetScene()
        self._sequence.SetName(scene.GenerateUniqueName(self._sequence.GetName()))
        scene.AddNode(self._sequence)
        browser.AddSynchronizedSequenceNode(self._sequence.GetID())
        node = browser.GetProxyNode(self._sequence)
        node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        place_beside(node, volume_node)
        return node
