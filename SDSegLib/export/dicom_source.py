"""The DICOM series that a segmentation refers to: its headers, and labels on its slices."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutputError
from ..reading.dicom_headers import read_image
from ..reading.dicom_slices import Slice, slices_of
from ..volume.segmentation import Segmentation

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_log = logging.getLogger(__name__)

_MAY_BE_EMPTY = (
    "PatientID",
    "PatientName",
    "PatientBirthDate",
    "PatientSex",
    "AccessionNumber",
    "StudyID",
    "StudyDate",
    "StudyTime",
)
_FROM_FILE_META = {
    "SOPClassUID": "MediaStorageSOPClassUID",
    "SOPInstanceUID": "MediaStorageSOPInstanceUID",
}
_SHARED_UIDS = ("StudyInstanceUID", "SeriesInstanceUID", "FrameOfReferenceUID")
_SEXES = ("M", "F", "O")
_LARGEST_SHIFT = 0.51  # voxels; the DICOM reader accepts slices shifted by half a pixel
_LARGEST_STRETCH = 0.1  # voxels over a whole row or column


@dataclass(frozen=True, eq=False)
class SourceSeries:
    """What a DICOM Segmentation refers to.

    Attributes:
        headers: One for each single-frame file, or a single one of a multi-frame file.
        slices: One for each frame, in that order.
    """

    headers: list[Dataset]
    slices: list[Slice]


def read_source(files: Sequence[Path]) -> SourceSeries:
    """Read the headers of a volume's DICOM files.

    Identifiers that anonymisation removed are replaced, with a warning: DICOM demands them.

    Raises:
        OutputError: If a file is gone or cannot be referred to.
    """
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    headers: list[Dataset] = []
    slices: list[Slice] = []
    for file in dict.fromkeys(files):
        try:
            header = dcmread(file, stop_before_pixels=True, force=True)
        except (OSError, InvalidDicomError) as error:
            raise OutputError(
                f"The DICOM file {file} of the segmented series can no longer be read; put it "
                "back, or write a .seg.nrrd or a label map instead."
            ) from error
        headers.append(header)
        slices.extend(slices_of(read_image(file)))
    if len(headers) > 1 and len(slices) > len(headers):
        raise OutputError(
            f"The series consists of {len(headers)} multi-frame files, and a DICOM Segmentation "
            "can refer to one; write a .seg.nrrd or a label map instead."
        )
    _complete(headers)
    return SourceSeries(headers, slices)


def labels_on_slices(segmentation: Segmentation, slices: Sequence[Slice]) -> np.ndarray:
    """The label map in the pixels of DICOM slices, whatever the order and sense of its axes.

    Returns:
        uint8, shape (slices, rows, columns).

    Raises:
        OutputError: If a slice does not lie on the segmentation's grid.
    """
    to_index = np.linalg.inv(segmentation.geometry.affine_lps)
    return np.stack([_labels_on(segmentation, item, to_index) for item in slices])


def _labels_on(segmentation: Segmentation, item: Slice, to_index: np.ndarray) -> np.ndarray:
    columns, rows = item.size
    start = to_index[:3, :3] @ item.position + to_index[:3, 3]
    steps = to_index[:3, :3] @ item.orientation * item.pixel_spacing
    whole_start, whole_steps = start.round(), steps.round()
    stretch = np.abs(steps - whole_steps) * (columns, rows)
    if np.abs(start - whole_start).max() > _LARGEST_SHIFT or stretch.max() > _LARGEST_STRETCH:
        raise _off_grid(item)
    by_axis = np.concatenate([whole_steps, whole_start[:, None]], axis=1).astype(int)
    index = [
        along_row * np.arange(columns) + along_column * np.arange(rows)[:, None] + first
        for along_row, along_column, first in by_axis[::-1]
    ]
    shape = segmentation.geometry.shape
    if any(n.min() < 0 or n.max() >= size for n, size in zip(index, shape, strict=True)):
        raise _off_grid(item)
    return segmentation.label_map[index[0], index[1], index[2]]


def _complete(headers: list[Dataset]) -> None:
    """Add what highdicom copies from the source and some sources lack."""
    from pydicom.uid import generate_uid

    missing = set()
    for header in headers:
        for keyword, in_meta in _FROM_FILE_META.items():
            if not header.get(keyword):
                setattr(header, keyword, header.file_meta.get(in_meta) or generate_uid())
                missing.add(keyword)
        for keyword in _MAY_BE_EMPTY:
            if keyword not in header:
                setattr(header, keyword, None)
        if header.PatientSex not in _SEXES:
            header.PatientSex = None
    first = str(headers[0].SOPInstanceUID)
    for keyword in _SHARED_UIDS:
        for header in headers:
            if not header.get(keyword):
                setattr(header, keyword, generate_uid(entropy_srcs=[keyword, first]))
                missing.add(keyword)
    if missing:
        _log.warning(
            "the DICOM series lacks %s (anonymised?); made-up ones are used, so viewers may not "
            "join the segmentation to it",
            ", ".join(sorted(missing)),
        )


def _off_grid(item: Slice) -> OutputError:
    return OutputError(
        f"The DICOM slice {item.label} does not lie on the grid of the segmentation; segment the "
        "series itself, or write a .seg.nrrd or a label map instead."
    )
