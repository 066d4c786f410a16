"""Results as segmentation nodes: new ones, or updates that leave other segments as they are."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import InputError, OutputError
from ..language import tr
from ..volume.geometry import Geometry
from ..volume.segmentation import Segmentation
from ..volume.structure import Structure
from .last_prediction import LastPrediction, remember_prediction
from .segments import (
    PreparedLabels,
    codes_of_entry,
    is_edited,
    mark_as_written,
    match_segments,
    prepare,
    segment_ids,
    terminology_string,
)
from .session import open_session, require_slicer
from .volumes import image_of, volume_from_node, vtk_matrix

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLScene, vtkMRMLSegmentationNode

_log = logging.getLogger(__name__)

Mode = Literal["update", "replace"]

MODEL_ATTRIBUTE = "SDSeg.Model"
_LABELMAP = "Binary labelmap"
_SURFACE = "Closed surface"
_TISSUE = (("SCT", "85756007"), ("SCT", "85756007"), ("", ""))  # Slicer's default for every segment


def segmentation_to_node(
    segmentation: Segmentation,
    volume_node: vtkMRMLScalarVolumeNode | None = None,
    scene: vtkMRMLScene | None = None,
    node: vtkMRMLSegmentationNode | None = None,
    mode: Mode = "update",
    overwrite_edited: bool | Collection[str] = False,
    name: str | None = None,
    prepared: PreparedLabels | None = None,
) -> vtkMRMLSegmentationNode:
    """Write a result into a new segmentation node, or into an existing one.

    The node gets the volume's parent transform, its grid as reference geometry and the same parent
    in the subject hierarchy. Segment IDs are the structures' `id`. If the node had 3-D surfaces,
    they are computed again.

    Args:
        segmentation: The result, on the volume's own grid.
        volume_node: The segmented volume. Without it the result is assumed to be in the coordinates
            of `node`, or in world coordinates.
        scene: For a new node; by default the volume's, or the session's.
        node: An existing segmentation to write into.
        mode: For an existing node. "update" writes the structures of `segmentation` only, into
            the segments that match by ID, terminology or name, and leaves every other segment's
            voxels as they are. "replace" removes all other segments as well.
        overwrite_edited: Whether edited segments (see `is_edited`) may be overwritten or removed:
            all of them, or those of the structures with these names. The others stay as they are.
        name: Of a new node; by default made from the volume's name.
        prepared: `prepare(segmentation)`, computed beforehand in a thread; writing then takes a
            tenth of the time.

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
    if not segment_ids(node):
        node.SetSourceRepresentationToBinaryLabelmap()
    had_surface = node.GetSegmentation().ContainsRepresentation(_SURFACE)
    matches = match_segments(node.GetSegmentation(), segmentation.structures)
    kept = _ids_to_keep(node, matches, overwrite_edited)
    structures = [item for item in segmentation.structures if matches.get(item) not in kept]
    _log_kept(node, [item for item in segmentation.structures if matches.get(item) in kept])
    remaining = kept if mode == "replace" else set(segment_ids(node)) - set(matches.values())
    remaining |= kept
    if volume_node is not None:
        is_free = not remaining and (mode == "replace" or not segment_ids(node))
        _join_transform(node, volume_node, alone=is_free)
    if mode == "replace":
        for segment_id in set(segment_ids(node)) - kept:
            node.GetSegmentation().RemoveSegment(segment_id)
        matches = {}
    if not remaining or not _has_reference_geometry(node):
        _set_reference_geometry(node, volume_node, segmentation.geometry)
    _write(node, segmentation, prepared, structures, matches)
    if had_surface:
        node.CreateClosedSurfaceRepresentation()
    return node


def check_target(
    node: vtkMRMLSegmentationNode,
    volume_node: vtkMRMLScalarVolumeNode,
    mode: Mode = "update",
    overwrite_edited: bool = False,
) -> None:
    """Raise what `segmentation_to_node` would, before time is spent on a result.

    Args:
        node: An existing segmentation.
        volume_node: The volume to segment.
        mode: As for `segmentation_to_node`.
        overwrite_edited: As for `segmentation_to_node`.

    Raises:
        InputError: If the node lies under another transform or does not store label maps.
    """
    _check_source(node)
    stay = _ids_to_keep(node, {}, overwrite_edited) if mode == "replace" else segment_ids(node)
    if stay:
        _join_transform(node, volume_node, alone=False)


