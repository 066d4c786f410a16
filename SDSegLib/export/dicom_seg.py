"""DICOM Segmentation objects that refer to the segmented CT series."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingPackageError, OutputError
from ..reading.dicom_headers import read_image
from ..reading.dicom_stack import Slice, slices_of
from ..version import VERSION
from ..volume.segmentation import Segmentation
from ..volume.structure import Code, Structure
from ..volume.volume import Volume
from .atomic import atomic_write
from .inputs import refuse_inputs
from .results import files_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_log = logging.getLogger(__name__)

_ARTIFICIAL_INTELLIGENCE = Code("DCM", "123110", "Artificial Intelligence")
_LONGEST_LABEL = 64  # characters of a DICOM long string
_SERIES_NUMBER_OFFSET = 1000
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
    """The series that a DICOM Segmentation refers to.

    Attributes:
        headers: One for each single-frame file, or one for a multi-frame file.
        slices: One for each frame, in the same order.
    """

    headers: list[Dataset]
    slices: list[Slice]


def write_dicom_seg(
    segmentation: Segmentation, volume: Volume, path: Path | str, overwrite: bool = False
) -> None:
    """Write a binary DICOM Segmentation that refers to each slice of the volume's series.

    It contains the patient, study and frame of reference of the series. Structures without a voxel
    are left out, because a segment needs a frame.

    Args:
        segmentation: The result.
        volume: The volume that was segmented, with its `dicom_files`.
        path: File to write, usually named *.dcm.
        overwrite: Whether to replace an existing file.

    Raises:
        OutputError: If the volume was not read as DICOM, no structure was found in it, its files
            do not match the segmented volume, or the path is not usable.
        MissingPackageError: Without the package highdicom.
    """
    path = Path(path)
    if not volume.dicom_files:
        raise OutputError(
            f"{volume.name} was not read from DICOM files, so there is no series that {path} could "
            "refer to; write a .seg.nrrd or a label map instead."
        )
    refuse_inputs([path], files_of(volume))
    structures = _present(segmentation, path)
    _require_highdicom()
    source = read_source(volume.dicom_files)
    labels = _renumbered(labels_on_slices(segmentation, source.slices), structures)
    with atomic_write(path, overwrite) as temporary:
        _dataset(segmentation, structures, source, labels).save_as(temporary)


def read_source(files: Sequence[Path]) -> SourceSeries:
    """Read the headers of a volume's DICOM files.

    Identifiers removed by anonymisation are replaced, with a warning, because DICOM requires them.

    Raises:
        OutputError: If a file is missing or cannot be referenced.
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
    """The label map in the pixel grid of DICOM slices, for any order and direction of its axes.

    Returns:
        uint8, shape (slices, rows, columns).

    Raises:
        OutputError: If a slice is not on the segmentation's grid.
    """
    to_index = np.linalg.inv(segmentation.geometry.affine_lps)
    return np.stack([_labels_on(segmentation, item, to_index) for item in slices])


def _present(segmentation: Segmentation, path: Path) -> list[Structure]:
    counts = np.bincount(segmentation.label_map.ravel(), minlength=256)
    absent = [item.name for item in segmentation.structures if not counts[item.label]]
    if len(absent) == len(segmentation.structures):
        raise OutputError(
            f"None of the {len(absent)} structures was found, and a DICOM Segmentation cannot be "
            f"empty, so {path} was not written; check the image, or write a .seg.nrrd instead."
        )
    if absent:
        _log.warning("not found, so not in %s: %s", path.name, ", ".join(absent))
    return [item for item in segmentation.structures if counts[item.label]]


def _renumbered(labels: np.ndarray, structures: list[Structure]) -> np.ndarray:
    numbers = np.zeros(256, np.uint8)
    for number, structure in enumerate(structures, start=1):
        numbers[structure.label] = number
    return numbers[labels]


def _dataset(
    segmentation: Segmentation,
    structures: list[Structure],
    source: SourceSeries,
    labels: np.ndarray,
) -> Dataset:
    import highdicom

    model = f"SDSeg {segmentation.model}".strip()[:_LONGEST_LABEL]
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=model, family=_coded(_ARTIFICIAL_INTELLIGENCE), version=VERSION, source="SDSeg"
    )
    column_spacing, row_spacing = source.slices[0].pixel_spacing
    slice_spacing = segmentation.geometry.spacing[2]
    measures = highdicom.PixelMeasuresSequence(
        pixel_spacing=[row_spacing, column_spacing],
        slice_thickness=source.slices[0].thickness or slice_spacing,
        spacing_between_slices=slice_spacing,
    )
    try:
        dataset = highdicom.seg.Segmentation(
            source_images=source.headers,
            pixel_array=labels,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _description(number, item, algorithm)
                for number, item in enumerate(structures, start=1)
            ],
            series_instance_uid=highdicom.UID(),
            series_number=int(source.headers[0].get("SeriesNumber") or 0) + _SERIES_NUMBER_OFFSET,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="SDSeg",
            manufacturer_model_name=model,
            software_versions=VERSION,
            device_serial_number="none",
            pixel_measures=measures,
            content_label="SDSEG",
            content_description=model,
            content_creator_name="SDSeg^",
            series_description=model,
            omit_empty_frames=True,
        )
    except (AttributeError, TypeError, ValueError) as error:
        raise OutputError(
            f"No DICOM Segmentation can be made for this series: {error}. Write a .seg.nrrd or a "
            "label map instead."
        ) from error
    dataset.SpecificCharacterSet = "ISO_IR 192"  # structures may be named in any alphabet
    return dataset


def _description(number: int, structure: Structure, algorithm: Any) -> Any:
    import highdicom
    from pydicom.sequence import Sequence as DicomSequence

    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=structure.name[:_LONGEST_LABEL],
        segmented_property_category=_coded(structure.category),
        segmented_property_type=_coded(structure.type),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_id=structure.id,
        tracking_uid=highdicom.UID(),
        display_color=highdicom.color.CIELabColor.from_rgb(*structure.color),
    )
    if structure.modifier is not None:
        property_type = description.SegmentedPropertyTypeCodeSequence[0]
        property_type.SegmentedPropertyTypeModifierCodeSequence = DicomSequence(
            [_coded(structure.modifier)]
        )
    return description


def _coded(code: Code) -> Any:
    import highdicom

    return highdicom.sr.CodedConcept(code.value, code.scheme, code.meaning)


def _require_highdicom() -> None:
    try:
        import_module("highdicom")
    except ModuleNotFoundError as error:
        raise MissingPackageError("highdicom", "dicom", "Writing DICOM Segmentations") from error


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
    """Add the attributes that highdicom copies from the source if the source lacks them."""
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
