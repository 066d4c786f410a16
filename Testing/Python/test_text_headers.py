"""NRRD and MetaImage in all their variants: SimpleITK, whose library 3D Slicer uses, decides."""

from __future__ import annotations

import bz2
import gzip
import zlib
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from SDSegLib.reading.files import read_volume

SHORTS = ((np.arange(4 * 3 * 5) * 37) % 2000 - 1000).reshape(4, 3, 5).astype("<i2")
RAW = SHORTS.tobytes()
AXES = "space directions: (0.5,0.1,0) (-0.1,0.5,0) (0,0,2)\nspace origin: (-10,20,30.5)\n"
SPACE = "space: left-posterior-superior\n" + AXES
NUMBERS = " ".join(map(str, SHORTS.ravel())).encode()


def slice_of(number: int) -> bytes:
    return RAW[30 * number : 30 * number + 30]


def nrrd(fields: str, data: bytes = b"", sizes: str = "5 3 4") -> bytes:
    lines = f"NRRD0005\n# made\ntype: short\ndimension: {len(sizes.split())}\nsizes: {sizes}\n"
    end = "" if "data file" in fields else "\n"
    return (lines + fields + end).encode() + data


def metaimage(fields: str, data: bytes = b"", file: str = "LOCAL") -> bytes:
    start = "ObjectType = Image\nNDims = 3\nDimSize = 5 3 4\n"
    return f"{start}{fields}ElementDataFile = {file}\n".encode() + data


def same_as_itk(path: Path) -> None:
    """Read as SimpleITK does, without a note."""
    image = sitk.ReadImage(str(path))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, sitk.GetArrayFromImage(image).reshape(4, 3, 5))
    geometry = volume.geometry
    dimension = image.GetDimension()
    direction = np.reshape(image.GetDirection(), (dimension, dimension))[:3, :3]
    np.testing.assert_allclose(geometry.spacing, image.GetSpacing()[:3])
    np.testing.assert_allclose(geometry.origin, image.GetOrigin()[:3])
    np.testing.assert_allclose(geometry.direction, direction, atol=1e-12)


LITTLE = "endian: little\nencoding: raw\n"
VECTORS_4 = "(0.5,0,0,0) (0,0.5,0,0) (0,0,2,0) (0,0,0,1)"
NRRD_FILES = {
    "lps": nrrd(SPACE + LITTLE, RAW),
    "ras": nrrd("space: right-anterior-superior\n" + AXES + LITTLE, RAW),
    "RAS": nrrd("space: RAS\n" + AXES + LITTLE, RAW),
    "las": nrrd("space: left-anterior-superior\n" + AXES + LITTLE, RAW),
    "scanner": nrrd("space: scanner-xyz\n" + AXES + LITTLE, RAW),
    "no name of the space": nrrd("space dimension: 3\n" + AXES + LITTLE, RAW),
    "blanks": nrrd(SPACE.replace(",", ", ") + LITTLE, RAW),
    "windows lines": nrrd((SPACE + LITTLE).replace("\n", "\r\n") + "\r", RAW),
    "big": nrrd(SPACE + "endian: big\nencoding: raw\n", SHORTS.astype(">i2").tobytes()),
    "gzip": nrrd(SPACE + "endian: little\nencoding: gzip\n", gzip.compress(RAW)),
    "hex": nrrd(SPACE + "endian: little\nencoding: hex\n", RAW.hex().encode()),
    "text": nrrd(SPACE + "encoding: text\n", NUMBERS),
    "keys": nrrd(SPACE + LITTLE + "space origin:=(1,2,3)\nDose:=a: b\n", RAW),
    "byte skip": nrrd(SPACE + LITTLE + "byte skip: 7\n", bytes(7) + RAW),
    "at the end": nrrd(SPACE + LITTLE + "byte skip: -1\n", b"anything" + RAW),
    "line skip": nrrd(SPACE + LITTLE + "line skip: 2\n", b"a\nb\n" + RAW),
    "packed skip": nrrd(
        SPACE + "endian: little\nencoding: gzip\nbyte skip: 9\n", gzip.compress(bytes(9) + RAW)
    ),
    "spacings": nrrd("spacings: 0.5 0.75 2\n" + LITTLE, RAW),
    "mins": nrrd("spacings: 0.5 0.75 2\naxis mins: 1 2 3\n" + LITTLE, RAW),
    "node mins": nrrd(
        "spacings: 0.5 0.75 2\naxis mins: 1 2 3\ncenters: node node node\n" + LITTLE, RAW
    ),
    "one component": nrrd(
        "space: lps\nspace directions: none (0.5,0,0) (0,0.5,0) (0,0,2)\n"
        "kinds: vector domain domain domain\nspace origin: (1,2,3)\n" + LITTLE,
        RAW,
        "1 5 3 4",
    ),
    "one frame": nrrd(
        f"space dimension: 4\nspace directions: {VECTORS_4}\nspace origin: (1,2,3,0)\n" + LITTLE,
        RAW,
        "5 3 4 1",
    ),
}


