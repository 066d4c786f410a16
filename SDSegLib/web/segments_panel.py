"""The list of segments: volumes, visibility, colour, opacity."""

from __future__ import annotations

import asyncio

from ..errors import InputError
from .desk import Desk
from .formatting import color_of
from .page_state import Action
from .segment_list import SegmentFacts, facts_of, listed, segment_ids, voxels_now
from .soon import Soon

_DRAW_SECONDS = 0.03
_MEASURE_SECONDS = 0.4
_NEW_COLORS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7")
_LONGEST_NAME = 64


class SegmentsPanel:
    """Draws the list at once and its volumes a moment later.

    Args:
        desk: Shared parts.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._facts: dict[str, SegmentFacts] = {}
        self._saved: dict[str, SegmentFacts] = {}
        self.draw_soon = Soon(self.draw, _DRAW_SECONDS)
        self._measure_soon = Soon(self._begin_measuring, _MEASURE_SECONDS)
        self._is_measuring = False
        self.draw()

    def actions(self) -> dict[str, Action]:
        """By the names that the page calls them."""
        return {
            "select": self._select,
            "show_segment": self._set_visible,
            "show_all": self._set_all_visible,
            "opacity": self._set_opacity,
            "all_opacity": self._set_all_opacity,
            "outline": self._set_outline,
            "rename": self._rename,
            "color": self._set_color,
            "add": self._add,
            "remove": self._remove,
        }

    @property
    def has_unsaved_edits(self) -> bool:
        """Whether somebody's work would be lost with the segmentation."""
        return any(
            facts.is_edited and self._saved.get(key) != facts for key, facts in self._facts.items()
        )

    def mark_saved(self) -> None:
        """The segmentation has just been saved as it is."""
        self._saved = dict(self._facts)

    def forget(self) -> None:
        """Another segmentation is open."""
        self._facts, self._saved = {}, {}
        self.changed()

    def changed(self) -> None:
        """Voxels have changed, or may have."""
        self.draw_soon()
        self._measure_soon()

    def stop(self) -> None:
        """Let go of what is due."""
        self.draw_soon.stop()
        self._measure_soon.stop()

    def draw(self) -> None:
        """Show the list."""
        node, display = self._desk.study.segmentation_node, self._desk.study.display()
        if node is None or display is None:
            self._desk.page.show(segments=[], fill=40, outline=True)
            return
        self._desk.page.show(
            segments=listed(node, self._facts, self._desk.editor.segment_id),
            fill=round(100 * display.GetOpacity2DFill()),
            outline=bool(display.GetVisibility2DOutline()),
        )

    def _begin_measuring(self) -> None:
        if self._is_measuring:
            self._measure_soon()
        elif self._desk.study.segmentation_node is not None:
            self._is_measuring = True
            self._desk.page.run(self._measure())

    async def _measure(self) -> None:
        study = self._desk.study
        try:
            node = study.segmentation_node
            if node is None:
                return
            voxels = voxels_now(node)
            voxel_ml = study.opened().geometry.voxel_volume_ml
            facts = await asyncio.to_thread(facts_of, voxels, voxel_ml)
            if node is study.segmentation_node:
                self._facts = facts
                self.draw()
        finally:
            self._is_measuring = False

    def _select(self, segment_id: str) -> None:
        self._desk.editor.select(segment_id)
        self.draw()

    def _set_visible(self, segment_id: str, is_visible: bool) -> None:
        display = self._desk.study.display()
        if display is not None:
            display.SetSegmentVisibility(segment_id, bool(is_visible))
        self.draw()

    def _set_all_visible(self, is_visible: bool) -> None:
        node = self._desk.study.segmentation_node
        for segment_id in [] if node is None else segment_ids(node):
            self._desk.study.display().SetSegmentVisibility(segment_id, bool(is_visible))
        self.draw()

    def _set_opacity(self, segment_id: str, percent: float) -> None:
        display = self._desk.study.display()
        if display is not None:
            display.SetSegmentOpacity2DFill(segment_id, float(percent) / 100)
            display.SetSegmentOpacity2DOutline(segment_id, float(percent) / 100)
        self.draw()

    def _set_all_opacity(self, percent: float) -> None:
        display = self._desk.study.display()
        if display is not None:
            display.SetOpacity2DFill(float(percent) / 100)
        self.draw()

    def _set_outline(self, is_on: bool) -> None:
        display = self._desk.study.display()
        if display is not None:
            display.SetVisibility2DOutline(bool(is_on))
        self.draw()

    def _rename(self, segment_id: str, name: str) -> None:
        plain = " ".join(name.split())[:_LONGEST_NAME]
        if not plain:
            raise InputError("A structure needs a name.")
        self._desk.editor.set_properties(segment_id, name=plain)

    def _set_color(self, segment_id: str, color: str) -> None:
        self._desk.editor.set_properties(segment_id, color=color_of(color))

    def _add(self) -> None:
        node = self._desk.study.segmentation_node
        if node is None:
            raise InputError("Open a CT first.")
        count = len(segment_ids(node))
        color = color_of(_NEW_COLORS[count % len(_NEW_COLORS)])
        self._desk.editor.add_segment(f"Structure {count + 1}", color)
        self.changed()

    def _remove(self, segment_id: str) -> None:
        self._desk.editor.remove_segment(segment_id)
        self.changed()
