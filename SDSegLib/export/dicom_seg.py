"""DICOM Segmentation objects that refer to the segmented CT series."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import MissingPackageError, OutputError
from ..language import tr
from ..reading.dicom_stack import Slice, sorted_along_normal
from ..reading.silence import silent_libraries
from ..version import VERSION
from ..volume.segmentation import Segmentation
from ..volume.structure import Code, Structure
from ..volume.volume import Volume
from .atomic import atomic_write
from .dicom_source import CT_IMAGE_STORAGE, Reference, SourceSeries, read_source
from .inputs import files_of, refuse_inputs

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_log = logging.getLogger(__name__)

_ARTIFICIAL_INTELLIGENCE = Code("DCM", "123110", "Artificial Intelligence")
_LONGEST_LABEL = 64  # characters of a DICOM long string
_SERIES_NUMBER_OFFSET = 1000
_LARGEST_INTEGER = 2**31 - 1
_LARGEST_SHIFT = 0.51  # voxels; the DICOM reader accepts slices shifted by half a pixel
_LARGEST_STRETCH = 0.1  # voxels over a whole row or column


def write_dicom_seg(
    segmentation: Segmentation, volume: Volume, path: Path | str, overwrite: bool = False
) -> None:
    """Write a binary DICOM Segmentation that refers to each slice of the volume's series.

    It contains the patient, study and frame of reference of the series, as far as they are valid.
    Structures without a voxel are left out, because a segment needs a frame. The segments of a
    straightened volume lie on the slices as they were acquired.

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
            tr(
                "{volume} was not read from DICOM files, so there is no series that {path} "
                "could refer to; write a .seg.nrrd or a label map instead."
            ).format(volume=volume.name, path=path)
        )
    refuse_inputs([path], files_of(volume))
    structures = _present(segmentation, path)
    _require_highdicom()
    source = read_source(volume.dicom_files, volume.dicom_frames)
    labels = _renumbered(labels_on_slices(segmentation, source.slices), structures)
    with silent_libraries(), atomic_write(path, overwrite) as temporary:
        _dataset(segmentation, structures, source, labels).save_as(temporary)


def labels_on_slices(segmentation: Segmentation, slices: Sequence[Slice]) -> np.ndarray:
    """The label map in the pixel grid of DICOM slices, for any order and direction of its axes.

    3D Slicer stacks the slices of a tilted gantry, or of uneven spacing, as if they were straight,
    and corrects their place by a transform above the volume. Such a stack, whose first slice lies
    in its place, is taken slice by slice.

    Returns:
        uint8, shape (slices, rows, columns).

    Raises:
        OutputError: If a slice is not on the segmentation's grid.
    """
    to_index = np.linalg.inv(segmentation.geometry.affine_lps)
    order = _order_in_stack(segmentation, slices, to_index)
    if order is not None:
        return segmentation.label_map[order]
    return np.stack([_labels_on(segmentation, item, to_index) for item in slices])


def _order_in_stack(
    segmentation: Segmentation, slices: Sequence[Slice], to_index: np.ndarray
) -> list[int] | None:
    """Index k of each slice in a plain stack of the slices; None if it is not one or lies right."""
    ordered = sorted_along_normal(slices)
    first = ordered[0]
    columns, rows = first.size
    if segmentation.geometry.shape != (len(slices), rows, columns):
        return None
    in_plane = to_index[:3, :3] @ first.orientation * first.pixel_spacing
    if not np.allclose(in_plane, np.eye(3)[:, :2], atol=_LARGEST_STRETCH / max(columns, rows)):
        return None
    starts = np.array([to_index[:3, :3] @ item.position + to_index[:3, 3] for item in ordered])
    expected = np.array([[0, 0, k] for k in range(len(ordered))])
    strays = np.abs(starts - expected).max(axis=1)
    if strays[0] > _LARGEST_SHIFT or strays.max() <= _LARGEST_SHIFT:
        return None
    places = {id(item): k for k, item in enumerate(ordered)}
    return [places[id(item)] for item in slices]


