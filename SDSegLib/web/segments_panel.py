"""The list of segments: volumes, edits, visibility, colour and opacity."""

from __future__ import annotations

import asyncio
import itertools
import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from slicer import vtkMRMLSegmentationNode

from ..errors import InputError
from ..language import tr
from ..mrml.segments import fingerprint_as_written, fingerprint_of, segment_ids
from ..mrml.snapshot import SegmentationSnapshot
from ..mrml.volumes import bounding_box
from ..review.formatting import milliliters_text
from .page_context import Action, Debounced, PageContext

_DRAW_SECONDS = 0.03
_MEASURE_SECONDS = 0.4
_NEW_COLORS = (
    "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#d55e00", "#cc79a7",
    "#8c6bd6", "#a3d94f", "#e7298a",
)  # fmt: skip
_LONGEST_NAME = 64


class SegmentsPanel:
    """Draws the list at once; volumes are added after they are measured.

    Args:
        context: Shared parts.
        after_shown: Called after segments were shown or hidden.
        keep: Called with the segments after they were measured, None if all edits are saved.
    """

    def __init__(
        self,
        context: PageContext,
        after_shown: Callable[[], None],
        keep: Callable[[SegmentationSnapshot | None], None],
    ) -> None:
        self._context = context
        self._after_shown = after_shown
        self._keep = keep
        self._facts: dict[str, SegmentFacts] = {}
        self._saved: dict[str, SegmentFacts] = {}
        self._changes = 0
        self._saved_changes = -1  # what was saved may not be measured yet
        self._measurements = 0  # that are going on
        self.draw_later = Debounced(self.draw, _DRAW_SECONDS)
        self._measure_later = Debounced(self._begin_measuring, _MEASURE_SECONDS)
        self.draw()

    def actions(self) -> dict[str, Action]:
        """Functions by the names under which the page calls them."""
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
        """Whether the segmentation has unsaved edits; structures that were removed count too."""
        return any(
            facts.is_edited and self._saved.get(key) != facts for key, facts in self._facts.items()
        ) or any(
            saved.milliliters and (key not in self._facts or not self._facts[key].milliliters)
            for key, saved in self._saved.items()
        )

    def state(self) -> SegmentationState:
        """The present state; to be taken when the voxels that will be saved are copied."""
        node = self._context.study.segmentation_node
        return SegmentationState(node, self._changes, dict(self._facts))

    def mark_saved(self, state: SegmentationState) -> None:
        """Mark a state as saved; what was drawn since then is not, nor another segmentation."""
        if state.node is not self._context.study.segmentation_node:
            return
        self._saved, self._saved_changes = dict(state.facts), state.changes
        if state.changes == self._changes:
            self._keep(None)
        else:
            self._measure_later()

    def forget(self, is_saved: bool) -> None:
        """Discard measurements after another segmentation was opened.

        Args:
            is_saved: Whether it is as in a file of the user's.
        """
        self._facts, self._saved, self._saved_changes = {}, {}, -1
        self.changed()
        if is_saved:
            self._saved_changes = self._changes
            self._context.page.run(self._measure())  # at once, before anything is drawn

    def changed(self) -> None:
        """Measure again after voxels have changed or may have changed."""
        self._changes += 1
        self.draw_later()
        self._measure_later()

    def stop(self) -> None:
        """Cancel scheduled calls."""
        self.draw_later.stop()
        self._measure_later.stop()

    def draw(self) -> None:
        """Show the list."""
        node, display = self._context.study.segmentation_node, self._context.study.display()
        if node is None or display is None:
            self._context.page.show(segments=[], fill=40, outline=True)
            return
        self._context.page.show(
            segments=listed(node, self._facts, self._context.editor.segment_id),
            fill=round(100 * display.GetOpacity2DFill()),
            outline=bool(display.GetVisibility2DOutline()),
        )

    def _begin_measuring(self) -> None:
        if self._measurements:
            self._measure_later()
        elif self._context.study.segmentation_node is not None:
            self._context.page.run(self._measure())

    async def _measure(self) -> None:
        study = self._context.study
        node = study.segmentation_node
        if node is None:
            return
        self._measurements += 1
        try:
            changes, snapshot = self._changes, SegmentationSnapshot.of(node)
            voxels = voxels_of(snapshot, node)
            voxel_ml = study.opened().geometry.voxel_volume_ml
            facts = await asyncio.to_thread(facts_of, voxels, voxel_ml)
            if node is study.segmentation_node:
                self._facts = facts
                if changes == self._saved_changes:
                    self._saved = dict(facts)
                self.draw()
                self._keep(snapshot if self.has_unsaved_edits else None)
        finally:
            self._measurements -= 1

    def _select(self, segment_id: str) -> None:
        self._context.editor.select(segment_id)
        self.draw()

    def _set_visible(self, segment_id: str, is_visible: bool) -> None:
        display = self._context.study.display()
        if display is not None:
            display.SetSegmentVisibility(segment_id, bool(is_visible))
        self.draw()
        self._after_shown()

    def _set_all_visible(self, is_visible: bool) -> None:
        node = self._context.study.segmentation_node
        for segment_id in [] if node is None else segment_ids(node):
            self._context.study.display().SetSegmentVisibility(segment_id, bool(is_visible))
        self.draw()
        self._after_shown()

    def _set_opacity(self, segment_id: str, percent: float) -> None:
        display = self._context.study.display()
        if display is not None:
            display.SetSegmentOpacity2DFill(segment_id, float(percent) / 100)
            display.SetSegmentOpacity2DOutline(segment_id, float(percent) / 100)
        self.draw()

    def _set_all_opacity(self, percent: float) -> None:
        display = self._context.study.display()
        if display is not None:
            display.SetOpacity2DFill(float(percent) / 100)
        self.draw()

    def _set_outline(self, is_on: bool) -> None:
        display = self._context.study.display()
        if display is not None:
            display.SetVisibility2DOutline(bool(is_on))
        self.draw()

    def _rename(self, segment_id: str, name: str) -> None:
        plain = " ".join(name.split())[:_LONGEST_NAME]
        if not plain:
            raise InputError(tr("A structure needs a name."))
        self._context.editor.set_properties(segment_id, name=plain)

    def _set_color(self, segment_id: str, color: str) -> None:
        self._context.editor.set_properties(segment_id, color=color_of(color))

    def _add(self) -> None:
        node = self._context.study.segmentation_node
        if node is None:
            raise InputError(tr("Open a CT first."))
        segmentation = node.GetSegmentation()
        present = [segmentation.GetSegment(segment_id) for segment_id in segment_ids(node)]
        name, color = new_segment(
            [segment.GetName() for segment in present],
            [color_text(segment.GetColor()) for segment in present],
        )
        self._context.editor.add_segment(name, color_of(color))
        self.changed()

    def _remove(self, segment_id: str) -> None:
        self._context.editor.remove_segment(segment_id)
        self.changed()


