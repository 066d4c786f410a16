"""Results as segmentation nodes: new ones, or updates that leave other segments alone."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from ..errors import InputError, OutputError
from ..volume.segmentation import Segmentation
from ..volume.structure import Structure
from .edits import is_edited, mark_as_written
from .label_import import import_labels
from .matching import match_segments
from .placement import (
    check_grid,
    has_reference_geometry,
    join_transform,
    set_reference_geometry,
    stand_beside,
)
from .prepared import PreparedLabels, prepare
from .session import open_session
from .terminology import codes_of_entry, terminology_string

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLScene, vtkMRMLSegmentationNode

_log = logging.getLogger(__name__)

Mode = Literal["update", "replace"]

MODEL_ATTRIBUTE = "SDSeg.Model"
_LABELMAP = "Binary labelmap"
_SURFACE = "Closed surface"
_TISSUE = (("SCT", "85756007"), ("SCT", "85756007"), ("", ""))  # what Slicer gives every segment


def segmentation_to_node(
    segmentation: Segmentation,
    volume_node: vtkMRMLScalarVolumeNode | None = None,
    scene: vtkMRMLScene | None = None,
    node: vtkMRMLSegmentationNode | None = None,
    mode: Mode = "update",
    overwrite_edited: bool = False,
    name: str | None = None,
    prepared: PreparedLabels | None = None,
) -> vtkMRMLSegmentationNode:
    """Write a result into a new segmentation node, or into an existing one.

    The node lies under the volume's parent transform, refers to its grid and stands beside it in
    the subject hierarchy. Segment IDs are the structures' `id`. A 3-D surface that the node had
    is made anew.

    Args:
        segmentation: The result, on the volume's own grid.
        volume_node: What was segmented; without it the result is taken to lie in the frame of
            `node`, or of the world.
        scene: Where a new node goes: by default the volume's, or the session's.
        node: An existing segmentation to write into.
        mode: For an existing node. "update" writes the structures of `segmentation` only, into
            the segments that match by ID, terminology or name, and leaves every other segment's
            voxels as they are. "replace" removes all other segments as well.
        overwrite_edited: Whether segments that somebody edited (see `is_edited`) may be
            overwritten or removed; otherwise they stay as they are.
        name: Of a new node; by default made of the volume's name.
        prepared: Made of `segmentation` beforehand, in a thread; writing then takes a tenth.

    Raises:
        InputError: If the result is not on the volume's grid, or if the existing node lies under
            another transform or does not store label maps.
        OutputError: If Slicer refuses the label map.
    """
    session = open_session()
    if volume_node is not None:
        check_grid(segmentation, volume_node)
    prepared = prepared or prepare(segmentation)
    if node is None:
        scene = scene or _scene_of(volume_node, session)
        return _new_node(segmentation, prepared, volume_node, scene, name)
    _check_source(node)
    had_surface = node.GetSegmentation().ContainsRepresentation(_SURFACE)
    matches = match_segments(node.GetSegmentation(), segmentation.structures)
    kept = set() if overwrite_edited else _edited_ids(node)
    structures = [item for item in segmentation.structures if matches.get(item) not in kept]
    _log_kept(node, [item for item in segmentation.structures if matches.get(item) in kept])
    remaining = kept if mode == "replace" else set(_segment_ids(node)) - set(matches.values())
    remaining |= kept
    if volume_node is not None:
        join_transform(node, volume_node, alone=not remaining)
    if mode == "replace":
        for segment_id in set(_segment_ids(node)) - kept:
            node.GetSegmentation().RemoveSegment(segment_id)
        matches = {}
    if not remaining or not has_reference_geometry(node):
        set_reference_geometry(node, volume_node, segmentation.geometry)
    _write(node, segmentation, prepared, structures, matches)
    if had_surface:
        node.CreateClosedSurfaceRepresentation()
    return node


def protected_structures(
    segmentation_node: vtkMRMLSegmentationNode, structures: Sequence[Structure]
) -> tuple[Structure, ...]:
    """Structures whose segment in the node somebody edited: ask before overwriting them."""
    matches = match_segments(segmentation_node.GetSegmentation(), structures)
    edited = _edited_ids(segmentation_node)
    return tuple(item for item in structures if matches.get(item) in edited)


def _new_node(
    segmentation: Segmentation,
    prepared: PreparedLabels,
    volume_node: vtkMRMLScalarVolumeNode | None,
    scene: vtkMRMLScene,
    name: str | None,
) -> vtkMRMLSegmentationNode:
    if name is None:
        name = "Segmentation" if volume_node is None else f"{volume_node.GetName()} segmentation"
    node = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", scene.GenerateUniqueName(name))
    node.CreateDefaultDisplayNodes()
    if volume_node is not None:
        node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())
    set_reference_geometry(node, volume_node, segmentation.geometry)
    try:
        _write(node, segmentation, prepared, segmentation.structures, {})
    except OutputError:
        scene.RemoveNode(node)
        raise
    if volume_node is not None:
        stand_beside(node, volume_node)
    return node


def _write(
    node: vtkMRMLSegmentationNode,
    segmentation: Segmentation,
    prepared: PreparedLabels,
    structures: Sequence[Structure],
    matches: dict[Structure, str],
) -> None:
    """Fill the matching segments and new ones in a single import."""
    segment_ids = [
        matches[item] if item in matches else _add_segment(node, item) for item in structures
    ]
    import_labels(node, segmentation, structures, segment_ids, prepared)
    for structure, segment_id in zip(structures, segment_ids, strict=True):
        segment = node.GetSegmentation().GetSegment(segment_id)
        if codes_of_entry(segment.GetTerminology()) in (None, _TISSUE):
            segment.SetTerminology(terminology_string(structure))
        mark_as_written(segment, prepared.fingerprints[structure.label])
    node.SetAttribute(MODEL_ATTRIBUTE, segmentation.model or None)


def _add_segment(node: vtkMRMLSegmentationNode, structure: Structure) -> str:
    segmentation = node.GetSegmentation()
    color = [value / 255.0 for value in structure.color]
    segment_id = segmentation.AddEmptySegment(
        segmentation.GenerateUniqueSegmentID(structure.id), structure.name, color
    )
    segment = segmentation.GetSegment(segment_id)
    segment.SetNameAutoGenerated(False)
    segment.SetColorAutoGenerated(False)
    segment.SetTerminology(terminology_string(structure))
    return segment_id


def _check_source(node: vtkMRMLSegmentationNode) -> None:
    segmentation = node.GetSegmentation()
    source = segmentation.GetSourceRepresentationName()
    if source != _LABELMAP and segmentation.GetNumberOfSegments():
        raise InputError(
            f'The segmentation "{node.GetName()}" stores its segments as {source}, not as label '
            "maps; make Binary labelmap its source in the module Segmentations, or write into a "
            "new segmentation."
        )
    if source != _LABELMAP:
        node.SetSourceRepresentationToBinaryLabelmap()


def _segment_ids(node: vtkMRMLSegmentationNode) -> list[str]:
    segmentation = node.GetSegmentation()
    return [segmentation.GetNthSegmentID(n) for n in range(segmentation.GetNumberOfSegments())]


def _edited_ids(node: vtkMRMLSegmentationNode) -> set[str]:
    segmentation = node.GetSegmentation()
    return {key for key in _segment_ids(node) if is_edited(segmentation.GetSegment(key))}


def _log_kept(node: vtkMRMLSegmentationNode, structures: Sequence[Structure]) -> None:
    if structures:
        names = ", ".join(item.name for item in structures)
        _log.warning('segments edited in "%s" were left as they are: %s', node.GetName(), names)


def _scene_of(volume_node: vtkMRMLScalarVolumeNode | None, session: Any) -> vtkMRMLScene:
    scene = None if volume_node is None else volume_node.GetScene()
    return scene or session.scene
