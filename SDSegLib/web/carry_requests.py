"""What is asked for when a mask is carried to other slices, and the job that computes it."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from ..language import tr
from ..mrml.last_prediction import with_slices_of
from ..operations.propagate import PropagateOperation
from ..propagation.mask_part import MaskPart
from ..propagation.options import AXES, PropagateOptions
from ..volume.volume import Volume
from .carry_jobs import Carried, Job, PropagateJob, ThreadJob
from .contours import apart, fill_between
from .drawn import Drawn
from .growing import grow_from_seeds
from .shared_worker import SharedWorker

PaintRange = tuple[float, float] | None


@dataclass(frozen=True, eq=False)
class CarryRequest:
    """Carry one segment from its drawn slices to others.

    Attributes:
        method: "propagate" or "fill".
        volume: The CT.
        segment_id: Of the segment.
        part: Its voxels.
        drawn: Its drawn slices.
        carry: Where to, as in `PropagateOptions`.
        device: As in `PropagateOptions`.
        paint_range: HU outside which no voxel may change; None for no limit.
    """

    method: str
    volume: Volume
    segment_id: str
    part: MaskPart
    drawn: Drawn
    carry: str
    device: str
    paint_range: PaintRange

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for requests with the same result."""
        voxels = (self.segment_id, *_key_of(self.part))
        options = (self.drawn, self.carry, self.device, self.paint_range)
        return (self.method, id(self.volume.array), voxels, *options)

    def job(self, worker: SharedWorker) -> Job:
        """What computes it."""
        if self.method == "fill":
            return ThreadJob(self._filled)
        options = PropagateOptions(
            slices=self.drawn.numbers,
            axis=AXES[self.drawn.axis],
            carry=self.carry,
            correct=self.drawn.corrects,
            device=self.device,
        )
        operation = PropagateOperation(options, self.part)
        return PropagateJob(worker, self.volume, self.segment_id, operation)

    def _filled(self) -> Carried:
        filled = fill_between(self.part, self.drawn.axis, self.drawn.numbers)
        gaps = apart(self.part, self.drawn.axis, self.drawn.numbers)
        messages = []
        if gaps:
            pairs = tr(" and ").join(f"{before + 1}–{after + 1}" for before, after in gaps)
            messages.append(
                tr(
                    "The contours of slices {pairs} do not overlap and cannot be connected. "
                    "Draw a slice between them, or use Propagate."
                ).format(pairs=pairs)
            )
        return Carried({self.segment_id: MaskPart.of(filled)}, messages=tuple(messages))


@dataclass(frozen=True, eq=False)
class GrowRequest:
    """Grow several segments from the strokes that are in them.

    Attributes:
        volume: The CT.
        seeds: The strokes by segment ID; where two overlap, the last one counts.
        locality: See `grow_from_seeds`.
        paint_range: HU outside which no voxel may change; None for no limit.
    """

    volume: Volume
    seeds: Mapping[str, MaskPart]
    locality: float
    paint_range: PaintRange
    method: str = field(default="grow", init=False)

    @property
    def key(self) -> tuple[object, ...]:
        """Equal for requests with the same result."""
        voxels = tuple((key, *_key_of(part)) for key, part in self.seeds.items())
        return (self.method, id(self.volume.array), voxels, self.locality, self.paint_range)

    def job(self, worker: SharedWorker) -> Job:
        """What computes it."""
        return ThreadJob(self._grown)

    def _grown(self) -> Carried:
        seeds = np.zeros(self.volume.array.shape, np.uint8)
        for label, part in enumerate(self.seeds.values(), start=1):
            seeds[part.box()][part.voxels] = label
        labels = grow_from_seeds(self.volume, seeds, self.locality)
        return Carried(
            {
                segment_id: MaskPart.of(labels == label)
                for label, segment_id in enumerate(self.seeds, start=1)
            }
        )


def allowed(part: MaskPart, before: MaskPart, request: CarryRequest | GrowRequest) -> MaskPart:
    """A result in which all voxels that may not change are as they were.

    Args:
        part: The result.
        before: The segment's voxels.
        request: It names the range of HU that limits changes, and slices drawn in another plane.
    """
    if request.paint_range is not None:
        low, high = request.paint_range
        values = request.volume.array
        may_change = (values >= low) & (values <= high)
        part = MaskPart.of(np.where(may_change, part.whole(), before.whole()))
    if isinstance(request, CarryRequest):
        part = with_slices_of(part, before, request.drawn.elsewhere)
    return part


def is_limited(request: CarryRequest | GrowRequest) -> bool:
    """Whether there are voxels that may not change."""
    has_kept = isinstance(request, CarryRequest) and bool(request.drawn.elsewhere)
    return request.paint_range is not None or has_kept


def _key_of(part: MaskPart) -> tuple[object, ...]:
    return part.corner, part.voxels.shape, zlib.crc32(np.packbits(part.voxels).tobytes())
