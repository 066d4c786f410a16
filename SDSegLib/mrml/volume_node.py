"""Scalar volume nodes as volumes, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import InputError
from ..volume.geometry import Geometry
from ..volume.volume import Volume
from .images import array_of, image_of, vtk_matrix
from .session import open_session, require_slicer

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLScene

_HOUNSFIELD_UNIT = ("[hnsf'U]", "UCUM", "Hounsfield unit")
_ATTENUATION = ("112031", "DCM", "Attenuation Coefficient")


def volume_from_node(node: vtkMRMLScalarVolumeNode, copy: bool = False) -> Volume:
    """A volume node's voxels and grid, in the node's own coordinates.

    Parent transforms are not applied: put the segmentation under the same transform.

    Args:
        node: A `vtkMRMLScalarVolumeNode`.
        copy: Whether to copy the voxels; otherwise they are a view of the node's.

    Raises:
        InputError: If it is no scalar volume, a label map, or has no or unusable image data.
    """
    image = _image(node)
    components = image.GetNumberOfScalarComponents()
    if components != 1:
        raise InputError(
            f'The volume "{node.GetName()}" has {components} values per voxel (a colour or vector '
            "image); choose a volume with one, or extract a component."
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
        what = "nothing" if node is None else f'"{node.GetName()}" ({node.GetNodeTagName()})'
        raise InputError(f"{what} is not a scalar volume; choose a CT volume.")
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        raise InputError(
            f'"{node.GetName()}" is a label map, not an image; choose the CT volume it belongs to.'
        )
    image = node.GetImageData()
    scalars = None if image is None else image.GetPointData().GetScalars()
    if scalars is None or scalars.GetNumberOfTuples() != image.GetNumberOfPoints():
        raise InputError(
            f'The volume "{node.GetName()}" has no voxels; load its image again or choose another.'
        )
    return image


def _geometry(
    node: vtkMRMLScalarVolumeNode, shape: tuple[int, int, int], first: tuple[int, int, int]
) -> Geometry:
    import vtk

    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    affine = np.array([[matrix.GetElement(row, col) for col in range(4)] for row in range(4)])
    affine[:3, 3] += affine[:3, :3] @ first  # an image's extent need not start at 0
    try:
        geometry = Geometry.from_affine_ras(shape, affine)
        geometry.check()
    except InputError as error:
        raise InputError(f'The volume "{node.GetName()}": {error}') from error
    return geometry


def _modality(node: vtkMRMLScalarVolumeNode) -> str | None:
    """DICOM modality as the subject hierarchy knows it, or CT by its unit."""
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
