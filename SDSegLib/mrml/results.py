"""Write a result into the scene: segments, protection of edits, and the instability map.

The Slicer module and the page in the browser both write through `write_result`.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.oriented_box import OrientedBox
from ..volume.segmentation import Segmentation
from ..volume.structure import Structure
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
        inside: Which voxels of its region were asked for, bool; None for all of them.
    """

    segmentation: Segmentation
    labels: PreparedLabels
    percent: np.ndarray | None
    inside: np.ndarray | None = None


@dataclass(frozen=True, eq=False)
class WrittenResult:
    """Outcome of `write_result`.

    Attributes:
        segmentation_node: The segmentation that was written.
        instability_node: A new map of the instability; None for a single sample.
        kept: Names of the structures that were not written because their segments were edited.
        notes: What the user should know about the scene.
    """

    segmentation_node: vtkMRMLSegmentationNode
    instability_node: vtkMRMLScalarVolumeNode | None
    kept: tuple[str, ...]
    notes: tuple[str, ...] = ()


def prepare_result(segmentation: Segmentation, box: OrientedBox | None = None) -> PreparedResult:
    """Examine the voxels of a result. Uses no MRML, so it may run in a thread.

    Args:
        segmentation: The result.
        box: What was asked for of its region; voxels outside of it become background.
    """
    inside = None
    if box is not None and segmentation.region is not None:
        inside = box.inside(segmentation.region)
        segmentation = _cut(segmentation, segmentation.region.slices(), inside)
    percent = None if segmentation.instability is None else instability_percent(segmentation)
    return PreparedResult(segmentation, prepare(segmentation), percent, inside)


def _cut(
    segmentation: Segmentation, region: tuple[slice, slice, slice], inside: np.ndarray
) -> Segmentation:
    """A result of a region with background wherever `inside` is False."""
    labels = np.where(inside, segmentation.label_map[region], 0)
    label_map = np.zeros_like(segmentation.label_map)
    label_map[region] = labels
    instability = segmentation.instability
    if instability is not None:
        values = np.where(inside, instability[region], 0)
        instability = np.zeros_like(instability)
        instability[region] = values
    return replace(segmentation, label_map=label_map, instability=instability)


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
    before = None if node is None else node.GetParentTransformNode()
    if node is not None:
        protected = protected_structures(node, segmentation.structures, overwrite_edited)
        kept = tuple(structure.name for structure in protected)
        if mode == "update" and segmentation.region is not None:
            segmentation = _with_labels_outside(
                segmentation, node, volume_node, result.inside, protected
            )
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
    notes = () if node is None else _moved(before, node)
    return WrittenResult(written, instability, kept, notes)


def _moved(before: Any, node: vtkMRMLSegmentationNode) -> tuple[str, ...]:
    """What happened to the parent transform of a segmentation that was written into."""
    after = node.GetParentTransformNode()
    if after is before:
        return ()
    was = (
        tr("no transform")
        if before is None
        else tr('the transform "{before}"').format(before=before.GetName())
    )
    now = (
        tr("no transform")
        if after is None
        else tr('the transform "{after}"').format(after=after.GetName())
    )
    return (
        tr(
            "The segmentation was under {was} and is under {now} now, as its volume is; Undo "
            "brings the former segments back, but not to their former place."
        ).format(was=was, now=now),
    )


def _with_labels_outside(
    segmentation: Segmentation,
    node: vtkMRMLSegmentationNode,
    volume_node: vtkMRMLScalarVolumeNode,
    inside: np.ndarray | None,
    protected: Collection[Structure],
) -> Segmentation:
    """Labels of the result in its region, and of the same structures in the node outside it.

    Protected structures are not written, so where they lie over others they take nothing from them.
    """
    found = match_segments(node.GetSegmentation(), segmentation.structures)
    matches = {item: key for item, key in found.items() if item not in protected}
    if segmentation.region is None or not matches:
        return segmentation
    before = labels_on_grid(node, volume_node, list(matches.values()))
    numbers = np.zeros(256, np.uint8)
    for number, structure in enumerate(matches, start=1):
        numbers[number] = structure.label
    labels = numbers[before]
    box = segmentation.region.slices()
    new = segmentation.label_map[box]
    labels[box] = new if inside is None else np.where(inside, new, labels[box])
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
        raise InputError(
            tr("A single sample gives no instability; segment with two samples or more.")
        )
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
    node.SetAttribute(_ATTRIBUTE, "percent")
    _show_as_heat_map(node)  # before it has voxels, of which Slicer would compute a window
    node.SetAndObserveImageData(image_of(percent))
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
