"""Values of DICOM slices: padding is air, and every usual compression is decoded."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dicom_maker import ct_values, write_enhanced, write_series
from pydicom import dcmread
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from SDSegLib.reading.files import read_volume

BODY = np.clip(ct_values(5, 60, 64), -900, None)
BODY[:, 5:15, 6:18] = 40


def padded_series(folder: Path, stored: int, signed: bool, intercept: int, **tags: Any) -> Any:
    """A series whose corners hold the stored number `stored`; its body and where padding is."""
    is_padding = np.zeros(BODY.shape, bool)
    is_padding[:, :4, :5] = is_padding[:, -3:, -4:] = True
    files = write_series(folder, BODY, RescaleIntercept=intercept)
    for plane, mask, file in zip(BODY, is_padding, files, strict=True):
        dataset = dcmread(file)
        dataset.PixelRepresentation = int(signed)
        dataset.BitsStored, dataset.HighBit = 16, 15
        kind = np.int16 if signed else np.uint16
        pixels = np.where(mask, stored, plane.astype(int) - intercept)
        dataset.PixelData = pixels.astype(kind).tobytes()
        for keyword, value in tags.items():
            vr = "SS" if value < 0 else "US"
            dataset.add_new(keyword, vr, value)
        dataset.save_as(file)
    return is_padding


@pytest.mark.parametrize(
    ("stored", "signed", "intercept", "tags"),
    [
        (-2000, True, 0, {"PixelPaddingValue": -2000}),
        (-3024, True, 0, {"PixelPaddingValue": -3024}),
        (-2000, True, -1024, {"PixelPaddingValue": -2000}),
        (-2000, True, 0, {"PixelPaddingValue": 63536}),
        (63536, False, -1024, {"PixelPaddingValue": 63536}),
        (63536, False, -1024, {"PixelPaddingValue": -2000}),
        (32767, True, 0, {"PixelPaddingValue": 32767}),
        (65535, False, -1024, {"PixelPaddingValue": 65535}),
        (4500, False, -1024, {"PixelPaddingValue": 4400, "PixelPaddingRangeLimit": 5000}),
        (0, False, -1024, {"PixelPaddingValue": 0}),
    ],
)
def test_padding_is_air(
    tmp_path: Path, stored: int, signed: bool, intercept: int, tags: dict[str, int]
) -> None:
    is_padding = padded_series(tmp_path, stored, signed, intercept, **tags)

    array = read_volume(tmp_path).array

    assert array.dtype == np.int16
    assert (array[is_padding] == -1024).all()
    np.testing.assert_array_equal(array[~is_padding], BODY[~is_padding])


def test_padding_with_the_value_of_tissue_leaves_tissue_inside(tmp_path: Path) -> None:
    is_padding = padded_series(tmp_path, 40, True, 0, PixelPaddingValue=40)

    array = read_volume(tmp_path).array

    assert (array[is_padding] == -1024).all()
    np.testing.assert_array_equal(array[:, 5:15, 6:18], 40)


def test_padding_of_other_modalities_is_their_lowest_value(tmp_path: Path) -> None:
    is_padding = padded_series(tmp_path, 63536, False, -1024, PixelPaddingValue=63536)
    for file in tmp_path.iterdir():
        dataset = dcmread(file)
        dataset.Modality = "MR"
        dataset.save_as(file)

    array = read_volume(tmp_path).array

    assert (array[is_padding] == -900).all()


def test_padding_of_an_enhanced_file_is_air(tmp_path: Path) -> None:
    values = BODY.copy()
    values[:, :4, :5] = 3000
    write_enhanced(tmp_path / "ct.dcm", values, (3, 0, 4, 1, 2), PixelPaddingValue=3000 + 1024)

    array = read_volume(tmp_path).array

    assert (array[:, :4, :5] == -1024).all()
    np.testing.assert_array_equal(array[:, 4:], values[:, 4:])


def test_a_slice_of_padding_alone_is_air(tmp_path: Path) -> None:
    files = write_series(tmp_path, BODY, PixelPaddingValue=63536)
    dataset = dcmread(files[2])
    dataset.PixelData = np.full(BODY.shape[1:], 63536, np.uint16).tobytes()
    dataset.BitsStored, dataset.HighBit = 16, 15
    dataset.save_as(files[2])

    assert (read_volume(tmp_path).array[2] == -1024).all()


COMPRESSIONS = (RLELossless, JPEG2000Lossless, JPEGLSLossless, DeflatedExplicitVRLittleEndian)


@pytest.mark.parametrize("syntax", COMPRESSIONS, ids=lambda uid: uid.keyword)
@pytest.mark.parametrize("signed", [False, True], ids=["unsigned", "signed"])
@pytest.mark.parametrize("enhanced", [False, True], ids=["slices", "frames"])
def test_compressed_pixels_are_the_same(
    tmp_path: Path, syntax: UID, signed: bool, enhanced: bool
) -> None:
    if enhanced:
        files = [tmp_path / "ct.dcm"]
        write_enhanced(files[0], BODY, (3, 0, 4, 1, 2))
    else:
        files = write_series(tmp_path, BODY)
    for file in files:
        dataset = dcmread(file)
        if signed:
            pixels = np.frombuffer(dataset.PixelData, np.uint16).astype(np.int16) - 1024
            dataset.PixelData, dataset.PixelRepresentation = pixels.tobytes(), 1
            dataset.BitsStored, dataset.HighBit = 16, 15
            if not enhanced:
                dataset.RescaleIntercept = 0
        if syntax == DeflatedExplicitVRLittleEndian:
            dataset.file_meta.TransferSyntaxUID = syntax
        else:
            dataset.compress(syntax, generate_instance_uid=False)
        dataset.save_as(file)
        assert dcmread(file).file_meta.TransferSyntaxUID == syntax

    array = read_volume(tmp_path).array

    expected = BODY - 1024 if signed and enhanced else BODY
    np.testing.assert_array_equal(array, expected)


def test_padding_in_compressed_slices_is_air(tmp_path: Path) -> None:
    is_padding = padded_series(tmp_path, 63536, False, -1024, PixelPaddingValue=63536)
    for file in tmp_path.iterdir():
        dataset = dcmread(file)
        dataset.compress(JPEGLSLossless, generate_instance_uid=False)
        dataset.save_as(file)

    array = read_volume(tmp_path).array

    assert (array[is_padding] == -1024).all()
    np.testing.assert_array_equal(array[~is_padding], BODY[~is_padding])


def test_the_extra_dicom_brings_the_decoders() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text(encoding="utf-8")
    extra = text[text.index("\ndicom = [") :].split("]")[0]

    for package in ("pyjpegls", "pylibjpeg", "pylibjpeg-openjpeg", "python-gdcm"):
        assert f'"{package}>=' in extra


def test_damaged_compressed_pixels_say_nothing_on_standard_error(tmp_path: Path) -> None:
    for file in write_series(tmp_path, BODY, PatientName="Geheim^Person"):
        dataset = dcmread(file)
        dataset.compress(JPEG2000Lossless)
        dataset.save_as(file)
        data = bytearray(file.read_bytes())
        data[-300:-100] = bytes(200)
        file.write_bytes(bytes(data))
    code = (
        "import sys; from SDSegLib.errors import InputError; "
        "from SDSegLib.reading.files import read_volume\n"
        "try: read_volume(sys.argv[1])\nexcept InputError as error: print('Error:', error)"
    )

    shown = subprocess.run(
        [sys.executable, "-W", "always", "-c", code, str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert shown.stderr == ""
    assert "Geheim" not in shown.stdout