@dataclass(frozen=True, eq=False)
class SegmentVoxels:
    """A copy of a segment's voxels, to be measured in a thread.

    Attributes:
        id: The segment's ID.
        layer: The layer that it shares with others, (k, j, i); None if that is empty.
        corner: Index of the layer's first voxel, (k, j, i).
        label: The segment's value in the layer.
        written: Fingerprint of the voxels that SDSeg wrote; "" for a segment of another origin.
    """

    id: str
    layer: np.ndarray | None
    corner: tuple[int, int, int]
    label: int
    written: str


@dataclass(frozen=True)
class SegmentFacts:
    """Measurements of a segment.

    Attributes:
        milliliters: Its volume.
        is_edited: Whether it differs from the voxels that SDSeg wrote; segments of another origin
            count as edited unless they are empty.
        voxels: Differs if other voxels are in the segment, though as many.
    """

    milliliters: float
    is_edited: bool
    voxels: str


@dataclass(frozen=True, eq=False)
class SegmentationState:
    """The segmentation at one moment, to compare it with later ones.

    Attributes:
        node: The segmentation.
        changes: How often it had changed.
        facts: As it was measured last, by segment ID; that may have been before the last changes.
    """

    node: vtkMRMLSegmentationNode
    changes: int
    facts: Mapping[str, SegmentFacts]


