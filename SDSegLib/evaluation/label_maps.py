"""Label maps of references and predictions, and their resampling to one grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from ..datasets.recipe import whole_numbers
from ..errors import InputError
from ..language import tr
from ..reading.files import read_volume
from ..reading.pictures import read_mask
from ..volume.geometry import Geometry
from ..volume.pictures import flat_geometry
from ..volume.same_voxels import on_same_voxels
from ..volume.volume import Volume

LARGEST_LABEL = 255


def read_label_map(path: Path) -> Volume:
    """Read a label map as uint8.

    Raises:
        InputError: If it cannot be read, or a value is not a whole number 0 … 255.
    """
    volume = read_volume(path, labels=True)
    labels = np.empty(volume.array.shape, np.uint8)
    for plane, target in zip(volume.array, labels, strict=True):
        target[:] = whole_numbers(plane, path, LARGEST_LABEL)
    return replace(volume, array=labels)


def read_picture_label_map(path: Path) -> Volume:
    """Read a predicted label map of a picture: label numbers, or a mask of 0 and 255.

    Raises:
        InputError: If it is in colour or contains values above 255.
    """
    mask = read_mask(path)
    if mask.ndim == 3 and (mask == mask[..., :1]).all():
        mask = mask[..., 0]
    if mask.ndim == 3 or int(mask.max()) > LARGEST_LABEL:
        raise InputError(
            tr("{path} is no label map: its values are colours or above 255.").format(path=path)
        )
    values = set(np.unique(mask).tolist())
    if values <= {0, LARGEST_LABEL}:
        mask = mask > 0
    return one_slice(mask, path.stem)


def one_slice(labels: np.ndarray, name: str) -> Volume:
    """Labels of a picture (H, W) as a volume (1, H, W) with pixels of 1 mm."""
    rows, columns = labels.shape
    geometry = flat_geometry((rows, columns))
    return Volume(labels[None].astype(np.uint8, copy=False), geometry, name=name)


def on_grid(volume: Volume, geometry: Geometry) -> tuple[np.ndarray, bool]:
    """A volume's values at the voxels of another grid.

    A grid with the same voxels, which may be flipped, permuted, larger or smaller, costs nothing.
    All other volumes are resampled: each voxel gets the value of the nearest voxel, or 0 outside
    the volume.

    Returns:
        Array of `geometry.shape`, and whether the volume had to be resampled.
    """
    values = on_same_voxels(volume, geometry)
    return (_nearest(volume, geometry), True) if values is None else (values, False)


def _nearest(volume: Volume, geometry: Geometry) -> np.ndarray:
    matrix = np.linalg.inv(volume.geometry.affine_lps) @ geometry.affine_lps
    result = np.zeros(geometry.shape, volume.array.dtype)
    rows, columns = np.mgrid[: geometry.shape[1], : geometry.shape[2]].reshape(2, -1)
    in_slice = matrix[:3, :2] @ np.stack([columns, rows]) + matrix[:3, 3:]
    largest = np.array(volume.geometry.shape[::-1])[:, None] - 1
    for k, plane in enumerate(result):
        index = np.rint(in_slice + matrix[:3, 2:3] * k).astype(int)
        inside = ((index >= 0) & (index <= largest)).all(axis=0)
        i, j, depth = index[:, inside]
        plane.reshape(-1)[inside] = volume.array[depth, j, i]
    return result
