"""Tissues of a CT by HU and place: labels that need no reader, for pre-training."""

from __future__ import annotations

import numpy as np

TISSUES = ("outside", "lung", "gas", "fat", "soft tissue", "dense", "bone")
"""By number. Gas is air in the body outside the lungs; dense is contrast agent and light bone."""

_AIR_HU, _FAT_HU, _DENSE_HU, _BONE_HU = -400, -30, 150, 350
_LUNG_MM3 = 300_000  # a smaller connected piece of air in the body counts as gas
_BODY_SHARE = 0.2  # of the largest piece of tissue in a slice, that another one of the body has


def tissues(hu: np.ndarray, voxel_mm3: float) -> np.ndarray:
    """The tissue of each voxel.

    In each axial slice the body is what the largest pieces of tissue enclose.

    Args:
        hu: (k, j, i), slices axial.
        voxel_mm3: Volume of a voxel.

    Returns:
        uint8, numbers of `TISSUES`, the same shape.
    """
    from scipy import ndimage

    body = np.zeros(hu.shape, bool)
    for plane, inside in zip(hu, body, strict=True):
        inside[:] = _body(plane)
    air = body & (hu < _AIR_HU)
    pieces, _ = ndimage.label(air)
    volumes = np.bincount(pieces.ravel()) * voxel_mm3
    volumes[0] = 0
    lung = (volumes > _LUNG_MM3)[pieces]
    found = np.zeros(hu.shape, np.uint8)
    found[body] = 4
    found[body & (hu < _FAT_HU)] = 3
    found[body & (hu > _DENSE_HU)] = 5
    found[body & (hu > _BONE_HU)] = 6
    found[air] = 2
    found[lung] = 1
    return found


def _body(plane: np.ndarray) -> np.ndarray:
    from scipy import ndimage

    pieces, count = ndimage.label(ndimage.binary_opening(plane > _AIR_HU))
    if not count:
        return np.zeros(plane.shape, bool)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    return ndimage.binary_fill_holes((sizes > _BODY_SHARE * sizes.max())[pieces])
