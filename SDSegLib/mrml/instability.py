"""The instability of a result as a volume node to lay over its CT."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..volume.segmentation import Segmentation
from .images import image_of, vtk_matrix
from .placement import check_grid, stand_beside

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode

COLORS = "vtkMRMLColorTableNodeFileInferno.txt"
_COLORS_EVERYWHERE = "vtkMRMLColorTableNodeWarm1"
ATTRIBUTE = "SDSeg.Instability"
_FAINTEST_PERCENT = 5.0
_PERCENT = (100 * np.arange(256) / 255).round().astype(np.uint8)


def is_instability(node: vtkMRMLScalarVolumeNode) -> bool:
    """Whether a volume node is such a map."""
    return node.GetAttribute(ATTRIBUTE) is not None


def instability_percent(segmentation: Segmentation) -> np.ndarray:
    """The instability as 0 … 100, uint8 (k, j, i); touches no MRML.

    Raises:
        InputError: If there was one sample only.
    """
    if segmentation.instability is None:
        raise InputError(
            "A single sample says nothing of its instability; segment with two samples or more."
        )
    return _PERCENT[segmentation.instability]


def instability_to_node(
    segmentation: Segmentation,
    volume_node: vtkMRMLScalarVolumeNode,
    node: vtkMRMLScalarVolumeNode | None = None,
    percent: np.ndarray | None = None,
) -> vtkMRMLScalarVolumeNode:
    """Write the instability in percent, uint8, under the volume's transform and beside it.

    Args:
        segmentation: A result of more than one sample, on the volume's grid.
        volume_node: What was segmented.
        node: A volume node to fill anew; by default a new one, with colours from dark to bright
            and what is below 5 % transparent.
        percent: `instability_percent` of it, if that was made beforehand, in a thread.

    Raises:
        InputError: If there was one sample only, or the result is not on the volume's grid.
    """
    if percent is None:
        percent = instability_percent(segmentation)
    check_grid(segmentation, volume_node)
    scene = volume_node.GetScene()
    is_new = node is None
    if node is None:
        name = scene.GenerateUniqueName(f"{volume_node.GetName()} instability (%)")
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetIJKToRASMatrix(vtk_matrix(segmentation.geometry.affine_ras))
    node.SetAndObserveImageData(image_of(percent))
    node.SetAttribute(ATTRIBUTE, "percent")
    if is_new:
        _show_as_heat(node)
        stand_beside(node, volume_node)
    return node


def _show_as_heat(node: vtkMRMLScalarVolumeNode) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    colors = COLORS if node.GetScene().GetNodeByID(COLORS) else _COLORS_EVERYWHERE
    display.SetAndObserveColorNodeID(colors)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 100)
    display.AutoThresholdOff()
    display.SetThreshold(_FAINTEST_PERCENT, 100)
    display.ApplyThresholdOn()
