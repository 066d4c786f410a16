"""DICOM Segmentation objects that belong to the CT series they were made from."""

from __future__ import annotations

import logging
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingPackageError, OutputError
from ..version import VERSION
from ..volume.segmentation import Segmentation
from ..volume.structure import Code, Structure
from ..volume.volume import Volume
from .atomic import atomic_write
from .dicom_source import SourceSeries, labels_on_slices, read_source

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_log = logging.getLogger(__name__)

_ARTIFICIAL_INTELLIGENCE = Code("DCM", "123110", "Artificial Intelligence")
_LONGEST_LABEL = 64  # of DICOM's long strings
_SERIES_NUMBER_OFFSET = 1000


def write_dicom_seg(
    segmentation: Segmentation, volume: Volume, path: Path | str, overwrite: bool = False
) -> None:
    """Write a binary DICOM Segmentation that refers to the volume's series slice by slice.

    It carries the patient and study of the series and its frame of reference. Structures
    without a voxel are left out: a segment needs a frame.

    Args:
        segmentation: The result.
        volume: The volume that was segmented, with its `dicom_files`.
        path: File to write, usually named *.dcm.
        overwrite: Whether to replace an existing file.

    Raises:
        OutputError: If the volume was not read as DICOM, nothing was found in it, its files are
            not what was segmented, or the path is not usable.
        MissingPackageError: Without the package highdicom.
    """
    path = Path(path)
    if not volume.dicom_files:
        raise OutputError(
            f"{volume.name} was not read from DICOM files, so there is no series that {path} could "
            "refer to; write a .seg.nrrd or a label map instead."
        )
    structures = _present(segmentation, path)
    _require_highdicom()
    source = read_source(volume.dicom_files)
    labels = _renumbered(labels_on_slices(segmentation, source.slices), structures)
    with atomic_write(path, overwrite) as temporary:
        _dataset(segmentation, structures, source, labels).save_as(temporary)


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
    from pydicom.sequence import Sequence

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
        property_type.SegmentedPropertyTypeModifierCodeSequence = Sequence(
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
