"""Check DICOM Segmentations against the standard, independently of what wrote them.

The table holds the attributes that PS3.3 A.51 and its modules require. Values are checked with
pydicom's rules for their representations, and with dciodvfy where the package dicom3tools is
installed.
"""

from __future__ import annotations

import shutil
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

from pydicom import Dataset, config, dcmread
from pydicom.datadict import dictionary_VM, dictionary_VR
from pydicom.dataelem import DataElement
from pydicom.valuerep import validate_value

SEGMENTATION_STORAGE = "1.2.840.10008.5.1.4.1.1.66.4"
_CODE = "CodeMeaning 1|CodingSchemeDesignator 1|CodeValue 1"
_IMAGE = "ReferencedSOPClassUID 1|ReferencedSOPInstanceUID 1"
# Attribute and type: 1 needs a value, 2 must be there, 3 is optional. A sequence of type 1 or 2
# that is there is followed by what each of its items needs.
_TABLE: dict[str, str] = {
    "": (
        "SOPClassUID 1|SOPInstanceUID 1|SpecificCharacterSet 1|PatientName 2|PatientID 2|"
        "PatientBirthDate 2|PatientSex 2|StudyInstanceUID 1|StudyDate 2|StudyTime 2|"
        "ReferringPhysicianName 2|StudyID 2|AccessionNumber 2|Modality 1|SeriesInstanceUID 1|"
        "SeriesNumber 1|FrameOfReferenceUID 1|PositionReferenceIndicator 2|Manufacturer 1|"
        "ManufacturerModelName 1|DeviceSerialNumber 1|SoftwareVersions 1|InstanceNumber 1|"
        "ContentDate 1|ContentTime 1|ContentLabel 1|ContentDescription 2|ContentCreatorName 2|"
        "ImageType 1|SamplesPerPixel 1|PhotometricInterpretation 1|Rows 1|Columns 1|"
        "BitsAllocated 1|BitsStored 1|HighBit 1|PixelRepresentation 1|LossyImageCompression 1|"
        "SegmentationType 1|NumberOfFrames 1|PixelData 1|SegmentSequence 1|"
        "SharedFunctionalGroupsSequence 1|PerFrameFunctionalGroupsSequence 1|"
        "DimensionOrganizationSequence 1|DimensionIndexSequence 1|ReferencedSeriesSequence 1|"
        "SourceImageSequence 3"
    ),
    "SegmentSequence": (
        "SegmentNumber 1|SegmentLabel 1|SegmentAlgorithmType 1|SegmentAlgorithmName 1|"
        "SegmentedPropertyCategoryCodeSequence 1|SegmentedPropertyTypeCodeSequence 1|"
        "TrackingID 1|TrackingUID 1"
    ),
    "SegmentedPropertyCategoryCodeSequence": _CODE,
    "SegmentedPropertyTypeCodeSequence": _CODE,
    "SegmentedPropertyTypeModifierCodeSequence": _CODE,
    "PixelMeasuresSequence": "PixelSpacing 1|SliceThickness 1",
    "PlaneOrientationSequence": "ImageOrientationPatient 1",
    "PerFrameFunctionalGroupsSequence": "FrameContentSequence 1",
    "FrameContentSequence": "DimensionIndexValues 1",
    "PlanePositionSequence": "ImagePositionPatient 1",
    "SegmentIdentificationSequence": "ReferencedSegmentNumber 1",
    "DerivationImageSequence": "DerivationCodeSequence 1|SourceImageSequence 1",
    "DerivationCodeSequence": _CODE,
    "SourceImageSequence": _IMAGE,
    "PurposeOfReferenceCodeSequence": _CODE,
    "DimensionOrganizationSequence": "DimensionOrganizationUID 1",
    "DimensionIndexSequence": (
        "DimensionIndexPointer 1|FunctionalGroupPointer 1|DimensionOrganizationUID 1"
    ),
    "ReferencedSeriesSequence": "SeriesInstanceUID 1|ReferencedInstanceSequence 1",
    "ReferencedInstanceSequence": _IMAGE,
    "ContributingEquipmentSequence": "PurposeOfReferenceCodeSequence 1|Manufacturer 1",
}
# Each frame has each of these, of its own or shared by all.
_FUNCTIONAL_GROUPS = (
    "PixelMeasuresSequence",
    "PlaneOrientationSequence",
    "PlanePositionSequence",
    "SegmentIdentificationSequence",
    "DerivationImageSequence",
)
_ENUMERATED = {
    "Modality": ("SEG",),
    "PatientSex": ("M", "F", "O"),
    "PhotometricInterpretation": ("MONOCHROME2",),
    "SegmentationType": ("BINARY",),
    "SegmentAlgorithmType": ("AUTOMATIC", "SEMIAUTOMATIC", "MANUAL"),
    "LossyImageCompression": ("00", "01"),
    "SpatialLocationsPreserved": ("YES", "NO", "REORIENTED_ONLY"),
    "SegmentsOverlap": ("YES", "UNDEFINED", "NO"),
    "PatientIdentityRemoved": ("YES", "NO"),
}
_LARGEST_INTEGER = 2**31 - 1


def is_seg(path: Path) -> bool:
    """Whether a file's first bytes name the SOP class of Segmentations."""
    with path.open("rb") as file:
        return SEGMENTATION_STORAGE.encode() in file.read(512)


