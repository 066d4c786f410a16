"""A box that is turned against the voxels of a volume: which voxels are inside of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .region import Region

_ALIGNED = 1e-3  # of a box's side: what the voxel at its far end may deviate


@dataclass(frozen=True, eq=False)
class OrientedBox:
    """A box in any direction.

    Attributes:
        from_index: 4×4 matrix from a voxel's index (i, j, k, 1) to the box's own coordinates, in
            which the box reaches from -0.5 to 0.5 along each axis.
    """

    from_index: np.ndarray

    @property
    def is_aligned(self) -> bool:
        """Whether its sides run along the rows, columns and slices of the volume."""
        matrix = self.from_index[:3, :3]
        # A voxel axis along which only one coordinate of the box changes, seen over its length.
        relative = np.abs(matrix) / np.maximum(np.abs(matrix).max(axis=0), 1e-12)
        return bool((np.sort(relative, axis=0)[1] < _ALIGNED).all())

    @property
    def voxels(self) -> float:
        """Its size in voxels, also where it reaches out of the volume."""
        return float(1 / abs(np.linalg.det(self.from_index[:3, :3])))

    def inside(self, region: Region) -> np.ndarray:
        """Which voxels of a region have their centre in the box, bool of the region's shape."""
        (k, j, i) = (
            np.arange(start, stop, dtype=np.float64)
            for start, stop in zip(region.start, region.stop, strict=True)
        )
        matrix = self.from_index
        found = np.empty(region.shape, bool)
        for number, index in enumerate(k):
            plane = np.ones(region.shape[1:], bool)
            for row in matrix[:3]:
                along = row[0] * i[None] + (row[1] * j + row[2] * index + row[3])[:, None]
                plane &= np.abs(along) <= 0.5
            found[number] = plane
        return found
