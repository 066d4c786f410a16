"""What an existing segmentation holds outside the region that was segmented anew."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from ..volume.segmentation import Segmentation
from .from_node import labels_on_grid
from .matching import match_segments

if TYPE_CHECKING:
    from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode


def with_outside(
    segmentation: Segmentation,
    node: vtkMRMLSegmentationNode,
    volume_node: vtkMRMLScalarVolumeNode,
) -> Segmentation:
    """The result inside its region, and the same structures as they were outside of it.

    Args:
        segmentation: A result for a region; one for the whole volume is returned as it is.
        node: The segmentation that is about to be updated.
        volume_node: What was segmented.

    Raises:
        InputError: If the node lies under another transform than the volume.
    """
    if segmentation.region is None:
        return segmentation
    matches = match_segments(node.GetSegmentation(), segmentation.structures)
    if not matches:
        return segmentation
    before = labels_on_grid(node, volume_node, list(matches.values()))
    numbers = np.zeros(256, np.uint8)
    for number, structure in enumerate(matches, start=1):
        numbers[number] = structure.label
    labels = numbers[before]
    box = segmentation.region.slices()
    labels[box] = segmentation.label_map[box]
    return replace(segmentation, label_map=labels)
