"""What a run is asked to do, fixed when it starts."""

from dataclasses import dataclass, field
from typing import Literal

from slicer import (
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
)


@dataclass(frozen=True, eq=False)
class RunSettings:
    """One click on Segment.

    Attributes:
        volumeNode: What to segment.
        model: Name of an installed model, or its folder.
        structures: Names of those wanted; empty for all.
        roiNode: Box to segment in; None for the whole volume.
        segmentationNode: An existing segmentation to write into; None for a new one.
        mode: For an existing one: "update" these structures, or "replace" all.
        overwriteEdited: Whether segments that somebody edited may be overwritten.
        allFrames: Of a sequence, all time points.
        device: "auto", "cuda", "mps" or "cpu".
        precision: "auto", "float32", "float16" or "bfloat16".
        mirror: Average with what is found in mirrored slices; twice the time.
        samples: Noises to average over.
    """

    volumeNode: vtkMRMLScalarVolumeNode
    model: str
    structures: tuple[str, ...] = field(default=())
    roiNode: vtkMRMLMarkupsROINode | None = None
    segmentationNode: vtkMRMLSegmentationNode | None = None
    mode: Literal["update", "replace"] = "update"
    overwriteEdited: bool = False
    allFrames: bool = True
    device: str = "auto"
    precision: str = "auto"
    mirror: bool = False
    samples: int = 1
