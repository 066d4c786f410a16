"""What of a preview Apply would write: the editor's masking keeps the rest as it is."""

from dataclasses import replace
from typing import Any

import numpy as np
import slicer

from SDSegLib.mrml.edit_grid import mask_image
from SDSegLib.mrml.volumes import array_of
from SDSegLib.propagation.mask_part import MaskPart

from .target import Target


def areaSettings(editorNode: Any) -> tuple[Any, ...]:
    """What an editor is set to let be changed; a preview is shown anew when that has changed."""
    return (
        editorNode.GetMaskMode(),
        editorNode.GetMaskSegmentID(),
        bool(editorNode.GetSourceVolumeIntensityMask()),
        tuple(editorNode.GetSourceVolumeIntensityMaskRange()),
    )


def withinEditableArea(effect: Any, target: Target, mask: MaskPart) -> MaskPart:
    """A mask as it would be once it is applied.

    Args:
        effect: The scripted effect, for the editor's settings.
        target: The segment.
        mask: Its new mask, on the target's grid.
    """
    locked = None if mask.is_empty else _lockedVoxels(effect, target, mask)
    if locked is None:
        return mask
    own = np.zeros(mask.voxels.shape, bool)
    corner = np.subtract(target.mask.corner, mask.corner)
    first = np.maximum(corner, 0)
    stop = np.minimum(corner + target.mask.voxels.shape, mask.voxels.shape)
    if (first < stop).all():
        there = tuple(map(slice, first, stop))
        own[there] = target.mask.voxels[tuple(map(slice, first - corner, stop - corner))]
    return replace(mask, voxels=np.where(locked, own, mask.voxels))


def _lockedVoxels(effect: Any, target: Target, mask: MaskPart) -> np.ndarray | None:
    """Where nothing may be changed, in the box of the mask; None if everything may."""
    editorNode, node = effect.parameterSetNode(), target.segmentationNode
    isByValue = bool(editorNode.GetSourceVolumeIntensityMask())
    if editorNode.GetMaskMode() == node.EditAllowedEverywhere and not isByValue:
        return None
    found = slicer.vtkOrientedImageData()
    arguments = [
        found,
        editorNode.GetMaskMode(),
        mask_image(mask, target.grid),
        target.segmentId,
        editorNode.GetMaskSegmentID() or "",
    ]
    if isByValue:
        arguments += [
            effect.sourceVolumeImageData(),
            editorNode.GetSourceVolumeIntensityMaskRange(),
        ]
    if not node.GenerateEditMask(*arguments):
        return None
    locked = array_of(found) != 0
    return locked if locked.shape == mask.voxels.shape else None
