"""What writing a result needs to know of its voxels: found in a thread, so that windows go on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..volume.segmentation import Segmentation
from .edits import fingerprint_of
from .images import bounding_box

Box = tuple[slice, slice, slice]


@dataclass(frozen=True)
class PreparedLabels:
    """Facts of a label map.

    Attributes:
        box: The smallest slices (k, j, i) that hold all labels; the first voxel if there is none.
        highest: The highest label.
        fingerprints: Of each structure, by label.
    """

    box: Box
    highest: int
    fingerprints: Mapping[int, str]


def prepare(segmentation: Segmentation) -> PreparedLabels:
    """Look at the voxels of a result; touches no MRML."""
    labels = segmentation.label_map
    box: Box = bounding_box(labels) if labels.any() else (slice(0, 1),) * 3
    cropped = labels[box]
    return PreparedLabels(
        box=box,
        highest=int(cropped.max()),
        fingerprints={
            item.label: fingerprint_of(cropped == item.label) for item in segmentation.structures
        },
    )
