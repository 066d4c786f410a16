"""NRRD and MetaImage files, read by SimpleITK after checks of their text headers.

SimpleITK uses 1 mm where no spacing is given, and does not compare the checksums of compressed
voxels. Both are checked here.
"""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from ..errors import InputError
from ..volume.geometry import Geometry
from ..volume.volume import Volume
from .values import with_kept_type

if TYPE_CHECKING:
    import SimpleITK as sitk

_LARGEST_HEADER = 1 << 20
_GZIP_OR_ZLIB = 32 + zlib.MAX_WBITS
_PATIENT_SPACES = {
    "left-posterior-superior",
    "lps",
    "right-anterior-superior",
    "ras",
    "left-anterior-superior",
    "las",
}
_AXES_TAKEN = (
    "columns are taken to run to the patient's left, rows to the back and slices to the head"
)
# Parts of ITK's messages, and their explanation for the user.
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
        name: Name of the volume.
        image_io: ITK's name of the format.

    Raises:
        InputError: If the file is damaged or is not one single-channel 3-D image; the message
            lacks the path.
    """
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(str(path))
    is_metaimage = image_io == "MetaImageIO"
    if is_metaimage:
        _check_metaimage_size(path)
    try:
        reader.ReadImageInformation()
        _check_content(reader)
        notes = (_check_metaimage if is_metaimage else _check_nrrd)(path)
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


def _check_nrrd(path: Path) -> tuple[str, ...]:
    """Notes on an NRRD file.

    Raises:
        InputError: If it has no spacing, or its voxels are missing or damaged; without the path.
    """
    head = _head(path)
    end = re.search(rb"\r?\n\r?\n", head)
    fields = _fields(head[: end.start()] if end else head, ":")
    if "space directions" not in fields and "spacings" not in fields:
        raise InputError("Its header gives no voxel spacing; add the line 'space directions'.")
    packed = fields.get("encoding", "").lower() in ("gzip", "gz")
    detached = fields.get("data file", fields.get("datafile"))
    if detached is not None:
        skips = "byte skip" in fields or "line skip" in fields
        _check_detached(path, detached, packed and not skips)
    elif packed and end:
        _check_packed(path, end.end())
    if fields.get("space", "").lower() not in _PATIENT_SPACES:
        return (f"The NRRD header names no patient axes (field 'space'); {_AXES_TAKEN}.",)
    return ()


def _check_metaimage_size(path: Path) -> None:
    """Raise `InputError` for a header that would crash ITK and thus the whole process."""
    fields = _metaimage_fields(_head(path))[0]
    dimension, size = fields.get("ndims", ""), fields.get("dimsize", "").split()
    if dimension not in ("2", "3", "4", "5") or not all(extent.isdecimal() for extent in size):
        raise InputError(
            f"Its header is damaged (NDims is {dimension}, DimSize is {' '.join(size)}); save it "
            "again, for example with 3D Slicer."
        )


def _check_metaimage(path: Path) -> tuple[str, ...]:
    """Notes on a MetaImage file.

    Raises:
        InputError: If it has no spacing, or its voxels are missing or damaged; without the path.
    """
    fields, end = _metaimage_fields(_head(path))
    if "elementspacing" not in fields and "elementsize" not in fields:
        raise InputError("Its header gives no voxel spacing; add the line 'ElementSpacing'.")
    packed = fields.get("compresseddata", "").lower() == "true"
    data = fields.get("elementdatafile", "")
    if data.lower() != "local":
        _check_detached(path, data, packed)
    elif packed:
        _check_packed(path, end)
    if not {"transformmatrix", "rotation", "orientation"} & fields.keys():
        return (f"The MetaImage header has no 'TransformMatrix'; {_AXES_TAKEN}.",)
    return ()


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_LARGEST_HEADER)


def _metaimage_fields(head: bytes) -> tuple[dict[str, str], int]:
    """The header's entries, and its end position."""
    last = re.search(rb"ElementDataFile\s*=[^\n]*\n?", head)
    end = last.end() if last else len(head)
    return _fields(head[:end], "="), end


def _fields(text: bytes, separator: str) -> dict[str, str]:
    fields = {}
    for line in text.decode("utf-8", "replace").splitlines():
        key, found, value = line.partition(separator)
        if found and not line.startswith("#"):
            fields[key.strip().lower()] = value.removeprefix("=").strip()
    return fields


def _check_detached(header: Path, name: str, packed: bool) -> None:
    """Check the data file named in a header; ITK handles lists and patterns of files."""
    data = header.parent / name
    if not data.is_file():
        if name.upper().startswith("LIST") or "%" in name:
            return
        raise InputError(f"Its voxels are to be in '{name}' next to it, which is missing.")
    if packed:
        _check_packed(data, 0)


def _check_packed(path: Path, offset: int) -> None:
    """Decompress to the end, so that zlib compares lengths and checksums."""
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    with path.open("rb") as file:
        file.seek(offset)
        try:
            while not unpacking.eof:
                chunk = unpacking.unconsumed_tail or file.read(1 << 20)
                if not chunk:
                    raise InputError(f"Its packed voxels (in {path.name}) are cut short.")
                unpacking.decompress(chunk, 1 << 24)
        except zlib.error as error:
            raise InputError(f"Its packed voxels (in {path.name}) are damaged: {error}.") from error
