"""Fill between drawn slices by morphological contour interpolation, as the Segment Editor does."""

from __future__ import annotations

import numpy as np

from .session import require_slicer
from .volumes import array_of, bounding_box, image_of


def fill_between_slices(mask: np.ndarray, axis: int | None = None) -> np.ndarray:
    """A mask with the slices between drawn ones filled.

    It is the filter behind *Fill between slices* of 3D Slicer (Zukić, Vicory, McCormick, Wisse,
    Gerig, Yushkevich, Aylward: *ND morphological contour interpolation*, Insight Journal 2016).
    Neighbouring drawn slices that do not overlap stay unconnected, and nothing is drawn beyond the
    last one.

    Args:
        mask: (k, j, i); other than 0 is the structure.
        axis: Array axis across the drawn slices, 0 for k; None to fill along all axes that have
            gaps.

    Returns:
        uint8 of 0 and 1, of the same shape; drawn voxels are always kept.

    Raises:
        MissingPackageError: Without the package slicer-core.
    """
    inside = np.asarray(mask != 0, np.uint8)
    if not inside.any():
        return inside
    slicer = require_slicer()
    box = bounding_box(inside)
    part = np.pad(inside[box], 1).astype(np.int16)  # the filter needs air around the structure
    interpolator = slicer.vtkITKMorphologicalContourInterpolator()
    interpolator.SetInputData(image_of(part))
    interpolator.SetAxis(-1 if axis is None else 2 - axis)
    interpolator.Update()
    filled = array_of(interpolator.GetOutput())[1:-1, 1:-1, 1:-1] != 0
    result = inside.copy()
    result[box] |= filled
    return result
