"""Arrays and matrices as VTK objects, and back."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from vtk import vtkImageData, vtkMatrix4x4


def image_of(array: np.ndarray, first: tuple[int, int, int] = (0, 0, 0)) -> vtkImageData:
    """A VTK image with a copy of an array (k, j, i).

    Args:
        array: Values of a real number type.
        first: Index (i, j, k) of the array's first voxel: where the image's extent starts.
    """
    import vtk
    from vtk.util.numpy_support import numpy_to_vtk

    image = vtk.vtkImageData()
    extent = [
        bound
        for start, count in zip(first, array.shape[::-1], strict=True)
        for bound in (start, start + count - 1)
    ]
    image.SetExtent(extent)
    image.GetPointData().SetScalars(numpy_to_vtk(_for_vtk(array).ravel(), deep=True))
    return image


def array_of(image: vtkImageData) -> np.ndarray:
    """View (k, j, i) of a VTK image's values; they must be one number per voxel."""
    from vtk.util.numpy_support import vtk_to_numpy

    i, j, k = image.GetDimensions()
    return vtk_to_numpy(image.GetPointData().GetScalars()).reshape(k, j, i)


def vtk_matrix(matrix: np.ndarray) -> vtkMatrix4x4:
    """A VTK matrix with the values of a 4×4 array."""
    import vtk

    result = vtk.vtkMatrix4x4()
    result.DeepCopy(np.asarray(matrix, dtype=float).ravel())
    return result


def bounding_box(array: np.ndarray) -> tuple[slice, slice, slice]:
    """The smallest slices that hold all nonzero voxels of an array (k, j, i) that has some."""
    plane = np.asarray(array.any(axis=0))
    j, i = _span(plane, 1), _span(plane, 0)
    return _span(array[:, j, i], (1, 2)), j, i


def _span(array: np.ndarray, others: int | tuple[int, ...]) -> slice:
    """First and last index, along the axis that is left, with anything in it."""
    indices = np.flatnonzero(array.any(axis=others))
    return slice(int(indices[0]), int(indices[-1]) + 1)


def _for_vtk(array: np.ndarray) -> np.ndarray:
    """The values in a type and byte order that VTK has."""
    if array.dtype == bool:
        array = array.astype(np.uint8)
    elif array.dtype == np.float16:
        array = array.astype(np.float32)
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
