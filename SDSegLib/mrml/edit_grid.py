"""The voxels that a segment is edited on, and masks and the CT on them.

They are those of the segmentation's reference geometry, as in 3D Slicer's Segment Editor, so that a
mask that is read and written again is never resampled. Mostly they are the volume's own voxels; if
not, the CT is resampled to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..propagation.mask_part import MaskPart
from ..volume.checks import AIR_HU
from ..volume.geometry import Geometry
from ..volume.volume import Volume
from .session import require_slicer
from .volumes import array_of, volume_from_node, vtk_matrix

if TYPE_CHECKING:
    from slicer import (
        vtkMRMLScalarVolumeNode,
        vtkMRMLSegmentationNode,
        vtkMRMLTransformableNode,
        vtkOrientedImageData,
    )

_LABELMAP = "Binary labelmap"
_SAME_PLACE_MM = 0.01
_SAME_MATRIX = 1e-4  # as 3D Slicer compares geometries
Indices = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class EditGrid:
    """The voxels that the segments of a node are edited on.

    Attributes:
        geometry: In the coordinates of the segmentation node, without its parent transform.
        first: Index (i, j, k) of the first voxel in images of the segmentation.
        is_volumes: Whether they are the volume's own voxels, at the same place in the world.
    """

    geometry: Geometry
    first: Indices
    is_volumes: bool

    def matches(self, other: EditGrid) -> bool:
        """Whether both are the same voxels."""
        return self.first == other.first and self.geometry.matches(other.geometry, _SAME_PLACE_MM)

    @property
    def image_matrix(self) -> np.ndarray:
        """4×4 matrix from the indices (i, j, k, 1) of images to RAS mm."""
        matrix = self.geometry.affine_ras
        matrix[:3, 3] -= matrix[:3, :3] @ np.asarray(self.first)
        return matrix


def edit_grid(node: vtkMRMLSegmentationNode, volume_node: vtkMRMLScalarVolumeNode) -> EditGrid:
    """The voxels that a segmentation is edited on over a volume.

    Raises:
        InputError: If the volume has no usable voxels, or the segmentation's geometry is not
            usable.
    """
    volume = volume_from_node(volume_node)
    segmentation = node.GetSegmentation()
    converter = require_slicer().vtkSegmentationConverter
    text = segmentation.GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    if not text and segmentation.ContainsRepresentation(_LABELMAP):
        text = segmentation.DetermineCommonLabelmapGeometry(
            segmentation.EXTENT_UNION_OF_SEGMENTS, None
        )
    if not text:
        geometry = _in_coordinates_of(node, volume.geometry, volume_node)
        return EditGrid(geometry or volume.geometry, (0, 0, 0), is_volumes=geometry is not None)
    geometry, first = _deserialised(text, node)
    is_volumes = _at_same_place(geometry, node, volume.geometry, volume_node)
    return EditGrid(geometry, first, is_volumes)


def volume_on_grid(
    volume_node: vtkMRMLScalarVolumeNode, node: vtkMRMLSegmentationNode, grid: EditGrid
) -> Volume:
    """The volume's voxels on a segmentation's grid.

    Returns:
        A view of the volume node's voxels if `grid.is_volumes`; otherwise resampled linearly, with
        air where the volume does not reach.

    Raises:
        InputError: If the volume has no usable voxels or cannot be resampled.
    """
    volume = volume_from_node(volume_node)
    if grid.is_volumes:
        return volume
    import vtk

    slicer = require_slicer()
    source = slicer.vtkOrientedImageData()
    source.ShallowCopy(volume_node.GetImageData())
    matrix = vtk.vtkMatrix4x4()
    volume_node.GetIJKToRASMatrix(matrix)
    source.SetGeometryFromImageToWorldMatrix(matrix)
    to_segmentation = vtk.vtkGeneralTransform()
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    logic.GetTransformBetweenRepresentationAndSegmentation(volume_node, node, to_segmentation)
    kind = volume.array.dtype
    lowest = np.iinfo(kind).min if kind.kind in "iu" else float(AIR_HU)
    resampled = slicer.vtkOrientedImageData()
    if not slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        source, _empty_image(grid), resampled, True, False, to_segmentation, max(AIR_HU, lowest)
    ):
        raise InputError(
            tr(
                'The volume "{volume}" cannot be laid on the geometry of "{segmentation}"; '
                "give the segmentation the geometry of the volume."
            ).format(volume=volume_node.GetName(), segmentation=node.GetName())
        )
    return replace(volume, array=array_of(resampled), geometry=grid.geometry)


def segment_on_grid(node: vtkMRMLSegmentationNode, segment_id: str, grid: EditGrid) -> MaskPart:
    """A segment's mask on the grid, (k, j, i).

    Raises:
        InputError: If there is no such segment, or it is not stored as a label map.
    """
    whole = _own_mask(node, segment_id, grid)
    low, high = _box(whole)
    first, stop = np.maximum(low, 0), np.minimum(high, grid.geometry.shape)
    if (first == low).all() and (stop == high).all():
        return whole
    if (first >= stop).any():
        return MaskPart.of(np.zeros(grid.geometry.shape, bool))
    inside = whole.voxels[tuple(map(slice, first - low, stop - low))]
    cut = MaskPart.of(inside)
    return replace(cut, shape=whole.shape, corner=_three(first + cut.corner))


def layer_on_grid(
    node: vtkMRMLSegmentationNode, segment_id: str, grid: EditGrid
) -> tuple[np.ndarray, Indices, int] | None:
    """The label map that holds a segment, which others may share; nothing is copied.

    Returns:
        Its labels (k, j, i), the index (k, j, i) on the grid of its first voxel, and the segment's
        label; no labels if nothing was drawn yet. None if its voxels are not those of the grid.

    Raises:
        InputError: If there is no such segment, or it is not stored as a label map.
    """
    layer = _layer(node, segment_id)
    if layer is None:
        return np.zeros((0, 0, 0), np.uint8), (0, 0, 0), 1
    corner = _corner_on(grid, layer[0])
    return None if corner is None else (array_of(layer[0]), corner, layer[1])


def image_with_slices(
    node: vtkMRMLSegmentationNode,
    segment_id: str,
    grid: EditGrid,
    mask: MaskPart,
    axis: int,
    numbers: Sequence[int],
) -> vtkOrientedImageData:
    """The segment's voxels with some slices replaced, as an image to write into the segment.

    Args:
        node: The segmentation.
        segment_id: The segment; its voxels outside the grid are kept.
        grid: Of the node.
        mask: On the grid, (k, j, i).
        axis: Array axis across the slices.
        numbers: Slices to take from `mask`; the others are taken from the segment.

    Returns:
        uint8 of 0 and 1, cropped to what is in it.

    Raises:
        InputError: If there is no such segment, or it is not stored as a label map.
    """
    own = _own_mask(node, segment_id, grid)
    boxes = [_box(part) for part in (own, mask) if not part.is_empty]
    if not boxes:
        return mask_image(mask, grid)
    low = np.min([box[0] for box in boxes], axis=0)
    high = np.max([box[1] for box in boxes], axis=0)
    voxels, new = np.zeros(high - low, bool), np.zeros(high - low, bool)
    for array, part in ((voxels, own), (new, mask)):
        if not part.is_empty:
            array[tuple(map(slice, np.subtract(part.corner, low), _box(part)[1] - low))] = (
                part.voxels
            )
    first, stop = np.maximum(-low, 0), np.minimum(grid.geometry.shape - low, high - low)
    for number in numbers:
        if low[axis] <= number < high[axis]:
            place: list[Any] = list(map(slice, first, stop))
            place[axis] = number - low[axis]
            voxels[tuple(place)] = new[tuple(place)]
    return _image(voxels, np.add(grid.first, low[::-1]), grid)


def mask_image(mask: MaskPart, grid: EditGrid) -> vtkOrientedImageData:
    """A mask on the grid as an image in the node's coordinates, uint8, cropped to what is in it."""
    voxels = np.zeros((1, 1, 1), bool) if mask.is_empty else mask.voxels
    return _image(voxels, np.add(grid.first, mask.corner[::-1]), grid)


