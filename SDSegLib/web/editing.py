"""Editing segments by hand: the tools, the panel of their settings, undo and redo."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from slicer import vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkSlicerSegmentEditorLogic
from trame_slicer.core import SlicerApp
from trame_slicer.segmentation import (
    BrushDiameterMode,
    ScissorsEffectFillMode,
    SegmentationEffectErase,
    SegmentationEffectIslands,
    SegmentationEffectNoTool,
    SegmentationEffectPaint,
    SegmentationEffectScissors,
    SegmentationEffectSmoothing,
    SegmentationEffectThreshold,
    SegmentationIslandsMode,
    SegmentationOverwriteMode,
)
from trame_slicer.segmentation.segmentation_effect_smoothing import SmoothingEffectMode
from undo_stack import UndoStack

from ..errors import InputError
from ..language import tr
from ..mrml.volumes import array_of
from . import trame_private

TOOLS = {
    "none": SegmentationEffectNoTool,
    "paint": SegmentationEffectPaint,
    "erase": SegmentationEffectErase,
    "scissors": SegmentationEffectScissors,
    "threshold": SegmentationEffectThreshold,
    "islands": SegmentationEffectIslands,
    "smoothing": SegmentationEffectSmoothing,
}
SCISSORS = {mode.name.lower(): mode for mode in ScissorsEffectFillMode}
SMOOTHING = {
    mode.name.lower(): mode for mode in SmoothingEffectMode if mode is not SmoothingEffectMode.JOINT
}
OVERWRITING = {
    "all": SegmentationOverwriteMode.OVERWRITE_ALL,
    "shown": SegmentationOverwriteMode.OVERWRITE_ALL_VISIBLE_SEGMENTS,
    "none": SegmentationOverwriteMode.ALLOW_OVERLAP,
}
UNDO_STEPS = 10
SMALLEST_BRUSH_MM, LARGEST_BRUSH_MM = 0.5, 60.0
DEFAULT_BRUSH_MM = 8.0


class Editor:
    """Binds trame-slicer's segment editor to one segmentation and its CT.

    Args:
        app: Scene and logics.
        on_change: Called after a change of voxels, tool, limits or undo history.

    Attributes:
        tool: Name of the active tool.
        brush_mm: Diameter of the brush.
        sphere: Whether the brush paints neighbouring slices too.
    """

    def __init__(self, app: SlicerApp, on_change: Callable[[], None]) -> None:
        self._editor = app.segmentation_editor
        self._on_change = on_change
        self._stack = UndoStack(undo_limit=UNDO_STEPS)
        self._editor.set_undo_stack(self._stack)
        self._editor.segmentation_modified.connect(lambda *_: on_change())
        self._editor.active_segment_id_changed.connect(lambda *_: on_change())
        self._editor.active_effect_name_changed.connect(lambda *_: on_change())
        self._stack.index_changed.connect(lambda *_: on_change())
        self.brush_mm = DEFAULT_BRUSH_MM
        self.sphere = False

    def bind(self, node: vtkMRMLSegmentationNode, volume: vtkMRMLScalarVolumeNode) -> None:
        """Edit another segmentation from now on; its undo history is empty."""
        self._editor.set_active_segmentation(node, volume)
        for kind in (SegmentationEffectPaint, SegmentationEffectErase, SegmentationEffectSmoothing):
            self._editor.get_effect(kind)
        self.set_brush(self.brush_mm, self.sphere)

    @property
    def tool(self) -> str:
        """The active tool's name."""
        effect = self._editor.active_effect
        return next((name for name, kind in TOOLS.items() if type(effect) is kind), "none")

    @property
    def segment_id(self) -> str:
        """ID of the edited segment; "" for none."""
        found: str = self._editor.active_segment_id
        return found

    @property
    def can_undo(self) -> bool:
        return bool(self._stack.can_undo())

    @property
    def can_redo(self) -> bool:
        return bool(self._stack.can_redo())

    def select(self, segment_id: str) -> None:
        """Edit this segment."""
        self._editor.set_active_segment_id(segment_id)

    def use(self, tool: str) -> None:
        """Activate a tool; activating the active one again deactivates it.

        Raises:
            InputError: If there is no segment to edit.
        """
        if tool not in TOOLS:
            raise InputError(tr("There is no tool called {tool}.").format(tool=tool))
        if tool == self.tool:
            tool = "none"
        if tool != "none" and not self.segment_id:
            raise InputError(tr("Choose a structure first, or add one."))
        self._editor.set_active_effect_type(TOOLS[tool])
        if tool == "threshold":
            trame_private.stop_blinking(self._editor)

    def set_brush(self, diameter_mm: float, sphere: bool) -> None:
        """Set the brush's diameter, and whether it is a sphere or a disc on the slice."""
        self.brush_mm = min(max(float(diameter_mm), SMALLEST_BRUSH_MM), LARGEST_BRUSH_MM)
        self.sphere = bool(sphere)
        for kind in (SegmentationEffectPaint, SegmentationEffectErase):
            effect = self._editor.get_effect(kind)
            effect.set_brush_diameter(self.brush_mm, BrushDiameterMode.Absolute)
            effect.set_use_sphere_brush(self.sphere)

    def set_scissors(self, mode: str) -> None:
        """Set the effect of a drawn outline: a key of `SCISSORS`."""
        self._editor.get_effect(SegmentationEffectScissors).set_fill_mode(SCISSORS[mode])

    def set_threshold(self, low: float, high: float) -> None:
        """Set the range of HU; shown as a preview while the tool is active."""
        effect = self._editor.get_effect(SegmentationEffectThreshold)
        effect.set_threshold_min_max_values((float(low), float(high)))

    def apply_threshold(self) -> None:
        """Add all voxels in the range to the segment."""
        self._active(SegmentationEffectThreshold).apply()

    def set_paint_range(self, low: float, high: float, is_on: bool) -> None:
        """Limit the brush to voxels in a range of HU, or not."""
        modifier = self._editor.active_segment_modifier
        if modifier is not None:
            modifier.set_source_volume_intensity_mask_range(float(low), float(high))
            modifier.set_source_volume_intensity_mask_enabled(bool(is_on))
            self._on_change()

    @property
    def paint_range(self) -> tuple[float, float] | None:
        """The range of HU outside which no voxel may be changed; None for no limit."""
        modifier = self._editor.active_segment_modifier
        if modifier is None or not modifier.is_source_volume_intensity_mask_enabled():
            return None
        low, high = modifier.get_source_volume_intensity_mask_range()
        return float(low), float(high)

    @property
    def overwriting(self) -> str:
        """What happens to other segments where one is drawn: a key of `OVERWRITING`."""
        mode = self._editor.get_overwrite_mode()
        return next(name for name, known in OVERWRITING.items() if known is mode)

    def set_overwriting(self, name: str) -> None:
        """Let drawing take voxels from all other segments, from those that are shown, or none."""
        self._editor.set_overwrite_mode(OVERWRITING[name])
        self._on_change()

    def replace(
        self,
        masks: Mapping[str, np.ndarray],
        remove: Collection[str],
        after: Callable[[], None],
    ) -> None:
        """Give segments other voxels, as one step of undo.

        The range of the brush limits which voxels change, and the overwrite mode says whether
        other segments do.

        Args:
            masks: By segment ID, (k, j, i) on the CT's grid.
            remove: IDs of segments to delete in the same step.
            after: Called within the step, for example to set tags of the segments.
        """
        modifier = self._editor.active_segment_modifier
        node = self._editor.active_segmentation_node
        with self.one_step():
            for segment_id, mask in masks.items():
                image = self._editor.create_modifier_labelmap()
                array_of(image)[...] = mask
                modifier.logic.ModifySegmentByLabelmap(
                    node,
                    segment_id,
                    image,
                    vtkSlicerSegmentEditorLogic.ModificationModeSet,
                    True,
                    False,
                )
            for segment_id in remove:
                node.GetSegmentation().RemoveSegment(segment_id)
            after()
        if self.segment_id in remove:
            self.select(next(iter(masks), ""))
        modifier.trigger_active_segment_modified()

    def keep_largest_island(self) -> None:
        """Keep only the largest connected component."""
        self._active(SegmentationEffectIslands).keep_largest_island()

    def remove_small_islands(self, voxels: int) -> None:
        """Remove connected components with fewer voxels."""
        self._active(SegmentationEffectIslands).remove_small_islands(max(1, int(voxels)))

    def set_island_click(self, mode: str) -> None:
        """Set the effect of a click on a component: "keep_selected" or "remove_selected"."""
        effect = self._active(SegmentationEffectIslands)
        effect.set_island_mode(SegmentationIslandsMode[mode.upper()])

    def smooth(self, mode: str, millimeters: float) -> None:
        """Smooth the whole segment."""
        effect = self._active(SegmentationEffectSmoothing)
        effect.set_kernel_size(float(millimeters))
        effect.set_standard_deviation(float(millimeters) / 2)
        effect.apply_smoothing(smoothing_mode=SMOOTHING[mode])

    def add_segment(
        self, name: str, color: tuple[float, float, float], segment_id: str = ""
    ) -> str:
        """Add an empty segment and make it the edited one."""
        added: str = self._editor.add_empty_segment(
            segment_id=segment_id, segment_name=name, segment_color=list(color)
        )
        return added

    def remove_segment(self, segment_id: str) -> None:
        """Delete a segment; undo brings it back."""
        self._editor.remove_segment(segment_id)

    def set_properties(
        self,
        segment_id: str,
        name: str | None = None,
        color: tuple[float, float, float] | None = None,
    ) -> None:
        """Set name and colour of a segment."""
        properties = self._editor.get_segment_properties(segment_id)
        if properties is None:
            return
        if name is not None:
            properties.name = name
        if color is not None:
            properties.color = list(color)
        self._editor.set_segment_properties(segment_id, properties)

    def undo(self) -> None:
        """Undo the last change."""
        if self._stack.can_undo():
            self._stack.undo()
            self._stop_without_segment()

    def redo(self) -> None:
        """Redo the change that was undone last."""
        if self._stack.can_redo():
            self._stack.redo()
            self._stop_without_segment()

    def one_step(self) -> AbstractContextManager[None]:
        """Context manager: all changes of the segmentation in it are one step of undo."""
        step: AbstractContextManager[None] = trame_private.undoable_change(self._editor)
        return step

    def show_surfaces(self, is_on: bool) -> None:
        """Show or remove the segments' 3-D surfaces; every edit updates them."""
        self._editor.show_3d(is_on)

    def _stop_without_segment(self) -> None:
        """Deactivate the tool if the edited segment is gone: strokes would do nothing."""
        node = self._editor.active_segmentation_node
        if node is not None and node.GetSegmentation().GetSegment(self.segment_id) is None:
            self._editor.set_active_effect_type(TOOLS["none"])

    def _active(self, kind: Any) -> Any:
        """The active effect, which must be of this kind."""
        effect = self._editor.active_effect
        if type(effect) is not kind:
            raise InputError(tr("Activate the tool first."))
        return effect