def voxels_of(snapshot: SegmentationSnapshot, node: vtkMRMLSegmentationNode) -> list[SegmentVoxels]:
    """What `facts_of` needs of a snapshot and the node that it was just made of."""
    segmentation = node.GetSegmentation()
    found = []
    for record in snapshot.segments:
        layer = None if record.layer is None else snapshot.layers[record.layer]
        written = fingerprint_as_written(segmentation.GetSegment(record.id))
        if layer is None:
            found.append(SegmentVoxels(record.id, None, (0, 0, 0), record.label, written))
        else:
            i, _, j, _, k, _ = layer.extent
            found.append(SegmentVoxels(record.id, layer.array, (k, j, i), record.label, written))
    return found


def facts_of(segments: list[SegmentVoxels], voxel_ml: float) -> dict[str, SegmentFacts]:
    """Measure segments. Uses no MRML, so it may run in a thread."""
    boxes: dict[int, tuple[slice, slice, slice] | None] = {}
    facts = {}
    for item in segments:
        if id(item.layer) not in boxes:
            boxes[id(item.layer)] = _box_of(item.layer)
        box = boxes[id(item.layer)]
        mask = None if box is None or item.layer is None else item.layer[box] == item.label
        if box is None or mask is None or not mask.any():
            is_edited = bool(item.written) and fingerprint_of(None) != item.written
            facts[item.id] = SegmentFacts(0.0, is_edited, "")
            continue
        fingerprint = fingerprint_of(mask)
        first = [
            corner + outer.start + inner.start
            for corner, outer, inner in zip(item.corner, box, bounding_box(mask), strict=True)
        ]
        facts[item.id] = SegmentFacts(
            int(np.count_nonzero(mask)) * voxel_ml,
            fingerprint != item.written,
            f"{first} {fingerprint}",
        )
    return facts


def listed(
    node: vtkMRMLSegmentationNode, facts: dict[str, SegmentFacts], active: str
) -> list[dict[str, Any]]:
    """Rows for the page; volumes that are not measured yet are empty."""
    display = node.GetDisplayNode()
    rows = []
    for segment_id in segment_ids(node):
        segment = node.GetSegmentation().GetSegment(segment_id)
        known = facts.get(segment_id)
        rows.append(
            asdict(
                SegmentRow(
                    id=segment_id,
                    name=segment.GetName(),
                    color=color_text(segment.GetColor()),
                    visible=bool(display.GetSegmentVisibility(segment_id)),
                    opacity=round(100 * display.GetSegmentOpacity2DFill(segment_id)),
                    milliliters="" if known is None else milliliters_text(known.milliliters),
                    empty=known is not None and known.milliliters == 0,
                    edited=known is not None and known.is_edited,
                    active=segment_id == active,
                )
            )
        )
    return rows


def _box_of(layer: np.ndarray | None) -> tuple[slice, slice, slice] | None:
    """The bounding box of a layer's nonzero voxels; None if there are none."""
    return None if layer is None or not layer.any() else bounding_box(layer)


@dataclass(frozen=True)
class SegmentRow:
    """A row of the list; `opacity` in percent."""

    id: str
    name: str
    color: str
    visible: bool
    opacity: int
    milliliters: str
    empty: bool
    edited: bool
    active: bool


def new_segment(names: Collection[str], colors: Sequence[str]) -> tuple[str, str]:
    """A name that no segment has, and the rarest colour, the least like those of the others."""
    numbers = itertools.count(len(names) + 1)
    name = next(found for number in numbers if (found := f"Structure {number}") not in names)

    def likeness(color: str) -> tuple[int, float]:
        distances = [math.dist(color_of(color), color_of(other)) for other in colors]
        return colors.count(color), -min(distances, default=0.0)

    return name, min(_NEW_COLORS, key=likeness)


def color_text(color: tuple[float, float, float]) -> str:
    """Red, green, blue from 0 to 1 as "#rrggbb"."""
    return "#" + "".join(f"{round(255 * max(0.0, min(1.0, value))):02x}" for value in color)


def color_of(text: str) -> tuple[float, float, float]:
    """Red, green, blue from 0 to 1 of "#rrggbb"."""
    red, green, blue = (int(text[n : n + 2], 16) / 255 for n in (1, 3, 5))
    return red, green, blue
