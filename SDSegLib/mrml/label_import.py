"""Label maps into the segments of a segmentation node."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutputError
from ..volume.segmentation import Segmentation
from ..volume.structure import Structure
from .images import image_of, vtk_matrix
from .prepared import PreparedLabels
from .session import open_session, require_slicer

if TYPE_CHECKING:
    from slicer import vtkMRMLSegmentationNode


def import_labels(
    node: vtkMRMLSegmentationNode,
    segmentation: Segmentation,
    structures: Sequence[Structure],
    segment_ids: Sequence[str],
    prepared: PreparedLabels,
) -> None:
    """Fill segments from a label map: one import for all, and an absent structure is empty.

    Args:
        node: Segmentation node in a scene; the labels are taken to lie in its own frame.
        segmentation: The label map.
        structures: Which of its labels to import.
        segment_ids: Of existing segments, one for each structure.
        prepared: Made of the label map.

    Raises:
        OutputError: If Slicer refuses the label map.
    """
    if not structures:
        return
    import vtk

    slicer = require_slicer()
    logic = open_session().logic("segmentations")
    ids = vtk.vtkStringArray()
    for segment_id in segment_ids:
        ids.InsertNextValue(segment_id)
    box = prepared.box
    # The place goes into the image's extent. Were it put into the origin, saving would take the
    # segments to be on another grid and resample each: 9 s instead of 0.1 s for 14 of them.
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
        if not logic.ImportLabelmapToSegmentationNode(label_map, node, ids):
            raise OutputError(
                f'Slicer could not import the labels into "{node.GetName()}"; its error log says '
                "why. Try again with a new segmentation."
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
