"""Slices of a volume on the model's in-plane grid, each resampled once while a run moves along."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from ..volume.checks import finite_values
from ..volume.slices import resample_in_plane
from .plane import PlaneGrids


class ResampledPlanes:
    """Keeps the slices that the next batch will ask for again as context.

    Slices 0.5 mm apart with context at ±30 mm would otherwise be resampled eight times. Memory
    holds the slices asked for last and those between them and the next.

    Args:
        array: (K, H, W) in the model's axes, HU.
        grids: To the model's grid.
        device: Where the slices are resampled and kept.
    """

    def __init__(self, array: np.ndarray, grids: PlaneGrids, device: torch.device) -> None:
        self._array = array
        self._grids = grids
        self._device = device
        self._first = 0
        self._kept: Tensor | None = None

    def between(self, first: int, stop: int) -> Tensor:
        """Slices `first` … `stop` − 1 as float32 (stop − first, rows, columns)."""
        kept, known = self._kept, self._first
        if kept is None or not known <= first <= known + len(kept):
            self._kept = self._resampled(first, stop)
        else:
            kept = kept[first - known :]
            missing = first + len(kept)
            if missing < stop:
                kept = torch.cat([kept, self._resampled(missing, stop)])
            self._kept = kept
        self._first = first
        return self._kept[: stop - first]

    def _resampled(self, first: int, stop: int) -> Tensor:
        chunk = finite_values(np.ascontiguousarray(self._array[first:stop]))
        values = torch.from_numpy(chunk).to(self._device).float()
        return resample_in_plane(values, self._grids.rows, self._grids.columns)
