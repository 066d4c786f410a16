"""A box of voxels: the requested part of a volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InputError
from ..language import tr
from .geometry import Geometry
from .orientation import Reorientation


@dataclass(frozen=True)
class Region:
    """A box of voxels in array order (k, j, i), from `start` up to but without `stop`.

    Attributes:
        start: First voxel along k, j and i.
        stop: One past the last voxel.
    """

    start: tuple[int, int, int]
    stop: tuple[int, int, int]

    @property
    def shape(self) -> tuple[int, int, int]:
        """Voxels along (k, j, i)."""
        k, j, i = (max(0, b - a) for a, b in zip(self.start, self.stop, strict=True))
        return k, j, i

    def slices(self) -> tuple[slice, slice, slice]:
        """Index of the box in an array (k, j, i)."""
        k, j, i = (slice(a, b) for a, b in zip(self.start, self.stop, strict=True))
        return k, j, i

    @classmethod
    def whole(cls, shape: tuple[int, int, int]) -> Region:
        """The box of all voxels of a volume of `shape` (k, j, i)."""
        return cls((0, 0, 0), shape)

    def turned(self, turn: Reorientation, shape: tuple[int, int, int]) -> Region:
        """The same voxels in the axes that `turn` brings an array of `shape` (k, j, i) to."""
        sides = []
        for axis, original in enumerate(turn.order):
            start, stop = self.start[original], self.stop[original]
            if axis in turn.flips:
                start, stop = shape[original] - stop, shape[original] - start
            sides.append((start, stop))
        (k, k_stop), (j, j_stop), (i, i_stop) = sides
        return Region((k, j, i), (k_stop, j_stop, i_stop))

    def clipped(self, shape: tuple[int, int, int]) -> Region:
        """The part of the box that lies in a volume of `shape` (k, j, i).

        Raises:
            InputError: If no voxel of the box lies in the volume.
        """
        start = tuple(max(0, int(a)) for a in self.start)
        stop = tuple(min(int(n), int(b)) for b, n in zip(self.stop, shape, strict=True))
        if any(b <= a for a, b in zip(start, stop, strict=True)):
            raise InputError(
                tr(
                    "The region {region} holds no voxel of the volume, which has {shape} voxels "
                    "(i × j × k); move or enlarge it."
                ).format(region=self, shape=" × ".join(str(n) for n in shape[::-1]))
            )
        return Region((start[0], start[1], start[2]), (stop[0], stop[1], stop[2]))

    @classmethod
    def from_text(cls, text: str) -> Region:
        """The box in "I0,I1,J0,J1,K0,K1": first and past-the-last voxel along i, j and k.

        Raises:
            InputError: If these are not six whole numbers, or the box is empty.
        """
        try:
            i0, i1, j0, j1, k0, k1 = (int(part) for part in text.split(","))
        except ValueError:
            raise InputError(
                tr(
                    "The region {text!r} is not six whole numbers I0,I1,J0,J1,K0,K1, such as "
                    "100,200,80,180,30,60."
                ).format(text=text)
            ) from None
        if i1 <= i0 or j1 <= j0 or k1 <= k0:
            raise InputError(
                tr(
                    "The region {text!r} is empty: I1, J1 and K1 are the first voxels beyond it "
                    "and must be larger than I0, J0 and K0."
                ).format(text=text)
            )
        return cls((k0, j0, i0), (k1, j1, i1))

    def to_text(self) -> str:
        """The box as the text that `from_text` reads."""
        return ",".join(
            str(n) for pair in zip(self.start[::-1], self.stop[::-1], strict=True) for n in pair
        )

    def to_json(self) -> dict[str, list[int]]:
        """First and past-the-last voxel along each axis: {"k": [a, b], "j": …, "i": …}."""
        sides = zip("kji", self.start, self.stop, strict=True)
        return {letter: [int(a), int(b)] for letter, a, b in sides}

    @classmethod
    def from_json(cls, data: dict[str, list[int]]) -> Region:
        """Read the output of `to_json`.

        Raises:
            InputError: If the data is not a box.
        """
        try:
            (k0, k1), (j0, j1), (i0, i1) = (
                (int(data[letter][0]), int(data[letter][1])) for letter in "kji"
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InputError(
                tr(
                    "The region {data!r} does not give two whole numbers for each of k, j and i."
                ).format(data=data)
            ) from error
        return cls((k0, j0, i0), (k1, j1, i1))

    def __str__(self) -> str:
        """The box along i, j, k, each from the first to the last voxel: "i 3–9, j 0–4, k 2–2"."""
        sides = zip("ijk", self.start[::-1], self.stop[::-1], strict=True)
        return ", ".join(f"{letter} {a}–{b - 1}" for letter, a, b in sides)


def region_around(geometry: Geometry, points_ras: np.ndarray) -> Region:
    """The smallest box of voxels that holds all points, as far as it lies in the volume.

    A voxel reaches half a spacing to each side of its centre.

    Args:
        geometry: The volume's grid; it may be oblique.
        points_ras: (N, 3) positions in RAS mm, for example the corners of a box drawn in 3D Slicer.

    Raises:
        InputError: If there is no point, one is not a number, or no voxel of the volume is in the
            box.
    """
    points = np.asarray(points_ras, dtype=float).reshape(-1, 3)
    if not len(points) or not np.isfinite(points).all():
        raise InputError(tr("The region has no place in the patient; draw it again."))
    homogeneous = np.column_stack([points, np.ones(len(points))])
    index = (np.linalg.inv(geometry.affine_ras) @ homogeneous.T)[:3]
    # A point on the border of two voxels belongs to the one inside the box.
    low = np.floor(index.min(axis=1) + 0.5 + 1e-6).astype(int)
    high = np.ceil(index.max(axis=1) - 0.5 - 1e-6).astype(int)
    high = np.maximum(high, low)
    (i, j, k), (i_stop, j_stop, k_stop) = low, high + 1
    box = Region((int(k), int(j), int(i)), (int(k_stop), int(j_stop), int(i_stop)))
    return box.clipped(geometry.shape)