def faults_of(path: Path) -> list[str]:
    """All faults of a Segmentation file; empty for a valid one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seg = dcmread(path)
        faults = [*_of_structure(seg, ""), *_of_values(seg), *_of_references(seg)]
    if seg.file_meta.MediaStorageSOPInstanceUID != seg.SOPInstanceUID:
        faults.append("the file's meta information names another instance")
    return faults + _of_dciodvfy(path) + _of_highdicom(path)


def _of_structure(dataset: Dataset, inside: str) -> Iterator[str]:
    for entry in filter(None, _TABLE.get(inside, "").split("|")):
        keyword, kind = entry.split()
        if kind != "3" and keyword not in dataset:
            if keyword == "CodeValue" and {"LongCodeValue", "URNCodeValue"} & set(dataset.dir()):
                continue
            yield f"{inside}/{keyword} of type {kind} is missing"
        elif kind == "1" and dataset[keyword].is_empty:
            yield f"{inside}/{keyword} of type 1 is empty"
    for element in dataset:
        if element.VR == "SQ":
            if element.is_empty:
                yield f"{inside}/{element.keyword} has no item"
            for item in element.value:
                yield from _of_structure(item, element.keyword)


def _of_values(seg: Dataset) -> Iterator[str]:
    for element in seg.iterall():
        if element.tag.is_private:
            yield f"the private tag {element.tag} was copied"
        elif element.VR != "SQ" and element.keyword != "PixelData":
            yield from _of_value(element)


def _of_value(element: DataElement) -> Iterator[str]:
    where = element.keyword
    if element.VR not in dictionary_VR(element.tag):
        yield f"{where} has the representation {element.VR}"
    if element.is_empty:
        return
    values = element.value if element.VM > 1 else [element.value]
    allowed = dictionary_VM(element.tag).split("-")
    if int(allowed[0]) > element.VM or (allowed[-1].isdigit() and int(allowed[-1]) < element.VM):
        yield f"{where} has {element.VM} values instead of {dictionary_VM(element.tag)}"
    for value in values:
        text = getattr(value, "original_string", None) or str(value)
        text = text if isinstance(text, str) else str(value)
        try:
            validate_value(element.VR, str(text) if element.VR != "SQ" else value, config.RAISE)
        except (ValueError, TypeError) as error:
            if element.VR not in ("US", "UL", "FD", "FL", "SS", "SL", "AT", "OB", "OW"):
                yield f"{where}: {error}"
        if element.VR == "IS" and not -_LARGEST_INTEGER <= int(value) <= _LARGEST_INTEGER:
            yield f"{where} is {value}, beyond 31 bits"
        if element.VR in ("DA", "TM") and "-" in text:
            yield f"{where} is a range"
        if element.VR in ("PN", "LO", "SH", "CS", "UT") and not text.isprintable():
            yield f"{where} holds control characters"
        if where in _ENUMERATED and text not in _ENUMERATED[where]:
            yield f"{where} is none of {_ENUMERATED[where]}"


def _of_references(seg: Dataset) -> Iterator[str]:
    frames = seg.PerFrameFunctionalGroupsSequence
    if int(seg.NumberOfFrames) != len(frames):
        yield "NumberOfFrames is not the number of per-frame items"
    if len(seg.PixelData) < -(-int(seg.NumberOfFrames) * seg.Rows * seg.Columns // 8):
        yield "PixelData is too short"
    if (seg.BitsAllocated, seg.BitsStored, seg.HighBit, seg.PixelRepresentation) != (1, 1, 0, 0):
        yield "a binary segmentation has one bit for each pixel"
    numbers = [int(segment.SegmentNumber) for segment in seg.SegmentSequence]
    if numbers != list(range(1, len(numbers) + 1)):
        yield f"segments are numbered {numbers}"
    series = seg.ReferencedSeriesSequence[0]
    known = {item.ReferencedSOPInstanceUID for item in series.ReferencedInstanceSequence}
    if len(known) != len(series.ReferencedInstanceSequence):
        yield "an instance is listed twice"
    used = set()
    shared = seg.SharedFunctionalGroupsSequence[0]
    for number, frame in enumerate(frames, start=1):
        for group in _FUNCTIONAL_GROUPS:
            if (group in frame) == (group in shared):
                yield f"frame {number} has {group} twice or not at all"
        segment = frame.get(
            "SegmentIdentificationSequence", shared.get("SegmentIdentificationSequence")
        )
        used.add(int(segment[0].ReferencedSegmentNumber))
        indices = frame.FrameContentSequence[0].DimensionIndexValues
        if len(indices) != len(seg.DimensionIndexSequence) or min(indices) < 1:
            yield f"frame {number} has the dimension indices {indices}"
        derivation = frame.get("DerivationImageSequence", shared.get("DerivationImageSequence"))
        for image in derivation[0].SourceImageSequence:
            if image.ReferencedSOPInstanceUID not in known:
                yield f"frame {number} refers to an instance that is not listed"
    if used != set(numbers):
        yield f"frames are of the segments {sorted(used)}, and there are {numbers}"


def _of_dciodvfy(path: Path) -> list[str]:
    program = shutil.which("dciodvfy")
    if program is None:
        return []
    shown = subprocess.run([program, str(path)], capture_output=True, check=False).stderr
    lines = shown.decode("utf-8", "replace").splitlines()
    return [line for line in lines if line.startswith("Error")]


def _of_highdicom(path: Path) -> list[str]:
    import highdicom

    try:
        highdicom.seg.segread(path)
    except (AttributeError, LookupError, TypeError, ValueError) as error:
        return [f"highdicom does not read it: {error}"]
    return []
