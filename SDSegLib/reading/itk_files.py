"""NRRD and MetaImage files, read by SimpleITK after a look at their headers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import InputError
from ..volume.geometry import Geometry
from ..volume.volume import Volume
from .itk_headers import check_metaimage, check_metaimage_size, check_nrrd
from .values import with_kept_type

if TYPE_CHECKING:
    import SimpleITK as sitk

_CHECKS = {"NrrdImageIO": check_nrrd, "MetaImageIO": check_metaimage}
# Parts of ITK's messages, and what they mean to the user.
_MEANINGS = {
    "Zero-valued spacing": "The voxel spacing in its header is zero or not a number; correct it "
    "or export the image again.",
    "determinant is 0": "The axes in its header lie in one plane; correct the direction.",
    "fread got only": "The file is cut short. Fetch it again.",
    "bytes but received": "The file is cut short or damaged. Fetch it again.",
    "File cannot be read": "The file is cut short or damaged. Fetch it again.",
    "Failed to allocate": "The image does not fit into memory; crop it or use a larger machine.",
}


def read_itk(path: Path, name: str, image_io: Literal["NrrdImageIO", "MetaImageIO"]) -> Volume:
    """Read one 3-D image.

    Args:
        path: The image, or its header if the voxels are in a second file.
        name: What to call the volume.
        image_io: ITK's name of the format.

    Raises:
        InputError: Without the path, if the file is damaged or holds anything but one
            single-channel 3-D image.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    if image_io == "MetaImageIO":
        check_metaimage_size(path)
    try:
        reader.ReadImageInformation()
        _check_content(reader)
        notes = _CHECKS[image_io](path)
        image = reader.Execute()
    except RuntimeError as error:
        raise InputError(_meaning(str(error))) from error
    array = sitk.GetArrayFromImage(image)
    shape = (array.shape[-3], array.shape[-2], array.shape[-1])
    values = with_kept_type(array.reshape(shape))
    return Volume(values, _geometry(image, shape), name=name, source=path, notes=notes)


def _check_content(reader: sitk.ImageFileReader) -> None:
    size = reader.GetSize()
    shown = " × ".join(str(extent) for extent in size)
    if len(size) < 3:
        raise InputError(f"It is a {len(size)}-D image of {shown} pixels; give a whole volume.")
    components = reader.GetNumberOfComponents()
    if components != 1:
        raise InputError(
            f"It holds {components} numbers per voxel (colours, vectors, complex numbers or a "
            "time series); give an image with one number per voxel."
        )
    if max(size[3:], default=1) > 1:
        raise InputError(
            f"It is a {len(size)}-D image of {shown}; save the one 3-D frame that is to be "
            "segmented as a file of its own."
        )


def _geometry(image: sitk.Image, shape: tuple[int, int, int]) -> Geometry:
    dimension = image.GetDimension()
    direction = np.array(image.GetDirection()).reshape(dimension, dimension)[:3, :3]
    spacing, origin = image.GetSpacing(), image.GetOrigin()
    return Geometry(
        shape=shape,
        spacing=(spacing[0], spacing[1], spacing[2]),
        origin=(origin[0], origin[1], origin[2]),
        direction=direction,
    )


def _meaning(message: str) -> str:
    missing = re.search(r'couldn\'t open "([^"]+)"', message)
    if missing:
        return f"Its voxels are to be in '{Path(missing[1]).name}' next to it, which is missing."
    for part, meaning in _MEANINGS.items():
        if part in message:
            return meaning
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    return f"It cannot be read ({lines[-1]}); save it again, for example with 3D Slicer."
