"""Volume nodes as volumes and back, and boxes drawn in 3D Slicer as regions of a volume."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.geometry import Geometry
from ..volume.oriented_box import OrientedBox
from ..volume.region import Region, region_around
from ..volume.volume import Volume
from .session import open_session, require_slicer

if TYPE_CHECKING:
    from slicer import vtkMRMLMarkupsROINode, vtkMRMLScalarVolumeNode, vtkMRMLScene
    from vtk import vtkImageData, vtkMatrix4x4

_HOUNSFIELD_UNIT = ("[hnsf'U]", "UCUM", "Hounsfield unit")
_ATTENUATION = ("112031", "DCM", "Attenuation Coefficient")
_POINTS_ALONG_A_SIDE = 5  # of a box: not only its corners, in case a transform is nonlinear


def volume_from_node(node: vtkMRMLScalarVolumeNode, copy: bool = False) -> Volume:
    """A volume node's voxels and grid, in the node's own coordinates.

    Parent transforms are not applied: put the segmentation under the same transform.

    Args:
        node: A `vtkMRMLScalarVolumeNode`.
        copy: Whether to copy the voxels; otherwise they are a view of the node's.

    Raises:
        InputError: If it is not a scalar volume, is a label map, or has no usable image data.
    """
    image = _image(node)
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            tr(
                'The volume "{volume}" has {components} values per voxel (a colour or vector '
                "image); choose a volume with one, or extract a component."
            ).format(volume=node.GetName(), components=components)
        )
    array = array_of(image)
    geometry = _geometry(node, array.shape, image.GetExtent()[::2])
    return Volume(
        array=array.copy() if copy else array,
        geometry=geometry,
        name=node.GetName() or "volume",
        modality=_modality(node),
    )


def volume_to_node(volume: Volume, scene: vtkMRMLScene | None = None) -> vtkMRMLScalarVolumeNode:
    """A new volume node with a copy of the voxels, in `scene` or the session's scene."""
    slicer = require_slicer()
    scene = scene or open_session().scene
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", volume.name)
    node.SetIJKToRASMatrix(vtk_matrix(volume.geometry.affine_ras))
    node.SetAndObserveImageData(image_of(volume.array))
    node.CreateDefaultDisplayNodes()
    if volume.modality == "CT":
        node.SetVoxelValueQuantity(_coded_entry(slicer, _ATTENUATION))
        node.SetVoxelValueUnits(_coded_entry(slicer, _HOUNSFIELD_UNIT))
    return node


def _image(node: vtkMRMLScalarVolumeNode) -> Any:
    if node is None or not node.IsA("vtkMRMLScalarVolumeNode"):
        what = tr("nothing") if node is None else f'"{node.GetName()}" ({node.GetNodeTagName()})'
        raise InputError(tr("{what} is not a scalar volume; choose a CT volume.").format(what=what))
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(
            tr(
                '"{segmentation}" is a label map, not an image; choose the CT volume it belongs to.'
            ).format(segmentation=node.GetName())
        )
    image = node.GetImageData()
    scalars = None if image is None else image.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() != image.GetNumberOfPoints():
        raise InputError(
            tr(
                'The volume "{volume}" has no voxels; load its image again or choose another.'
            ).format(volume=node.GetName())
        )
    return image


def _geometry(
    node: vtkMRMLScalarVolumeNode, shape: tuple[int, int, int], first: tuple[int, int, int]
) -> Geometry:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    affine = _array_of_matrix(matrix)
    affine[:3, 3] += affine[:3, :3] @ first  # an image's extent need not start at 0
    try:
        geometry = Geometry.from_affine_ras(shape, affine)
        geometry.check()
    except InputError as error:
        raise InputError(
            tr('The volume "{volume}": {error}').format(volume=node.GetName(), error=error)
        ) from error
    return geometry


def _modality(node: vtkMRMLScalarVolumeNode) -> str | None:
    """DICOM modality from the subject hierarchy, or "CT" if the unit is HU."""
    from_dicom = _dicom_modality(node)
    if from_dicom:
        return from_dicom
    units, quantity = node.GetVoxelValueUnits(), node.GetVoxelValueQuantity()
    if units is not None and units.GetCodeValue() == _HOUNSFIELD_UNIT[0]:
        return "CT"
    if quantity is not None and quantity.GetCodeValue() == _ATTENUATION[0]:
        return "CT"
    return None


def _dicom_modality(node: vtkMRMLScalarVolumeNode) -> str | None:
    slicer = require_slicer()
    scene = node.GetScene()
    hierarchy = None if scene is None else scene.GetSubjectHierarchyNode()
    if hierarchy is None:
        return None
    item = hierarchy.GetItemByDataNode(node)
    if not item:
        return None
    name = slicer.vtkMRMLSubjectHierarchyConstants.GetDICOMSeriesModalityAttributeName()
    return hierarchy.GetItemAttribute(item, name) or None


def _coded_entry(slicer: Any, code: tuple[str, str, str]) -> Any:
    entry = slicer.vtkCodedEntry()
    entry.SetValueSchemeMeaning(*code)
    return entry


