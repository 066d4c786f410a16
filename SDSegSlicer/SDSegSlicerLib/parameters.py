"""The options and the last result, kept in the scene."""

from enum import Enum
from typing import Annotated

from slicer import (
    vtkMRMLMarkupsROINode,
    vtkMRMLScalarVolumeNode,
    vtkMRMLSegmentationNode,
)
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper

from SDSegLib.options import MAXIMUM_BATCH, MAXIMUM_SAMPLES, MAXIMUM_STEPS


class OutputMode(Enum):
    """Treatment of the other segments of an existing segmentation."""

    UPDATE = "update"
    REPLACE = "replace"


class Device(Enum):
    """Device to compute on; the values are the library's names."""

    AUTO = "auto"
    CUDA = "cuda"
    MPS = "mps"
    CPU = "cpu"

    def label(self) -> str:
        """Text of the choice."""
        return {
            Device.AUTO: _("Automatic"),
            Device.CUDA: _("NVIDIA GPU (CUDA)"),
            Device.MPS: _("Apple GPU (MPS)"),
            Device.CPU: _("Processor (CPU)"),
        }[self]


class Precision(Enum):
    """Number type of the networks; the values are the library's names."""

    AUTO = "auto"
    FLOAT32 = "float32"
    FLOAT16 = "float16"
    BFLOAT16 = "bfloat16"

    def label(self) -> str:
        """Text of the choice."""
        return {
            Precision.AUTO: _("Automatic"),
            Precision.FLOAT32: _("Single (float32)"),
            Precision.FLOAT16: _("Half (float16)"),
            Precision.BFLOAT16: _("Half (bfloat16)"),
        }[self]


@parameterNodeWrapper
class SDSegParameters:
    """The module's parameter node; saved with the scene.

    Attributes:
        inputVolume: The CT.
        allFrames: Whether all time points of a sequence are segmented, or the shown one.
        segmentAnyway: Whether to segment a volume that may not suit the model.
        model: Name of an installed model; "" for the one that suits the volume best.
        structures: Names of the ticked structures; none stands for all.
        caseSegmentation: The segmentation that is to become a case.
        knownModel: The model to which `structures` belong.
        region: Box to segment in; None for the whole volume.
        outputSegmentation: Segmentation to write into; None for a new one.
        foreignOutput: Whether a segmentation of another volume may be written into.
        outputMode: Treatment of other segments of an existing segmentation.
        overwriteEdited: Whether edited segments may be overwritten.
        device: Device to compute on.
        precision: Number type of the networks.
        mirror: Whether to average with the result of mirrored slices.
        samples: Number of noise samples to average.
        steps: Reverse steps.
        batch: Slices computed together; 0 for the default of model and device.
        resultSegmentation: The segmentation written by the last run.
        resultVolume: The volume that the last run segmented.
        resultOptions: Options of the last run, as JSON of `RunOptions`.
        instabilityMap: Instability of its result in percent; None for a single sample.
        showInstability: Whether the map is shown over the CT.
        instabilityOpacity: Opacity of the map, 0 … 1.
        summary: Volumes, times and slices to review, as `RunSummary.to_text` writes them.
    """

    inputVolume: vtkMRMLScalarVolumeNode
    allFrames: bool = True
    segmentAnyway: bool = False
    model: str = ""
    structures: list[str]
    knownModel: str = ""
    region: vtkMRMLMarkupsROINode
    outputSegmentation: vtkMRMLSegmentationNode
    foreignOutput: bool = False
    outputMode: OutputMode = OutputMode.UPDATE
    overwriteEdited: bool = False
    device: Device = Device.AUTO
    precision: Precision = Precision.AUTO
    mirror: bool = False
    samples: Annotated[int, WithinRange(1, MAXIMUM_SAMPLES)] = 1
    steps: Annotated[int, WithinRange(1, MAXIMUM_STEPS)] = 1
    batch: Annotated[int, WithinRange(0, MAXIMUM_BATCH)] = 0
    caseSegmentation: vtkMRMLSegmentationNode
    resultSegmentation: vtkMRMLSegmentationNode
    resultVolume: vtkMRMLScalarVolumeNode
    resultOptions: str = ""
    instabilityMap: vtkMRMLScalarVolumeNode
    showInstability: bool = False
    instabilityOpacity: Annotated[float, WithinRange(0.0, 1.0)] = 0.5
    summary: str = ""
