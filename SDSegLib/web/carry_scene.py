"""Segments as the methods that carry masks read and write them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from ..mrml.edit_grid import edit_grid, segment_on_grid
from ..mrml.from_node import labels_on_grid
from ..mrml.last_prediction import LastPrediction, remember_prediction
from ..mrml.segments import segment_ids
from ..propagation.marks import SliceMarks
from ..propagation.mask_part import MaskPart
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

    def seeds(self) -> tuple[list[str], np.ndarray]:
        """Segments that are shown and hold something, and their labels 1, 2, …, uint8 (k, j, i)."""
        study = self._context.study
        display = study.display()
        shown = [key for key in self.ids if display.GetSegmentVisibility(key)]
        labels = labels_on_grid(study.segmentation_node, study.volume_node, shown)
        counts = np.bincount(labels.ravel(), minlength=len(shown) + 1)
        numbers = np.zeros(256, np.uint8)
        used = np.flatnonzero(counts[1:])
        numbers[used + 1] = np.arange(1, len(used) + 1)
        return [shown[n] for n in used], numbers[labels]

    def taken(self, masks: Mapping[str, MaskPart]) -> list[tuple[str, int]]:
        """Names of other segments that would lose voxels to these masks, and how many."""
        study, overwriting = self._context.study, self._context.editor.overwriting
        others = [
            key
            for key in self.ids
            if key not in masks
            and (overwriting == "all" or study.display().GetSegmentVisibility(key))
        ]
        if overwriting == "none" or not others:
            return []
        labels = labels_on_grid(study.segmentation_node, study.volume_node, others)
        counts = np.zeros(len(others) + 1, int)
        for part in masks.values():
            counts += np.bincount(labels[part.box()][part.voxels], minlength=len(counts))
        return [
            (self.segment(key).GetName(), int(count))
            for key, count in zip(others, counts[1:], strict=True)
            if count
        ]

    def write(self, masks: Mapping[str, MaskPart], drawn: Drawn | None) -> None:
        """Write results into their segments, as one step of undo; a background seed is deleted.

        Args:
            masks: By segment ID.
            drawn: The slices from which they were carried; None if they were not.
        """
        ids = [key for key in masks if key != BACKGROUND_ID]
        self._context.editor.replace(
            {key: masks[key].whole() for key in ids},
            [key for key in masks if key == BACKGROUND_ID],
            partial(self._remember, ids, drawn),
        )

    def _remember(self, ids: list[str], drawn: Drawn | None) -> None:
        """Keep in the segments what was predicted.

        Their voxels are read back, for some may not have been written.
        """
        for segment_id in ids:
            marks = SliceMarks.of(self.part(segment_id))
            last = LastPrediction(marks, is_model=True)
            if drawn is not None:
                last = LastPrediction(marks, drawn.axis, drawn.numbers, is_model=drawn.corrects)
            remember_prediction(self.segment(segment_id), last)
