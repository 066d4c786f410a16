"""Patients' folders with a CT and a DICOM structure set or segmentation, as data set "dicom"."""

from __future__ import annotations

import json
import random
import shutil
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import mutators
import numpy as np
from content import Content, content_of
from outcome import Outcome, outcome_within
from supervision import BIRTH_DATE, PATIENT_ID, PATIENT_NAME

from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.reading.files import read_volume

SHAPE = (6, 24, 28)
TABLE = {"Liver (GTV)": "Liver", "Milz": "Spleen"}
LABELS = "drawn.dcm"
_UNWANTED = f"Boost {PATIENT_NAME}"
_ELEMENT_TYPES = (
    b"DS",
    b"IS",
    b"LO",
    b"UI",
    b"SQ",
    b"UN",
    b"OB",
    b"OW",
    b"UT",
    b"FD",
    b"US",
    b"CS",
)
_VALUES = (
    "", " ", "0", "-1", "7", "255", "65535", "65536", "1e308", "nan", "1\\2", "\\", "A" * 70,
    "\0", "\x1b[31m", "1.2.3", "ISO 2022 IR 87", "POINT", "OPEN_PLANAR", "CLOSEDPLANAR_XOR",
    "FRACTIONAL", "MULTIPLE",
)  # fmt: skip
Change = Callable[[Any, random.Random], bool]
"""Changes a data set; whether the format lets a reader notice."""


def write_patient(folder: Path) -> Path:
    """A patient's CT, on which something can be drawn; returns its folder."""
    from dicom_maker import ct_values, write_series

    write_series(
        folder / "CT",
        ct_values(*SHAPE),
        PatientName=PATIENT_NAME,
        PatientID=PATIENT_ID,
        PatientBirthDate=BIRTH_DATE,
    )
    return folder / "CT"


def masks() -> np.ndarray:
    """Two structures, the second of which has a hole."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[1:4, 4:10, 4:12] = 1
    labels[2:6, 12:20, 10:22] = 2
    labels[2:6, 15:17, 14:18] = 0
    return labels


def write_good_structure_set(folder: Path) -> Path:
    """A patient's folder with a structure set."""
    from structure_set_maker import outlines, write_structure_set

    ct = write_patient(folder)
    grid, labels = read_volume(ct).geometry, masks()
    first, second = TABLE
    rois = {first: outlines(labels == 1), _UNWANTED: outlines(labels > 0),
            second: outlines(labels == 2)}  # fmt: skip
    write_structure_set(
        folder / LABELS, sorted(ct.iterdir())[0], grid, rois, PatientBirthDate=BIRTH_DATE
    )
    return folder


def write_good_segmentation(folder: Path) -> Path:
    """A patient's folder with a DICOM Segmentation."""
    from SDSegLib.export.dicom_seg import write_dicom_seg
    from SDSegLib.models.labels import structures_called
    from SDSegLib.volume.segmentation import Segmentation

    volume = read_volume(write_patient(folder))
    structures = structures_called(list(TABLE.values()))
    write_dicom_seg(Segmentation(masks(), volume.geometry, structures), volume, folder / LABELS)
    return folder


@dataclass
class DicomLabels:
    """Patients' folders with a CT and what was drawn on it.

    Attributes:
        name: For the table.
        good: A patient's folder.
        has_table: Whether names need a table, as those of structure sets.
        changes: Ways to change the content of the file with the structures.
    """

    name: str
    good: Path
    has_table: bool
    changes: tuple[Change, ...]
    _content: Content | None = field(default=None, init=False)

    def run(self, dice: random.Random, folder: Path) -> Outcome:
        """Damage the drawn structures, or the CT, and read the patient."""
        root = folder / "root"
        shutil.copytree(self.good, root / "p1")
        table = folder / "names.json"
        table.write_text(json.dumps(TABLE), encoding="utf-8")
        if self._content is None:
            self._content = self._read(root, table)
        good = self._content
        must_be_told = self._damage(root / "p1", dice)

        def read() -> Outcome:
            return self._read(root, table).compared(good, must_be_told, folder)

        return outcome_within(read, folder)

    def _read(self, root: Path, table: Path) -> Content:
        options = {"names": str(table)} if self.has_table else {}
        return content_of(open_dataset("dicom", root, **options))

    def _damage(self, patient: Path, dice: random.Random) -> bool:
        """Whether the damage can be noticed."""
        file, way = patient / LABELS, dice.randrange(10)
        if way == 0:
            slices = sorted((patient / "CT").iterdir())
            victim = dice.choice(slices)
            if dice.random() < 0.3:
                victim.unlink()
            else:
                victim.write_bytes(mutators.anything(victim.read_bytes(), dice))
            return False
        data = file.read_bytes()
        if way == 1:
            file.write_bytes(mutators.anything(data, dice))
        elif way == 2:
            file.write_bytes(mutators.cut(data, dice))
            return True
        elif way == 3:
            file.write_bytes(dice.choice((changed_element, changed_element, nested))(data, dice))
        elif way == 4:
            (patient / "copy.dcm").write_bytes(data)
            return True
        else:
            return change_dataset(file, dice.choice(self.changes), dice)
        return False


