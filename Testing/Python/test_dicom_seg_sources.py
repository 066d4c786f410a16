"""DICOM Segmentations of series that are legal but rare, or not quite legal.

That each one is valid is checked after every test: see `conftest.py`.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pytest
from dicom_maker import AXIAL, ct_values, write_enhanced, write_series
from pydicom import Dataset, dcmread
from pydicom.uid import UID, ExplicitVRLittleEndian
from seg_validator import faults_of

from SDSegLib.export.dicom_seg import write_dicom_seg
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import Code, Structure

LIVER = Structure(1, "Liver", (200, 100, 50), Code("SCT", "10200004", "Liver"))
HU = ct_values(5)
PRIVATE = "1.2.840.113619.4.30"


def segmented(source: Path, structure: Structure = LIVER, name: str = "seg.dcm") -> Dataset:
    """The Segmentation of a series with one structure in two slices."""
    volume = read_volume(source)
    labels = np.zeros(volume.geometry.shape, np.uint8)
    labels[1:3, 1:4, 2:5] = 1
    path = source.parent / name
    write_dicom_seg(Segmentation(labels, volume.geometry, (structure,)), volume, path)
    seg = highdicom.seg.segread(path)
    assert np.count_nonzero(seg.pixel_array) == np.count_nonzero(labels)
    return dcmread(path)


def with_bytes(folder: Path, encode: Callable[[str], bytes], name: str, charset: str) -> Path:
    """A series whose files hold a name and a charset exactly as given, byte by byte."""
    write_series(folder, HU)
    for file in folder.iterdir():
        dataset = dcmread(file)
        dataset.add_new("PatientName", "PN", "")
        dataset.save_as(file)
        data = file.read_bytes()
        raw, sets = encode(name), charset.encode()
        raw, sets = raw + b" " * (len(raw) % 2), sets + b" " * (len(sets) % 2)
        empty = b"\x10\x00\x10\x00PN\0\0"
        data = data.replace(empty, empty[:6] + len(raw).to_bytes(2, "little") + raw)
        first = b"\x08\x00\x08\x00CS"
        element = b"\x08\x00\x05\x00CS" + len(sets).to_bytes(2, "little") + sets
        data = data.replace(first, element + first, 1)
        file.write_bytes(data)
    return folder


@pytest.mark.parametrize(
    ("charset", "encode", "name"),
    [
        ("", str.encode, "Geheim^Person"),
        ("", str.encode, "Müller^Jürgen"),
        ("", lambda name: name.encode("latin-1"), "Müller^Jürgen"),
        ("ISO_IR 6", str.encode, "Geheim^Person"),
        ("ISO_IR 100", lambda name: name.encode("latin-1"), "Müller^Jürgen"),
        ("ISO_IR 144", lambda name: name.encode("iso8859-5"), "Люкceмбypг"),
        ("ISO_IR 192", str.encode, "Wang^XiaoDong=王^小東"),
        ("GB18030", lambda name: name.encode("gb18030"), "Wang^XiaoDong=王^小东"),
        ("GBK", lambda name: name.encode("gbk"), "Wang^XiaoDong=王^小东"),
        (
            "\\ISO 2022 IR 87",
            lambda _: b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B",
            "Yamada^Tarou=山田^太郎",
        ),
        (
            "\\ISO 2022 IR 149",
            lambda _: b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7",
            "Hong^Gildong=洪^吉洞",
        ),
        (
            "\\ISO 2022 IR 58",
            lambda _: b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
            "Zhang^XiaoDong=张^小东",
        ),
        ("", lambda _: b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "Yamada^Tarou=山田^太郎"),
        ("ISO 2022 IR 6\\ISO 2022 IR 100", lambda n: n.encode("latin-1"), "Geheim^Person"),
        ("ISO_IR 999", str.encode, "Geheim^Person"),
        ("utf8", str.encode, "Geheim^Person"),
    ],
)
def test_names_in_any_character_set_read_back_right(
    tmp_path: Path, charset: str, encode: Callable[[str], bytes], name: str
) -> None:
    source = with_bytes(tmp_path / "ct", encode, name, charset)

    seg = segmented(source)

    assert str(seg.PatientName) == name
    assert seg.SpecificCharacterSet == "ISO_IR 192"


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (2**31 - 1, 1000),
        (2**31 - 1001, 2**31 - 1),
        (2**31 - 1000, 1000),
        (4, 1004),
        (0, 1000),
        (-7, 1000),
        (None, 1000),
    ],
)
def test_series_numbers_stay_in_their_range(
    tmp_path: Path, number: int | None, expected: int
) -> None:
    write_series(tmp_path / "ct", HU, SeriesNumber=number)

    assert segmented(tmp_path / "ct").SeriesNumber == expected


MAY_BE_EMPTY = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "AccessionNumber",
    "ReferringPhysicianName",
    "Manufacturer",
    "SliceThickness",
    "PositionReferenceIndicator",
    "ImageType",
    "SeriesDescription",
    "SpacingBetweenSlices",
)


@pytest.mark.parametrize("keyword", [*MAY_BE_EMPTY, None])
def test_empty_attributes_give_a_valid_object(tmp_path: Path, keyword: str | None) -> None:
    tags: dict[str, Any] = dict.fromkeys(MAY_BE_EMPTY if keyword is None else [keyword], "")
    write_series(tmp_path / "ct", HU, **tags)

    seg = segmented(tmp_path / "ct")

    measures = seg.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert measures.SliceThickness == 2.0


@pytest.mark.parametrize(
    "keyword",
    [
        "FrameOfReferenceUID",
        "StudyInstanceUID",
        "SOPInstanceUID",
        "SOPClassUID",
        "PatientID",
        "SliceThickness",
    ],
)
def test_missing_attributes_give_a_valid_object(tmp_path: Path, keyword: str) -> None:
    missing: dict[str, Any] = {keyword: None}
    write_series(tmp_path / "ct", HU, **missing)

    segmented(tmp_path / "ct")


def test_a_private_class_of_images_is_referred_to(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", HU, SOPClassUID=PRIVATE)

    seg = segmented(tmp_path / "ct")

    for reference in seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence:
        assert reference.ReferencedSOPClassUID == PRIVATE


@pytest.mark.parametrize(
    ("keyword", "value", "expected"),
    [
        ("PatientBirthDate", "1970.01.31", "19700131"),
        ("PatientBirthDate", "19700231", ""),
        ("PatientBirthDate", "unknown", ""),
        ("PatientBirthDate", "31.01.1970", ""),
        ("StudyDate", "20240131-20240201", ""),
        ("StudyTime", "12:30:45", "123045"),
        ("StudyTime", "123045.1234567", "123045.123456"),
        ("StudyTime", "251000", ""),
        ("PatientSex", "male", ""),
        ("PatientSex", "F", "F"),
        ("PatientName", "Geheim Person", "Geheim Person"),
        ("PatientName", "A^B^C^D^E^F", "A^B^C^D^E"),
        ("PatientName", "A" * 90 + "^B", "A" * 64),
        ("PatientName", "Geheim^Person\\Other^Name", "Geheim^Person"),
        ("PatientID", "1234\r\n", "1234"),
        ("PatientID", "x" * 70, ""),
        ("PatientID", "one\\two", ""),
        ("AccessionNumber", "1" * 20, ""),
        ("StudyID", "1" * 20, ""),
        ("PatientAge", "45", None),
        ("PatientAge", "045Y", "045Y"),
        ("PatientWeight", "heavy", None),
        ("PatientWeight", "72.5", "72.5"),
        ("StudyDescription", "x" * 70, "x" * 64),
        ("PatientIdentityRemoved", "YES", None),
        ("LossyImageCompression", "yes", "00"),
    ],
)
def test_what_is_not_conforming_is_repaired_or_left_out(
    tmp_path: Path, keyword: str, value: str, expected: str | None
) -> None:
    write_series(tmp_path / "ct", HU)
    for file in (tmp_path / "ct").iterdir():
        dataset = dcmread(file)
        vr = "PN" if keyword == "PatientName" else "LO"
        dataset.add_new(keyword, vr, "7777777")
        dataset.save_as(file)
        raw = value.encode() + b" " * (len(value) % 2)
        data = file.read_bytes()
        start = data.index(b"7777777") - 2
        data = data[:start] + len(raw).to_bytes(2, "little") + raw + data[start + 10 :]
        file.write_bytes(data)

    seg = segmented(tmp_path / "ct")

    assert (str(seg.get(keyword)) if keyword in seg else None) in (
        expected,
        "None" if expected == "" else expected,
    )


@pytest.mark.parametrize("keyword", ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"])
@pytest.mark.parametrize("uid", ["1.2.03.4", "not-a-uid", "1." + "2" * 70])
def test_uids_that_are_none_are_replaced_and_said(
    tmp_path: Path, keyword: str, uid: str, caplog: pytest.LogCaptureFixture
) -> None:
    bad: dict[str, Any] = {keyword: uid}
    write_series(tmp_path / "ct", HU, **bad)

    caplog.clear()

    first, second = segmented(tmp_path / "ct"), segmented(tmp_path / "ct", name="again.dcm")

    assert f"{keyword} (anonymised?) or has no valid one" in caplog.text
    assert uid not in caplog.text
    assert UID(first.StudyInstanceUID).is_valid
    assert first.StudyInstanceUID == second.StudyInstanceUID


def test_orientations_that_differ_by_rounding(tmp_path: Path) -> None:
    for k in range(5):
        jitter = [1, 1e-4 * k, 0, -1e-4 * k, 1, 0]
        write_series(
            *(tmp_path / "ct", HU[k : k + 1]),
            uid="1.2.7",
            origin=(-10, -20, 30 + 2 * k),
            names=[f"{k}.dcm"],
            ImageOrientationPatient=jitter,
        )

    segmented(tmp_path / "ct")


def test_several_files_with_frames_are_referred_to(tmp_path: Path) -> None:
    """One series in two multi-frame files, as of a concatenation."""
    for part, frames in enumerate(((2, 0, 1), (4, 3))):
        file = tmp_path / "ct" / f"{part}.dcm"
        write_enhanced(file, HU, frames, SeriesInstanceUID="1.2.7")

    seg = segmented(tmp_path / "ct")

    uids = {dcmread(file).SOPInstanceUID for file in (tmp_path / "ct").iterdir()}
    listed = seg.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    assert {item.ReferencedSOPInstanceUID for item in listed} == uids


def test_names_of_structures_are_made_valid(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", HU)
    odd = Structure(1, "Liver\\left\nlobe " + "x" * 80, (1, 2, 3), Code("SCT", "10200004", ""))

    seg = segmented(tmp_path / "ct", odd)

    assert seg.SegmentSequence[0].SegmentLabel.startswith("Liver/left lobe xxx")


def test_the_validator_notices_faults(tmp_path: Path) -> None:
    write_series(tmp_path / "ct", HU)
    seg = segmented(tmp_path / "ct")
    copy = tmp_path / "copy.seg"

    def faults(keyword: str, value: Any) -> str:
        broken = dcmread(tmp_path / "seg.dcm")
        if value is None:
            del broken[keyword]
        else:
            broken.add_new(keyword, seg[keyword].VR, value)
        broken.save_as(copy)
        return " ".join(faults_of(copy))

    assert "StudyID of type 2 is missing" in faults("StudyID", None)
    assert "Manufacturer of type 1 is empty" in faults("Manufacturer", "")
    assert "PatientBirthDate" in faults("PatientBirthDate", "19700231x")
    assert "PatientSex is none of" in faults("PatientSex", "X")
    assert "NumberOfFrames" in faults("NumberOfFrames", 7)
    assert "UID" in faults("FrameOfReferenceUID", "1.02.3")
    assert faults_of(tmp_path / "seg.dcm") == []


NAMES = ("Gehei", "Person", "19700231", "geheim-id")


@pytest.mark.parametrize("name", ["Geheim Person", "Geheim^Person", "Geheim=Person=X=Y^Z"])
def test_nothing_of_the_patient_is_printed_or_logged(tmp_path: Path, name: str) -> None:
    """Reading, writing and failing, with all warnings and log records shown."""
    tags = {"PatientName": name, "PatientID": "geheim-id"}
    for file in write_series(tmp_path / "ct", HU, SpecificCharacterSet="ISO_IR 999", **tags):
        data = file.read_bytes()
        birth = b"\x10\x00\x30\x00DA\x0a\x0019700231xx"
        place = data.index(b"\x10\x00\x20\x00LO")
        end = place + 8 + int.from_bytes(data[place + 6 : place + 8], "little")
        file.write_bytes(data[:end] + birth + data[end:])
    code = """
