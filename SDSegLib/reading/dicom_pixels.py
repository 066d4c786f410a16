"""Decode DICOM pixels to real values (HU for CT), with padding as air."""

from __future__ import annotations

import locale
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..language import tr
from ..processes.limits import expect_image, new_array
from .dicom_files import DEFLATED, UNCOMPRESSED, DicomContent, read_content, refuse_damaged
from .dicom_stack import Slice
from .silence import silent_libraries
from .values import rescaled

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

AIR_HU = -1024
_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# In HU: padding between the first two is air already, and between the last two might be tissue.
_AIR = (-1100.0, -900.0)
_TISSUE = (-900.0, 3072.0)


def decode(slices: list[Slice], is_ct: bool = True) -> np.ndarray:
    """Values of equally sized slices, (k, j, i): int16 if that is exact for all, else float32.

    Args:
        slices: From `slices_of`.
        is_ct: Whether padding outside the reconstructed area becomes −1024 HU; for other modalities
            it becomes the lowest value of its slice.

    Raises:
        InputError: If a file has no or too few pixels, if there is no decoder for its compression,
            or the volume does not fit into memory.
    """
    columns, rows = slices[0].size
    volume = _room(len(slices), rows, columns)
    files: dict[Path, _Decoded] = {}
    for index, item in enumerate(slices):
        values = _values(item, files, is_ct)
        if values.dtype != np.int16 and volume.dtype == np.int16:
            volume = volume.astype(np.float32)
        volume[index] = values
    return volume


@dataclass(frozen=True, eq=False)
class _Decoded:
    """Pixels of a file.

    Attributes:
        pixels: As stored, (rows, columns) or (frames, rows, columns).
        padding: Pairs of the lowest and highest of these values that are padding.
        is_rescaled: Whether `pixels` are real values already.
        content: Of a single-frame file, kept until its values are computed: were it freed before,
            the system would be asked for the memory of each slice anew, which takes twice as long.
    """

    pixels: np.ndarray
    padding: Sequence[tuple[float, float]]
    is_rescaled: bool = False
    content: DicomContent | None = None

    def frame(self, number: int | None) -> np.ndarray:
        """One frame; the only one of a single-frame file."""
        return self.pixels if number is None else self.pixels[number]


def _values(item: Slice, files: dict[Path, _Decoded], is_ct: bool) -> np.ndarray:
    """Real values of one slice; multi-frame files stay decoded in `files`."""
    if item.frame is None:
        decoded = _classic(item)
    else:
        if item.file not in files:
            files[item.file] = _multi_frame(item)
        decoded = files[item.file]
    stored = decoded.frame(item.frame)
    columns, rows = item.size
    if stored.shape != (rows, columns):
        raise InputError(
            tr(
                "{file} announces {rows} × {columns} pixels but holds {shape}; export it again."
            ).format(
                file=item.file,
                rows=rows,
                columns=columns,
                shape=" × ".join(str(n) for n in stored.shape),
            )
        )
    return _real(stored, decoded, item, is_ct)


def _room(planes: int, rows: int, columns: int) -> np.ndarray:
    voxels = planes * rows * columns
    expect_image(2 * voxels, 4 * voxels)
    try:
        return new_array((planes, rows, columns), np.int16)
    except (MemoryError, ValueError) as error:
        raise InputError(
            tr(
                "The series of {columns} × {rows} × {planes} voxels does not fit into memory; "
                "choose a smaller one or use a larger machine."
            ).format(columns=columns, rows=rows, planes=planes)
        ) from error


def _classic(item: Slice) -> _Decoded:
    content = _content(item)
    if _lacks_decoder(content):
        return _decoded_by_itk(item, content)
    return _Decoded(_stored(item.file, content.dataset), _padding(content.dataset), content=content)


def _multi_frame(item: Slice) -> _Decoded:
    content = _content(item)
    if _lacks_decoder(content):
        raise _no_decoder(item.file, content)
    stored = _stored(item.file, content.dataset)
    return _Decoded(stored if stored.ndim == 3 else stored[None], _padding(content.dataset))


def _content(item: Slice) -> DicomContent:
    from pydicom.uid import ImplicitVRLittleEndian

    content = read_content(item.file, None, item.announced_bytes)
    dataset = content.dataset
    if not any(name in dataset for name in _PIXELS):
        raise InputError(
            tr("{file} holds no pixels or is cut short; export it again.").format(file=item.file)
        )
    if content.names_syntax and not content.syntax:
        raise InputError(
            tr(
                "{file} does not say how its pixels are stored (its TransferSyntaxUID is "
                "empty); export it again."
            ).format(file=item.file)
        )
    if not content.names_syntax:
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    return content


def _stored(file: Path, dataset: Dataset) -> np.ndarray:
    with silent_libraries(), refuse_damaged(file, tr("its pixels"), with_reason=True):
        return dataset.pixel_array


