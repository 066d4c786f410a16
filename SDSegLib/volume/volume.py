"""A CT (or another single-channel image) with its position in the patient."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .geometry import Geometry


@dataclass(frozen=True, eq=False)
class Volume:
    """Voxel values on a grid.

    Attributes:
        array: Values (HU for CT), shape (k, j, i), any real number type.
        geometry: The grid; `geometry.shape == array.shape`.
        name: Display name: the file's stem or the series description.
        modality: DICOM modality ("CT", "MR", …) where the source says so, else None.
        source: File or folder it was read from, if any.
        dicom_files: The series' files, one per slice along k; empty if it was not read as DICOM.
            For a multi-frame file, its path is repeated for each slice.
        dicom_frames: Index of each slice's frame in its multi-frame file; empty for single-frame
            files.
        acquired: The sheared grid from which the voxels were straightened, as of a tilted gantry;
            None for voxels that lie where they were acquired.
        notes: Remarks of the file reader for the user, one sentence each.
    """

    array: np.ndarray
    geometry: Geometry
    name: str = "volume"
    modality: str | None = None
    source: Path | None = None
    dicom_files: tuple[Path, ...] = ()
    dicom_frames: tuple[int, ...] = ()
    acquired: Geometry | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.array.shape != self.geometry.shape:
            raise ValueError(f"array {self.array.shape} is not on grid {self.geometry.shape}")
