"""Square crops of a window's slices, which follow the structure at its own scale.

All crops of a window have the same size and pixel. Their centres follow the known masks: straight
from one to the next, and with a fading trend beyond the last one. So a slanting rib stands still in
its crops, and a pituitary and a liver fill theirs alike.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

MOST_ZOOM = 2.0
"""A crop pixel is at least a voxel divided by this."""
_COARSE_SIDE = 48
_NEAR_CENTROID = 0.25
_TREND = 0.5
_MARGIN = 1.3
_MARGIN_BEYOND = 0.03
_MOST_BEYOND = 10
_MARGIN_VOXELS = 10


@dataclass(frozen=True)
class CropSizes:
    """Which sizes a crop can have.

    Attributes:
        pixels: Rows and columns, ascending.
        coarsest: For each size but the largest, the side of a pixel in voxels up to which it is
            chosen.
    """

    pixels: tuple[int, ...] = (48, 64, 96)
    coarsest: tuple[float, ...] = (0.6, 0.85)

    def fitting(self, side: float, voxel: float) -> int:
        """The smallest size whose pixels are fine enough for a crop of `side` mm."""
        for size, coarsest in zip(self.pixels, self.coarsest, strict=False):
            if side / size <= coarsest * voxel:
                return size
        return self.pixels[-1]


@dataclass(frozen=True, eq=False)
class Crops:
    """Where the crop of each slice lies; rows before columns everywhere.

    Attributes:
        centres: In mm from the centre of the first voxel, (D, 2).
        pixel: Side of a crop pixel in mm.
        size: Rows and columns of a crop, S.
        spacing: Of the slices' voxels in mm.
        turn: 2×2 matrix from crop axes to slice axes, for training; None for the same axes.
        bend: Further displacement of each pixel in mm, (D, S, S, 2), for training.
    """

    centres: np.ndarray
    pixel: float
    size: int
    spacing: tuple[float, float]
    turn: np.ndarray | None = None
    bend: np.ndarray | None = None

    @property
    def reach(self) -> float:
        """Distance in mm from a centre to the middle of the outermost pixels."""
        return self.pixel * (self.size - 1) / 2

    def region(self, shape: Sequence[int]) -> tuple[slice, slice]:
        """Rows and columns of slices of `shape` that the crops touch; at least one of each."""
        reach = self.pixel * self.size / 2 * (1.0 if self.turn is None else 1.5)
        spacing = np.asarray(self.spacing)
        low = np.floor((self.centres.min(0) - reach) / spacing).astype(int) - 2
        high = np.ceil((self.centres.max(0) + reach) / spacing).astype(int) + 3
        last = np.asarray(shape) - 1
        low = np.clip(low, 0, last)
        high = np.clip(high, low + 1, last + 1)
        return slice(int(low[0]), int(high[0])), slice(int(low[1]), int(high[1]))

    def cut(self, part: np.ndarray, corner: tuple[int, int], outside: float) -> Tensor:
        """Crops of slices, (D, S, S) float32.

        Where crop pixels are larger than voxels, the voxels are averaged first.

        Args:
            part: A part of the slices, (D, h, w).
            corner: Row and column of its first voxel.
            outside: Value beyond the part.
        """
        image = torch.from_numpy(np.ascontiguousarray(part, dtype=np.float32))[:, None]
        if outside:
            image = image - outside
        pool = [max(int(self.pixel / step + 0.25), 1) for step in self.spacing]
        if max(pool) > 1:
            image = functional.avg_pool2d(image, pool, ceil_mode=True)
        index = self._positions() / np.asarray(self.spacing, np.float32)
        index = (index - corner - (np.asarray(pool) - 1) / 2) / pool
        normal = 2 * index / np.maximum(np.asarray(image.shape[-2:]) - 1, 1) - 1
        grid = torch.from_numpy(np.ascontiguousarray(normal[..., ::-1], dtype=np.float32))
        crops = functional.grid_sample(image, grid, align_corners=True)[:, 0]
        return crops + outside if outside else crops

    def restored(self, values: Tensor, slice_number: int, region: tuple[slice, slice]) -> Tensor:
        """Values (S, S) of one crop on the voxels of a region that lie in it.

        Args:
            values: On the crop's pixels.
            slice_number: Which crop of the window.
            region: Rows and columns, from `covered`.
        """
        half = (self.size - 1) / 2
        lines = [
            torch.from_numpy(
                ((np.arange(part.start, part.stop) * step - centre) / (self.pixel * half)).astype(
                    np.float32
                )
            )
            for part, step, centre in zip(
                region, self.spacing, self.centres[slice_number], strict=True
            )
        ]
        grid = torch.stack(torch.meshgrid(*lines, indexing="ij")[::-1], -1)
        return functional.grid_sample(
            values[None, None], grid[None], align_corners=True, padding_mode="border"
        )[0, 0]

    def covered(self, slice_number: int, shape: Sequence[int]) -> tuple[slice, slice]:
        """Rows and columns of a slice whose voxel centres lie in its crop; may be empty."""
        parts = []
        for centre, step, count in zip(
            self.centres[slice_number], self.spacing, shape, strict=True
        ):
            first = max(int(np.ceil((centre - self.reach) / step)), 0)
            last = min(int(np.floor((centre + self.reach) / step)), count - 1)
            parts.append(slice(first, max(last + 1, first)))
        return parts[0], parts[1]

    def _positions(self) -> np.ndarray:
        """Position of each crop pixel in mm, (D, S, S, 2)."""
        line = (np.arange(self.size, dtype=np.float32) - (self.size - 1) / 2) * self.pixel
        plane = np.stack(np.meshgrid(line, line, indexing="ij"), -1)
        if self.turn is not None:
            plane = plane @ self.turn.T.astype(np.float32)
        positions = plane[None] + self.centres[:, None, None].astype(np.float32)
        return positions if self.bend is None else positions + self.bend


def place_crops(
    depth: int,
    known: Mapping[int, np.ndarray],
    corner: tuple[int, int],
    spacing: tuple[float, float],
    sizes: CropSizes,
    wider: float = 1.0,
) -> Crops:
    """The crops of a window from its known masks.

    Args:
        depth: Slices of the window.
        known: Known masks (h, w) by position in the window; at least one of them holds something.
        corner: Row and column of the masks' first voxel.
        spacing: Of rows and columns in mm.
        sizes: Allowed sizes.
        wider: Factor of the crops' side.
    """
    at = [position for position in sorted(known) if known[position].any()]
    boxes = np.array([box_of(known[position]) for position in at])
    step = np.asarray(spacing)
    first = (boxes[0].sum(0) / 2 + corner) * step
    moves = [shift_between(known[a], known[b]) * step for a, b in pairwise(at)]
    centres = first + np.cumsum([np.zeros(2), *moves], axis=0)
    low = (boxes[:, 0] + corner) * step - centres
    high = (boxes[:, 1] + corner) * step - centres
    centres = centres + (low.min(0) + high.max(0)) / 2
    half = float((high.max(0) - low.min(0)).max() / 2)
    voxel = max(spacing)
    beyond = max(at[0], depth - 1 - at[-1])
    margin = _MARGIN + _MARGIN_BEYOND * min(beyond, _MOST_BEYOND)
    side = (2 * half * margin + _MARGIN_VOXELS * voxel) * wider
    size = sizes.fitting(side, voxel)
    pixel = max(side / size, voxel / MOST_ZOOM)
    return Crops(_path(np.array(at), centres, depth), pixel, size, spacing)


def box_of(mask: np.ndarray) -> np.ndarray:
    """First and last row and column that a mask (h, w) uses: [[row, column], [row, column]]."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    return np.array([[rows[0], columns[0]], [rows[-1], columns[-1]]])


