"""Decode DICOM pixels to real values (HU for CT)."""

from __future__ import annotations

import locale
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..processes.limits import expect_image, new_array
from .dicom_headers import refuse_damaged
from .dicom_stack import Slice
from .values import rescaled

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_UNCOMPRESSED = (
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.2",
)


def decode(slices: list[Slice]) -> np.ndarray:
    """Values of equally sized slices, (k, j, i): int16 if that is exact for all, else float32.

    Raises:
        InputError: If a file has no or too few pixels, or there is no decoder for its compression.
    """
    columns, rows = slices[0].size
    voxels = len(slices) * rows * columns
    expect_image(2 * voxels, 4 * voxels)
    volume = new_array((len(slices), rows, columns), np.int16)
    files: dict[Path, np.ndarray] = {}
    for index, item in enumerate(slices):
        if item.frame is None:
            values = _classic(item)
        else:
            if item.file not in files:
                files[item.file] = _multi_frame(item.file)
            values = rescaled(files[item.file][item.frame], item.slope, item.intercept)
        if values.shape != (rows, columns):
            raise InputError(
                f"{item.file} announces {rows} × {columns} pixels but holds "
                f"{' × '.join(str(n) for n in values.shape)}; export it again."
            )
        if values.dtype != np.int16 and volume.dtype == np.int16:
            volume = volume.astype(np.float32)
        volume[index] = values
    return volume


def _classic(item: Slice) -> np.ndarray:
    dataset = _dataset(item.file)
    if _lacks_decoder(dataset):
        return _decoded_by_itk(item.file, dataset)
    return rescaled(_stored(item.file, dataset), item.slope, item.intercept)


def _multi_frame(file: Path) -> np.ndarray:
    dataset = _dataset(file)
    if _lacks_decoder(dataset):
        raise _no_decoder(file, dataset)
    stored = _stored(file, dataset)
    return stored if stored.ndim == 3 else stored[None]


def _dataset(file: Path) -> Dataset:
    from pydicom import dcmread
    from pydicom.uid import ImplicitVRLittleEndian

    with refuse_damaged(file, "its content"):
        dataset = dcmread(file, force=True)
    if not any(name in dataset for name in ("PixelData", "FloatPixelData", "DoubleFloatPixelData")):
        raise InputError(f"{file} holds no pixels or is cut short; export it again.")
    if "TransferSyntaxUID" not in dataset.file_meta:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return dataset


def _stored(file: Path, dataset: Dataset) -> np.ndarray:
    with refuse_damaged(file, "its pixels"):
        return dataset.pixel_array


def _lacks_decoder(dataset: Dataset) -> bool:
    """Whether pydicom has no installed decoder for the compression of these pixels."""
    from pydicom import config, uid

    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax in _UNCOMPRESSED:
        return False
    try:
        from pydicom.pixels import get_decoder
    except ImportError:  # pydicom 2
        handlers = config.pixel_data_handlers
        return not any(h.is_available() and h.supports_transfer_syntax(syntax) for h in handlers)
    try:
        return not get_decoder(uid.UID(syntax)).is_available
    except NotImplementedError:
        return True


def _decoded_by_itk(file: Path, dataset: Dataset) -> np.ndarray:
    """Real values from SimpleITK, which includes decoders that need extra packages in pydicom."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(file))
    before = locale.setlocale(locale.LC_ALL)
    try:
        array = sitk.GetArrayFromImage(reader.Execute())[0]
    except RuntimeError as error:
        raise _no_decoder(file, dataset) from error
    finally:
        locale.setlocale(locale.LC_ALL, before)  # ITK's JPEG decoder leaves it at "C"
    return rescaled(array, 1.0, 0.0)


def _no_decoder(file: Path, dataset: Dataset) -> InputError:
    return InputError(
        f"{file} is compressed with {dataset.file_meta.TransferSyntaxUID.name}, for which no "
        "decoder is installed; add one with: pip install pylibjpeg pylibjpeg-libjpeg "
        "pylibjpeg-openjpeg"
    )
