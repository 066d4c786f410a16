"""DICOM folders as users have them: which series there are, and how one becomes a volume."""

from __future__ import annotations

import locale
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import (
    OBLIQUE,
    SAGITTAL,
    ct_values,
    write_enhanced,
    write_report,
    write_screenshot,
    write_series,
)
from pydicom import Dataset, dcmread
from pydicom.uid import MPEG4HP41, RLELossless

from SDSegLib.errors import InputError
from SDSegLib.reading.dicom import list_series, read_series
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.geometry import Geometry

HU = ct_values(5)


def itk_series(files: list[Path]) -> tuple[np.ndarray, Geometry]:
    """The series as SimpleITK's GDCM reader sees it, for slices in the order of `files`."""
    reader = sitk.ImageSeriesReader()
    reader.SetImageIO("GDCMImageIO")
    reader.SetFileNames([str(file) for file in files])
    image = reader.Execute()
    array = sitk.GetArrayFromImage(image)
    direction = np.array(image.GetDirection()).reshape(3, 3)
    return array, Geometry(array.shape, image.GetSpacing(), image.GetOrigin(), direction)


def test_axial_series_becomes_hu_on_the_scanner_grid(tmp_path: Path) -> None:
    files = write_series(tmp_path, HU)

    volume = read_volume(tmp_path)

    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, HU)
    np.testing.assert_allclose(volume.geometry.spacing, (0.5, 0.75, 2.0))
    np.testing.assert_allclose(volume.geometry.origin, (-10, -20, 30))
    np.testing.assert_allclose(volume.geometry.direction, np.eye(3))
    assert volume.dicom_files == tuple(files)
    assert (volume.name, volume.modality, volume.source) == ("Thorax 2.0", "CT", tmp_path)
    assert volume.notes == ()


def test_order_comes_from_positions_not_from_names_or_numbers(tmp_path: Path) -> None:
    names = ["z", "b.dcm", "IM_0001", "a", "10"]
    files = write_series(tmp_path / "a" / "b", HU, names=names, InstanceNumber=7)
    (tmp_path / "notes.txt").write_text("not DICOM")
    (tmp_path / "DICOMDIR").write_bytes(files[0].read_bytes())

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, HU)
    assert [file.name for file in volume.dicom_files] == names


