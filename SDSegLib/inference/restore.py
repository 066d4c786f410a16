"""From values on the model's grid back to the voxels of the volume."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from ..volume.slices import resample_in_plane
from .plane import PlaneGrids


class _Near(NamedTuple):
    """Voxels along one axis that read pixels of a structure, all pixels they read, the weights."""

    voxels: slice
    pixels: slice
    back: Tensor


def restored(values: Tensor, grids: PlaneGrids) -> Tensor:
    """Values (channels, h, w) of the needed part of the model's grid → (channels, H, W)."""
    return resample_in_plane(values, grids.rows_back, grids.columns_back)


def likeliest(probabilities: Tensor) -> Tensor:
    """The class with the highest value, of equal ones the first: (C, H, W) → uint8 (H, W).

    `max` does on a processor in a tenth of the time what `argmax` does.
    """
    return probabilities.max(dim=0).indices.to(torch.uint8)


def restored_labels(probabilities: Tensor, grids: PlaneGrids) -> Tensor:
    """`likeliest` of the restored probabilities: (C, h, w) → uint8 (H, W).

    Only voxels near structures are computed. A restored value is a weighted mean of a few pixels,
    with the same weights for all classes: where the background is likeliest at all of these pixels
    it is so in the mean. So nothing changes by leaving those voxels 0.
    """
    size = (len(grids.rows_back), len(grids.columns_back))
    labels = torch.zeros(size, dtype=torch.uint8, device=probabilities.device)
    found = likeliest(probabilities) != 0
    rows, columns = _extent(found.any(dim=1)), _extent(found.any(dim=0))
    if rows is None or columns is None:
        return labels
    near_rows, near_columns = _near(grids.rows_back, rows), _near(grids.columns_back, columns)
    if near_rows is None or near_columns is None:
        return labels
    near = probabilities[:, near_rows.pixels, near_columns.pixels]
    labels[near_rows.voxels, near_columns.voxels] = likeliest(
        resample_in_plane(near, near_rows.back, near_columns.back)
    )
    return labels


def _extent(is_used: Tensor) -> tuple[int, int] | None:
    """First and one past the last that is used."""
    used = is_used.nonzero().flatten().tolist()
    return (used[0], used[-1] + 1) if used else None


def _near(back: Tensor, extent: tuple[int, int]) -> _Near | None:
    """What of a matrix (voxels, pixels) belongs to pixels of `extent`; None if no voxel does."""
    voxels = _extent((back[:, extent[0] : extent[1]] != 0).any(dim=1))
    if voxels is None:
        return None
    some = back[slice(*voxels)]
    pixels = _extent((some != 0).any(dim=0))
    assert pixels is not None
    return _Near(slice(*voxels), slice(*pixels), some[:, slice(*pixels)])