def region_from_roi(
    roi_node: vtkMRMLMarkupsROINode, volume_node: vtkMRMLScalarVolumeNode
) -> Region:
    """The voxels of a volume inside a box, with the parent transforms of both applied.

    For a box that is turned against the volume: the smallest region that contains all of it; see
    `box_from_roi`.

    Raises:
        InputError: If the box has no size or lies outside the volume, or the volume has no voxels.
    """
    geometry = volume_from_node(volume_node).geometry
    points = []
    for corner in _points_in_node(roi_node):
        world, local = [0.0] * 3, [0.0] * 3
        roi_node.TransformPointToWorld(corner, world)
        volume_node.TransformPointFromWorld(world, local)
        points.append(local)
    return region_around(geometry, np.array(points))


def box_from_roi(
    roi_node: vtkMRMLMarkupsROINode, volume_node: vtkMRMLScalarVolumeNode
) -> OrientedBox | None:
    """A box that is turned against a volume's voxels, in the voxels' index coordinates.

    Returns:
        None if its sides run along the voxels, so that `region_from_roi` gives it exactly; also
        under a transform that is not linear, which makes no box of a box.
    """
    if not has_size(roi_node) or not is_under_linear(roi_node, volume_node):
        return None
    geometry = volume_from_node(volume_node).geometry
    to_object = np.linalg.inv(_array_of_matrix(roi_node.GetObjectToNodeMatrix()))
    size = np.array(roi_node.GetSize())
    columns = []
    for index in np.vstack([np.zeros(3), np.eye(3)]):
        local = (geometry.affine_ras @ [*index, 1.0])[:3]
        world, point = [0.0] * 3, [0.0] * 3
        volume_node.TransformPointToWorld(list(local), world)
        roi_node.TransformPointFromWorld(world, point)
        columns.append((to_object @ [*point, 1.0])[:3] / size)
    matrix = np.eye(4)
    matrix[:3, 3] = columns[0]
    matrix[:3, :3] = (np.array(columns[1:]) - columns[0]).T
    box = OrientedBox(matrix)
    return None if box.is_aligned else box


def is_under_linear(*nodes: Any) -> bool:
    """Whether all transforms above some nodes are linear."""
    parents = (node.GetParentTransformNode() for node in nodes)
    return all(parent is None or parent.IsTransformToWorldLinear() for parent in parents)


def _array_of_matrix(matrix: vtkMatrix4x4) -> np.ndarray:
    return np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])


def fit_roi(roi_node: vtkMRMLMarkupsROINode, volume_node: vtkMRMLScalarVolumeNode) -> None:
    """Centre a box on a volume, half the volume's length along each world axis."""
    bounds = [0.0] * 6
    volume_node.GetRASBounds(bounds)
    low, high = np.array(bounds[::2]), np.array(bounds[1::2])
    roi_node.SetCenterWorld(*((low + high) / 2))
    roi_node.SetSizeWorld(*((high - low) / 2))


def has_size(roi_node: vtkMRMLMarkupsROINode) -> bool:
    """Whether a box has been drawn: a new one has no extent."""
    return bool(min(roi_node.GetSize()) > 0)


def _points_in_node(roi_node: vtkMRMLMarkupsROINode) -> list[list[float]]:
    """Points on a grid over the box, in the node's coordinates, RAS mm."""
    if not has_size(roi_node):
        raise InputError(
            tr(
                'The region "{roi}" has no size; draw it in a slice view, or choose the whole '
                "volume."
            ).format(roi=roi_node.GetName())
        )
    matrix = roi_node.GetObjectToNodeMatrix()
    sides = [np.linspace(-size / 2, size / 2, _POINTS_ALONG_A_SIDE) for size in roi_node.GetSize()]
    return [
        list(matrix.MultiplyPoint([x, y, z, 1.0])[:3])
        for x in sides[0]
        for y in sides[1]
        for z in sides[2]
    ]


def image_of(array: np.ndarray, first: tuple[int, int, int] = (0, 0, 0)) -> vtkImageData:
    """A VTK image with a copy of an array (k, j, i).

    Args:
        array: Values of a real number type.
        first: Index (i, j, k) of the array's first voxel: where the image's extent starts.
    """
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    extent = [
        bound
        for start, count in zip(first, array.shape[::-1], strict=True)
        for bound in (start, start + count - 1)
    ]
    image.SetExtent(extent)
    image.GetPointData().SetScalars(numpy_to_vtk(_for_vtk(array).ravel(), deep=True))
    return image


def array_of(image: vtkImageData) -> np.ndarray:
    """View (k, j, i) of a VTK image's values; they must be one number per voxel."""
    from vtk.util.numpy_support import vtk_to_numpy

    i, j, k = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)


def vtk_matrix(matrix: np.ndarray) -> vtkMatrix4x4:
    """A VTK matrix with the values of a 4×4 array."""
    import vtk

    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=float).ravel())
    return result


def bounding_box(array: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest slices that hold all nonzero voxels of an array (k, j, i), which has some."""
    plane = np.asarray(array.any(axis=0))
    j, i = _span(plane, 1), _span(plane, 0)
    return _span(array[:, j, i], (1, 2)), j, i


def _span(array: np.ndarray, others: int | tuple[int, ...]) -> slice:
    """Range of the indices with nonzero voxels along the axis not in `others`."""
    indices = np.flatnonzero(array.any(axis=others))
    return slice(int(indices[0]), int(indices[-1]) + 1)


def _for_vtk(array: np.ndarray) -> np.ndarray:
    """The values in a number type and byte order that VTK supports."""
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
