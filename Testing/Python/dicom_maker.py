"""Write small CT series as real DICOM files, for the tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    SecondaryCaptureImageStorage,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
SAGITTAL = (0.0, 1.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)


def ct_values(slices: int, rows: int = 6, columns: int = 8) -> np.ndarray:
    """HU (k, j, i), int16, every voxel different from its neighbours, between −1000 and 1000."""
    count = slices * rows * columns
    values = (np.arange(count) * 37) % 2000 - 1000
    return values.reshape(slices, rows, columns).astype(np.int16)


def write_series(
    folder: Path,
    values: np.ndarray,
    *,
    orientation: Sequence[float] = AXIAL,
    origin: Sequence[float] = (-10.0, -20.0, 30.0),
    spacing: Sequence[float] = (0.5, 0.75, 2.0),
    shift: Sequence[float] = (0.0, 0.0, 0.0),
    leave_out: Iterable[int] = (),
    names: Sequence[str] | None = None,
    uid: str | None = None,
    **tags: Any,
) -> list[Path]:
    """Write `values` (k, j, i) in HU as one CT series, k along the slice normal.

    Args:
        folder: Created if need be.
        values: Stored with intercept −1024.
        orientation: ImageOrientationPatient.
        origin: LPS position in mm of the first voxel.
        spacing: Along i, j and k in mm.
        shift: Added to the position with every slice, for tilted gantries.
        leave_out: Slices that are not written.
        names: File names; by default slice-000.dcm and so on.
        uid: SeriesInstanceUID; a new one by default.
        tags: Set on every file in place of the defaults; None removes a tag.

    Returns:
        The files, along k.
    """
    folder.mkdir(parents=True, exist_ok=True)
    uid = uid or generate_uid()
    normal = np.cross(orientation[:3], orientation[3:])
    files = []
    for k, plane in enumerate(values):
        if k in set(leave_out):
            continue
        position = np.array(origin) + k * (spacing[2] * normal + np.array(shift))
        dataset = _ct(plane, spacing, uid)
        dataset.InstanceNumber = k + 1
        dataset.ImageOrientationPatient = list(orientation)
        dataset.ImagePositionPatient = [round(float(value), 6) for value in position]
        set_tags(dataset, tags)
        file = folder / (names[k] if names else f"slice-{k:03d}.dcm")
        save(dataset, file)
        files.append(file)
    return files


def write_enhanced(
    file: Path, values: np.ndarray, order: Sequence[int], step: float = 2.0, **tags: Any
) -> None:
    """Write `values` (k, j, i) in HU as one enhanced multi-frame CT with its frames in `order`."""
    dataset = _ct(values[list(order)], (0.5, 0.75, step), generate_uid())
    for keyword in ("PixelSpacing", "SliceThickness", "RescaleSlope", "RescaleIntercept"):
        delattr(dataset, keyword)
    dataset.SOPClassUID = EnhancedCTImageStorage
    dataset.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    dataset.NumberOfFrames = len(order)
    shared = Dataset()
    measures = _dataset(PixelSpacing=[0.75, 0.5], SliceThickness=step)
    shared.PixelMeasuresSequence = [measures]
    shared.PlaneOrientationSequence = [_dataset(ImageOrientationPatient=list(AXIAL))]
    dataset.SharedFunctionalGroupsSequence = [shared]
    frames = []
    for k in order:
        frame = Dataset()
        frame.PlanePositionSequence = [_dataset(ImagePositionPatient=[-10, -20, 30 + k * step])]
        frame.PixelValueTransformationSequence = [
            _dataset(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")
        ]
        frames.append(frame)
    dataset.PerFrameFunctionalGroupsSequence = frames
    set_tags(dataset, tags)
    save(dataset, file)


def write_screenshot(file: Path, uid: str | None = None) -> None:
    """Write an RGB secondary capture."""
    dataset = _ct(np.zeros((6, 8), np.int16), (0.5, 0.75, 2.0), uid or generate_uid())
    dataset.SOPClassUID = SecondaryCaptureImageStorage
    dataset.SamplesPerPixel = 3
    dataset.PhotometricInterpretation = "RGB"
    dataset.PlanarConfiguration = 0
    dataset.BitsAllocated = dataset.BitsStored = 8
    dataset.HighBit = 7
    dataset.PixelData = bytes(6 * 8 * 3)
    dataset.ImagePositionPatient = [0, 0, 0]
    dataset.ImageOrientationPatient = list(AXIAL)
    save(dataset, file)


def write_report(file: Path) -> None:
    """Write a DICOM object without an image (a structured report)."""
    dataset = _ct(np.zeros((6, 8), np.int16), (0.5, 0.75, 2.0), generate_uid())
    for keyword in ("Rows", "Columns", "PixelData"):
        delattr(dataset, keyword)
    dataset.SOPClassUID = "1.2.840.10008.5.1.4.1.1.88.11"
    dataset.Modality = "SR"
    save(dataset, file)


def set_tags(dataset: Dataset, tags: dict[str, Any]) -> None:
    """Set tags by keyword; None removes one."""
    for keyword, value in tags.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)


def save(dataset: FileDataset, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    dataset.save_as(file, enforce_file_format=True)


def _ct(plane: np.ndarray, spacing: Sequence[float], uid: str) -> FileDataset:
    """A CT image with everything but its place."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    stored = (plane.astype(np.int32) + 1024).astype(np.uint16)
    set_tags(
        dataset,
        {
            "SOPClassUID": CTImageStorage,
            "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
            "StudyInstanceUID": "1.2.3.4",
            "SeriesInstanceUID": uid,
            "FrameOfReferenceUID": "1.2.3.5",
            "PatientName": "Secret^Name",
            "PatientID": "secret-id",
            "Modality": "CT",
            "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
            "SeriesDescription": "Thorax 2.0",
            "SeriesNumber": 4,
            "Rows": plane.shape[-2],
            "Columns": plane.shape[-1],
            "PixelSpacing": [spacing[1], spacing[0]],
            "SliceThickness": spacing[2],
            "RescaleSlope": 1,
            "RescaleIntercept": -1024,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 12,
            "HighBit": 11,
            "PixelRepresentation": 0,
            "PixelData": stored.tobytes(),
        },
    )
    return dataset


def _dataset(**tags: Any) -> Dataset:
    dataset = Dataset()
    set_tags(dataset, tags)
    return dataset