def protected_structures(
    node: vtkMRMLSegmentationNode,
    structures: Sequence[Structure],
    overwrite_edited: bool | Collection[str] = False,
) -> tuple[Structure, ...]:
    """Structures that `segmentation_to_node` would not write because their segment was edited.

    Args:
        node: An existing segmentation.
        structures: The structures to write.
        overwrite_edited: As for `segmentation_to_node`.
    """
    matches = match_segments(node.GetSegmentation(), structures)
    kept = _ids_to_keep(node, matches, overwrite_edited)
    return tuple(item for item in structures if matches.get(item) in kept)


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
    _set_reference_geometry(node, volume_node, segmentation.geometry)
    try:
        _write(node, segmentation, prepared, segmentation.structures, {})
    except OutputError:
        scene.RemoveNode(node)
        raise
    if volume_node is not None:
        place_beside(node, volume_node)
    return node


def _write(
    node: vtkMRMLSegmentationNode,
    segmentation: Segmentation,
    prepared: PreparedLabels,
    structures: Sequence[Structure],
    matches: dict[Structure, str],
) -> None:
    """Fill the matching segments and new ones in a single import."""
    ids = [matches[item] if item in matches else _add_segment(node, item) for item in structures]
    _import_labels(node, segmentation, structures, ids, prepared)
    for structure, segment_id in zip(structures, ids, strict=True):
        segment = node.GetSegmentation().GetSegment(segment_id)
        if codes_of_entry(segment.GetTerminology()) in (None, _TISSUE):
            segment.SetTerminology(terminology_string(structure))
        mark_as_written(segment, prepared.fingerprints[structure.label])
        marks = prepared.marks[structure.label]
        doubtful = _doubtful(segmentation, structure)
        remember_prediction(segment, LastPrediction(marks, is_model=True, doubtful=doubtful))
    node.SetAttribute(MODEL_ATTRIBUTE, segmentation.model or None)


def _doubtful(segmentation: Segmentation, structure: Structure) -> tuple[tuple[int, int], ...]:
    """Slices of a structure to correct first, as pairs of axis and number."""
    doubt = segmentation.doubt
    if doubt is None:
        return ()
    numbers = doubt.ranked(segmentation.structures.index(structure))
    return tuple((doubt.axis, number) for number in numbers)


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
            tr(
                'The segmentation "{segmentation}" stores its segments as {source}, not as label '
                "maps; make Binary labelmap its source in the module Segmentations, or write "
                "into a new segmentation."
            ).format(segmentation=node.GetName(), source=source)
        )


def _ids_to_keep(
    node: vtkMRMLSegmentationNode,
    matches: dict[Structure, str],
    overwrite_edited: bool | Collection[str],
) -> set[str]:
    """IDs of the segments that must not be changed because they were edited."""
    if overwrite_edited is True:
        return set()
    segmentation = node.GetSegmentation()
    edited = {key for key in segment_ids(node) if is_edited(segmentation.GetSegment(key))}
    names = overwrite_edited or ()
    return edited - {key for item, key in matches.items() if item.name in names}


def _log_kept(node: vtkMRMLSegmentationNode, structures: Sequence[Structure]) -> None:
    if structures:
        names = ", ".join(item.name for item in structures)
        _log.warning('segments edited in "%s" were left as they are: %s', node.GetName(), names)


def _scene_of(volume_node: vtkMRMLScalarVolumeNode | None, session: Any) -> vtkMRMLScene:
    scene = None if volume_node is None else volume_node.GetScene()
    return scene or session.scene


def _import_labels(
    node: vtkMRMLSegmentationNode,
    segmentation: Segmentation,
    structures: Sequence[Structure],
    ids: Sequence[str],
    prepared: PreparedLabels,
) -> None:
    """Fill existing segments, one for each structure, from a label map in a single import.

    The segment of a structure that is not in the label map becomes empty.
    """
    if not structures:
        return
    import vtk

    slicer = require_slicer()
    logic = open_session().logic("segmentations")
    id_array = vtk.vtkStringArray()
    for segment_id in ids:
        id_array.InsertNextValue(segment_id)
    box = prepared.box
    # The position of the crop is set as the image's extent. As the origin it would make the saving
    # code resample each segment to another grid: 9 s instead of 0.1 s for 14 segments.
    first = (box[2].start, box[1].start, box[0].start)
    image = image_of(_renumbered(segmentation.label_map[box], structures, prepared.highest), first)
    label_map = slicer.vtkMRMLLabelMapVolumeNode()
    label_map.SetHideFromEditors(True)
    scene = node.GetScene()
    scene.AddNode(label_map)
    try:
        label_map.SetAndObserveTransformNodeID(node.GetTransformNodeID())
        label_map.SetIJKToRASMatrix(vtk_matrix(segmentation.geometry.affine_ras))
        label_map.SetAndObserveImageData(image)
        if not logic.ImportLabelmapToSegmentationNode(label_map, node, id_array):
            raise OutputError(
                tr(
                    'Slicer could not import the labels into "{segmentation}"; its error log says '
                    "why. Try again with a new segmentation."
                ).format(segmentation=node.GetName())
            )
    finally:
        scene.RemoveNode(label_map)