def _real(stored: np.ndarray, decoded: _Decoded, item: Slice, is_ct: bool) -> np.ndarray:
    """Real values of one slice, padding replaced."""
    slope, intercept = (1.0, 0.0) if decoded.is_rescaled else item.scaling
    padded = _padded(stored, decoded.padding, slope, intercept, is_ct)
    if padded is None:
        return rescaled(stored, slope, intercept)
    inside = stored[~padded]
    usual = inside.min() if inside.size else stored.dtype.type(0)
    values = rescaled(np.where(padded, usual, stored), slope, intercept)
    values[padded] = AIR_HU if is_ct else values.min()
    return values


def _padding(dataset: Dataset) -> list[tuple[float, float]]:
    """Pairs of the lowest and highest stored value of padding.

    Some programs write the tag as a signed and some as an unsigned number, or with more bits than
    pixels have, so it is taken modulo the width of a pixel.
    """
    ends = [_whole(dataset, keyword) for keyword in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    if ends[0] is None:
        return []
    is_signed = bool(_whole(dataset, "PixelRepresentation"))
    widths = {_whole(dataset, keyword) or 16 for keyword in ("BitsAllocated", "BitsStored")}
    pairs: list[tuple[float, float]] = []
    for bits in widths:
        stored = [_of_width(end, bits, is_signed) for end in ends if end is not None]
        pairs.append((min(stored), max(stored)))
    return pairs


def _whole(dataset: Dataset, keyword: str) -> int | None:
    """A tag's number; None if it is missing or no number, as of an unknown type."""
    with silent_libraries():
        try:
            value = dataset.get(keyword)
            if isinstance(value, bytes):
                return int.from_bytes(value, "little") if value else None
            return None if value is None else int(value)
        except (TypeError, ValueError, NotImplementedError):
            return None


def _of_width(value: int, bits: int, is_signed: bool) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if is_signed and value >> (bits - 1) else value


def _padded(
    stored: np.ndarray,
    padding: Sequence[tuple[float, float]],
    slope: float,
    intercept: float,
    is_ct: bool,
) -> np.ndarray | None:
    """Which pixels are padding, None if none are or if they have the value of air already."""
    found = None
    for low, high in padding:
        ends = sorted((slope * low + intercept, slope * high + intercept))
        if is_ct and _AIR[0] <= ends[0] and ends[1] <= _AIR[1]:
            continue
        padded = (stored == low) if low == high else (stored >= low) & (stored <= high)
        if not padded.any():
            continue
        if is_ct and ends[1] >= _TISSUE[0] and ends[0] <= _TISSUE[1]:
            padded = _from_border(padded)
        found = padded if found is None else found | padded
    return found


def _from_border(mask: np.ndarray) -> np.ndarray:
    """The parts of a mask that reach the border of the image.

    Padding surrounds the image. Where its value is also that of tissue, pixels inside are tissue.
    """
    from scipy.ndimage import binary_propagation

    border = np.zeros_like(mask)
    border[[0, -1]] = mask[[0, -1]]
    border[:, [0, -1]] = mask[:, [0, -1]]
    return binary_propagation(border, mask=mask)


def _lacks_decoder(content: DicomContent) -> bool:
    """Whether pydicom has no installed decoder for the compression of these pixels."""
    from pydicom import config, uid

    syntax = content.syntax
    if not syntax or syntax in UNCOMPRESSED or syntax == DEFLATED:
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


def _decoded_by_itk(item: Slice, content: DicomContent) -> _Decoded:
    """Real values from SimpleITK, which includes decoders that need extra packages in pydicom."""
    import SimpleITK as sitk

    reader = sitk.ImageFileReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileName(str(item.file))
    before = locale.setlocale(locale.LC_ALL)
    is_loud = sitk.ProcessObject.GetGlobalWarningDisplay()
    sitk.ProcessObject.SetGlobalWarningDisplay(False)
    try:
        array = sitk.GetArrayFromImage(reader.Execute())[0]
    except RuntimeError as error:
        raise _no_decoder(item.file, content) from error
    finally:
        sitk.ProcessObject.SetGlobalWarningDisplay(is_loud)
        locale.setlocale(locale.LC_ALL, before)  # ITK's JPEG decoder leaves it at "C"
    slope, intercept = item.scaling
    padding = []
    for low, high in _padding(content.dataset):
        ends = sorted((slope * low + intercept, slope * high + intercept))
        padding.append((ends[0], ends[1]))
    return _Decoded(array, padding, is_rescaled=True)


def _no_decoder(file: Path, content: DicomContent) -> InputError:
    from pydicom.uid import UID

    return InputError(
        tr(
            "{file} is compressed with {syntax}, for which no decoder is installed, or its "
            'pixels are damaged; install decoders with: pip install "sdseg[dicom]"'
        ).format(file=file, syntax=UID(content.syntax).name)
    )