@pytest.mark.parametrize("orientation", [SAGITTAL, OBLIQUE, (-1, 0, 0, 0, 1, 0)])
def test_any_orientation_is_right_handed_and_agrees_with_itk(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    files = write_series(tmp_path, HU, orientation=orientation)

    volume = read_volume(tmp_path)

    array, geometry = itk_series(files)
    np.testing.assert_array_equal(volume.array, array)
    assert volume.geometry.matches(geometry)
    assert np.linalg.det(volume.geometry.direction) == pytest.approx(1.0)


def test_real_compressed_series_agrees_with_itk(shared_data: Path) -> None:
    volume = read_volume(shared_data / "abdomen_ct" / "dicom_series")

    array, geometry = itk_series(list(volume.dicom_files))
    np.testing.assert_array_equal(volume.array, array)
    assert volume.geometry.matches(geometry)
    assert (volume.modality, volume.array.shape, volume.array.min()) == (
        "CT",
        (20, 512, 512),
        -1024,
    )


def test_real_head_series_is_the_same_image_as_its_nrrd(shared_data: Path) -> None:
    dicom = read_volume(shared_data / "head_ct_small" / "dicom")

    nrrd = read_volume(shared_data / "head_ct_small" / "CTHeadAxial.nhdr")

    np.testing.assert_array_equal(dicom.array, nrrd.array)
    assert dicom.geometry.matches(nrrd.geometry)


def test_series_are_listed_without_patient_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_series(tmp_path / "b", HU, uid="1.2.9", SeriesNumber=2)
    write_series(
        tmp_path / "a", ct_values(3, 4, 4), uid="1.2.8", SeriesNumber=11, SeriesDescription="Bone"
    )
    write_report(tmp_path / "report.dcm")

    with caplog.at_level(logging.DEBUG):
        first, second = list_series(tmp_path)

    assert (first.number, first.uid, first.modality) == (1, "1.2.9", "CT")
    assert first.description == "Thorax 2.0"
    assert (first.slices, first.size) == (5, (8, 6))
    assert first.spacing == pytest.approx((0.5, 0.75, 2.0))
    assert (second.number, second.uid, second.slices) == (2, "1.2.8", 3)
    assert "ecret" not in caplog.text + repr(first) + str(second)


def test_several_series_must_be_chosen_from(tmp_path: Path) -> None:
    write_series(tmp_path, HU, uid="1.2.8", SeriesNumber=1, SeriesDescription="Lung")
    other = ct_values(3) // 2
    names = ["x0", "x1", "x2"]
    write_series(tmp_path, other, uid="1.2.9", SeriesNumber=2, names=names, Modality="PT")

    with pytest.raises(InputError, match=r"2 image series.*--series") as error:
        read_volume(tmp_path)
    for part in ('1: CT "Lung"', "1.2.8", '2: PT "Thorax 2.0"', "1.2.9", "8 × 6 × 3"):
        assert part in str(error.value)

    np.testing.assert_array_equal(read_volume(tmp_path, "1.2.8").array, HU)
    np.testing.assert_array_equal(read_volume(tmp_path, "2").array, other)
    assert read_volume(tmp_path, "2").modality == "PT"
    with pytest.raises(InputError, match=r"no series '3'.*\n.*1\.2\.8"):
        read_volume(tmp_path, "3")


def test_two_series_without_uid_are_told_apart(tmp_path: Path) -> None:
    write_series(tmp_path / "a", HU, SeriesInstanceUID="", SeriesDescription="Lung")
    write_series(tmp_path / "b", HU, SeriesInstanceUID="", SeriesDescription="Bone")

    assert read_volume(tmp_path, "2").name == "Lung"


@pytest.mark.parametrize(
    ("left_out", "finding"),
    [
        ([2], r"1 of 5 images are missing.* between 32\.00 and 36\.00 mm"),
        ([1, 2], r"2 of 5 images are missing.* between 30\.00 and 36\.00 mm"),
    ],
)
def test_missing_slices_are_named(tmp_path: Path, left_out: list[int], finding: str) -> None:
    write_series(tmp_path, HU, leave_out=left_out)

    with pytest.raises(InputError, match=rf"{finding}.* usual step is 2\.00 mm"):
        read_volume(tmp_path)


def test_uneven_spacing_is_refused_but_rounded_positions_are_not(tmp_path: Path) -> None:
    for k, z in enumerate((0.0, 0.6, 1.3, 1.9, 2.5)):  # 0.625 mm, written with one decimal
        place: dict[str, Any] = {"ImagePositionPatient": [0, 0, z], "SliceThickness": 0.625}
        write_series(tmp_path / "even", HU[k : k + 1], uid="1.2", names=[f"{k}"], **place)
    for k, z in enumerate((0.0, 2.0, 4.0, 7.0, 9.5)):
        place = {"ImagePositionPatient": [0, 0, z]}
        write_series(tmp_path / "uneven", HU[k : k + 1], uid="1.2", names=[f"{k}"], **place)

    assert read_volume(tmp_path / "even").geometry.spacing[2] == pytest.approx(0.625)
    with pytest.raises(InputError, match=r"unevenly spaced: steps are 2.00 to 3.00 mm.*3D Slicer"):
        read_volume(tmp_path / "uneven")


def test_two_images_at_one_place_are_named(tmp_path: Path) -> None:
    write_series(tmp_path, HU, uid="1.2.8")
    write_series(tmp_path, HU[1:2] // 2, uid="1.2.8", origin=(-10, -20, 32), names=["other"])

    with pytest.raises(InputError, match=r"1 of 6 images lie.*32.00 mm") as error:
        read_volume(tmp_path)
    assert "slice-001.dcm" in str(error.value)
    assert "other" in str(error.value)


def test_exact_copies_of_files_count_once_and_are_mentioned(tmp_path: Path) -> None:
    for file in write_series(tmp_path, HU):
        (tmp_path / "backup").mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "backup")

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, HU)
    assert "5 files are exact copies" in volume.notes[0]


