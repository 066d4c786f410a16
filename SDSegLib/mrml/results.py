"""Write a result into the scene: segments, protection of edits, and the instability map.

The Slicer module and the page in the browser both write through `write_result`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..volume.segmentation import Segmentation
from .from_node import labels_on_grid
from .segmentation_node import (
    Mode,
    check_grid,
    place_beside,
    protected_structures,
    segmentation_to_node,
)
from .segments import PreparedLabels, match_segments, prepare
from .volumes import image_of, vtk_matrix

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode

_COLORS = "vtkMRMLColorTableNodeFileInferno.txt"
_COLORS_WITHOUT_FILES = "vtkMRMLColorTableNodeWarm1"
_ATTRIBUTE = "SDSeg.Instability"
_LOWEST_SHOWN_PERCENT = 5.0
_PERCENT = (100 * np.arange(256) / 255).round().astype(np.uint8)


@dataclass(frozen=True, eq=False)
class PreparedResult:
    """A result with the properties of its voxels that are needed to write it.

    Attributes:
        segmentation: The result.
        labels: Bounding box and fingerprints of its label map.
        percent: Its instability as 0 … 100, uint8 (k, j, i); None for a single sample.
    """

    segmentation: Segmentation
    labels: PreparedLabels
    percent: np.ndarray | None


@dataclass(frozen=True, eq=False)
class WrittenResult:
    """Outcome of `write_result`.

    Attributes:
        segmentation_node: The segmentation that was written.
        instability_node: A new map of the instability; None for a single sample.
        kept: Names of the structures that were not written because their segments were edited.
    """

    segmentation_node: vtkMRMLSegmentationNode
    instability_node: vtkMRMLScalarVolumeNode | None
    kept: tuple[str, ...]


def prepare_result(segmentation: Segmentation) -> PreparedResult:
    """Examine the voxels of a result. Uses no MRML, so it may run in a thread."""
    percent = None if segmentation.instability is None else instability_percent(segmentation)
    return PreparedResult(segmentation, prepare(segmentation), percent)


def write_result(
    result: PreparedResult,
    volume_node: vtkMRMLScalarVolumeNode,
    node: vtkMRMLSegmentationNode | None = None,
    mode: Mode = "update",
    overwrite_edited: bool | Collection[str] = False,
) -> WrittenResult:
    """Write a result into a new segmentation, or into an existing one.

    Args:
        result: From `prepare_result`.
        volume_node: The segmented volume.
        node: An existing segmentation; by default a new one is made.
        mode: For an existing one: "update" these structures, or "replace" all segments. If the
            result covers a region only, "update" leaves the structures outside of it as they are.
        overwrite_edited: Whether edited segments may be overwritten: all of them, or those of the
            structures with these names.

    Raises:
        InputError: If the result is not on the volume's grid, or the segmentation is under another
            transform or does not store label maps.
        OutputError: If Slicer refuses the label map.
    """
    segmentation, labels = result.segmentation, result.labels
    kept: tuple[str, ...] = ()
    if node is not None:
        protected = protected_structures(node, segmentation.structures, overwrite_edited)
        kept = tuple(structure.name for structure in protected)
        if mode == "update" and segmentation.region is not None:
            segmentation = _with_labels_outside(segmentation, node, volume_node)
            labels = prepare(segmentation)
    written = segmentation_to_node(
        segmentation,
        volume_node,
        node=node,
        mode=mode,
        overwrite_edited=overwrite_edited,
        prepared=labels,
    )
    instability = None
    if result.percent is not None:
        instability = instability_to_node(segmentation, volume_node, percent=result.percent)
    return WrittenResult(written, instability, kept)


def _with_labels_outside(
    segmentation: Segmentation,
    node: vtkMRMLSegmentationNode,
    volume_node: vtkMRMLScalarVolumeNode,
) -> Segmentation:
    """Labels of the result in its region, and of the same structures in the node outside it."""
    matches = match_segments(node.GetSegmentation(), segmentation.structures)
    if segmentation.region is None or not matches:
        return segmentation
    before = labels_on_grid(node, volume_node, list(matches.values()))
    numbers = np.zeros(256, np.uint8)
    for number, structure in enumerate(matches, start=1):
        numbers[number] = structure.label
    labels = numbers[before]
    box = segmentation.region.slices()
    labels[box] = segmentation.label_map[box]
    return replace(segmentation, label_map=labels)


def is_instability(node: vtkMRMLScalarVolumeNode) -> bool:
    """Whether a volume node is a map of instability."""
    return node.GetAttribute(_ATTRIBUTE) is not None


def instability_percent(segmentation: Segmentation) -> np.ndarray:
    """The instability as 0 … 100, uint8 (k, j, i). Uses no MRML.

    Raises:
        InputError: If there was one sample only.
    """
    if segmentation.instability is None:
        raise InputError("A single sample gives no instability; segment with two samples or more.")
    return _PERCENT[segmentation.instability]


def instability_to_node(
    segmentation: Segmentation,
    volume_node: vtkMRMLScalarVolumeNode,
    percent: np.ndarray | None = None,
) -> vtkMRMLScalarVolumeNode:
    """A new volume node with the instability in percent, uint8, for display over the volume.

    Colours go from dark to bright; values below 5 % are transparent.

    Args:
        segmentation: A result of more than one sample, on the volume's grid.
        volume_node: The segmented volume.
        percent: `instability_percent` of it, if computed beforehand.

    Raises:
        InputError: If there was one sample only, or the result is not on the volume's grid.
    """
    if percent is None:
        percent = instability_percent(segmentation)
    check_grid(segmentation, volume_node)
    scene = volume_node.GetScene()
    name = scene.GenerateUniqueName(f"{volume_node.GetName()} instability (%)")
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    node.SetIJKToRASMatrix(vtk_matrix(segmentation.geometry.affine_ras))
    node.SetAndObserveImageData(image_of(percent))
    node.SetAttribute(_ATTRIBUTE, "percent")
    _show_as_heat_map(node)
    place_beside(node, volume_node)
    return node


def _show_as_heat_map(node: vtkMRMLScalarVolumeNode) -> None:
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    has_files = node.GetScene().GetNodeByID(_COLORS) is not None
    display.SetAndObserveColorNodeID(_COLORS if has_files else _COLORS_WITHOUT_FILES)
    display.AutoWindowLevelOff()
    display.SetWindowLevelMinMax(0, 100)
    display.AutoThresholdOff()
    display.SetThreshold(_LOWEST_SHOWN_PERCENT, 100)
    display.ApplyThresholdOn()
