"""The effect's part of the module's self test: draw, carry, undo, correct."""

from collections.abc import Callable
from typing import Any

import numpy as np
import slicer

from SDSegLib.mrml.edit_grid import edit_grid, image_with_slices, segment_on_grid, write_segment
from SDSegLib.propagation.mask_part import MaskPart

from .register import EFFECT_NAME

_DRAWN = (5, 9, 13)


def carryThrough(window: Any, ui: Any, waitFor: Callable[[Callable[[], Any]], None]) -> None:
    """Draw a new structure on three slices in the panel's editor, carry it, and correct it.

    Args:
        window: The module's window, with a result.
        ui: Its widgets.
        waitFor: Waits until a condition holds, and lets the application work meanwhile.
    """
    ui.editSection.collapsed = False
    slicer.app.processEvents()
    editor = window.editor.editor
    node, volumeNode = window.parameters.resultSegmentation, window.parameters.resultVolume
    segmentId = node.GetSegmentation().AddEmptySegment("SDSeg-carried", "carried")
    editor.setCurrentSegmentID(segmentId)
    for number in _DRAWN:
        _draw(editor, node, segmentId, volumeNode, number)
    drawn = _mask(node, segmentId, volumeNode)

    editor.setActiveEffectByName(EFFECT_NAME)
    effect = editor.activeEffect().self()
    session = effect.session
    assert session.target.drawn.numbers == _DRAWN, session.problem
    effect.panel.ui.betweenButton.click()
    waitFor(lambda: session.result is not None or session.error)
    assert not session.error, session.error
    assert (_mask(node, segmentId, volumeNode) == drawn).all()
    effect.panel.ui.applyButton.click()
    carried = _mask(node, segmentId, volumeNode)
    assert (carried[list(_DRAWN)] == drawn[list(_DRAWN)]).all()
    assert carried[_DRAWN[0] : _DRAWN[-1]].any(axis=(1, 2)).all()
    editor.undo()
    slicer.app.processEvents()
    assert (_mask(node, segmentId, volumeNode) == drawn).all()
    editor.redo()

    before = session.result
    _draw(editor, node, segmentId, volumeNode, 11)  # the preview follows
    waitFor(lambda: session.result is not before or session.error)
    assert not session.error, session.error
    assert session.result.drawn == (*_DRAWN[:2], 11, _DRAWN[2])
    effect.panel.ui.nextButton.click()
    effect.panel.ui.cancelButton.click()
    editor.setActiveEffect(None)
    names = [item.GetName() for item in slicer.util.getNodesByClass("vtkMRMLSegmentationNode")]
    assert "SDSeg preview" not in names, names


def _draw(editor: Any, node: Any, segmentId: str, volumeNode: Any, number: int) -> None:
    """A disc on one slice, as a stroke of Paint would leave it."""
    grid = edit_grid(node, volumeNode)
    mask = np.zeros(grid.geometry.shape, bool)
    rows, columns = np.indices(mask.shape[1:])
    mask[number] = (rows - 24) ** 2 + (columns - 28) ** 2 < (40 + 2 * number)
    editor.saveStateForUndo()
    image = image_with_slices(node, segmentId, grid, MaskPart.of(mask), 0, [number])
    write_segment(node, segmentId, image)


def _mask(node: Any, segmentId: str, volumeNode: Any) -> np.ndarray:
    return segment_on_grid(node, segmentId, edit_grid(node, volumeNode)).whole() > 0
