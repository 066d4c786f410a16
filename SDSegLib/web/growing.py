"""Grow from seeds: regions that grow from strokes until they meet, as in 3D Slicer."""

from __future__ import annotations

import numpy as np
from slicer import vtkImageGrowCutSegment

from ..errors import InputError
from ..language import tr
from ..mrml.volumes import array_of, bounding_box, image_of
from ..volume.volume import Volume

LOCALITY = (0.0, 10.0)
DEFAULT_LOCALITY = 2.0
_MARGIN_SHARE = 0.1
_SMALLEST_MARGIN = 3


def grow_from_seeds(volume: Volume, seeds: np.ndarray, locality: float) -> np.ndarray:
    """Labels of all voxels near the seeds: each belongs to the seed that reaches it most easily.

    The method is that of Zhu, Kolesov, Gao, Kikinis and Tannenbaum (2014), "An effective
    interactive medical image segmentation method using fast GrowCut", in the implementation of 3D
    Slicer. It is computed in the box of all seeds, with a tenth of its size around it.

    Args:
        volume: The image.
        seeds: Labels 1 … N of strokes, 0 elsewhere, uint8 (k, j, i); at least two labels.
        locality: From 0 to 10: how much a seed is preferred that is near.

    Returns:
        Labels, uint8 (k, j, i); 0 outside the box.

    Raises:
        InputError: If fewer than two seeds hold something.
    """
    if len(np.unique(seeds)) < 3:
        raise InputError(
            tr(
                "Grow needs two seeds that hold something: the structure, and what it is not. Add "
                "a background seed and paint a stroke outside the structure with it."
            )
        )
    box = _around(bounding_box(seeds), seeds.shape)
    grown = np.zeros(seeds.shape, np.uint8)
    # Seed labels are sent as int16: the filter takes the type of the image for both.
    values = np.clip(np.nan_to_num(volume.array[box]), -32768, 32767).astype(np.int16)
    method = vtkImageGrowCutSegment()
    method.SetIntensityVolume(_image(values, volume))
    method.SetSeedLabelVolume(_image(seeds[box].astype(np.int16), volume))
    method.SetDistancePenalty(float(locality))
    method.Update()
    grown[box] = array_of(method.GetOutput())
    return grown


def _image(array: np.ndarray, volume: Volume) -> object:
    image = image_of(array)
    image.SetSpacing(volume.geometry.spacing)
    return image


def _around(box: tuple[slice, slice, slice], shape: tuple[int, ...]) -> tuple[slice, slice, slice]:
    k, j, i = (
        slice(max(0, side.start - margin), min(count, side.stop + margin))
        for side, count in zip(box, shape, strict=True)
        for margin in (max(_SMALLEST_MARGIN, round(_MARGIN_SHARE * (side.stop - side.start))),)
    )
    return k, j, i