def write_segment(
    node: vtkMRMLSegmentationNode, segment_id: str, image: vtkOrientedImageData
) -> None:
    """Make an image, such as `image_with_slices` gives, the segment's content.

    Other segments stay as they are, also where they overlap; in 3D Slicer the Segment Editor's own
    function does this according to its settings.

    Raises:
        InputError: If Slicer refuses the image.
    """
    logic = require_slicer().vtkSlicerSegmentationsModuleLogic
    if not logic.SetBinaryLabelmapToSegment(image, node, segment_id, logic.MODE_REPLACE):
        raise InputError(
            tr(
                'The mask could not be written into "{segmentation}"; Slicer\'s error log says why.'
            ).format(segmentation=node.GetName())
        )


def lay_on_grid(node: vtkMRMLSegmentationNode, segment_id: str, grid: EditGrid) -> None:
    """Store a segment with the grid's indices, if another program stored it with others.

    3D Slicer's Segment Editor takes them for the same when it replaces a segment's voxels, and
    would erase other ones. The segment stays where it is in the world.

    Raises:
        InputError: If there is no such segment, or Slicer refuses the image.
    """
    import vtk

    layer = _layer(node, segment_id)
    if layer is None:
        return
    matrix = vtk.vtkMatrix4x4()
    layer[0].GetImageToWorldMatrix(matrix)
    if np.abs(_numbers(matrix) - grid.image_matrix).max() > _SAME_MATRIX:
        mask = segment_on_grid(node, segment_id, grid)
        write_segment(node, segment_id, image_with_slices(node, segment_id, grid, mask, 0, ()))


