"""No slice of a DICOM folder is lost, shifted or mixed with another patient's without a word."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_parts import run_here
from dicom_maker import (
    SAGITTAL,
    ct_values,
    write_enhanced,
    write_report,
    write_screenshot,
    write_series,
)
from process_parts import run_sdseg
from pydicom import dcmread
from pydicom.uid import DeflatedExplicitVRLittleEndian, generate_uid

from SDSegLib.errors import InputError
from SDSegLib.reading.dicom import list_series, look_into
from SDSegLib.reading.files import read_volume
from SDSegLib.studies.find import find_studies

HU = ct_values(5)
BACK = ct_values(5) // 2
PRIVATE = "1.2.840.113619.4.30"
Edit = Callable[[int], dict[str, Any]]


def second_half(folder: Path, tags: Edit) -> None:
    """Five slices, and five more with the same SeriesInstanceUID above them, with other tags."""
    write_series(folder / "a", HU, uid="1.2.7")
    for k in range(5):
        place = (-10, -20, 40 + 2 * k)
        write_series(folder / f"b{k}", BACK[k : k + 1], uid="1.2.7", origin=place, **tags(k))


@pytest.mark.parametrize(
    ("tags", "differs"),
    [
        (lambda k: {"PatientID": "other-id"}, "another patient"),
        (lambda k: {"PatientName": "Other^Person"}, "another patient"),
        (lambda k: {"StudyInstanceUID": "1.2.3.99"}, "another study"),
        (lambda k: {"FrameOfReferenceUID": "1.2.3.98"}, "another frame of reference"),
        (lambda k: {"FrameOfReferenceUID": generate_uid()}, "another frame of reference"),
        (lambda k: {"ImageOrientationPatient": [0, 1, 0, 0, 0, -1]}, "another orientation"),
        (
            lambda k: {
                "PatientID": "other-id",
                "StudyInstanceUID": generate_uid(),
                "FrameOfReferenceUID": generate_uid(),
            },
            "another patient",
        ),
    ],
    ids=["id", "name", "study", "frame", "a frame each", "orientation", "all, each anew"],
)
def test_one_series_uid_for_several_series(tmp_path: Path, tags: Edit, differs: str) -> None:
    second_half(tmp_path, tags)

    first, second = list_series(tmp_path)

    assert (first.slices, second.slices) == (5, 5)
    assert (first.uid, second.uid, second.differs) == ("1.2.7", "1.2.7", differs)
    assert differs in str(second)
    with pytest.raises(InputError, match="holds 2 image series") as error:
        read_volume(tmp_path)
    assert differs in str(error.value)
    with pytest.raises(InputError, match=r"2 series with the UID '1\.2\.7'; choose one by number"):
        read_volume(tmp_path, "1.2.7")
    told = run_here("series", tmp_path).out
    assert differs in " ".join(told.split())
    assert r"\x0a" not in told
    np.testing.assert_array_equal(read_volume(tmp_path, "1").array, HU)
    assert "other" not in str(error.value).lower().replace("another", "")


def test_the_series_to_choose_from_stand_on_lines_of_their_own(tmp_path: Path) -> None:
    """Their descriptions can begin no line, whatever they hold."""
    for name, text in (("a", "Thorax"), ("b", "Neck\n  3: forged")):
        write_series(tmp_path / name, HU, SeriesDescription=text)
    done = run_sdseg("segment", tmp_path, "-o", tmp_path / "out.seg.nrrd")
    assert done.code == 2
    lines = done.err.rstrip().splitlines()
    assert lines[0].endswith("choose one by number or UID with --series:")
    assert [line[:4] for line in lines[1:]] == ["  1:", "  2:"], done.err


def test_slices_that_name_no_frame_of_reference_belong_to_the_others(tmp_path: Path) -> None:
    write_series(tmp_path, HU, uid="1.2.7", leave_out=[2])
    write_series(
        tmp_path,
        HU[2:3],
        uid="1.2.7",
        origin=(-10, -20, 34),
        names=["x"],
        FrameOfReferenceUID=None,
    )

    np.testing.assert_array_equal(read_volume(tmp_path).array, HU)


def cut_in_preamble(data: bytes) -> bytes:
    return data[:100]


def cut_in_header(data: bytes) -> bytes:
    return data[: data.index(b"Thorax 2.0") + 4]


def cut_before_size(data: bytes) -> bytes:
    return data[: data.index(b"\x28\x00\x10\x00") + 3]


def overwritten(data: bytes) -> bytes:
    return bytes(len(data))


@pytest.mark.parametrize("cut", [cut_in_preamble, cut_in_header, cut_before_size, overwritten])
@pytest.mark.parametrize("suffix", [".dcm", ""])
@pytest.mark.parametrize("private", [False, True], ids=["ct", "private class"])
def test_cut_slices_are_counted_and_named(
    tmp_path: Path, cut: Callable[[bytes], bytes], suffix: str, private: bool
) -> None:
    tags = {"SOPClassUID": PRIVATE} if private else {}
    names = [f"IM{k:04}{suffix}" for k in range(5)]
    files = write_series(tmp_path, HU, names=names, uid="1.2.7", **tags)
    whole = files[4].read_bytes()
    files[4].write_bytes(cut(whole))

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, HU[:4])
    assert volume.notes == (
        f"1 file of the folder could not be read as DICOM and was left out: IM0004{suffix}.",
    )
    assert look_into(tmp_path).notes == volume.notes

    files[2].write_bytes(cut(files[2].read_bytes()))
    with pytest.raises(InputError, match=rf"1 of 4 images are missing.*IM0002{suffix}, IM0004"):
        read_volume(tmp_path)


def test_slice_cut_between_size_and_pixels_is_refused_by_name(tmp_path: Path) -> None:
    files = write_series(tmp_path, HU)
    data = files[4].read_bytes()
    for place in (
        data.index(b"\x28\x00\x30\x00"),
        data.index(b"\x28\x00\x52\x10"),
        -len(HU[0]) * 9,
    ):
        files[4].write_bytes(data[:place])
        with pytest.raises(InputError, match=r"slice-004\.dcm .*cut short"):
            read_volume(tmp_path)


def test_pixels_of_an_unknown_type_are_damaged_not_shifted(tmp_path: Path) -> None:
    """pydicom would guess where they begin."""
    files = write_series(tmp_path, HU)
    data = files[4].read_bytes()
    files[4].write_bytes(data.replace(b"\xe0\x7f\x10\x00OW", b"\xe0\x7f\x10\x00\x97W"))

    assert "left out: slice-004.dcm." in read_volume(tmp_path).notes[0]


@pytest.mark.parametrize("tag", ["RescaleIntercept", "RescaleSlope"])
def test_one_slice_without_its_scaling_is_refused(tmp_path: Path, tag: str) -> None:
    write_series(tmp_path, HU, uid="1.2.7", leave_out=[3])
    lacks: dict[str, Any] = {tag: None}
    write_series(tmp_path, HU[3:4], uid="1.2.7", origin=(-10, -20, 36), names=["odd"], **lacks)

    with pytest.raises(InputError, match=rf"1 of 5 images lack {tag}.*unknown: odd"):
        read_volume(tmp_path)


def test_one_frame_without_its_scaling_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ct.dcm"
    write_enhanced(file, HU, range(5))
    dataset = dcmread(file)
    transformation = dataset.PerFrameFunctionalGroupsSequence[3].PixelValueTransformationSequence
    del transformation[0].RescaleIntercept
    dataset.save_as(file)

    with pytest.raises(InputError, match=r"1 of 5 images lack RescaleIntercept.*ct\.dcm frame 4"):
        read_volume(file)


@pytest.mark.parametrize("value", ["0", "nan", "1e999"])
def test_scaling_that_loses_the_values_is_refused(tmp_path: Path, value: str) -> None:
    files = write_series(tmp_path, HU, RescaleSlope="7777777")
    for file in files:
        file.write_bytes(file.read_bytes().replace(b"7777777 ", value.encode().ljust(8)))

    with pytest.raises(InputError, match=r"slice-000\.dcm.*RescaleSlope"):
        read_volume(tmp_path)


SCOUT = {"ImageOrientationPatient": list(SAGITTAL), "ImagePositionPatient": [0, -200, 300]}


@pytest.mark.parametrize(
    "tags",
    [
        SCOUT,
        {**SCOUT, "FrameOfReferenceUID": "1.2.3.98"},
        {**SCOUT, "ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]},
        {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER", "CT_SOM5 TOP"]},
    ],
)
def test_a_lone_localizer_is_set_aside_and_mentioned(tmp_path: Path, tags: dict) -> None:
    write_series(tmp_path, HU, uid="1.2.7")
    write_series(tmp_path, ct_values(1, 20, 30), uid="1.2.7", names=["scout"], **tags)

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ("1 scout image was left out: scout.",)
    assert [item.slices for item in list_series(tmp_path)] == [5]


def test_front_and_side_scout_and_a_screenshot_are_set_aside(tmp_path: Path) -> None:
    write_series(tmp_path, HU, uid="1.2.7")
    write_series(tmp_path, ct_values(1, 9, 9), uid="1.2.7", names=["side"], orientation=SAGITTAL)
    front = (1, 0, 0, 0, 0, -1)
    write_series(tmp_path, ct_values(1, 9, 7), uid="1.2.7", names=["front"], orientation=front)
    write_screenshot(tmp_path / "dose.dcm", uid="1.2.7")

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ("3 scout images were left out, such as dose.dcm.",)


def test_a_series_of_localizers_is_not_asked_about(tmp_path: Path) -> None:
    write_series(tmp_path / "b", HU, uid="1.2.8")
    write_series(
        tmp_path / "a", HU[:2], uid="1.2.7", ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]
    )

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ("Series of localizers in the folder were left out.",)
    assert [item.is_scout for item in list_series(tmp_path)] == [True, False]
    assert len(read_volume(tmp_path, "1.2.7").array) == 2


def test_localizers_alone_can_be_read(tmp_path: Path) -> None:
    (file,) = write_series(tmp_path, HU[:1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])

    assert read_volume(tmp_path).array.shape == (1, 6, 8)
    assert read_volume(file).notes == ()


@pytest.mark.parametrize("order", [(4, 3, 2, 1, 0), (2, 4, 0, 3, 1)], ids=["descending", "mixed"])
def test_frames_are_placed_by_their_positions(tmp_path: Path, order: tuple[int, ...]) -> None:
    write_enhanced(tmp_path / "ct.dcm", HU, order)

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, HU)
    np.testing.assert_allclose(volume.geometry.origin, (-10, -20, 30))
    assert volume.dicom_frames == tuple(order.index(k) for k in range(5))


def test_a_localizer_frame_is_set_aside(tmp_path: Path) -> None:
    file = tmp_path / "ct.dcm"
    write_enhanced(file, HU, range(5))
    dataset = dcmread(file)
    groups = dataset.PerFrameFunctionalGroupsSequence
    for number, group in enumerate(groups):
        orientation = SAGITTAL if number == 2 else (1, 0, 0, 0, 1, 0)
        group.PlaneOrientationSequence = [type(group)()]
        group.PlaneOrientationSequence[0].ImageOrientationPatient = list(orientation)
        if number == 4:
            groups[4].PlanePositionSequence = groups[2].PlanePositionSequence
    del dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence
    dataset.save_as(file)

    volume = read_volume(file)

    np.testing.assert_array_equal(volume.array, HU[[0, 1, 4, 3]])
    assert volume.notes == ("1 scout image was left out: ct.dcm frame 3.",)


def test_a_slice_without_orientation_is_never_set_aside(tmp_path: Path) -> None:
    write_series(tmp_path, HU, uid="1.2.7", leave_out=[4])
    lacks: dict[str, Any] = {"ImageOrientationPatient": None}
    write_series(tmp_path, HU[4:], uid="1.2.7", origin=(-10, -20, 38), names=["odd"], **lacks)

    with pytest.raises(InputError, match="odd lacks ImageOrientationPatient"):
        read_volume(tmp_path)


def test_absurd_size_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    write_series(tmp_path, HU, Rows=65535, Columns=65535)

    with pytest.raises(
        InputError, match=r"slice-000\.dcm .* announces 65535 × 65535.*8,589,672,450"
    ):
        read_volume(tmp_path)


def test_empty_transfer_syntax_is_refused(tmp_path: Path) -> None:
    for file in write_series(tmp_path, HU):
        dataset = dcmread(file)
        syntax = dataset.file_meta.TransferSyntaxUID.encode()
        data = file.read_bytes()
        start = data.index(syntax) - 2
        length = int.from_bytes(data[start : start + 2], "little")
        group = int.from_bytes(data[140:144], "little") - length
        data = data[:start] + b"\0\0" + data[start + 2 + length :]
        file.write_bytes(data[:140] + group.to_bytes(4, "little") + data[144:])

    with pytest.raises(InputError, match=r"slice-000\.dcm does not say how its pixels are stored"):
        read_volume(tmp_path)


def deflated(folder: Path) -> list[Path]:
    files = write_series(folder, ct_values(5, 60, 60))
    for file in files:
        dataset = dcmread(file)
        dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
        dataset.save_as(file)
    return files


def test_deflated_files_are_read_and_damaged_ones_named(tmp_path: Path) -> None:
    files = deflated(tmp_path)
    np.testing.assert_array_equal(read_volume(tmp_path).array, ct_values(5, 60, 60))

    files[4].write_bytes(files[4].read_bytes()[:-200])
    assert "left out: slice-004.dcm." in read_volume(tmp_path).notes[0]

    for file in files[:4]:
        file.write_bytes(file.read_bytes()[:-200])
    with pytest.raises(InputError, match=r"5 damaged DICOM files and no image: slice-000\.dcm"):
        read_volume(tmp_path)


def test_a_folder_of_damaged_files_is_a_study_that_fails(tmp_path: Path) -> None:
    for file in deflated(tmp_path / "damaged"):
        file.write_bytes(file.read_bytes()[:-200])
    write_series(tmp_path / "good", HU)
    write_report(tmp_path / "report" / "sr.dcm")

    damaged, good = find_studies(tmp_path)

    assert (damaged.name, good.name) == ("damaged", "good")
    with pytest.raises(InputError, match=r"5 damaged DICOM files and no image: slice-000\.dcm"):
        read_volume(damaged.source, damaged.series, damaged.phase)


def test_deflate_bomb_is_refused(tmp_path: Path) -> None:
    import tracemalloc

    (file,) = write_series(tmp_path, HU[:1])
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    dataset.PixelData = bytes(400_000_000)
    dataset.save_as(file)
    del dataset
    tracemalloc.start()

    with pytest.raises(
        InputError, match=r"slice-000\.dcm is damaged: its deflated content is larger"
    ):
        read_volume(tmp_path)

    assert tracemalloc.get_traced_memory()[1] < 200_000_000
    tracemalloc.stop()
