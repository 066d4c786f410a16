"""Number types of voxel values: which are kept, and how slope and intercept are applied."""

from __future__ import annotations

import numpy as np

from ..processes.limits import new_array

KEPT_TYPES = ("int8", "uint8", "int16", "uint16", "int32", "float32")
_INT16 = np.iinfo(np.int16)


def with_kept_type(array: np.ndarray) -> np.ndarray:
    """`array`, whose byte order is native; any type but the kept ones becomes float32."""
    if array.dtype.name in KEPT_TYPES:
        return array
    values = new_array(array.shape, np.float32)
    values[...] = array
    return values


def rescaled(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """slope · stored + intercept: int16 where that is exact, else float32."""
    if (slope, intercept) == (1.0, 0.0) and stored.dtype == np.int16:
        return stored
    if _fits_int16(stored, slope, intercept):
        values = np.multiply(stored, int(slope), dtype=np.int32, casting="unsafe")
        return (values + int(intercept)).astype(np.int16)
    values = np.empty(stored.shape, np.float32)
    np.multiply(stored, slope, out=values, dtype=np.float64, casting="unsafe")
    values += intercept
    return values


def rescaled_volume(stored: np.ndarray, slope: float, intercept: float) -> np.ndarray:
    """As `rescaled`, slice by slice, so that memory holds both arrays and no third."""
    kind = np.int16 if _fits_int16(stored, slope, intercept) else np.float32
    values = new_array(stored.shape, kind)
    for number, plane in enumerate(stored):
        values[number] = rescaled(plane, slope, intercept)
    return values


def _fits_int16(stored: np.ndarray, slope: float, intercept: float) -> bool:
    whole = float(slope).is_integer() and float(intercept).is_integer()
    if not whole or not stored.size or not np.issubdtype(stored.dtype, np.integer):
        return False
    ends = [int(slope) * int(end) + int(intercept) for end in (stored.min(), stored.max())]
    small = abs(slope) <= _INT16.max and abs(intercept) <= 2 * _INT16.max
    return small and _INT16.min <= min(ends) and max(ends) <= _INT16.max