def world_position(
    node: vtkMRMLTransformableNode, grid: EditGrid, index: Sequence[float]
) -> tuple[float, float, float]:
    """World RAS in mm of an index (k, j, i) of the grid, with the node's parent transform."""
    point = grid.geometry.affine_ras @ [index[2], index[1], index[0], 1.0]
    world = [0.0, 0.0, 0.0]
    node.TransformPointToWorld([float(value) for value in point[:3]], world)
    return (world[0], world[1], world[2])


def grid_index(
    node: vtkMRMLTransformableNode, grid: EditGrid, world: Sequence[float]
) -> tuple[float, float, float]:
    """Index (k, j, i) on the grid of a point in world RAS mm; not rounded, maybe outside."""
    local = [0.0, 0.0, 0.0]
    node.TransformPointFromWorld([float(value) for value in world], local)
    i, j, k, _ = np.linalg.solve(grid.geometry.affine_ras, [*local, 1.0])
    return (float(k), float(j), float(i))


def _deserialised(text: str, node: vtkMRMLSegmentationNode) -> tuple[Geometry, Indices]:
    import vtk

    slicer = require_slicer()
    image = slicer.vtkOrientedImageData()
    slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False)
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    extent = image.GetExtent()
    i, j, k = (extent[2 * n + 1] - extent[2 * n] + 1 for n in range(3))
    first = (extent[0], extent[2], extent[4])
    affine = _numbers(matrix)
    affine[:3, 3] += affine[:3, :3] @ first
    try:
        geometry = Geometry.from_affine_ras((k, j, i), affine)
        geometry.check()
    except InputError as error:
        raise InputError(
            tr('The geometry of the segmentation "{segmentation}": {error}').format(
                segmentation=node.GetName(), error=error
            )
        ) from error
    return geometry, first


def _at_same_place(
    geometry: Geometry,
    node: vtkMRMLSegmentationNode,
    other: Geometry,
    other_node: vtkMRMLScalarVolumeNode,
) -> bool:
    """Whether two grids are the same voxels in the world."""
    moved = _in_coordinates_of(node, other, other_node)
    return moved is not None and geometry.matches(moved, _SAME_PLACE_MM)


def _in_coordinates_of(
    target: vtkMRMLTransformableNode, geometry: Geometry, source: vtkMRMLTransformableNode
) -> Geometry | None:
    """A grid of one node in another one's coordinates; None if it is not straight there."""
    parents = (source.GetParentTransformNode(), target.GetParentTransformNode())
    if parents[0] is parents[1]:
        return geometry
    if any(node is not None and not node.IsTransformToWorldLinear() for node in parents):
        return None
    import vtk

    matrix = vtk.vtkMatrix4x4()
    require_slicer().vtkMRMLTransformNode.GetMatrixTransformBetweenNodes(*parents, matrix)
    return Geometry.from_affine_ras(geometry.shape, _numbers(matrix) @ geometry.affine_ras)


def _layer(
    node: vtkMRMLSegmentationNode, segment_id: str
) -> tuple[vtkOrientedImageData, int] | None:
    """The image that holds the segment, and its label there; None if nothing was drawn yet."""
    segmentation = node.GetSegmentation()
    segment = segmentation.GetSegment(segment_id)
    if segment is None:
        raise InputError(
            tr(
                '"{segmentation}" has no segment "{segment_id}" any more; choose another segment.'
            ).format(segmentation=node.GetName(), segment_id=segment_id)
        )
    source = segmentation.GetSourceRepresentationName()
    if source != _LABELMAP and segmentation.GetNumberOfSegments():
        raise InputError(
            tr(
                'The segmentation "{segmentation}" stores its segments as {source}, not as label '
                "maps; make Binary labelmap its source in the module Segmentations."
            ).format(segmentation=node.GetName(), source=source)
        )
    image = segment.GetRepresentation(_LABELMAP)
    if image is None or image.IsEmpty() or image.GetPointData().GetScalars() is None:
        return None
    return image, segment.GetLabelValue()