def test_a_single_shifted_image_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, HU, uid="1.2", leave_out=[2])
    write_series(tmp_path, HU[:1], uid="1.2", origin=(-4, -20, 34), names=["stray"])

    with pytest.raises(InputError, match=r"stray is shifted by 6.00 mm"):
        read_volume(tmp_path)


@pytest.mark.parametrize(
    ("values", "tags", "finding"),
    [
        (ct_values(1, 12, 16), {}, "different size.*8 × 6 pixels.*16 × 12"),
        (ct_values(1), {"PixelSpacing": [0.8, 0.5]}, "different pixel spacing.*0.5 × 0.8 mm"),
        (ct_values(1), {"ImageOrientationPatient": [1, 0.01, 0, 0, 1, 0]}, "different orientation"),
    ],
)
def test_mixed_images_are_refused(
    tmp_path: Path, values: np.ndarray, tags: dict[str, Any], finding: str
) -> None:
    write_series(tmp_path, HU, uid="1.2")
    write_series(tmp_path, values, uid="1.2", origin=(-10, -20, 40), names=["odd"], **tags)

    with pytest.raises(InputError, match=rf"{finding}") as error:
        read_volume(tmp_path)
    assert "odd" in str(error.value)


def test_scout_in_the_series_is_left_out_and_mentioned(tmp_path: Path) -> None:
    write_series(tmp_path, HU, uid="1.2")
    scout: dict[str, Any] = {"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}
    write_series(
        tmp_path, ct_values(1, 9, 9), uid="1.2", orientation=SAGITTAL, names=["scout"], **scout
    )

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, HU)
    assert volume.notes == ("1 scout image was left out: scout.",)


def test_colour_image_is_refused(tmp_path: Path) -> None:
    write_screenshot(tmp_path / "screenshot.dcm")

    with pytest.raises(InputError, match=r"colour image \(RGB, 3 samples"):
        read_volume(tmp_path)


@pytest.mark.parametrize("tag", ["ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"])
def test_images_without_their_place_are_refused(tmp_path: Path, tag: str) -> None:
    no_place: dict[str, Any] = {tag: None}
    write_series(tmp_path, HU, **no_place)

    with pytest.raises(InputError, match=f"lacks {tag}"):
        read_volume(tmp_path)


def test_nonsense_in_a_header_is_refused(tmp_path: Path) -> None:
    write_series(tmp_path / "zero", HU, PixelSpacing=[0, 0.5])
    write_series(tmp_path / "few", HU, PixelSpacing=[0.5])
    write_series(tmp_path / "skew", HU, ImageOrientationPatient=[1, 0, 0, 0.7, 0.7, 0])

    with pytest.raises(InputError, match=r"spacing is 0.5 × 0 × 2 mm"):
        read_volume(tmp_path / "zero")
    with pytest.raises(InputError, match="PixelSpacing has 1 numbers, not 2"):
        read_volume(tmp_path / "few")
    with pytest.raises(InputError, match="ImageOrientationPatient"):
        read_volume(tmp_path / "skew")


def test_single_slice_takes_its_thickness(tmp_path: Path) -> None:
    (file,) = write_series(tmp_path, HU[:1], SliceThickness=3)

    for path in (tmp_path, file):
        volume = read_volume(path)
        np.testing.assert_array_equal(volume.array, HU[:1])
        assert volume.geometry.spacing == pytest.approx((0.5, 0.75, 3.0))
        assert volume.notes == ()


