"""The volumes of the benchmark, all made from one real CT."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..errors import InputError
from ..language import tr
from ..volume.geometry import Geometry
from ..volume.volume import Volume

SIDE = 512
SPACING_MM = 500 / SIDE
AIR_HU = -1024


@dataclass(frozen=True)
class Size:
    """A volume of the benchmark: the CT itself, or 512 × 512 with a given number of slices.

    Attributes:
        name: For the command line.
        slices: Number of slices; None for the CT itself.
    """

    name: str
    slices: int | None


SIZES = (Size("ct", None), Size("512x120", 120), Size("512x600", 600))


def find_sizes(names: str) -> tuple[Size, ...]:
    """The sizes in a comma-separated list.

    Raises:
        InputError: Naming the unknown size.
    """
    known = {size.name: size for size in SIZES}
    wanted = [name.strip() for name in names.split(",") if name.strip()]
    for name in wanted:
        if name not in known:
            raise InputError(
                tr("Unknown volume {name!r}; choose from {known}.").format(
                    name=name, known=", ".join(known)
                )
            )
    return tuple(known[name] for name in wanted)


def volume_of(size: Size, ct: Volume) -> Volume:
    """The CT itself, or `enlarged`."""
    return ct if size.slices is None else enlarged(ct, size.slices)


def enlarged(ct: Volume, slices: int) -> Volume:
    """The CT in a field of view of 500 mm with 512 × 512 pixels and the given slices, int16.

    Slices keep their spacing; if the CT has too few, it is repeated alternately backwards and
    forwards.
    """
    import SimpleITK as sitk

    count, rows, columns = ct.array.shape
    image = sitk.GetImageFromArray(np.ascontiguousarray(ct.array.astype(np.float32)))
    image.SetSpacing(ct.geometry.spacing)
    centre = [(n - 1) / 2 * s for n, s in zip((columns, rows), ct.geometry.spacing, strict=False)]
    corner = [middle - (SIDE - 1) / 2 * SPACING_MM for middle in centre]
    plane = sitk.Resample(
        image,
        (SIDE, SIDE, count),
        sitk.Transform(),
        sitk.sitkLinear,
        (*corner, 0.0),
        (SPACING_MM, SPACING_MM, ct.geometry.spacing[2]),
        (1, 0, 0, 0, 1, 0, 0, 0, 1),
        float(AIR_HU),
        sitk.sitkInt16,
    )
    there_and_back = [*range(count), *range(count - 2, 0, -1)] or [0]
    order = [there_and_back[n % len(there_and_back)] for n in range(slices)]
    spacing = (SPACING_MM, SPACING_MM, ct.geometry.spacing[2])
    geometry = Geometry((slices, SIDE, SIDE), spacing, (0.0, 0.0, 0.0), ct.geometry.direction)
    return Volume(sitk.GetArrayFromImage(plane)[order], geometry, f"{ct.name}-512x{slices}", "CT")


def middle(volume: Volume, slices: int) -> Volume:
    """The given number of slices around the middle."""
    count = len(volume.array)
    first = max(0, (count - slices) // 2)
    array = volume.array[first : first + slices]
    return replace(volume, array=array, geometry=replace(volume.geometry, shape=array.shape))