def _present(segmentation: Segmentation, path: Path) -> list[Structure]:
    counts = np.bincount(segmentation.label_map.ravel(), minlength=256)
    absent = [item.name for item in segmentation.structures if not counts[item.label]]
    if len(absent) == len(segmentation.structures):
        raise OutputError(
            tr(
                "None of the {count} structures was found, and a DICOM Segmentation cannot be "
                "empty, so {path} was not written; check the image, or write a .seg.nrrd "
                "instead."
            ).format(count=len(absent), path=path)
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

    model = _text(f"SDSeg {segmentation.model}") or "SDSeg"
    algorithm = highdicom.AlgorithmIdentificationSequence(
        name=model, family=_coded(_ARTIFICIAL_INTELLIGENCE), version=VERSION, source="SDSeg"
    )
    number = source.series_number + _SERIES_NUMBER_OFFSET
    try:
        dataset = highdicom.seg.Segmentation(
            source_images=_images(segmentation, source),
            pixel_array=labels,
            segmentation_type=highdicom.seg.SegmentationTypeValues.BINARY,
            segment_descriptions=[
                _description(number, item, algorithm)
                for number, item in enumerate(structures, start=1)
            ],
            series_instance_uid=highdicom.UID(),
            series_number=number if number <= _LARGEST_INTEGER else _SERIES_NUMBER_OFFSET,
            sop_instance_uid=highdicom.UID(),
            instance_number=1,
            manufacturer="SDSeg",
            manufacturer_model_name=model,
            software_versions=VERSION,
            device_serial_number="none",
            content_label="SDSEG",
            content_description=model,
            content_creator_name="SDSeg^",
            series_description=model,
            omit_empty_frames=True,
        )
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        # The library's message may quote the patient's data.
        raise OutputError(
            tr(
                "No DICOM Segmentation can be made for the series of {file} ({error} in "
                "highdicom). Write a .seg.nrrd or a label map instead."
            ).format(file=source.slices[0].file, error=type(error).__name__)
        ) from error
    _refer_to(source.references, dataset)
    return dataset


def _images(segmentation: Segmentation, source: SourceSeries) -> list[Dataset]:
    """The slices as single-frame CT images that are alike; highdicom requires that they are.

    Their instance UIDs are their numbers, to be replaced by `_refer_to`.
    """
    from pydicom.dataset import Dataset, FileMetaDataset
    from pydicom.uid import ExplicitVRLittleEndian
    from pydicom.valuerep import DSfloat

    first = source.slices[0]
    column_spacing, row_spacing = first.pixel_spacing
    slice_spacing = abs(segmentation.geometry.spacing[2])
    images = []
    for number, item in enumerate(source.slices):
        image = Dataset()
        image.file_meta = FileMetaDataset()
        image.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        image.update(source.header)
        image.SOPClassUID = CT_IMAGE_STORAGE
        image.SOPInstanceUID = _temporary_uid(number)
        image.Modality = "CT"
        image.Columns, image.Rows = item.size
        for keyword, values in {
            "PixelSpacing": (row_spacing, column_spacing),
            "SliceThickness": (first.thickness or slice_spacing,),
            "SpacingBetweenSlices": (slice_spacing,),
            "ImagePositionPatient": item.position,
            "ImageOrientationPatient": first.orientation.T.ravel(),
        }.items():
            numbers = [DSfloat(float(value), auto_format=True) for value in values]
            setattr(image, keyword, numbers if len(numbers) > 1 else numbers[0])
        images.append(image)
    return images


def _temporary_uid(number: int) -> str:
    return f"2.25.{number + 1}"


def _refer_to(references: list[Reference], dataset: Dataset) -> None:
    """Replace the temporary instance UIDs by the images and frames that slices were read from."""
    from pydicom.dataset import Dataset

    by_uid = {_temporary_uid(number): item for number, item in enumerate(references)}
    done: set[int] = set()  # segments of one slice share an item
    groups = [*dataset.SharedFunctionalGroupsSequence, *dataset.PerFrameFunctionalGroupsSequence]
    for group in groups:
        for derivation in group.get("DerivationImageSequence", ()):
            for image in derivation.SourceImageSequence:
                if id(image) in done:
                    continue
                done.add(id(image))
                reference = by_uid[image.ReferencedSOPInstanceUID]
                image.ReferencedSOPClassUID = reference.class_uid
                image.ReferencedSOPInstanceUID = reference.instance_uid
                if reference.frame is not None:
                    image.ReferencedFrameNumber = reference.frame
    images: dict[str, Dataset] = {}
    for reference in references:
        if reference.instance_uid not in images:
            image = Dataset()
            image.ReferencedSOPClassUID = reference.class_uid
            image.ReferencedSOPInstanceUID = reference.instance_uid
            images[reference.instance_uid] = image
    dataset.SourceImageSequence = list(images.values())
    dataset.ReferencedSeriesSequence[0].ReferencedInstanceSequence = list(images.values())


def _description(number: int, structure: Structure, algorithm: Any) -> Any:
    import highdicom
    from pydicom.sequence import Sequence as DicomSequence

    description = highdicom.seg.SegmentDescription(
        segment_number=number,
        segment_label=_text(structure.name) or f"Segment {number}",
        segmented_property_category=_coded(structure.category),
        segmented_property_type=_coded(structure.type),
        algorithm_type=highdicom.seg.SegmentAlgorithmTypeValues.AUTOMATIC,
        algorithm_identification=algorithm,
        tracking_id=_text(structure.id) or f"segment-{number}",
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

    meaning = _text(code.meaning) or code.value
    return highdicom.sr.CodedConcept(code.value, code.scheme, meaning)


def _text(text: str) -> str:
    """A text as a DICOM long string: one line without backslashes, at most 64 characters."""
    printable = "".join(character if character.isprintable() else " " for character in text)
    return printable.replace("\\", "/").strip()[:_LONGEST_LABEL].rstrip()


def _require_highdicom() -> None:
    try:
        import_module("highdicom")
    except ModuleNotFoundError as error:
        raise MissingPackageError(
            "highdicom", "dicom", tr("Writing DICOM Segmentations")
        ) from error


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


def _off_grid(item: Slice) -> OutputError:
    return OutputError(
        tr(
            "The DICOM slice {item} does not lie on the grid of the segmentation; segment the "
            "series itself, or write a .seg.nrrd or a label map instead."
        ).format(item=item.label)
    )
