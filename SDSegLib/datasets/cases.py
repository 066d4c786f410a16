"""Cases for training: CT slices and label maps on a model's grid, kept in memory."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..errors import InputError
from ..reading.files import read_volume
from ..volume.model_input import InputDescription
from ..volume.orientation import reorientation_to
from ..volume.slices import resample_in_plane, resampled_size, resampling_matrix
from ..volume.tiles import tissue_extents

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class Case:
    """One patient on the model's grid.

    Attributes:
        name: The case's folder.
        image: HU, int16, (K, H, W) in the model's axes and in-plane spacing.
        label_map: uint8, the same shape.
        spacing: Slice spacing in mm.
        drawn: Labels that occur in the patient's label map. Others are unknown, not absent.
        extents: Rows and columns of each slice that hold tissue.
    """

    name: str
    image: np.ndarray
    label_map: np.ndarray
    spacing: float
    drawn: frozenset[int]
    extents: list[tuple[int, int, int, int] | None]


def load_case(folder: Path, description: InputDescription, num_classes: int) -> Case:
    """Read `ct.nii.gz` and `organs.nii.gz` of a folder and bring them to the model's grid.

    Raises:
        InputError: If a file is missing or the two do not share a grid.
    """
    volume = read_volume(folder / "ct.nii.gz")
    labels = read_volume(folder / "organs.nii.gz")
    if not volume.geometry.matches(labels.geometry, tolerance_mm=0.01):
        raise InputError(f"The label map in {folder} is not on the grid of its CT.")
    turn = reorientation_to(volume.geometry, description.axes)
    slice_spacing, row_spacing, column_spacing = turn.spacing(volume.geometry)
    image = torch.from_numpy(turn.apply(volume.array).astype(np.float32))
    label_map = torch.from_numpy(turn.apply(labels.array).astype(np.int64))
    drawn = frozenset(int(v) for v in label_map.unique() if v > 0)
    target = description.spacing
    if target is not None:
        height, width = image.shape[1:]
        rows = resampling_matrix(
            height, row_spacing, resampled_size(height, row_spacing, target[0]), target[0]
        )
        columns = resampling_matrix(
            width, column_spacing, resampled_size(width, column_spacing, target[1]), target[1]
        )
        image = resample_in_plane(image, rows, columns)
        shares = torch.stack(
            [resample_in_plane((label_map == c).float(), rows, columns) for c in range(num_classes)]
        )
        label_map = shares.argmax(dim=0)
    return Case(
        name=folder.name,
        image=image.round().clamp(-32768, 32767).to(torch.int16).numpy(),
        label_map=label_map.to(torch.uint8).numpy(),
        spacing=slice_spacing,
        drawn=drawn,
        extents=tissue_extents(image),
    )


def load_cases(root: Path, description: InputDescription, num_classes: int) -> list[Case]:
    """All case folders below `root`, sorted by name."""
    folders = sorted(path.parent for path in root.glob("*/ct.nii.gz"))
    if not folders:
        raise InputError(f"{root} has no case folders with ct.nii.gz and organs.nii.gz.")
    log.info("reading %d cases from %s", len(folders), root)
    return [load_case(folder, description, num_classes) for folder in folders]