def _corner_on(grid: EditGrid, image: vtkOrientedImageData) -> Indices | None:
    """Index (k, j, i) on the grid of the image's first voxel; None if the voxels differ."""
    import vtk

    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    affine = _numbers(matrix)
    first = affine @ [*image.GetExtent()[::2], 1.0]
    index = np.linalg.solve(grid.geometry.affine_ras, first)[:3]
    last = np.subtract(image.GetDimensions(), 1)
    own_end = affine @ [*(np.asarray(image.GetExtent()[::2]) + last), 1.0]
    grid_end = grid.geometry.affine_ras @ [*(np.rint(index) + last), 1.0]
    start = grid.geometry.affine_ras @ [*np.rint(index), 1.0]
    apart = np.abs([own_end - grid_end, first - start]).max()
    turned = np.abs(affine[:3, :3] - grid.geometry.affine_ras[:3, :3]) @ np.maximum(last, 1)
    if apart > _SAME_PLACE_MM or turned.max() > _SAME_PLACE_MM:
        return None
    i, j, k = (int(value) for value in np.rint(index))
    return (k, j, i)


def _resampled(image: vtkOrientedImageData, label: int, grid: EditGrid) -> vtkOrientedImageData:
    """A segment on other voxels, 1 inside and 0 outside, by nearest neighbours."""
    slicer = require_slicer()
    single = _image(array_of(image) == label, (0, 0, 0), grid)
    single.SetExtent(image.GetExtent())
    single.CopyDirections(image)
    single.SetOrigin(image.GetOrigin())
    single.SetSpacing(image.GetSpacing())
    result = slicer.vtkOrientedImageData()
    slicer.vtkOrientedImageDataResample.ResampleOrientedImageToReferenceOrientedImage(
        single, _empty_image(grid), result, False, False
    )
    return result


def _own_mask(node: vtkMRMLSegmentationNode, segment_id: str, grid: EditGrid) -> MaskPart:
    """A segment's mask in the grid's indices; parts of it may lie outside the grid."""
    shape = grid.geometry.shape
    layer = _layer(node, segment_id)
    if layer is None:
        return MaskPart(shape, (0, 0, 0), np.zeros((0, 0, 0), bool))
    image, label = layer
    corner = _corner_on(grid, image)
    if corner is None:
        return MaskPart.of(array_of(_resampled(image, label, grid)))
    part = MaskPart.of(array_of(image) == label)
    return replace(part, shape=shape, corner=_three(np.add(corner, part.corner)))


def _box(part: MaskPart) -> tuple[np.ndarray, np.ndarray]:
    """First and one past the last index of what a mask holds."""
    return np.asarray(part.corner), np.add(part.corner, part.voxels.shape)


def _three(values: np.ndarray) -> Indices:
    first, second, third = values.tolist()
    return (first, second, third)


def _empty_image(grid: EditGrid) -> vtkOrientedImageData:
    """An image of the grid's geometry without voxels."""
    image = require_slicer().vtkOrientedImageData()
    k, j, i = grid.geometry.shape
    a, b, c = grid.first
    image.SetExtent(a, a + i - 1, b, b + j - 1, c, c + k - 1)
    image.SetImageToWorldMatrix(vtk_matrix(grid.image_matrix))
    return image


def _image(
    mask: np.ndarray, first: Sequence[int] | np.ndarray, grid: EditGrid
) -> vtkOrientedImageData:
    from vtk.util.numpy_support import numpy_to_vtk

    image = require_slicer().vtkOrientedImageData()
    extent = [
        bound
        for start, count in zip(first, mask.shape[::-1], strict=True)
        for bound in (int(start), int(start) + count - 1)
    ]
    image.SetExtent(extent)
    image.SetImageToWorldMatrix(vtk_matrix(grid.image_matrix))
    voxels = np.ascontiguousarray(mask, np.uint8).ravel()
    image.GetPointData().SetScalars(numpy_to_vtk(voxels, deep=True))
    return image


def _numbers(matrix: Any) -> np.ndarray:
    return np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])
