"""The pipeline's result: a label map on the input's own grid, and what its labels stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .geometry import Geometry
from .structure import Structure


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Structures found in a volume.

    Attributes:
        label_map: uint8, shape (k, j, i); 0 is background, other values are structure labels.
        geometry: The grid of the volume that was segmented.
        structures: What was asked for, in the order of their labels; absent ones included.
        model: Name and version of the model that made it, for reports and DICOM.
    """

    label_map: np.ndarray
    geometry: Geometry
    structures: tuple[Structure, ...]
    model: str = ""

    def __post_init__(self) -> None:
        if self.label_map.shape != self.geometry.shape:
            raise ValueError(f"label map {self.label_map.shape} is not on {self.geometry.shape}")
        if self.label_map.dtype != np.uint8:
            raise ValueError(f"label map is {self.label_map.dtype}, not uint8")

    def volumes_ml(self) -> dict[str, float]:
        """Volume of each structure in millilitres, by name, 0.0 for those not found."""
        counts = np.bincount(self.label_map.ravel(), minlength=256)
        one = self.geometry.voxel_volume_ml
        return {item.name: float(counts[item.label]) * one for item in self.structures}
