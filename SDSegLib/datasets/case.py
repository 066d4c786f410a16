"""One patient or picture on a model's grid, ready to draw training samples from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..volume.checks import finite_values
from ..volume.model_input import InputDescription
from ..volume.orientation import reorientation_to
from ..volume.pictures import resize_labels, resize_picture
from ..volume.slices import resample_in_plane, resampled_size, resampling_matrix
from ..volume.tiles import tissue_extents
from ..volume.volume import Volume

SLICES_AT_A_TIME = 32
Extents = list[tuple[int, int, int, int] | None]


@dataclass(frozen=True, eq=False)
class Case:
    """One patient, or one picture as a single slice.

    Attributes:
        name: Name of the item, or of the case's folder.
        image: (K, H, W) in the model's axes and in-plane spacing: HU as int16, or other values as
            float32; for a picture uint8, (1, colours, H, W).
        label_map: uint8, (K, H, W).
        spacing: Slice spacing in mm; 1 for a picture.
        drawn: Labels that the label map is complete for; the others are unknown, not absent.
        extents: Range of rows and columns with tissue in each slice.
    """

    name: str
    image: np.ndarray
    label_map: np.ndarray
    spacing: float
    drawn: frozenset[int]
    extents: Extents

    def __getstate__(self) -> dict[str, Any]:
        """For pickling: a memory-mapped array is replaced by the path of its file."""
        return {
            key: Path(value.filename) if _is_whole_file(value) else value
            for key, value in vars(self).items()
        }

    def __setstate__(self, state: dict[str, Any]) -> None:
        for key, value in state.items():
            vars(self)[key] = (
                np.load(value, mmap_mode="r", allow_pickle=False)
                if isinstance(value, Path)
                else value
            )


def _is_whole_file(value: Any) -> bool:
    """Whether a value is the memory-mapped array of a whole file."""
    return (
        isinstance(value, np.memmap)
        and value.filename is not None
        and not isinstance(value.base, np.ndarray)
    )


def volume_case(
    name: str,
    volume: Volume,
    labels: np.ndarray,
    drawn: frozenset[int],
    description: InputDescription,
    num_classes: int,
    hounsfield: bool = True,
) -> Case:
    """A volume and its labels on the model's grid.

    Args:
        name: Name of the case.
        volume: The image.
        labels: uint8, on the volume's grid; values of `num_classes` and above become background.
        drawn: Labels that the label map is complete for.
        description: Axes and in-plane spacing.
        num_classes: C, with background.
        hounsfield: Whether the values are HU, which are rounded to int16.
    """
    turn = reorientation_to(volume.geometry, description.axes)
    slice_spacing, *plane_spacing = turn.spacing(volume.geometry)
    values, marks = turn.apply(volume.array), turn.apply(labels)
    matrices = _matrices(values.shape[1:], plane_spacing, description.spacing)
    images, label_maps = [], []
    extents: Extents = []
    for start in range(0, len(values), SLICES_AT_A_TIME):
        part = slice(start, start + SLICES_AT_A_TIME)
        image = torch.from_numpy(finite_values(values[part]).astype(np.float32))
        label_map = torch.from_numpy(marks[part].copy())
        if matrices is not None:
            image = resample_in_plane(image, *matrices)
            label_map = _largest_share(label_map, *matrices, num_classes)
        extents += tissue_extents(image)
        if hounsfield:
            image = image.round().clamp(-32768, 32767).to(torch.int16)
        images.append(image)
        label_maps.append(torch.where(label_map < num_classes, label_map, 0))
    return Case(
        name=name,
        image=torch.cat(images).contiguous().numpy(),
        label_map=torch.cat(label_maps).contiguous().numpy(),
        spacing=slice_spacing,
        drawn=drawn,
        extents=extents,
    )


def picture_case(
    name: str,
    picture: np.ndarray,
    labels: np.ndarray,
    drawn: frozenset[int],
    description: InputDescription,
) -> Case:
    """A picture and its labels, resized to the model's size.

    Args:
        name: Name of the case.
        picture: uint8, (H, W) or (H, W, 3).
        labels: uint8, (H, W).
        drawn: Labels that the label map is complete for.
        description: Size and colours.
    """
    size = description.size
    image = resize_picture(picture, size, description.pictures or "grey")
    return Case(
        name=name,
        image=image[None].round().clamp(0, 255).to(torch.uint8).numpy(),
        label_map=resize_labels(labels, size)[None],
        spacing=1.0,
        drawn=drawn,
        extents=[(0, size[0], 0, size[1])],
    )


def _matrices(
    shape: Sequence[int], spacing: Sequence[float], target: tuple[float, float] | None
) -> tuple[Tensor, Tensor] | None:
    """Matrices that resample rows and columns to the target spacing; None for no resampling."""
    if target is None:
        return None
    rows, columns = (
        resampling_matrix(size, have, resampled_size(size, have, want), want)
        for size, have, want in zip(shape, spacing, target, strict=True)
    )
    return rows, columns


def _largest_share(label_map: Tensor, rows: Tensor, columns: Tensor, num_classes: int) -> Tensor:
    """Resample label maps uint8 (K, H, W): each pixel gets the label that covers most of it.

    Each structure is resampled in its own box only: of 117 structures most are small.
    """
    from scipy.ndimage import find_objects

    best = resample_in_plane((label_map == 0).float(), rows, columns)
    winner = torch.zeros(best.shape, dtype=torch.uint8)
    for label, box in enumerate(find_objects(label_map.numpy(), num_classes - 1), start=1):
        if box is None:
            continue
        slices, height, width = box
        row_matrix, column_matrix = rows[:, height], columns[:, width]
        target_rows, target_columns = _reached(row_matrix), _reached(column_matrix)
        share = resample_in_plane(
            (label_map[box] == label).float(),
            row_matrix[target_rows],
            column_matrix[target_columns],
        )
        target = slices, target_rows, target_columns
        winner[target][share > best[target]] = label
        torch.maximum(best[target], share, out=best[target])
    return winner


def _reached(matrix: Tensor) -> slice:
    """The pixels to which a resampling matrix (targets, sources) gives any weight."""
    places = matrix.any(dim=1).nonzero()[:, 0].tolist()
    return slice(places[0], places[-1] + 1) if places else slice(0, 0)
