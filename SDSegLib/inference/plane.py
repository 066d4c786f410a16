"""A slice plane on two grids, the volume's and the model's, and the part that is needed."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ..volume.slices import resampled_size, resampling_matrix
from ..volume.tiles import Tile


@dataclass(frozen=True)
class PlaneGrids:
    """Matrices between the volume's rows and columns and the model's, and what is needed of them.

    Attributes:
        rows: From all rows of the volume to all of the model's grid.
        columns: The same for columns.
        rows_back: From the needed rows of the model's grid to the wanted ones of the volume.
        columns_back: The same for columns.
        origin: First needed row and column of the model's grid.
    """

    rows: Tensor
    columns: Tensor
    rows_back: Tensor
    columns_back: Tensor
    origin: tuple[int, int]

    @classmethod
    def between(
        cls,
        shape: tuple[int, int],
        spacing: tuple[float, float],
        target: tuple[float, float] | None,
        wanted: tuple[slice, slice],
        device: torch.device,
    ) -> PlaneGrids:
        """Set up the matrices.

        Args:
            shape: Rows and columns of the volume.
            spacing: Row and column spacing of the volume in mm.
            target: The model's; None for the volume's own.
            wanted: Rows and columns of the volume to come back to.
            device: Where to keep them.
        """
        forward, back, origin = [], [], []
        for size, have, want, side in zip(shape, spacing, target or spacing, wanted, strict=True):
            there = resampled_size(size, have, want)
            forward.append(resampling_matrix(size, have, there, want, device))
            whole = resampling_matrix(there, want, size, have)[side]
            used = whole.any(dim=0).nonzero().flatten()
            first, last = int(used[0]), int(used[-1])
            back.append(whole[:, first : last + 1].to(device))
            origin.append(first)
        return cls(forward[0], forward[1], back[0], back[1], (origin[0], origin[1]))

    @property
    def needed(self) -> tuple[int, int]:
        """Rows and columns of the needed part of the model's grid."""
        return self.rows_back.shape[1], self.columns_back.shape[1]

    def needed_tiles(self, tiles: list[Tile], size: tuple[int, int]) -> list[Tile]:
        """Those of the tiles that touch the needed part."""
        (row, column), (height, width) = self.origin, self.needed
        return [
            tile
            for tile in tiles
            if tile.row < row + height
            and tile.row + size[0] > row
            and tile.column < column + width
            and tile.column + size[1] > column
        ]