def centroid(mask: np.ndarray) -> np.ndarray:
    """Mean row and column of a mask (h, w) that holds something."""
    by_row, by_column = mask.sum(1), mask.sum(0)
    total = by_row.sum()
    return np.array(
        [by_row @ np.arange(len(by_row)) / total, by_column @ np.arange(len(by_column)) / total]
    )


def shift_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Rows and columns by which mask `a` has to be moved to lie best on mask `b`.

    Of all shifts the one with the greatest overlap, and of nearly equal ones that nearest to the
    shift of the centroids: a horseshoe that becomes two bars stays, a slanting rib moves.
    """
    box_a, box_b = box_of(a), box_of(b)
    by_centroid = centroid(b) - centroid(a)
    extent = float(max((box[1] - box[0]).max() for box in (box_a, box_b)) + 1)
    coarse = max(int(np.ceil(extent / _COARSE_SIDE)), 1)
    small_a, small_b = _reduced(a, box_a, coarse), _reduced(b, box_b, coarse)
    shape = [m + n for m, n in zip(small_a.shape, small_b.shape, strict=True)]
    spectrum = np.conj(np.fft.rfft2(small_a, shape)) * np.fft.rfft2(small_b, shape)
    overlap = np.fft.irfft2(spectrum, shape) / min(small_a.sum(), small_b.sum())
    rows, columns = (
        np.fft.fftfreq(count, 1 / count) * coarse + offset
        for count, offset in zip(shape, box_b[0] - box_a[0], strict=True)
    )
    away = np.hypot(rows[:, None] - by_centroid[0], columns[None] - by_centroid[1])
    score = overlap - _NEAR_CENTROID * away / extent
    row, column = np.unravel_index(score.argmax(), score.shape)
    best = np.array([rows[row], columns[column]])
    # The centroids' shift is finer than a voxel, so it is kept where it is as good.
    return by_centroid if np.abs(best - by_centroid).max() <= 1.01 * coarse else best


def _reduced(mask: np.ndarray, box: np.ndarray, coarse: int) -> np.ndarray:
    """A mask's box, averaged over blocks of `coarse` × `coarse` voxels, float32."""
    (top, left), (bottom, right) = box
    part = mask[top : bottom + 1, left : right + 1].astype(np.float32)
    if coarse == 1:
        return part
    part = np.pad(part, [(0, -count % coarse) for count in part.shape])
    rows, columns = (count // coarse for count in part.shape)
    return part.reshape(rows, coarse, columns, coarse).mean((1, 3))


def _path(at: np.ndarray, centres: np.ndarray, depth: int) -> np.ndarray:
    """Centre of every slice, (D, 2), from those of the known slices `at`."""
    z = np.arange(depth)
    path = np.stack([np.interp(z, at, column) for column in centres.T], 1)
    if len(at) < 2:
        return path
    for end, inner, beyond in ((0, 1, z < at[0]), (-1, -2, z > at[-1])):
        gap = abs(int(at[end] - at[inner]))
        slope = (centres[end] - centres[inner]) / gap
        distance = np.abs(z[beyond] - at[end])
        reach = _TREND * gap * (1 - np.exp(-distance / (_TREND * gap)))
        path[beyond] = centres[end] + _TREND * slope * reach[:, None]
    return path
