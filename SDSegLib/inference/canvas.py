"""Where overlapping tiles are blended: values of some slices on the needed part of a plane."""

from __future__ import annotations

import torch
from torch import Tensor

from ..volume.tiles import Tile, blending_weights


class Canvas:
    """Weighted means of tiles.

    Args:
        slices: How many.
        origin: Row and column of the model's grid at which the canvas begins.
        size: Its rows and columns.
        empty: (channels,), the values of a pixel on which no tile lies.
    """

    def __init__(
        self, slices: int, origin: tuple[int, int], size: tuple[int, int], empty: Tensor
    ) -> None:
        self._origin = origin
        self._empty = empty[:, None, None]
        self._sums = torch.zeros(slices, len(empty) + 1, *size, device=empty.device)
        self._painted: set[int] = set()

    def add(self, tiles: list[Tile], values: Tensor) -> None:
        """Add values (len(tiles), channels, h, w) where the tiles lie; the rest is cut off."""
        size = (values.shape[2], values.shape[3])
        weights = blending_weights(size, values.device)
        height, width = self._sums.shape[2:]
        for tile, value in zip(tiles, values, strict=True):
            row, column = tile.row - self._origin[0], tile.column - self._origin[1]
            top, left = max(row, 0), max(column, 0)
            bottom, right = min(row + size[0], height), min(column + size[1], width)
            inner = (slice(top - row, bottom - row), slice(left - column, right - column))
            weight = weights[inner]
            target = self._sums[tile.slice, :, top:bottom, left:right]
            target[:-1] += value[:, inner[0], inner[1]] * weight
            target[-1] += weight
            self._painted.add(tile.slice)

    def mean(self, index: int) -> Tensor | None:
        """Blended values (channels, rows, columns) of a slice; None if no tile lies on it."""
        if index not in self._painted:
            return None
        weight = self._sums[index, -1]
        values = self._sums[index, :-1] / weight.clamp(min=1e-6)
        return torch.where(weight > 0, values, self._empty)
