"""Image files as users have them: every format, every way in which a file can be unfit."""

from __future__ import annotations

import gzip
import os
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SDSegLib.errors import InputError
from SDSegLib.reading.files import read_volume
from SDSegLib.reading.volume_files import read_volume_here
from SDSegLib.volume.geometry import Geometry

HU = ((np.arange(5 * 6 * 8) * 37) % 2000 - 1000).reshape(5, 6, 8).astype(np.int16)
OBLIQUE = (0.8, -0.48, 0.36, 0.6, 0.64, -0.48, 0.0, 0.6, 0.8)
EVERY_FORMAT = [".nii", ".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"]


def write(
    path: Path,
    array: np.ndarray = HU,
    *,
    is_vector: bool = False,
    compressed: bool = True,
    direction: tuple[float, ...] = OBLIQUE,
) -> sitk.Image:
    """Write an image with SimpleITK; 3-D ones get an oblique grid."""
    image = sitk.GetImageFromArray(array, isVector=is_vector)
    if image.GetDimension() == 3:
        image.SetSpacing((0.5, 0.75, 2.0))
        image.SetOrigin((-10.0, -20.0, 30.0))
        image.SetDirection(direction)
    sitk.WriteImage(image, str(path), useCompression=compressed)
    return image


def nifti_with(path: Path, offset: int, form: str, *values: float) -> None:
    """Change a number in the header of an unpacked NIfTI-1 file."""
    data = bytearray(path.read_bytes())
    struct.pack_into(form, data, offset, *values)
    path.write_bytes(data)


def text_changed(path: Path, old: bytes, new: bytes) -> None:
    data = path.read_bytes()
    assert old in data
    path.write_bytes(data.replace(old, new))


def affine(image: sitk.Image) -> np.ndarray:
    matrix = np.eye(4)
    matrix[:3, :3] = np.array(image.GetDirection()).reshape(3, 3) * image.GetSpacing()
    matrix[:3, 3] = image.GetOrigin()
    return matrix


@pytest.mark.parametrize("suffix", EVERY_FORMAT)
@pytest.mark.parametrize("compressed", [True, False])
def test_every_format_gives_values_and_place(tmp_path: Path, suffix: str, compressed: bool) -> None:
    path = tmp_path / f"ct{suffix}"
    image = write(path, compressed=compressed)

    volume = read_volume(path)

    assert volume.array.dtype == np.int16
    np.testing.assert_array_equal(volume.array, HU)
    assert volume.geometry.matches(Geometry.from_affine_lps(HU.shape, affine(image)))
    assert (volume.name, volume.source, volume.modality) == ("ct", path, None)
    assert (volume.notes, volume.dicom_files) == ((), ())


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
@pytest.mark.parametrize(
    "number", ["int8", "uint8", "int16", "uint16", "int32", "float32", "uint32", "float64"]
)
def test_every_number_type_is_read(tmp_path: Path, suffix: str, number: str) -> None:
    values = (HU % 100).astype(number)
    write(tmp_path / f"ct{suffix}", values)

    array = read_volume(tmp_path / f"ct{suffix}").array

    assert array.dtype == (np.float32 if number in ("uint32", "float64") else number)
    np.testing.assert_array_equal(array, values)


def test_big_endian_files_are_read(tmp_path: Path) -> None:
    nrrd = (
        "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 8 6 5\n"
        "space directions: (1,0,0) (0,1,0) (0,0,2)\nendian: big\nencoding: raw\n\n"
    )
    (tmp_path / "ct.nrrd").write_bytes(nrrd.encode() + HU.astype(">i2").tobytes())
    header = bytearray(352)
    struct.pack_into(">i", header, 0, 348)
    struct.pack_into(">8h", header, 40, 3, 8, 6, 5, 1, 1, 1, 1)
    struct.pack_into(">2h", header, 70, 4, 16)
    struct.pack_into(">4f", header, 76, 1, 1, 1, 2)
    struct.pack_into(">f", header, 108, 352)
    struct.pack_into(">h", header, 252, 1)
    header[344:347] = b"n+1"
    (tmp_path / "ct.nii").write_bytes(bytes(header) + HU.astype(">i2").tobytes())

    for name in ("ct.nrrd", "ct.nii"):
        volume = read_volume(tmp_path / name)
        np.testing.assert_array_equal(volume.array, HU)
        assert volume.array.dtype.isnative
        assert volume.geometry.spacing == (1, 1, 2)


