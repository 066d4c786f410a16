"""Tiles of the model's size that cover all tissue of a slice."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

TISSUE_HU = -500.0
OVERLAP = 0.25


class Tile(NamedTuple):
    """Position of a tile: batch entry, first row, first column; it may extend beyond the slice."""

    slice: int
    row: int
    column: int


def tissue_extents(slices: Tensor) -> list[tuple[int, int, int, int] | None]:
    """Per slice of HU (K, H, W): rows and columns [r0, r1) × [c0, c1) that hold tissue.

    None for a slice of air. Every pixel above `TISSUE_HU` counts as tissue; no small region is
    dropped.
    """
    tissue = slices > TISSUE_HU
    rows, columns = tissue.any(dim=2).cpu(), tissue.any(dim=1).cpu()
    extents: list[tuple[int, int, int, int] | None] = []
    for row, column in zip(rows, columns, strict=True):
        if not bool(row.any()):
            extents.append(None)
            continue
        r, c = row.nonzero().flatten(), column.nonzero().flatten()
        extents.append((int(r[0]), int(r[-1]) + 1, int(c[0]), int(c[-1]) + 1))
    return extents


def tile_starts(start: int, stop: int, size: int) -> list[int]:
    """First pixels of the fewest tiles of `size` that cover [start, stop) with some overlap.

    A single tile is centred on the extent; several are spaced evenly.
    """
    length = stop - start
    if length <= size:
        return [start - (size - length) // 2]
    step = max(1, int(size * (1 - OVERLAP)))
    count = -(-(length - size) // step) + 1
    return [start + round(n * (length - size) / (count - 1)) for n in range(count)]


def tiles_of(extents: list[tuple[int, int, int, int] | None], size: tuple[int, int]) -> list[Tile]:
    """Tiles that cover the tissue of each slice; none for slices of air."""
    return [
        Tile(index, row, column)
        for index, extent in enumerate(extents)
        if extent is not None
        for row in tile_starts(extent[0], extent[1], size[0])
        for column in tile_starts(extent[2], extent[3], size[1])
    ]


def crop_tiles(images: Tensor, tiles: list[Tile], size: tuple[int, int], outside: float) -> Tensor:
    """Cut tiles out of images (N, C, H, W) → (len(tiles), C, *size), `outside` beyond borders."""
    height, width = images.shape[2:]
    device = images.device
    which = torch.tensor([tile.slice for tile in tiles], device=device)
    rows = torch.tensor([tile.row for tile in tiles], device=device)[:, None] + torch.arange(
        size[0], device=device
    )
    columns = torch.tensor([tile.column for tile in tiles], device=device)[:, None] + torch.arange(
        size[1], device=device
    )
    inside = ((rows >= 0) & (rows < height))[:, :, None] & ((columns >= 0) & (columns < width))[
        :, None, :
    ]
    taken = images[
        which[:, None, None],
        :,
        rows.clamp(0, height - 1)[:, :, None],
        columns.clamp(0, width - 1)[:, None, :],
    ].movedim(-1, 1)
    return torch.where(inside[:, None], taken, torch.full_like(taken, outside))


def blending_weights(size: tuple[int, int], device: torch.device | None = None) -> Tensor:
    """Weight of a tile's pixels where tiles overlap: highest in the middle, never zero."""
    rows, columns = (
        1 - ((torch.arange(n, dtype=torch.float32) - (n - 1) / 2).abs() / (n / 2)) * 0.95
        for n in size
    )
    return (rows[:, None] * columns[None, :]).to(device)
