"""Segments as the methods that carry masks read and write them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..mrml.edit_grid import edit_grid, segment_on_grid
from ..mrml.last_prediction import (
    LastPrediction,
    last_prediction,
    remember_prediction,
    renewed,
)
from ..mrml.segments import segment_ids
from ..propagation.marks import SliceMarks
from ..propagation.mask_part import MaskPart
from ..propagation.stack import body_axis
from .drawn import Drawn
from .page_context import PageContext

BACKGROUND_ID = "SDSeg.BackgroundSeed"


class CarryScene:
    """The segmentation of the open CT.

    Args:
        context: Shared parts.
    """

    def __init__(self, context: PageContext) -> None:
        self._context = context

    @property
    def ids(self) -> list[str]:
        """IDs of all segments."""
        node = self._context.study.segmentation_node
        return [] if node is None else segment_ids(node)

    def segment(self, segment_id: str) -> Any:
        """The segment; None if it is gone."""
        node = self._context.study.segmentation_node
        return None if node is None else node.GetSegmentation().GetSegment(segment_id)

    def part(self, segment_id: str) -> MaskPart:
        """The segment's voxels on the CT's grid."""
        study = self._context.study
        grid = edit_grid(study.segmentation_node, study.volume_node)
        return segment_on_grid(study.segmentation_node, segment_id, grid)

    def seeds(self) -> dict[str, MaskPart]:
        """The segments that are shown and hold something, in order."""
        display = self._context.study.display()
        shown = {key: self.part(key) for key in self.ids if display.GetSegmentVisibility(key)}
        return {key: part for key, part in shown.items() if not part.is_empty}

    def taken(self, masks: Mapping[str, MaskPart]) -> list[tuple[str, int]]:
        """Names of other segments that would lose voxels to these masks, and how many."""
        overwriting = self._context.editor.overwriting
        if overwriting == "none":
            return []
        display = self._context.study.display()
        found = []
        for key in self.ids:
            if key in masks or (overwriting == "shown" and not display.GetSegmentVisibility(key)):
                continue
            other = self.part(key)
            count = sum(_voxels_in_both(part, other) for part in masks.values())
            if count:
                found.append((self.segment(key).GetName(), count))
        return found

    def write(self, masks: Mapping[str, MaskPart], drawn: Drawn | None) -> None:
        """Write results into their segments, as one step of undo.

        Args:
            masks: By segment ID.
            drawn: The slices from which they were carried; None if they grew from seeds, after
                which a background seed is deleted.
        """
        seeds = [key for key in masks if drawn is None and key == BACKGROUND_ID]
        ids = [key for key in masks if key not in seeds]
        others = {
            key: self.part(key)
            for key in self.ids
            if key not in masks and last_prediction(self.segment(key)) is not None
        }
        self._context.editor.replace(
            {key: masks[key].whole() for key in ids},
            seeds,
            partial(self._remember, ids, drawn, others),
        )

    def to_correct_first(self, segment_id: str, drawn: Drawn) -> tuple[int, ...]:
        """Slices of a model's prediction to correct first, the most doubtful first."""
        last = last_prediction(self.segment(segment_id))
        if last is None or last.marks.shape != self._context.study.opened().array.shape:
            return ()
        return last.to_correct_first(drawn.axis, drawn.numbers)

    def take_as_prediction(self, segment_id: str) -> None:
        """Remember a segment's present voxels as a prediction, as one step of undo."""
        last = LastPrediction(SliceMarks.of(self.part(segment_id)), is_model=True)
        with self._context.editor.one_step():
            remember_prediction(self.segment(segment_id), last)

    def _remember(
        self, ids: list[str], drawn: Drawn | None, others: Mapping[str, MaskPart]
    ) -> None:
        """Keep in the segments what was predicted.

        Their voxels are read back, for some may not have been written. What was taken from other
        segments was not drawn there by a person.

        Args:
            ids: Of the segments that were written.
            drawn: See `write`.
            others: Voxels of other segments with a prediction, before.
        """
        for segment_id in ids:
            segment, marks = self.segment(segment_id), SliceMarks.of(self.part(segment_id))
            before = last_prediction(segment)
            last = LastPrediction(marks, is_model=True)
            if drawn is not None:
                is_model = before is not None and before.is_model and drawn.corrects
                last = LastPrediction(
                    marks,
                    drawn.axis,
                    drawn.numbers,
                    is_model,
                    drawn.elsewhere,
                    before.doubtful if before is not None and is_model else (),
                )
            remember_prediction(segment, last)
        axis = body_axis(self._context.study.opened().geometry)
        for segment_id, part in others.items():
            segment, now = self.segment(segment_id), self.part(segment_id)
            known = last_prediction(segment)
            if known is not None and SliceMarks.of(part).differ(now):
                remember_prediction(segment, renewed(known, part, now, axis))


def _voxels_in_both(one: MaskPart, other: MaskPart) -> int:
    low = np.maximum(one.corner, other.corner)
    high = np.minimum(
        np.add(one.corner, one.voxels.shape), np.add(other.corner, other.voxels.shape)
    )
    if (low >= high).any():
        return 0
    first, second = (
        part.voxels[tuple(map(slice, low - part.corner, high - part.corner))]
        for part in (one, other)
    )
    return int(np.count_nonzero(first & second))