def test_nifti_2_is_read(tmp_path: Path) -> None:
    header = bytearray(544)
    struct.pack_into("<i8s2h", header, 0, 540, b"n+2\0\r\n\x1a\n", 4, 16)
    struct.pack_into("<8q", header, 16, 3, 8, 6, 5, 1, 1, 1, 1)
    struct.pack_into("<4d", header, 104, 1, 0.5, 0.75, 2)
    struct.pack_into("<q", header, 168, 544)
    struct.pack_into("<i", header, 348, 1)
    srow = (-0.5, 0, 0, 10, 0, -0.75, 0, 20, 0, 0, 2, 30)
    struct.pack_into("<12d", header, 400, *srow)
    (tmp_path / "ct.nii").write_bytes(bytes(header) + HU.tobytes())

    volume = read_volume(tmp_path / "ct.nii")

    np.testing.assert_array_equal(volume.array, HU)
    assert volume.geometry.spacing == (0.5, 0.75, 2)
    assert volume.geometry.origin == (-10, -20, 30)
    np.testing.assert_array_equal(volume.geometry.direction, np.eye(3))


@pytest.mark.parametrize(
    ("slope", "intercept", "number"), [(2.0, -1024.0, "int16"), (0.5, 3.0, "float32")]
)
def test_nifti_slope_and_intercept_are_applied(
    tmp_path: Path, slope: float, intercept: float, number: str
) -> None:
    path = tmp_path / "ct.nii"
    write(path)
    nifti_with(path, 112, "<2f", slope, intercept)

    array = read_volume(path).array

    assert array.dtype == number
    np.testing.assert_array_equal(array, HU * slope + intercept)


