"""The pipeline's result: a label map on the input's own grid, with its structures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..language import tr
from .doubt import SliceDoubt
from .geometry import Geometry
from .region import Region
from .structure import Structure


@dataclass(frozen=True, eq=False)
class Segmentation:
    """Structures found in a volume.

    Attributes:
        label_map: uint8, shape (k, j, i); 0 is background, other values are structure labels.
        geometry: The grid of the volume that was segmented.
        structures: The requested ones in the order of their labels, including those not found.
        model: Name and version of the model that made it, for reports and DICOM.
        instability: Instability of each voxel's label, uint8, the label map's shape, 255 stands for
            1.0; defined in `Segmenter.segment`. None for a single sample.
        samples: Noise samples that were averaged.
        region: Box that was segmented; everything outside it is background. None for the whole
            volume.
        probabilities: Of background and each of the model's structures, float32 (C, k, j, i), if
            requested, calibrated if the model says how. They are taken before small components are
            removed.
        doubt: Voxels that are expected to be wrong in each slice, for each of `structures`; taken
            before small components are removed. None if it was not measured.
    """

    label_map: np.ndarray
    geometry: Geometry
    structures: tuple[Structure, ...]
    model: str = ""
    instability: np.ndarray | None = None
    samples: int = 1
    region: Region | None = None
    probabilities: np.ndarray | None = None
    doubt: SliceDoubt | None = None

    @property
    def is_scored(self) -> bool:
        """Whether something tells how sure the result is on each slice."""
        has_dice = self.doubt is not None and self.doubt.dice is not None
        return has_dice or self.instability is not None

    def __post_init__(self) -> None:
        self._check(tr("label map"), self.label_map)
        if self.instability is not None:
            self._check("instability", self.instability)

    def _check(self, name: str, array: np.ndarray) -> None:
        if array.shape != self.geometry.shape:
            raise ValueError(f"{name} {array.shape} is not on {self.geometry.shape}")
        if array.dtype != np.uint8:
            raise ValueError(f"{name} is {array.dtype}, not uint8")

    def volumes_ml(self) -> dict[str, float]:
        """Volume of each structure in millilitres, by name, 0.0 for those not found."""
        counts = np.zeros(256, int)
        for plane in self.label_map:  # as a whole it would be copied to 8 bytes a voxel
            if plane.any():
                counts += np.bincount(plane.ravel(), minlength=256)
        one = self.geometry.voxel_volume_ml
        return {item.name: float(counts[item.label]) * one for item in self.structures}
