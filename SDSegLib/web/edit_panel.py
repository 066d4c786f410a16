"""The tools for editing segments: the active tool and its settings."""

from __future__ import annotations

import math

from ..errors import InputError
from ..language import tr
from .editing import LARGEST_BRUSH_MM, OVERWRITING, SCISSORS, SMALLEST_BRUSH_MM, SMOOTHING
from .page_context import Action, PageContext

_DEFAULT_RANGE = (150.0, 3000.0)
_LOWEST, _HIGHEST = -1100, 3100
_LARGEST_SMOOTHING_MM = 20.0


class EditPanel:
    """Keeps the settings of the tools.

    Args:
        context: Shared parts.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context
        self._scissors = "erase_inside"
        self._range = _DEFAULT_RANGE
        self._paints_in_range = False
        self._island_voxels = 100
        self._island_click = ""
        self._smoothing = "median"
        self._smoothing_mm = 3.0
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
        return {
            "tool": self._use,
            "brush": self._set_brush,
            "scissors": self._set_scissors,
            "range": self._set_range,
            "paint_in_range": self._set_paint_range,
            "apply_threshold": self._context.editor.apply_threshold,
            "keep_largest": self._context.editor.keep_largest_island,
            "island_voxels": self._set_island_voxels,
            "remove_small": self._remove_small,
            "island_click": self._set_island_click,
            "smooth": self._smooth,
            "smoothing": self._set_smoothing,
            "overwriting": self._set_overwriting,
            "undo": self._context.editor.undo,
            "redo": self._context.editor.redo,
        }

    def open(self) -> None:
        """Another segmentation is open: give its tools the settings that are shown."""
        self._paints_in_range = False
        # Less than two voxels would have no effect.
        finest = min(self._context.study.opened().geometry.spacing)
        self._smoothing_mm = min(max(3.0, math.ceil(6 * finest) / 2), _LARGEST_SMOOTHING_MM)
        self._context.editor.set_paint_range(*self._range, False)
        self._context.editor.set_scissors(self._scissors)
        self.draw()

    def draw(self) -> None:
        """Show tools and settings."""
        editor = self._context.editor
        self._context.page.show(
            edit={
                "tool": editor.tool,
                "brush": editor.brush_mm,
                "brushLimits": [SMALLEST_BRUSH_MM, LARGEST_BRUSH_MM],
                "sphere": editor.sphere,
                "scissors": self._scissors,
                "low": self._range[0],
                "high": self._range[1],
                "lowest": _LOWEST,
                "highest": _HIGHEST,
                "paintsInRange": self._paints_in_range,
                "islandVoxels": self._island_voxels,
                "islandClick": self._island_click,
                "smoothing": self._smoothing,
                "smoothingMm": self._smoothing_mm,
                "overwriting": editor.overwriting,
                "canUndo": editor.can_undo,
                "canRedo": editor.can_redo,
            }
        )

    def _use(self, tool: str) -> None:
        self._context.editor.use(tool)
        self._island_click = ""
        if self._context.editor.tool == "threshold":
            self._context.editor.set_threshold(*self._range)
        if self._context.editor.tool == "islands":
            self._set_island_click("")
        self.draw()

    def _set_brush(self, diameter_mm: float, sphere: bool) -> None:
        self._context.editor.set_brush(diameter_mm, sphere)
        self.draw()

    def _set_scissors(self, mode: str) -> None:
        if mode not in SCISSORS:
            raise InputError(tr("Scissors cannot {mode}.").format(mode=mode))
        self._scissors = mode
        self._context.editor.set_scissors(mode)
        self.draw()

    def _set_range(self, low: float, high: float) -> None:
        low, high = sorted((float(low), float(high)))
        self._range = (low, high)
        self._context.editor.set_threshold(low, high)
        self._context.editor.set_paint_range(low, high, self._paints_in_range)
        self.draw()

    def _set_paint_range(self, is_on: bool) -> None:
        self._paints_in_range = bool(is_on)
        self._context.editor.set_paint_range(*self._range, self._paints_in_range)
        self.draw()

    def _set_overwriting(self, name: str) -> None:
        if name not in OVERWRITING:
            raise InputError(tr("Other structures cannot be treated as {name}.").format(name=name))
        self._context.editor.set_overwriting(name)
        self.draw()

    def _set_island_voxels(self, voxels: int) -> None:
        self._island_voxels = max(1, int(voxels))
        self.draw()

    def _remove_small(self) -> None:
        self._context.editor.remove_small_islands(self._island_voxels)

    def _set_island_click(self, mode: str) -> None:
        """ "keep_selected", "remove_selected", or "" for none."""
        self._island_click = mode
        self._context.editor.set_island_click(mode or "keep_largest_island")
        self.draw()

    def _set_smoothing(self, mode: str, millimeters: float) -> None:
        if mode not in SMOOTHING:
            raise InputError(tr("There is no smoothing called {mode}.").format(mode=mode))
        self._smoothing = mode
        self._smoothing_mm = min(max(float(millimeters), 0.5), _LARGEST_SMOOTHING_MM)
        self.draw()

    def _smooth(self) -> None:
        self._context.editor.smooth(self._smoothing, self._smoothing_mm)