@pytest.mark.parametrize("name", NRRD_FILES)
def test_nrrd_attached(name: str, tmp_path: Path) -> None:
    path = tmp_path / "ct.nrrd"
    path.write_bytes(NRRD_FILES[name])
    same_as_itk(path)


def test_bzip2_which_simpleitk_lacks(tmp_path: Path) -> None:
    path = tmp_path / "ct.nrrd"
    path.write_bytes(nrrd(SPACE + "endian: little\nencoding: bzip2\n", bz2.compress(RAW)))
    np.testing.assert_array_equal(read_volume(path).array, SHORTS)


@pytest.mark.parametrize(
    ("field", "parts"),
    [
        ("data file: ct.raw\n", {"ct.raw": RAW}),
        ("datafile: ct.raw\n", {"ct.raw": RAW}),
        ("data file: with blank.raw\n", {"with blank.raw": RAW}),
        ("data file: LIST 3\na.raw\nb.raw\n", {"a.raw": RAW[:60], "b.raw": RAW[60:]}),
        (
            "data file: s%02d.raw 3 6 1\n",
            {f"s{3 + n:02}.raw": slice_of(n) for n in range(4)},
        ),
        (
            "data file: s%d.raw 7 1 -2\n",
            {f"s{7 - 2 * n}.raw": slice_of(n) for n in range(4)},
        ),
        ("byte skip: 4\ndata file: ct.raw\n", {"ct.raw": b"head" + RAW}),
    ],
)
def test_nrrd_with_data_files(field: str, parts: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "ct.nhdr"
    path.write_bytes(nrrd(SPACE + LITTLE + field))
    for name, data in parts.items():
        (tmp_path / name).write_bytes(data)
    same_as_itk(path)


USUAL = (
    "BinaryData = True\nBinaryDataByteOrderMSB = False\nElementSpacing = 0.5 0.75 2\n"
    "ElementType = MET_SHORT\n"
)
PLACED = "TransformMatrix = 0 1 0 -1 0 0 0 0 1\nOffset = -10 20 30.5\n" + USUAL
PACKED = zlib.compress(RAW)
PACKED_SIZE = f"CompressedData = True\nCompressedDataSize = {len(PACKED)}\n"
META_FILES = {
    "usual": metaimage(PLACED, RAW),
    "position": metaimage(PLACED.replace("Offset", "Position"), RAW),
    "orientation": metaimage(PLACED.replace("TransformMatrix", "Orientation"), RAW),
    "rotation": metaimage(PLACED.replace("TransformMatrix", "Rotation"), RAW),
    "big": metaimage(PLACED.replace("MSB = False", "MSB = True"), SHORTS.astype(">i2").tobytes()),
    "element order": metaimage(
        PLACED.replace("BinaryDataByteOrderMSB = False", "ElementByteOrderMSB = True"),
        SHORTS.astype(">i2").tobytes(),
    ),
    "size for spacing": metaimage(PLACED.replace("ElementSpacing", "ElementSize"), RAW),
    "packed": metaimage(PACKED_SIZE + PLACED, PACKED),
    "own fields": metaimage("Comment = none\nMy_Field = 5\nModality = MET_MOD_CT\n" + PLACED, RAW),
    "windows lines": metaimage(PLACED.replace("\n", "\r\n"), RAW),
    "downwards": metaimage(PLACED.replace("0.5 0.75 2", "0.5 0.75 -2"), RAW),
    "intensity": metaimage(
        "ElementToIntensityFunctionSlope = 2\nElementToIntensityFunctionOffset = 5\n" + PLACED, RAW
    ),
}


@pytest.mark.parametrize("name", META_FILES)
def test_metaimage_attached(name: str, tmp_path: Path) -> None:
    path = tmp_path / "ct.mha"
    path.write_bytes(META_FILES[name])
    same_as_itk(path)


@pytest.mark.parametrize(
    ("fields", "file", "parts"),
    [
        ("", "ct.raw", {"ct.raw": RAW}),
        ("", "with blank.raw", {"with blank.raw": RAW}),
        ("HeaderSize = 4\n", "ct.raw", {"ct.raw": b"head" + RAW}),
        ("HeaderSize = -1\n", "ct.raw", {"ct.raw": b"a header" + RAW}),
        ("", "LIST\na\nb\nc\nd", {"abcd"[n]: slice_of(n) for n in range(4)}),
        ("", "s%02d.raw 3 6 1", {f"s{3 + n:02}.raw": slice_of(n) for n in range(4)}),
        (PACKED_SIZE, "ct.zraw", {"ct.zraw": PACKED}),
        ("CompressedData = True\n", "ct.zraw", {"ct.zraw": PACKED}),
    ],
)
def test_metaimage_with_data_files(
    fields: str, file: str, parts: dict[str, bytes], tmp_path: Path
) -> None:
    path = tmp_path / "ct.mhd"
    path.write_bytes(metaimage(fields + PLACED, file=file))
    for name, data in parts.items():
        (tmp_path / name).write_bytes(data)
    same_as_itk(path)