def change_dataset(file: Path, change: Change, dice: random.Random) -> bool:
    """Change the content of a file; pydicom writes whatever it is told.

    Returns:
        Whether the format lets a reader notice.
    """
    import pydicom
    from pydicom import config

    warnings.simplefilter("ignore")
    before = file.read_bytes()
    mode = config.settings.writing_validation_mode
    config.settings.writing_validation_mode = config.IGNORE
    try:
        dataset = pydicom.dcmread(file)
        must_be_told = change(dataset, dice)
        dataset.save_as(file)
        return must_be_told
    except Exception:  # noqa: BLE001  what cannot be written stays as it was
        file.write_bytes(before)
        return False
    finally:
        config.settings.writing_validation_mode = mode


def changed_element(data: bytes, dice: random.Random) -> bytes:
    """Another type or length of an element in explicit little endian."""
    places = [n for n in range(132, len(data) - 8) if data[n + 4 : n + 6] in _ELEMENT_TYPES]
    if not places:
        return data
    place = dice.choice(places)
    changed = bytearray(data)
    if dice.random() < 0.4:
        changed[place + 4 : place + 6] = dice.choice(_ELEMENT_TYPES)
        return bytes(changed)
    is_long = data[place + 4 : place + 6] in (b"SQ", b"UN", b"OB", b"OW", b"UT")
    start, width = (place + 8, 4) if is_long else (place + 6, 2)
    length = int.from_bytes(data[start : start + width], "little")
    largest = 256**width - 1
    new = dice.choice(
        (0, 1, length + 1, length - 1, 2 * length, largest, largest - 1, 2**15, 2**31)
    )
    changed[start : start + width] = (new & largest).to_bytes(width, "little")
    return bytes(changed)


def nested(data: bytes, dice: random.Random) -> bytes:
    """Structures that hold structures, which hold structures, …"""
    start = max(data.find(b"\x06\x30\x39\x00SQ"), data.find(b"\x62\x00\x02\x00SQ"))
    depth = dice.choice((20, 400, 20_000))
    begin = data[start : start + 6] + b"\0\0\xff\xff\xff\xff" + b"\xfe\xff\x00\xe0\xff\xff\xff\xff"
    end = b"\xfe\xff\x0d\xe0\0\0\0\0" + b"\xfe\xff\xdd\xe0\0\0\0\0"
    return data[:start] + begin * depth + (end * depth if dice.random() < 0.7 else b"")


def any_element(dataset: Any, dice: random.Random) -> bool:
    """Remove an element at any depth, or give it a strange value."""
    places = list(_elements(dataset))
    inner, element = dice.choice(places)
    if dice.random() < 0.3:
        del inner[element.tag]
    else:
        value = dice.choice(_VALUES)
        element.value = [value] * 3 if dice.random() < 0.1 else value
    return False


def _elements(dataset: Any) -> Iterable[tuple[Any, Any]]:
    for element in dataset:
        yield dataset, element
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)


def other_series(dataset: Any, dice: random.Random) -> bool:
    """References to another CT."""
    references = [inner for inner, element in _elements(dataset)
                  if element.keyword == "SeriesInstanceUID" and inner is not dataset]  # fmt: skip
    for inner in references:
        inner.SeriesInstanceUID = "1.2.3.999"
    return bool(references)