def _renumbered(labels: np.ndarray, structures: Sequence[Structure], highest: int) -> np.ndarray:
    """Labels 1 … N in the order of `structures`: the import gives the n-th segment label n."""
    wanted = [structure.label for structure in structures]
    if wanted == list(range(1, len(wanted) + 1)) and highest <= len(wanted):
        return labels
    numbers = np.zeros(256, np.uint8)
    for number, structure in enumerate(structures, start=1):
        numbers[structure.label] = number
    return numbers[labels]


def check_grid(segmentation: Segmentation, volume_node: vtkMRMLScalarVolumeNode) -> None:
    """Raise `InputError` unless the result is on the volume's own grid."""
    geometry = volume_from_node(volume_node).geometry
    if not segmentation.geometry.matches(geometry, tolerance_mm=0.01):
        raise InputError(
            tr(
                'The result ({geometry}) is not on the grid of the volume "{volume}" '
                "({volume_geometry}); choose the volume that was segmented."
            ).format(
                geometry=_shown(segmentation.geometry),
                volume=volume_node.GetName(),
                volume_geometry=_shown(geometry),
            )
        )


def _join_transform(
    node: vtkMRMLSegmentationNode, volume_node: vtkMRMLScalarVolumeNode, alone: bool
) -> None:
    """Put the node under the volume's transform; an error if that would move other segments."""
    if node.GetParentTransformNode() is volume_node.GetParentTransformNode():
        return
    if not alone:
        raise InputError(
            tr(
                'The segmentation "{segmentation}" is under {segmentation_transform} and the '
                'volume "{volume}" under {volume_node}; put both under the same transform, or '
                "write into a new segmentation."
            ).format(
                segmentation=node.GetName(),
                segmentation_transform=_transform_name(node),
                volume=volume_node.GetName(),
                volume_node=_transform_name(volume_node),
            )
        )
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())


def _set_reference_geometry(
    node: vtkMRMLSegmentationNode,
    volume_node: vtkMRMLScalarVolumeNode | None,
    geometry: Geometry,
) -> None:
    """Use the volume's grid, or else `geometry`, for editing and saving."""
    if volume_node is not None:
        node.SetReferenceImageGeometryParameterFromVolumeNode(volume_node)
        return
    converter = require_slicer().vtkSegmentationConverter
    k, j, i = geometry.shape
    node.GetSegmentation().SetConversionParameter(
        converter.GetReferenceImageGeometryParameterName(),
        converter.SerializeImageGeometry(
            vtk_matrix(geometry.affine_ras), [0, i - 1, 0, j - 1, 0, k - 1]
        ),
    )


def _has_reference_geometry(node: vtkMRMLSegmentationNode) -> bool:
    """Whether the node has a reference image geometry."""
    name = require_slicer().vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    return bool(node.GetSegmentation().GetConversionParameter(name))


def place_beside(node: vtkMRMLSegmentationNode, volume_node: vtkMRMLScalarVolumeNode) -> None:
    """Give the node the volume's parent in the subject hierarchy.

    Items of the hierarchy exist only in the application; elsewhere this does nothing.
    """
    hierarchy = node.GetScene().GetSubjectHierarchyNode()
    if hierarchy is None:
        return
    item, volume_item = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(volume_node)
    if item and volume_item:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(volume_item))


def _shown(geometry: Geometry) -> str:
    k, j, i = geometry.shape
    return tr("{i} × {j} × {k} voxels").format(i=i, j=j, k=k)


def _transform_name(node: Any) -> str:
    transform = node.GetParentTransformNode()
    return (
        tr("no transform")
        if transform is None
        else tr('the transform "{transform}"').format(transform=transform.GetName())
    )
