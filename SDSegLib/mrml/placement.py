"""Where a segmentation node stands: its transform, reference grid and place in the hierarchy."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import InputError
from ..volume.geometry import Geometry
from ..volume.segmentation import Segmentation
from .images import vtk_matrix
from .session import require_slicer
from .volume_node import volume_from_node

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode


def check_grid(segmentation: Segmentation, volume_node: vtkMRMLScalarVolumeNode) -> None:
    """Raise `InputError` unless the result lies on the volume's own voxels."""
    geometry = volume_from_node(volume_node).geometry
    if not segmentation.geometry.matches(geometry, tolerance_mm=0.01):
        raise InputError(
            f"The result ({_shown(segmentation.geometry)}) is not on the grid of the volume "
            f'"{volume_node.GetName()}" ({_shown(geometry)}); choose the volume that was segmented.'
        )


def join_transform(
    node: vtkMRMLSegmentationNode, volume_node: vtkMRMLScalarVolumeNode, alone: bool
) -> None:
    """Put the node under the volume's transform, unless that would move segments that stay."""
    if node.GetParentTransformNode() is volume_node.GetParentTransformNode():
        return
    if not alone:
        raise InputError(
            f'The segmentation "{node.GetName()}" is under {_transform_name(node)} and the volume '
            f'"{volume_node.GetName()}" under {_transform_name(volume_node)}; put both under the '
            "same transform, or write into a new segmentation."
        )
    node.SetAndObserveTransformNodeID(volume_node.GetTransformNodeID())


def set_reference_geometry(
    node: vtkMRMLSegmentationNode,
    volume_node: vtkMRMLScalarVolumeNode | None,
    geometry: Geometry,
) -> None:
    """Make the volume's grid, or else `geometry`, the one that segments are edited and saved on."""
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


def has_reference_geometry(node: vtkMRMLSegmentationNode) -> bool:
    """Whether the node already knows the grid of an image."""
    name = require_slicer().vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    return bool(node.GetSegmentation().GetConversionParameter(name))


def stand_beside(node: vtkMRMLSegmentationNode, volume_node: vtkMRMLScalarVolumeNode) -> None:
    """Same study in the subject hierarchy as the volume; items exist only in the application."""
    hierarchy = node.GetScene().GetSubjectHierarchyNode()
    if hierarchy is None:
        return
    item, volume_item = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(volume_node)
    if item and volume_item:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(volume_item))


def _shown(geometry: Geometry) -> str:
    k, j, i = geometry.shape
    return f"{i} × {j} × {k} voxels"


def _transform_name(node: Any) -> str:
    transform = node.GetParentTransformNode()
    return "no transform" if transform is None else f'the transform "{transform.GetName()}"'
