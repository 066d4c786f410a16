"""Remove small connected components of a structure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..volume.structure import Structure

NEIGHBORS_26 = np.ones((3, 3, 3), np.uint8)  # by a face, an edge or a corner


def remove_small_components(
    labels: np.ndarray,
    structures: Sequence[Structure],
    continues_beyond: Sequence[tuple[bool, bool]] = ((False, False),) * 3,
) -> None:
    """Set small components to background, in place.

    A component is removed if it has fewer voxels than its structure's
    `minimum_component_fraction` times the structure's largest component. Structures without that
    value are left as they are.

    Args:
        labels: Label map, uint8 (k, j, i).
        structures: The structures of the label map.
        continues_beyond: For each axis, whether the volume continues before and after the array.
            Components that touch such a face are kept: they may be connected outside the array.
    """
    from scipy import ndimage

    fractions = {
        item.label: item.minimum_component_fraction
        for item in structures
        if item.minimum_component_fraction is not None
    }
    inner = bounding_box(labels)
    boxes = ndimage.find_objects(labels[inner], max_label=max(fractions, default=1))
    for label, fraction in fractions.items():
        if boxes[label - 1] is None:
            continue
        # Components are searched in the structure's bounding box: most of a volume is background.
        box = tuple(
            slice(outer.start + side.start, outer.start + side.stop)
            for outer, side in zip(inner, boxes[label - 1], strict=True)
        )
        part = labels[box]
        mask = part == label
        components, count = ndimage.label(mask, NEIGHBORS_26)
        if count < 2:
            continue
        of_voxel = components[mask]
        sizes = np.bincount(of_voxel)
        keep = sizes >= fraction * sizes.max()
        for axis, (side, ends) in enumerate(zip(box, continues_beyond, strict=True)):
            if ends[0] and side.start == 0:
                keep[components.take(0, axis)] = True
            if ends[1] and side.stop == labels.shape[axis]:
                keep[components.take(-1, axis)] = True
        part[mask] = np.where(keep[of_voxel], label, 0)


def bounding_box(labels: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest box that holds all labels (k, j, i); empty if there are none."""
    rows = np.any(labels, axis=2)
    k, j = _extent(np.any(rows, axis=1)), _extent(np.any(rows, axis=0))
    return k, j, _extent(np.any(labels[k, j], axis=(0, 1)))


def _extent(is_used: np.ndarray) -> slice:
    used = np.flatnonzero(is_used)
    return slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 0)
