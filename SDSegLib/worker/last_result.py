"""The last result, for a click that asks for other structures of the same volume."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Hashable

    from ..volume.region import Region
    from ..volume.segmentation import Segmentation
    from ..volume.structure import Structure
    from ..volume.volume import Volume


class LastResult:
    """Keeps one segmentation with all structures, and what it was made of."""

    def __init__(self) -> None:
        self._key: tuple[Hashable, ...] = ()
        self._segmentation: Segmentation | None = None

    def find(self, key: tuple[Hashable, ...]) -> Segmentation | None:
        """The segmentation that was kept under this key, if it is the last one."""
        return self._segmentation if key == self._key else None

    def keep(self, key: tuple[Hashable, ...], segmentation: Segmentation) -> None:
        """Keep a segmentation in the place of the last one."""
        self._key, self._segmentation = key, segmentation

    def forget(self) -> None:
        """Let go of it."""
        self._key, self._segmentation = (), None


def run_key(volume: Volume, samples: int, region: Region | None) -> tuple[Hashable, ...]:
    """What a result depends on beside the model: voxels, grid, noises and region."""
    import numpy as np

    grid = volume.geometry
    numbers: list[Any] = [*grid.spacing, *grid.origin, *np.ravel(grid.direction)]
    octets = np.ascontiguousarray(volume.array).view(np.uint8)
    voxels = hashlib.blake2b(octets.data, digest_size=32).hexdigest()
    shape, kind = volume.array.shape, volume.array.dtype.str
    return voxels, shape, kind, tuple(float(number) for number in numbers), samples, region


def only(segmentation: Segmentation, structures: tuple[Structure, ...]) -> Segmentation:
    """The same with these structures alone; voxels of others become background.

    What `Segmenter.segment` gives for them, since a structure does not depend on what else is asked
    for.
    """
    import numpy as np

    if structures == segmentation.structures:
        return segmentation
    kept = np.zeros(256, np.uint8)
    for item in structures:
        kept[item.label] = item.label
    return replace(segmentation, label_map=kept[segmentation.label_map], structures=structures)