def other_frame(dataset: Any, dice: random.Random) -> bool:
    """Another frame of reference than the CT's."""
    found = False
    for inner, element in list(_elements(dataset)):
        if element.keyword == "FrameOfReferenceUID":
            inner.FrameOfReferenceUID = "1.2.3.998"
            found = True
    return found


def all_references(dataset: Any, dice: random.Random) -> bool:
    """No references at all, as after an anonymisation."""
    for keyword in ("FrameOfReferenceUID", "ReferencedFrameOfReferenceSequence",
                    "ReferencedSeriesSequence"):  # fmt: skip
        if keyword in dataset:
            del dataset[keyword]
    return False


# --- structure sets -------------------------------------------------------------------------------


def _contour(dataset: Any, dice: random.Random) -> Any:
    wanted = [item for item in dataset.ROIContourSequence if item.ReferencedROINumber != 8]
    return dice.choice(dice.choice(wanted).ContourSequence)


def no_number(dataset: Any, dice: random.Random) -> bool:
    """A coordinate that is no number."""
    from pydicom.dataelem import DataElement

    contour = _contour(dataset, dice)
    values = [str(value) for value in contour.ContourData]
    values[dice.randrange(len(values))] = dice.choice(("nan", "inf", "-inf", "", "x", "1,5", "1_0"))
    contour["ContourData"] = DataElement(0x30060050, "UT", "\\".join(values))
    return True


def odd_count(dataset: Any, dice: random.Random) -> bool:
    """Fewer or more values than the points have."""
    contour = _contour(dataset, dice)
    values = list(contour.ContourData)
    count = dice.choice((1, 2, 3))
    contour.ContourData = values[:-count] if dice.random() < 0.5 else values + values[:count]
    return True


def huge_coordinate(dataset: Any, dice: random.Random) -> bool:
    """A coordinate far away."""
    contour = _contour(dataset, dice)
    values = [str(value) for value in contour.ContourData]
    values[dice.randrange(len(values))] = dice.choice(("1e300", "-1e308", "1e19", "123456789"))
    contour.ContourData = values
    return False


def outside(dataset: Any, dice: random.Random) -> bool:
    """A contour beyond the slices of the CT."""
    contour = _contour(dataset, dice)
    values = [float(value) for value in contour.ContourData]
    shift = dice.choice((-500.0, 60.0, 1e4))
    contour.ContourData = [f"{v + shift if n % 3 == 2 else v:g}" for n, v in enumerate(values)]
    return True