def test_single_slice_without_thickness_says_what_is_taken(tmp_path: Path) -> None:
    write_series(tmp_path, HU[:1], SliceThickness=None)

    volume = read_volume(tmp_path)

    assert volume.geometry.spacing[2] == 1.0
    assert "1 mm is taken" in volume.notes[0]


def test_enhanced_ct_is_read_frame_by_frame(tmp_path: Path) -> None:
    file = tmp_path / "enhanced.dcm"
    write_enhanced(file, HU, order=[3, 0, 4, 1, 2])

    volume = read_volume(file)

    np.testing.assert_array_equal(volume.array, HU)
    assert volume.geometry.spacing == pytest.approx((0.5, 0.75, 2.0))
    assert volume.geometry.origin == pytest.approx((-10, -20, 30))
    assert volume.dicom_files == (file,) * 5
    assert list_series(tmp_path)[0].slices == 5


def test_frames_without_positions_are_refused(tmp_path: Path) -> None:
    write_enhanced(tmp_path / "cine.dcm", HU, range(5), PerFrameFunctionalGroupsSequence=None)

    with pytest.raises(InputError, match="5 frames without a position each"):
        read_volume(tmp_path)


def test_fractional_rescale_gives_floats(tmp_path: Path) -> None:
    write_series(tmp_path, HU, RescaleSlope=0.5)

    volume = read_volume(tmp_path)

    assert volume.array.dtype == np.float32
    np.testing.assert_allclose(volume.array, (HU + 1024.0) * 0.5 - 1024.0)


def test_one_slice_with_another_slope_keeps_the_others_exact(tmp_path: Path) -> None:
    write_series(tmp_path, HU, uid="1.2", leave_out=[4])
    write_series(
        tmp_path, HU[4:], uid="1.2", origin=(-10, -20, 38), names=["last"], RescaleSlope=1.5
    )

    array = read_volume(tmp_path).array

    assert array.dtype == np.float32
    np.testing.assert_array_equal(array[:4], HU[:4])
    np.testing.assert_allclose(array[4], (HU[4] + 1024.0) * 1.5 - 1024.0)


def test_values_beyond_16_bits_are_kept_as_floats(tmp_path: Path) -> None:
    write_series(tmp_path, HU, RescaleSlope=40)

    np.testing.assert_array_equal(read_volume(tmp_path).array, (HU + 1024.0) * 40 - 1024)


def test_run_length_compressed_series_is_read(tmp_path: Path) -> None:
    for file in write_series(tmp_path, HU):
        dataset = dcmread(file)
        dataset.compress(RLELossless)
        dataset.save_as(file)

    np.testing.assert_array_equal(read_volume(tmp_path).array, HU)


def test_jpeg_lossless_that_pydicom_cannot_decode_is_read_by_itk(tmp_path: Path) -> None:
    image = sitk.GetImageFromArray(np.tile(HU[0], (4, 4)).astype(np.int16))
    image = sitk.JoinSeries(image)
    for keyword, value in {
        **{"0008|0060": "CT", "0020|000e": "1.2.8", "0028|1052": "-1024", "0028|1053": "1"},
        **{"0020|0032": "-10\\-20\\30", "0020|0037": "1\\0\\0\\0\\1\\0"},
    }.items():
        image.SetMetaData(keyword, value)
    file = tmp_path / "jpeg.dcm"
    before = locale.setlocale(locale.LC_ALL)
    sitk.WriteImage(image, str(file), useCompression=True, compressor="JPEG")
    locale.setlocale(locale.LC_ALL, before)
    assert dcmread(file).file_meta.TransferSyntaxUID.name.startswith("JPEG Lossless")

    np.testing.assert_array_equal(read_volume(file).array, sitk.GetArrayFromImage(image))
    assert locale.setlocale(locale.LC_ALL) == before