import logging, sys
logging.basicConfig(level=logging.DEBUG, stream=sys.stderr)
from pathlib import Path
import numpy as np
from SDSegLib.errors import SDSegError
from SDSegLib.export.dicom_seg import write_dicom_seg
from SDSegLib.reading.dicom import list_series
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import Code, Structure
folder, out = Path(sys.argv[1]), Path(sys.argv[2])
print(list_series(folder))
volume = read_volume(folder)
print(volume)
labels = np.ones(volume.geometry.shape, np.uint8)
liver = Structure(1, "Liver", (1, 2, 3), Code("SCT", "10200004", "Liver"))
write_dicom_seg(Segmentation(labels, volume.geometry, (liver,)), volume, out)
for file in folder.iterdir():
    data = file.read_bytes()
    file.write_bytes(data.replace(b"-1024", b"Gehei"))
try:
    read_volume(folder)
except SDSegError as error:
    print("Error:", error)
"""

    shown = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, str(tmp_path / "ct"), str(tmp_path / "s.dcm")],
        capture_output=True,
        text=True,
        check=True,
    )

    assert "Error:" in shown.stdout
    assert not [part for part in NAMES if part in shown.stdout + shown.stderr], shown
    assert "pydicom" not in shown.stderr
    assert dcmread(tmp_path / "s.dcm").PatientBirthDate == ""


def test_warnings_and_loggers_are_as_before_afterwards(tmp_path: Path) -> None:
    import logging
    import warnings

    write_series(tmp_path / "ct", HU)
    before = list(warnings.filters)
    level = logging.getLogger("pydicom").level

    segmented(tmp_path / "ct")

    assert warnings.filters == before
    assert logging.getLogger("pydicom").level == level
    assert logging.getLogger("highdicom").isEnabledFor(logging.ERROR)


def test_implicit_files_without_preamble(tmp_path: Path) -> None:
    for file in write_series(tmp_path / "ct", HU):
        bare = Dataset()
        bare.update(dcmread(file))
        bare.save_as(file, implicit_vr=True, little_endian=True)

    seg = segmented(tmp_path / "ct")

    assert seg.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    orientation = seg.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0]
    assert tuple(orientation.ImageOrientationPatient) == AXIAL