def test_nifti_lies_where_itk_puts_it(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    for qform, sform in [(0, 1), (1, 0), (1, 1), (1, 2), (2, 4), (0, 0)]:
        write(path)
        nifti_with(path, 252, "<2h", qform, sform)
        nifti_with(path, 292, "<f", 40.0)  # the sform's origin

        geometry = read_volume(path).geometry

        expected = affine(sitk.ReadImage(str(path)))
        np.testing.assert_allclose(geometry.affine_lps, expected, atol=1e-4)


def test_disagreeing_nifti_positions_are_mentioned(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    write(path)
    nifti_with(path, 252, "<2h", 1, 2)
    nifti_with(path, 292, "<f", 40.0)

    assert "30.0 mm apart; the qform is used" in read_volume(path).notes[0]

    nifti_with(path, 252, "<2h", 0, 0)
    assert "no position or orientation" in read_volume(path).notes[0]

    nifti_with(path, 252, "<2h", 0, 1)
    nifti_with(path, 80, "<f", 0.7)
    assert "0.7 × 0.75 × 2 mm in pixdim and as 0.5 × 0.75 × 2" in read_volume(path).notes[0]


def test_nifti_in_metres_becomes_millimetres(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    write(path)
    expected = read_volume(path).geometry
    nifti_with(path, 80, "<3f", 0.0005, 0.00075, 0.002)
    nifti_with(path, 268, "<3f", 0.01, 0.02, 0.03)
    nifti_with(path, 252, "<2h", 1, 0)
    nifti_with(path, 123, "<B", 1)

    assert read_volume(path).geometry.matches(expected)


def test_nifti_without_axes_at_right_angles_is_refused_with_their_angle(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    write(path)
    nifti_with(path, 252, "<2h", 0, 1)
    nifti_with(path, 280, "<12f", 1, 0.1, 0.2, 0, 0, 1, 1, 0, 0.1, 0, 2, 0)

    with pytest.raises(InputError, match=r"ct\.nii: .* miss the right angle by 26\.9°.*resample"):
        read_volume(path)


def test_slightly_rounded_nifti_axes_are_accepted(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    write(path)
    nifti_with(path, 252, "<2h", 0, 1)
    nifti_with(path, 280, "<12f", 1, 0.001, 0, 0, 0, 1, 0, 0, 0, 0, 2, 0)

    assert read_volume(path).geometry.spacing == pytest.approx((1, 1, 2), abs=1e-3)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_one_slice_and_one_frame_are_volumes(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"slice{suffix}", HU[:1])
    write(tmp_path / f"frame{suffix}", HU[None])

    np.testing.assert_array_equal(read_volume(tmp_path / f"slice{suffix}").array, HU[:1])
    np.testing.assert_array_equal(read_volume(tmp_path / f"frame{suffix}").array, HU)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
def test_other_than_one_grey_volume_is_refused(tmp_path: Path, suffix: str) -> None:
    write(tmp_path / f"flat{suffix}", HU[0])
    write(tmp_path / f"series{suffix}", np.stack([HU, HU, HU]))
    write(tmp_path / f"colour{suffix}", np.zeros((5, 6, 8, 3), np.uint8), is_vector=True)
    write(tmp_path / f"complex{suffix}", HU.astype(np.complex64))

    with pytest.raises(InputError, match="2-D image of 8 × 6 pixels; give a whole volume"):
        read_volume(tmp_path / f"flat{suffix}")
    with pytest.raises(InputError, match="4-D image of 8 × 6 × 5 × 3; save the one 3-D frame"):
        read_volume(tmp_path / f"series{suffix}")
    with pytest.raises(InputError, match=r"(3 numbers per voxel|RGB).*one number per voxel"):
        read_volume(tmp_path / f"colour{suffix}")
    with pytest.raises(InputError, match=r"(2 numbers per voxel|complex).*one number per voxel"):
        read_volume(tmp_path / f"complex{suffix}")


@pytest.mark.parametrize("suffix", EVERY_FORMAT)
@pytest.mark.parametrize("compressed", [True, False])
@pytest.mark.parametrize("kept", [0.6, 0.97])
def test_cut_files_are_refused(tmp_path: Path, suffix: str, compressed: bool, kept: float) -> None:
    path = tmp_path / f"ct{suffix}"
    write(path, compressed=compressed)
    voxels = next((file for file in tmp_path.iterdir() if file != path), path)
    voxels.write_bytes(voxels.read_bytes()[: int(voxels.stat().st_size * kept)])

    with pytest.raises(InputError, match=rf"ct\{suffix}: .*cut short"):
        read_volume(path)


@pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".nhdr", ".mha", ".mhd"])
def test_damaged_compressed_files_are_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ct{suffix}"
    write(path)
    voxels = next((file for file in tmp_path.iterdir() if file != path), path)
    data = bytearray(voxels.read_bytes())
    for place in range(len(data) - 40, len(data) - 30):
        data[place] ^= 0x5A
    voxels.write_bytes(data)

    with pytest.raises(InputError, match=r"damaged"):
        read_volume(path)


def test_damaged_nifti_is_not_replaced_by_its_neighbour(tmp_path: Path) -> None:
    write(tmp_path / "ct.nii")
    (tmp_path / "ct.nii.gz").write_bytes(b"\x1f\x8b\x08" + bytes(50))

    with pytest.raises(InputError, match="damaged"):
        read_volume(tmp_path / "ct.nii.gz")


@pytest.mark.parametrize("suffix", [".nhdr", ".mhd"])
def test_header_without_its_data_file_names_it(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ct{suffix}"
    write(path)
    (data,) = [file for file in tmp_path.iterdir() if file != path]
    data.unlink()

    with pytest.raises(InputError, match=rf"'{data.name}' next to it, which is missing"):
        read_volume(path)


def test_zero_or_missing_spacing_is_refused(tmp_path: Path) -> None:
    identity = (1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0)
    for name in ("zero.nrrd", "none.nrrd", "zero.mha", "none.mha", "zero.nii"):
        write(tmp_path / name, direction=identity)
    text_changed(tmp_path / "zero.nrrd", b"(0,0,2)", b"(0,0,0)")
    text_changed(tmp_path / "none.nrrd", b"space directions: (0.5,0,0) (0,0.75,0) (0,0,2)\n", b"")
    text_changed(tmp_path / "zero.mha", b"ElementSpacing = 0.5 0.75 2", b"ElementSpacing = 1 1 0")
    text_changed(tmp_path / "none.mha", b"ElementSpacing = 0.5 0.75 2\n", b"")
    nifti_with(tmp_path / "zero.nii", 252, "<2h", 1, 0)
    nifti_with(tmp_path / "zero.nii", 88, "<f", 0)

    for name, finding in {
        "zero.nrrd": "zero|lie in one plane",
        "none.nrrd": "no voxel spacing; add the line 'space directions'",
        "zero.mha": "zero",
        "none.mha": "no voxel spacing; add the line 'ElementSpacing'",
        "zero.nii": "zero or not a number",
    }.items():
        with pytest.raises(InputError, match=rf"{name}: .*({finding})"):
            read_volume(tmp_path / name)


@pytest.mark.parametrize(
    ("old", "new"), [(b"NDims = 3", b"NDims = -3"), (b"DimSize = 8 6 5", b"DimSize = 8 -6 5")]
)
def test_a_metaimage_header_that_would_crash_itk_is_refused(
    tmp_path: Path, old: bytes, new: bytes
) -> None:
    write(tmp_path / "ct.mha")
    text_changed(tmp_path / "ct.mha", old, new)

    with pytest.raises(InputError, match=r"header is damaged \(NDims is -?3, DimSize is 8 -?6 5"):
        read_volume(tmp_path / "ct.mha")


def test_negative_spacing_counts_slices_the_other_way(tmp_path: Path) -> None:
    write(tmp_path / "ct.mha", direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    text_changed(tmp_path / "ct.mha", b"= 0.5 0.75 2\n", b"= 0.5 0.75 -2\n")

    geometry = read_volume(tmp_path / "ct.mha").geometry

    assert geometry.spacing == (0.5, 0.75, 2)
    np.testing.assert_allclose(geometry.affine_lps @ [0, 0, 1, 1], [-10, -20, 28, 1])


def test_files_without_patient_axes_say_what_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "ct.nrrd")
    text_changed(tmp_path / "ct.nrrd", b"left-posterior-superior", b"scanner-xyz")
    write(tmp_path / "ct.mha")
    text_changed(tmp_path / "ct.mha", b"TransformMatrix", b"Other")

    assert "field 'space'" in read_volume(tmp_path / "ct.nrrd").notes[0]
    assert "'TransformMatrix'" in read_volume(tmp_path / "ct.mha").notes[0]


def test_nrrd_in_ras_lies_at_the_same_place(tmp_path: Path) -> None:
    image = write(tmp_path / "ct.nrrd", direction=(1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0))
    text_changed(
        tmp_path / "ct.nrrd",
        b"space directions: (0.5,0,0) (0,0.75,0)",
        b"space directions: (-0.5,0,0) (0,-0.75,0)",
    )
    text_changed(tmp_path / "ct.nrrd", b"origin: (-10,-20,30)", b"origin: (10,20,30)")
    text_changed(tmp_path / "ct.nrrd", b"left-posterior-superior", b"right-anterior-superior")

    geometry = read_volume(tmp_path / "ct.nrrd").geometry

    assert geometry.matches(Geometry.from_affine_lps(HU.shape, affine(image)))


def test_a_header_that_asks_for_more_than_there_can_be_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "ct.nii")
    nifti_with(tmp_path / "ct.nii", 42, "<3h", 32000, 32000, 32000)
    with gzip.open(tmp_path / "ct.nii.gz", "wb") as file:
        file.write((tmp_path / "ct.nii").read_bytes())

    for name in ("ct.nii", "ct.nii.gz"):
        with pytest.raises(InputError, match="cut short: the image needs 65,536,000,000,352 bytes"):
            read_volume(tmp_path / name)


def test_content_counts_not_the_name(tmp_path: Path) -> None:
    write(tmp_path / "a.nii")
    (tmp_path / "a.nii").rename(tmp_path / "b.nii.gz")
    write(tmp_path / "c.nrrd")
    (tmp_path / "c.nrrd").rename(tmp_path / "scan")

    np.testing.assert_array_equal(read_volume(tmp_path / "b.nii.gz").array, HU)
    np.testing.assert_array_equal(read_volume(tmp_path / "scan").array, HU)


def test_what_is_no_image_is_refused(tmp_path: Path) -> None:
    sitk.WriteImage(sitk.Image(8, 6, sitk.sitkUInt8), str(tmp_path / "page.png"))
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        archive.writestr("a", "b")
    (tmp_path / "empty.nii").write_bytes(b"")
    (tmp_path / "text.nii").write_text("hello")
    (tmp_path / "text.nii.gz").write_bytes(gzip.compress(b"hello"))
    (tmp_path / "text.nrrd").write_bytes(b"NRRD0004\nhello\n")
    (tmp_path / "folder").mkdir()

    for name, finding in {
        "page.png": "is a picture without a place in the patient",
        "ct.zip": "ZIP archive; unpack it",
        "empty.nii": "is empty",
        "text.nii": "not an image in a known format",
        "text.nii.gz": "not an image in a known format",
        "text.nrrd": r"Its header is damaged \(line 'hello'\)",
        "missing.nii": "does not exist",
        "folder": "no DICOM images",
    }.items():
        with pytest.raises(InputError, match=rf"{name}.* {finding}"):
            read_volume(tmp_path / name)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes on this system")
def test_a_pipe_is_refused_without_waiting_for_it(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.nii")

    with pytest.raises(InputError, match="neither a file nor a folder"):
        read_volume(tmp_path / "pipe.nii")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="this user may open every file"
)
def test_a_file_without_access_rights_is_named(tmp_path: Path) -> None:
    write(tmp_path / "ct.nii")
    (tmp_path / "ct.nii").chmod(0)

    with pytest.raises(InputError, match=r"ct\.nii cannot be opened .*access rights"):
        read_volume(tmp_path / "ct.nii")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot be opened|does not exist"):
        read_volume(tmp_path / ("x" * 300))


def test_a_series_can_be_chosen_only_in_a_folder(tmp_path: Path) -> None:
    write(tmp_path / "ct.nii")

    with pytest.raises(InputError, match="only in a DICOM folder"):
        read_volume(tmp_path / "ct.nii", series="1")


@pytest.mark.parametrize("suffix", EVERY_FORMAT)
def test_names_in_any_script_are_read(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "Müller é 胸部 CT"
    folder.mkdir()
    write(folder / f"scan ß 肺{suffix}")

    volume = read_volume(folder / f"scan ß 肺{suffix}")

    np.testing.assert_array_equal(volume.array, HU)
    assert volume.name == "scan ß 肺"


def test_real_files_agree_with_itk(shared_data: Path) -> None:
    for name in ("abdomen_ct/ct.nii.gz", "head_neck_oar/train/pt_1/ct.nii.gz"):
        image = sitk.ReadImage(str(shared_data / name))

        volume = read_volume(shared_data / name)

        np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image))
        expected = Geometry.from_affine_lps(volume.array.shape, affine(image))
        assert volume.geometry.matches(expected)
        assert volume.notes == ()


def test_headers_are_read_without_python_s_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It fails now and then when several threads use it (CPython 3.11), and they read files."""
    import ast

    import nibabel.nifti1  # its import uses the parser  # noqa: F401

    image = sitk.GetImageFromArray(np.zeros((3, 4, 5), np.int16))
    sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))

    def refuse(*_: object, **__: object) -> None:
        raise SystemError("AST constructor recursion depth mismatch")

    monkeypatch.setattr(ast, "literal_eval", refuse)
    assert read_volume_here(tmp_path / "a.nii.gz").array.shape == (3, 4, 5)