def many_points(dataset: Any, dice: random.Random) -> bool:
    """A contour of very many points, which run up and down."""
    contour = _contour(dataset, dice)
    z = float(contour.ContourData[2])
    count = dice.choice((10_000, 1_000_000))
    up, down = f"0.1\\-100\\{z:.3f}", f"0.2\\100\\{z:.3f}"
    contour.ContourData = None
    contour.NumberOfContourPoints = count
    text = "\\".join((up, down) * (count // 2))
    from pydicom.dataelem import DataElement

    contour["ContourData"] = DataElement(0x30060050, "UT", text)
    return False


def many_contours(dataset: Any, dice: random.Random) -> bool:
    """Very many contours in one slice."""
    from copy import deepcopy

    item = dataset.ROIContourSequence[0]
    first = item.ContourSequence[0]
    copies = []
    for number in range(dice.choice((200, 200, 200, 4200))):
        copied = deepcopy(first) if number < 1 else type(first)(first)
        copied.ContourData = [str(v + number * 1e-3) if n % 3 == 0 else str(v)
                              for n, v in enumerate(first.ContourData)]  # fmt: skip
        copies.append(copied)
    item.ContourSequence = copies
    return False


def same_number(dataset: Any, dice: random.Random) -> bool:
    """Two structures of one number."""
    rois = dataset.StructureSetROISequence
    rois[2].ROINumber = rois[0].ROINumber
    return True


def no_such_number(dataset: Any, dice: random.Random) -> bool:
    """Contours of a structure that is not in the list."""
    dataset.ROIContourSequence[0].ReferencedROINumber = 4711
    return True


def other_name(dataset: Any, dice: random.Random) -> bool:
    """Another name of a structure."""
    roi = dice.choice(list(dataset.StructureSetROISequence))
    names = ("", PATIENT_NAME, "A" * 5000, "\x1b[31m", "a\\b", "\0", "..", "Milz", *TABLE)
    roi.ROIName = dice.choice(names)
    return False


def many_structures(dataset: Any, dice: random.Random) -> bool:
    """More structures than labels."""
    first = dataset.StructureSetROISequence[0]
    for number in range(dice.choice((300, 5000))):
        copied = type(first)(first)
        copied.ROINumber, copied.ROIName = 1000 + number, f"{PATIENT_NAME} {number}"
        dataset.StructureSetROISequence.append(copied)
    return False


STRUCTURE_SET_CHANGES: tuple[Change, ...] = (
    any_element, any_element, other_series, other_frame, all_references, no_number,
    odd_count, huge_coordinate, outside, many_points, many_contours, same_number, no_such_number,
    other_name, many_structures,
)  # fmt: skip


# --- segmentations --------------------------------------------------------------------------------


def other_pixels(dataset: Any, dice: random.Random) -> bool:
    """Fewer or more pixels than frames have."""
    data = dataset.PixelData
    dataset.PixelData = dice.choice((data[: len(data) // 2], b"\0\0", data + data))
    return True


def other_size(dataset: Any, dice: random.Random) -> bool:
    """Another size, or number of frames, than the pixels have."""
    keyword = dice.choice(("Rows", "Columns", "NumberOfFrames"))
    setattr(dataset, keyword, dice.choice((0, 1, 3, 25, 512, 65535)))
    return True


def _frame(dataset: Any, dice: random.Random) -> Any:
    return dice.choice(list(dataset.PerFrameFunctionalGroupsSequence))


def other_segment(dataset: Any, dice: random.Random) -> bool:
    """A frame of another segment."""
    frame = _frame(dataset, dice)
    number = dice.choice((0, 1, 2, 3, 300))
    frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber = number
    return False


def other_position(dataset: Any, dice: random.Random) -> bool:
    """A frame at another place."""
    position = _frame(dataset, dice).PlanePositionSequence[0]
    values = [float(value) for value in position.ImagePositionPatient]
    values[dice.randrange(3)] = dice.choice((0.0, 1e9, -50.0, 33.3, 1e300))
    position.ImagePositionPatient = [f"{value:g}" for value in values]
    return False


def other_numbers(dataset: Any, dice: random.Random) -> bool:
    """Segments that are numbered otherwise."""
    segment = dice.choice(list(dataset.SegmentSequence))
    segment.SegmentNumber = dice.choice((0, 1, 2, 3, 65535))
    return False


def other_label(dataset: Any, dice: random.Random) -> bool:
    """Another name or colour of a segment."""
    segment = dice.choice(list(dataset.SegmentSequence))
    if dice.random() < 0.5:
        segment.SegmentLabel = dice.choice(("", "Boost", "A" * 5000, "\x1b[31m", "\0", "Spleen"))
    else:
        segment.RecommendedDisplayCIELabValue = dice.choice(([], [0], [65535] * 3, [0, 0, 0, 0]))
    return False


def other_kind(dataset: Any, dice: random.Random) -> bool:
    """Fractions, runs of bytes, or another transfer syntax than the pixels have."""
    keyword, value = dice.choice((
        ("SegmentationType", "FRACTIONAL"), ("BitsAllocated", 8), ("BitsAllocated", 0),
        ("SamplesPerPixel", 3), ("PixelRepresentation", 1), ("MaximumFractionalValue", 0),
    ))  # fmt: skip
    setattr(dataset, keyword, value)
    if dice.random() < 0.3:
        dataset.file_meta.TransferSyntaxUID = dice.choice(
            ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.4.90", "1.2.3", "")
        )
    return False


SEGMENTATION_CHANGES: tuple[Change, ...] = (
    any_element, any_element, any_element, other_series, other_frame, all_references,
    other_pixels, other_size, other_segment, other_position, other_numbers, other_label, other_kind,
)  # fmt: skip
