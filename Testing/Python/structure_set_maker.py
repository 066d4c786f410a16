"""Write DICOM structure sets (RTSTRUCT) from masks, as planning systems export them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import contourpy
import numpy as np
from dicom_maker import save, set_tags
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from SDSegLib.volume.geometry import Geometry

RT_STRUCTURE_SET_STORAGE = "1.2.840.10008.5.1.4.1.1.481.3"
Points = np.ndarray  # (N, 3): i, j, k in voxels


def outlines(mask: np.ndarray, keyhole: bool = False) -> list[Points]:
    """The contours of a mask (k, j, i) in its slices, half-way between voxel centres.

    Args:
        mask: The mask.
        keyhole: Whether holes are joined to their outer contour by a line in and out; otherwise
            they are contours of their own.
    """
    found: list[Points] = []
    for k, plane in enumerate(mask):
        padded = np.pad(plane.astype(float), 1)
        lines = contourpy.contour_generator(z=padded).lines(0.5)
        rings = [np.asarray(line)[:-1] - 1 for line in lines]
        if keyhole and len(rings) > 1:
            rings.sort(key=lambda ring: -len(ring))
            first = rings[0]
            for ring in rings[1:]:
                first = np.vstack([first, first[:1], ring, ring[:1], first[:1]])
            rings = [first]
        found += [np.column_stack([ring, np.full(len(ring), k)]) for ring in rings]
    return found


def write_structure_set(
    file: Path,
    ct: Path,
    geometry: Geometry,
    rois: Mapping[str, Sequence[Points]],
    kinds: Mapping[str, str] | None = None,
    **tags: Any,
) -> Dataset:
    """Write a structure set that refers to a CT.

    Args:
        file: File to write.
        ct: A file of the CT.
        geometry: Grid of the CT, in whose voxels the contours are given.
        rois: Contours by name of the structure.
        kinds: ContourGeometricType by name; CLOSED_PLANAR by default.
        tags: Set in place of the defaults; None removes one.
    """
    image = dcmread(ct, stop_before_pixels=True)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = RT_STRUCTURE_SET_STORAGE
    meta.MediaStorageSOPInstanceUID = generate_uid()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = FileDataset("", {}, file_meta=meta, preamble=bytes(128))
    series = _item(SeriesInstanceUID=image.SeriesInstanceUID)
    study = _item(
        ReferencedSOPInstanceUID=image.StudyInstanceUID, RTReferencedSeriesSequence=[series]
    )
    frame = _item(FrameOfReferenceUID=image.FrameOfReferenceUID, RTReferencedStudySequence=[study])
    names = list(rois)
    values: dict[str, Any] = {
        "SOPClassUID": RT_STRUCTURE_SET_STORAGE,
        "SOPInstanceUID": meta.MediaStorageSOPInstanceUID,
        "Modality": "RTSTRUCT",
        "PatientName": image.PatientName,
        "PatientID": image.PatientID,
        "StudyInstanceUID": image.StudyInstanceUID,
        "SeriesInstanceUID": generate_uid(),
        "StructureSetLabel": "PLAN",
        "ReferencedFrameOfReferenceSequence": [frame],
        "StructureSetROISequence": [
            _item(
                ROINumber=number,
                ReferencedFrameOfReferenceUID=image.FrameOfReferenceUID,
                ROIName=name,
            )
            for number, name in enumerate(names, start=7)
        ],
        "ROIContourSequence": [
            _item(
                ReferencedROINumber=number,
                ContourSequence=[
                    _contour(points, geometry, (kinds or {}).get(name, "CLOSED_PLANAR"))
                    for points in rois[name]
                ],
            )
            for number, name in enumerate(names, start=7)
        ],
    }
    set_tags(dataset, values)
    set_tags(dataset, tags)
    save(dataset, file)
    return dataset


def _contour(points: Points, geometry: Geometry, kind: str) -> Dataset:
    matrix = geometry.affine_lps
    positions = points @ matrix[:3, :3].T + matrix[:3, 3]
    return _item(
        ContourGeometricType=kind,
        NumberOfContourPoints=len(points),
        ContourData=[f"{value:.3f}" for value in positions.ravel()],
    )


def _item(**tags: Any) -> Dataset:
    dataset = Dataset()
    set_tags(dataset, tags)
    return dataset