def test_compression_without_decoder_is_named(tmp_path: Path) -> None:
    (file,) = write_series(tmp_path, HU[:1])
    dataset = dcmread(file)
    dataset.file_meta.TransferSyntaxUID = MPEG4HP41
    dataset["PixelData"].is_undefined_length = True
    dataset.PixelData = b"\xfe\xff\x00\xe0\x00\x00\x00\x00\xfe\xff\x00\xe0\x04\x00\x00\x00abcd"
    dataset.save_as(file)

    with pytest.raises(InputError, match=r'MPEG-4.*pip install "sdseg\[dicom\]"'):
        read_volume(tmp_path)


def test_cut_file_is_named(tmp_path: Path) -> None:
    files = write_series(tmp_path, HU)
    files[2].write_bytes(files[2].read_bytes()[:-40])

    with pytest.raises(InputError, match=r"slice-002\.dcm.*cut short"):
        read_volume(tmp_path)


@pytest.mark.filterwarnings("ignore:End of file reached")
def test_cut_compressed_file_is_named(tmp_path: Path) -> None:
    files = write_series(tmp_path, ct_values(2, 40, 40))
    for file in files:
        dataset = dcmread(file)
        dataset.compress(RLELossless)
        dataset.save_as(file)
    files[1].write_bytes(files[1].read_bytes()[:-700])

    with pytest.raises(InputError, match=r"slice-001\.dcm.*(damaged|cut short)"):
        read_volume(tmp_path)


def test_file_without_pixels_is_named(tmp_path: Path) -> None:
    write_series(tmp_path, HU, PixelData=None)

    with pytest.raises(InputError, match=r"slice-000\.dcm holds no pixels"):
        read_volume(tmp_path)


def test_damaged_files_in_the_folder_are_mentioned(tmp_path: Path) -> None:
    write_series(tmp_path, HU)
    (tmp_path / "empty.dcm").write_bytes(b"")
    (tmp_path / "half.dcm").write_bytes(bytes(128) + b"DICM")

    volume = read_volume(tmp_path)

    assert volume.notes[0].startswith("2 files of the folder could not be read as DICOM")


def test_old_files_without_preamble_are_read(tmp_path: Path) -> None:
    for file in write_series(tmp_path, HU):
        bare = Dataset()
        bare.update(dcmread(file))
        bare.save_as(file.with_suffix(""), implicit_vr=True, little_endian=True)
        file.unlink()
    assert (tmp_path / "slice-000").read_bytes()[128:132] != b"DICM"

    np.testing.assert_array_equal(read_volume(tmp_path).array, HU)


def test_folders_without_images_say_what_is_in_them(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    write_report(tmp_path / "report" / "sr.dcm")
    (tmp_path / "nifti").mkdir()
    (tmp_path / "nifti" / "ct.nii.gz").write_bytes(b"")

    with pytest.raises(InputError, match="holds no DICOM images; give"):
        read_volume(tmp_path / "empty")
    with pytest.raises(InputError, match=r"no image series \(1 × SR\)"):
        read_volume(tmp_path / "report")
    with pytest.raises(InputError, match=r"but ct\.nii\.gz; give that file"):
        read_volume(tmp_path / "nifti")
    (tmp_path / "nifti" / "other.nrrd").write_bytes(b"")
    with pytest.raises(InputError, match=r"2 image files, such as ct\.nii\.gz; give one of them"):
        read_volume(tmp_path / "nifti")
    assert list_series(tmp_path) == []
    with pytest.raises(InputError, match="cannot be opened as a folder"):
        list_series(tmp_path / "missing")


def test_report_file_is_no_image(tmp_path: Path) -> None:
    write_report(tmp_path / "sr.dcm")

    with pytest.raises(InputError, match=r"without an image \(SR\)"):
        read_volume(tmp_path / "sr.dcm")


def test_names_in_any_script_are_read(tmp_path: Path) -> None:
    folder = tmp_path / "Thorax é ü 胸部 CT"
    write_series(folder, HU, names=[f"층 {k} ß.dcm" for k in range(5)])

    np.testing.assert_array_equal(read_series(folder).array, HU)
