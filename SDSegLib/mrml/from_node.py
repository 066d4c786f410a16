"""A segmentation node with its edits as a label map with structures, for export to files."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.geometry import Geometry
from ..volume.layers import LayeredLabels
from ..volume.segmentation import Segmentation
from ..volume.structure import ANATOMICAL_STRUCTURE, Code, Structure
from .edit_grid import EditGrid, layer_on_grid
from .segments import segment_ids
from .session import require_slicer
from .volumes import array_of, volume_from_node, vtk_matrix

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkSegment

_LABELMAP = "Binary labelmap"
_MOST_SEGMENTS = 255
_TISSUE = Code("SCT", "85756007", "Tissue")


def segmentation_from_node(
    node: vtkMRMLSegmentationNode, volume_node: vtkMRMLScalarVolumeNode, model: str = ""
) -> Segmentation:
    """All segments on a volume's grid; where several overlap, the last one wins.

    Args:
        node: Names, colours and terminology are taken from its segments; a segment without
            terminology gets the type "Tissue".
        volume_node: Volume whose grid the label map gets.
        model: Name of the model that made the segments, for reports and DICOM.

    Raises:
        InputError: If the node has no segments or too many, or lies under another transform than
            the volume.
    """
    ids = _exportable(node)
    return Segmentation(
        label_map=labels_on_grid(node, volume_node, ids),
        geometry=volume_from_node(volume_node).geometry,
        structures=_structures(node, ids),
        model=model,
    )


def layers_from_node(
    node: vtkMRMLSegmentationNode, volume_node: vtkMRMLScalarVolumeNode
) -> LayeredLabels:
    """All segments on a volume's grid, each of them whole also where they overlap.

    Args:
        node: As for `segmentation_from_node`.
        volume_node: Volume whose grid they get.

    Returns:
        Copies of the voxels, independent of MRML, with the segments' order as labels 1 … N.

    Raises:
        InputError: As for `segmentation_from_node`.
    """
    ids = _exportable(node)
    segmentation = node.GetSegmentation()
    together: dict[str, list[str]] = {}
    for segment_id in ids:
        image = segmentation.GetSegment(segment_id).GetRepresentation(_LABELMAP)
        key = segment_id if image is None else image.GetAddressAsString("")
        together.setdefault(key, []).append(segment_id)
    layers = []
    for members in together.values():
        labels = labels_on_grid(node, volume_node, members)
        if members != ids:
            table = np.array([0, *(ids.index(member) + 1 for member in members)], np.uint8)
            labels = table[labels]
        layers.append(labels)
    return LayeredLabels(
        layers=tuple(layers),
        geometry=volume_from_node(volume_node).geometry,
        structures=_structures(node, ids),
    )


def _exportable(node: vtkMRMLSegmentationNode) -> list[str]:
    """IDs of the segments.

    Raises:
        InputError: If there are none or too many.
    """
    count = node.GetSegmentation().GetNumberOfSegments()
    if not 0 < count <= _MOST_SEGMENTS:
        raise InputError(
            tr(
                'The segmentation "{segmentation}" has {count} segments; between 1 and '
                "{most_segments} can be exported."
            ).format(segmentation=node.GetName(), count=count, most_segments=_MOST_SEGMENTS)
        )
    return segment_ids(node)


def _structures(node: vtkMRMLSegmentationNode, ids: list[str]) -> tuple[Structure, ...]:
    segmentation = node.GetSegmentation()
    return tuple(
        _structure(label, segmentation.GetSegment(segment_id))
        for label, segment_id in enumerate(ids, start=1)
    )


def labels_on_grid(
    node: vtkMRMLSegmentationNode, volume_node: vtkMRMLScalarVolumeNode, ids: list[str]
) -> np.ndarray:
    """Some segments as labels 1 … N on a volume's grid, uint8 (k, j, i); the last one wins.

    Raises:
        InputError: If the node lies under another transform than the volume, or stores no label
            maps.
    """
    import vtk

    if node.GetParentTransformNode() is not volume_node.GetParentTransformNode():
        raise InputError(
            tr(
                'The segmentation "{segmentation}" and the volume "{volume}" are under different '
                "transforms; put both under the same one."
            ).format(segmentation=node.GetName(), volume=volume_node.GetName())
        )
    slicer = require_slicer()
    volume = volume_from_node(volume_node)
    labels = stored_labels(node, ids, volume.geometry)
    if labels is not None:
        return labels
    k, j, i = volume.array.shape
    grid = slicer.vtkOrientedImageData()
    grid.SetExtent(0, i - 1, 0, j - 1, 0, k - 1)
    grid.SetImageToWorldMatrix(vtk_matrix(volume.geometry.affine_ras))
    names = vtk.vtkStringArray()
    for segment_id in ids:
        names.InsertNextValue(segment_id)
    merged = slicer.vtkOrientedImageData()
    if not node.GenerateMergedLabelmapForAllSegments(
        merged, slicer.vtkSegmentation.EXTENT_REFERENCE_GEOMETRY, grid, names
    ):
        raise InputError(
            tr(
                'The segments of "{segmentation}" cannot be laid on the grid of "{volume}"; '
                "Slicer's error log says why."
            ).format(segmentation=node.GetName(), volume=volume_node.GetName())
        )
    return array_of(merged).astype(np.uint8)


def stored_labels(
    node: vtkMRMLSegmentationNode, ids: list[str], geometry: Geometry
) -> np.ndarray | None:
    """Labels 1 … N from the segments' own voxels; seconds faster than Slicer merges them.

    Returns:
        uint8 (k, j, i), the last segment wins; None unless all segments are label maps of whole
        numbers on the voxels of `geometry`.

    Raises:
        InputError: If there are no label maps, but surfaces.
    """
    segmentation = node.GetSegmentation()
    is_made = segmentation.GetSourceRepresentationName() != _LABELMAP
    if is_made and segmentation.ContainsRepresentation(_LABELMAP):
        return None
    grid = EditGrid(geometry, (0, 0, 0), is_volumes=True)
    labels = np.zeros(geometry.shape, np.uint8)
    layers = [layer_on_grid(node, segment_id, grid) for segment_id in ids]
    numbered = [(number, layer) for number, layer in enumerate(layers, start=1) if layer]
    if len(numbered) < len(ids) or any(layer[0].dtype.kind not in "iu" for _, layer in numbered):
        return None
    for _, together in groupby(numbered, lambda item: item[1][0].ctypes.data):
        members = list(together)
        voxels, corner, _ = members[0][1]
        first = np.maximum(corner, 0)
        stop = np.minimum(np.add(corner, voxels.shape), geometry.shape)
        if (first >= stop).any():
            continue
        inside = voxels[tuple(map(slice, first - corner, stop - corner))]
        table = np.zeros(int(voxels.max()) + 1, np.uint8)
        for number, (_, _, label) in members:
            table[label : label + 1] = number  # the label of an empty segment may be higher
        box = labels[tuple(map(slice, first, stop))]
        for plane, own in zip(box, inside, strict=True):  # indices take eight times the memory
            new = table[own]
            np.copyto(plane, new, where=new > 0)
    return labels


def _structure(label: int, segment: vtkSegment) -> Structure:
    parts = segment.GetTerminology().rstrip("|").split("~") + [""] * 4
    category, kind, modifier = (_code(text) for text in parts[1:4])
    red, green, blue = (round(255 * value) for value in segment.GetColor())
    return Structure(
        label=label,
        name=segment.GetName(),
        color=(red, green, blue),
        type=kind or _TISSUE,
        category=category or ANATOMICAL_STRUCTURE,
        modifier=modifier,
    )


def _code(text: str) -> Code | None:
    """One "scheme^value^meaning" of a terminology entry; None if it is empty."""
    scheme, value, meaning = [*text.split("^"), "", "", ""][:3]
    return Code(scheme, value, meaning) if scheme and value else None
