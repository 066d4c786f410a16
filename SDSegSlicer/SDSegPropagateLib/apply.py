"""Writes a result into its segment the editor's way, and what the segments remember of it."""

from typing import Any

import slicer

from SDSegLib.mrml.edit_grid import image_with_slices, lay_on_grid, segment_on_grid
from SDSegLib.mrml.last_prediction import last_prediction, remember_prediction, renewed
from SDSegLib.mrml.segments import segment_ids
from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.propagation.result import Propagation

from .target import Choices, Target, readTarget


def writeResult(effect: Any, target: Target, mask: MaskPart, result: Propagation) -> None:
    """Write the computed slices, as one step of undo; masking and overwriting are the editor's.

    Args:
        effect: The scripted effect of the editor in which the target is selected.
        target: The segment.
        mask: Its new mask, on the target's grid.
        result: Where the mask comes from.

    Raises:
        InputError: If the segment is not there any more.
    """
    image = image_with_slices(
        target.segmentationNode, target.segmentId, target.grid, mask, result.axis, result.changed
    )
    others = _otherMasks(effect, target)
    effect.saveStateForUndo()
    lay_on_grid(target.segmentationNode, target.segmentId, target.grid)
    effect.modifySelectedSegmentByLabelmap(
        image, slicer.qSlicerSegmentEditorAbstractEffect.ModificationModeSet
    )
    rememberResult(target, result)
    for segmentId, before in others.items():
        _rememberLoss(target, segmentId, before)


def rememberResult(target: Target, result: Propagation) -> None:
    """Take the segment's present voxels as a prediction from the result's drawn slices."""
    written = readTarget(
        target.segmentationNode, target.segmentId, target.volumeNode, Choices(result.axis)
    )
    isModel = target.last is not None and target.last.is_model and target.drawn.correct
    written.remember(result.axis, result.drawn, isModel, target.drawn.elsewhere)


def _otherMasks(effect: Any, target: Target) -> dict[str, MaskPart]:
    """Masks of the segments that may lose voxels and remember a prediction."""
    editorNode, node = effect.parameterSetNode(), target.segmentationNode
    if editorNode.GetOverwriteMode() == editorNode.OverwriteNone:
        return {}
    segmentation = node.GetSegmentation()
    return {
        segmentId: segment_on_grid(node, segmentId, target.grid)
        for segmentId in segment_ids(node)
        if segmentId != target.segmentId
        and last_prediction(segmentation.GetSegment(segmentId)) is not None
    }


def _rememberLoss(target: Target, segmentId: str, before: MaskPart) -> None:
    """What was taken from another segment was not drawn there by a person."""
    segment = target.segmentationNode.GetSegmentation().GetSegment(segmentId)
    last = last_prediction(segment)
    after = segment_on_grid(target.segmentationNode, segmentId, target.grid)
    isSame = before.corner == after.corner and before.voxels.shape == after.voxels.shape
    if last is None or (isSame and bool((before.voxels == after.voxels).all())):
        return
    remember_prediction(segment, renewed(last, before, after, target.bodyAxis))
