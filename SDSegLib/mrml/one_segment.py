"""One segment of a segmentation as a mask on a volume's grid, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError, OutputError
from ..volume.geometry import Geometry
from .segments import segment_ids
from .session import open_session, require_slicer
from .volumes import bounding_box, image_of, vtk_matrix

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode


def find_segment(node: vtkMRMLSegmentationNode, wanted: str | None) -> str:
    """The ID of the segment with this name, ID or number from 1.

    Args:
        node: A segmentation.
        wanted: Name in any case, ID, or position from 1; None if there is one segment only.

    Raises:
        InputError: If there is no such segment, or several; it names those there are.
    """
    segmentation = node.GetSegmentation()
    ids = segment_ids(node)
    names = [segmentation.GetSegment(key).GetName() for key in ids]
    shown = ", ".join(f"{n} {name}" for n, name in enumerate(names, start=1))
    if wanted is None:
        if len(ids) == 1:
            return ids[0]
        raise InputError(
            f"The segmentation holds {len(ids)} segments ({shown or 'none'}); name one."
        )
    text = wanted.strip()
    found = [
        key
        for n, (key, name) in enumerate(zip(ids, names, strict=True), start=1)
        if text in (key, name, str(n)) or name.lower() == text.lower()
    ]
    exact = [key for key, name in zip(ids, names, strict=True) if text in (key, name)]
    matches = exact or found
    if len(matches) != 1:
        many = "several segments" if matches else "no segment"
        raise InputError(f"There is {many} called {wanted!r}; there are: {shown or 'none'}.")
    return matches[0]


def write_mask(
    node: vtkMRMLSegmentationNode, segment_id: str, mask: np.ndarray, geometry: Geometry
) -> None:
    """Replace the voxels of a segment; its name, colour and codes and other segments stay.

    Args:
        node: The segmentation.
        segment_id: Of a segment of it.
        mask: uint8 of 0 and 1, (k, j, i).
        geometry: Its grid, in the coordinates of the node.

    Raises:
        OutputError: If Slicer refuses the mask.
    """
    slicer = require_slicer()
    open_session()
    box = bounding_box(mask) if mask.any() else (slice(0, 1),) * 3
    first = (box[2].start, box[1].start, box[0].start)
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(image_of(np.ascontiguousarray(mask[box]), first))
    image.SetImageToWorldMatrix(vtk_matrix(geometry.affine_ras))
    logic = slicer.vtkSlicerSegmentationsModuleLogic
    if not logic.SetBinaryLabelmapToSegment(image, node, segment_id, logic.MODE_REPLACE):
        name = node.GetSegmentation().GetSegment(segment_id).GetName()
        raise OutputError(f'Slicer could not write the voxels of the segment "{name}".')


def reference_matches(node: vtkMRMLSegmentationNode, geometry: Geometry) -> bool:
    """Whether the segmentation's own grid has the voxels of a volume's grid."""
    slicer = require_slicer()
    segmentation = node.GetSegmentation()
    text = segmentation.GetConversionParameter(
        slicer.vtkSegmentationConverter.GetReferenceImageGeometryParameterName()
    )
    image = slicer.vtkOrientedImageData()
    if not text:
        text = segmentation.DetermineCommonLabelmapGeometry()
    if not text or not slicer.vtkSegmentationConverter.DeserializeImageGeometry(text, image, False):
        return True  # no voxels yet
    matrix = vtk_matrix(np.eye(4))
    image.GetImageToWorldMatrix(matrix)
    own = np.array([[matrix.GetElement(r, c) for c in range(4)] for r in range(4)])
    inverse = np.linalg.inv(geometry.affine_ras)
    between = inverse @ own  # from the segmentation's voxels to the volume's
    moved = between[:3, 3]
    return bool(
        np.allclose(between[:3, :3], np.eye(3), atol=1e-3)
        and np.allclose(moved, np.round(moved), atol=1e-2)
    )
