"""Image files that once crashed the process, hung it, or gave wrong voxels without a word.

The headers are made here; each name says what is wrong. Every door shows the same sentence.
"""

from __future__ import annotations

import gzip
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from phantom import a_body
from PIL import Image
from reading_parts import crashing_path
from tiny_model import write_tiny_model
from typer.testing import CliRunner
from web_fixtures import write_nifti
from worker_parts import posix_only

from SDSegLib.cli.app import app
from SDSegLib.errors import InputError
from SDSegLib.processes.guard import end_children
from SDSegLib.reading.byte_stream import opened
from SDSegLib.reading.files import read_volume
from SDSegLib.reading.pictures import read_picture
from SDSegLib.studies.find import find_studies

SHORTS = (np.arange(20 * 16 * 16) % 1000).reshape(20, 16, 16).astype("<i2")
RAW, PACKED = SHORTS.tobytes(), zlib.compress(SHORTS.tobytes())
META = (
    "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\n"
    "CompressedData = {packed}\n{size}TransformMatrix = 1 0 0 0 1 0 0 0 1\nOffset = {offset}\n"
    "ElementSpacing = 3.2 3.2 1.5\nDimSize = {dims}\nElementType = MET_SHORT\n"
    "ElementDataFile = {file}\n"
)
NRRD = (
    "NRRD0004\ntype: short\ndimension: 3\nspace: {space}\nsizes: {sizes}\n"
    "space directions: {directions}\nkinds: domain domain domain\nendian: little\n"
    "encoding: {encoding}\nspace origin: {origin}\n{more}\n"
)


def packed_meta(data: bytes = PACKED, size: str | None = None, dims: str = "16 16 20") -> bytes:
    line = f"CompressedDataSize = {len(data)}\n" if size is None else size
    head = META.format(packed="True", size=line, offset="0 0 60", dims=dims, file="LOCAL")
    return head.encode() + data


def raw_meta(file: str = "LOCAL", offset: str = "0 0 60", dims: str = "16 16 20") -> bytes:
    head = META.format(packed="False", size="", offset=offset, dims=dims, file=file)
    return head.encode() + RAW


def nrrd(
    data: bytes = RAW,
    space: str = "left-posterior-superior",
    sizes: str = "16 16 20",
    directions: str = "(3.2,0,0) (0,3.2,0) (0,0,1.5)",
    encoding: str = "raw",
    origin: str = "(0,0,60)",
    more: str = "",
) -> bytes:
    head = NRRD.format(
        space=space, sizes=sizes, directions=directions, encoding=encoding, origin=origin, more=more
    )
    return head.encode() + data


def nifti(
    data: bytes = RAW,
    offset: float = 352,
    dims: tuple[int, ...] = (3, 16, 16, 20),
    extra: bytes = bytes(4),
) -> bytes:
    header = bytearray(348)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into(f"<{len(dims)}h", header, 40, *dims)
    struct.pack_into("<2h", header, 70, 4, 16)
    struct.pack_into("<4f", header, 76, 1, 3.2, 3.2, 1.5)
    struct.pack_into("<f", header, 108, offset)
    struct.pack_into("<h", header, 254, 1)
    struct.pack_into("<12f", header, 280, -3.2, 0, 0, 0, 0, -3.2, 0, 0, 0, 0, 1.5, 60)
    header[344:348] = b"n+1\0"
    return bytes(header) + extra + data


BOMB = gzip.compress(bytes(2**28), 9)
REFUSED = {
    "half of the packed voxels.mha": (
        packed_meta(zlib.compress(RAW[:5120])),
        "cut short: the image needs 10,240 bytes, and it has at most 5,120",
    ),
    "a slice more than there is.mha": (
        packed_meta(dims="16 16 21"),
        "needs 10,752 bytes, and it has at most 10,240",
    ),
    "a slice fewer than there is.mha": (packed_meta(dims="16 16 19"), "at least 512 bytes more"),
    "packed stream that does not end.mha": (
        packed_meta(PACKED[:-3], f"CompressedDataSize = {len(PACKED)}\n"),
        "its packed voxels do not end",
    ),
    "checksum of the packed voxels.mha": (
        packed_meta(PACKED[:-1] + bytes([PACKED[-1] ^ 1])),
        "packed voxels .* are damaged: .*incorrect data check",
    ),
    "name of the packed size.mha": (
        packed_meta(size=f"ColpressedDataSize = {len(PACKED)}\n"),
        "does not give the size of its packed voxels",
    ),
    "packed size of zero.mha": (
        packed_meta(size="CompressedDataSize = 0\n"),
        rf"packed voxels as 0 bytes, and they are {len(PACKED):,}",
    ),
    "packed and not said so.mha": (
        packed_meta().replace(b"CompressedData = True", b"CompressedData = Fals3"),
        "CompressedData",
    ),
    "not packed but said so.mha": (
        raw_meta().replace(b"CompressedData = False", b"CompressedData = True"),
        "CompressedDataSize",
    ),
    "pattern without an end.mha": (raw_meta("x%d 0 0 0"), r"x%d 0 0 0"),
    "pattern that counts down.mha": (raw_meta("x%d 5 1 -1"), "5 files of voxels for 20 slices"),
    "pattern of a format.mha": (raw_meta("%s%n%s"), "'%s%n%s' next to it, which is missing"),
    "pattern that writes.mha": (raw_meta("x%n 1 20 1"), "x%n 1 20 1"),
    "pattern of a million.mha": (raw_meta("x%d 1 99999999 1"), "x%d 1 99999999 1"),
    "pattern of a long number.mha": (raw_meta("x%0999999999d 1 20 1"), "0999999999d"),
    "name of a device.mhd": (raw_meta("/dev/zero"), "folder, pipe or device"),
    "name of its folder.mhd": (raw_meta("."), "folder, pipe or device"),
    "digits without end.mha": (raw_meta(dims="9" * 500 + " 16 20"), "header is damaged"),
    "more voxels than can be.mha": (
        raw_meta(dims="65535 65535 65535"),
        "needs 562,924,184,010,750 bytes, and it has at most 10,240",
    ),
    "long space.nrrd": (nrrd(space="A" * 5000), "space is A{64}…"),
    "long data file.nhdr": (nrrd(b"", more=f"data file: {'A' * 5000}\n"), "which is missing"),
    "data file that is not there.nhdr": (
        nrrd(b"", more="data file: none.raw\n"),
        "'none.raw' next to it, which is missing",
    ),
    "list with a pipe.nhdr": (
        nrrd(b"pipe.raw\n", more="data file: LIST 3"),
        "'pipe.raw', which is a folder, pipe or device",
    ),
    "list that is too short.nhdr": (
        nrrd(b"a.raw\n", more="data file: LIST"),
        "1 files .* 20 slices",
    ),
    "spacing of nan.nrrd": (
        nrrd(directions="(nan,nan,nan) (0,1,0) (0,0,1)"),
        r"no voxel spacing \(space directions is \(nan,nan,nan\)",
    ),
    "spacing of none.nrrd": (nrrd(directions="(none,0,0) (0,1,0) (0,0,1)"), "no voxel spacing"),
    "no slices.nrrd": (nrrd(sizes="16 16 0"), "gives the size as 16 × 16 × 0"),
    "two dimensions.nrrd": (nrrd(sizes="16 16"), "dimension is 3, and sizes is 16 16"),
    "unknown field.nrrd": (
        nrrd().replace(b"space origin", b"spbce origin"),
        "'spbce origin' is no field of NRRD",
    ),
    "field given twice.nrrd": (nrrd(more="type: char\n"), "gives 'type' twice"),
    "no byte order.nrrd": (nrrd().replace(b"endian: little\n", b""), "endian is empty"),
    "wrong place.nrrd": (nrrd(origin="(0,0)"), r"space origin is \(0,0\)"),
    "packed to a thousandth.nrrd": (
        nrrd(BOMB, encoding="gzip"),
        "the file holds at least [0-9,]+ bytes more",
    ),
    "voxels before the header's end.nii": (
        nifti(offset=0),
        "vox_offset, as byte 0, and the header",
    ),
    "voxels within the header.nii": (nifti(offset=348), "vox_offset, as byte 348"),
    "voxels at half a byte.nii": (nifti(offset=352.5), "vox_offset, as byte 352.5"),
    "voxels at no number.nii": (nifti(offset=float("nan")), "vox_offset, as byte nan"),
    "fewer slices than there are.nii": (nifti(dims=(3, 16, 16, 19)), "at least 512 bytes more"),
    "bomb.nii.gz": (gzip.compress(nifti()) + BOMB, "bytes more, a slice or more"),
    "gzip that does not end.nii.gz": (gzip.compress(nifti())[:-9], "cut short"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_read_wrongly_is_refused(name: str, tmp_path: Path) -> None:
    content, words = REFUSED[name]
    (tmp_path / name).write_bytes(content)
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.raw")
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path / name))}: .*{words}"):
        read_volume(tmp_path / name)


NOTED = {
    "no place.nrrd": (nrrd(origin="none"), "gives no position"),
    "place of nan.nrrd": (nrrd(origin="(nan,nan,nan)"), "gives no position"),
    "place of nan.mha": (raw_meta(offset="nan"), "gives no position"),
    "place of none.mha": (raw_meta(offset="none none none"), "gives no position"),
    "a name that is not the place's.mha": (
        raw_meta().replace(b"Offset", b"Offzet"),
        "gives no position",
    ),
    "bytes after raw voxels.nii": (nifti(RAW + b"signed"), "6 bytes after the last voxel"),
    "bytes after raw voxels.nrrd": (nrrd(RAW + b"signed"), "6 bytes after the last voxel"),
    "bytes after the gzip stream.nii.gz": (
        gzip.compress(nifti()) + b"padded by the server",
        "20 bytes after the end of the packed voxels were ignored",
    ),
    "zeros after the gzip stream.nii.gz": (
        gzip.compress(nifti()) + bytes(512),
        "512 bytes after the end of the packed voxels were ignored",
    ),
    "bytes after the gzip stream.nrrd": (
        nrrd(gzip.compress(RAW) + bytes(100), encoding="gzip"),
        "100 bytes after the end of the packed voxels were ignored",
    ),
    "bytes after the packed voxels.mha": (
        packed_meta() + bytes(100),
        "100 bytes after the end of the packed voxels were ignored",
    ),
}


@pytest.mark.parametrize("name", NOTED)
def test_what_is_missing_or_ignored_is_said(name: str, tmp_path: Path) -> None:
    content, words = NOTED[name]
    (tmp_path / name).write_bytes(content)
    volume = read_volume(tmp_path / name)
    np.testing.assert_array_equal(volume.array, SHORTS)
    assert volume.geometry.spacing == pytest.approx((3.2, 3.2, 1.5))
    assert any(words in note for note in volume.notes), volume.notes


def test_what_is_there_of_a_packed_file_that_is_cut_short_is_told(tmp_path: Path) -> None:
    values = np.random.default_rng(1).integers(-1000, 1000, 10 * 16 * 16, np.int16).tobytes()
    packed = gzip.compress(nifti(values, dims=(3, 16, 16, 10)))[:4000]
    there = len(zlib.decompressobj(31).decompress(packed))
    assert 352 < there < 352 + len(values)
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(packed)
    said = f"the image needs {352 + len(values):,} bytes, and it has at most {there:,}"
    with pytest.raises(InputError, match=said):
        read_volume(path)


def test_a_gzip_stream_of_several_members_is_one(tmp_path: Path) -> None:
    whole = nifti()
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(gzip.compress(whole[:100]) + gzip.compress(whole[100:]))
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.array, SHORTS)
    assert not volume.notes


@posix_only
def test_a_file_of_which_hardly_anything_is_there_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    path.write_bytes(nifti(b"", dims=(3, 1000, 1000, 1000)))
    os.truncate(path, 352 + 2 * 10**9)
    if path.stat().st_blocks * 512 > 10**6:
        pytest.skip("this file system writes holes")
    with pytest.raises(InputError, match=r"2,000,000,352 bytes long, but only [0-9,]+ of them"):
        read_volume(path)


def test_an_image_that_does_not_fit_into_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii.gz"
    path.write_bytes(gzip.compress(nifti(bytes(2**26), dims=(3, 32000, 32000, 32000))))
    with pytest.raises(InputError, match="cut short: the image needs 65,536,000,000,352 bytes"):
        read_volume(path)


def test_a_picture_of_65535_pixels_squared_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "page.png"
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    struct.pack_into(">II", data, 16, 65535, 65535)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"page\.png is too large for a picture"):
        read_picture(path)


@posix_only
@pytest.mark.parametrize("name", ["pipe.nii", "pipe.png"])
def test_pipes_and_devices_are_refused_before_they_are_opened(name: str, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / name)
    (tmp_path / f"device{name}").symlink_to("/dev/zero")
    read = read_picture if name.endswith("png") else read_volume
    for path in (tmp_path / name, tmp_path / f"device{name}"):
        with pytest.raises(InputError, match=r"neither a file nor a folder|pipe or device"):
            read(path)


@posix_only
def test_a_file_that_became_a_pipe_after_it_was_looked_at_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "ct.raw")
    with (
        pytest.raises(InputError, match=r"ct\.raw is a pipe or device"),
        opened(tmp_path / "ct.raw"),
    ):
        pass


CASES = {
    "mha_half_data.mha": "needs 163,840 bytes, and it has at most 81,920",
    "mdim9_z.mha": "needs 172,032 bytes, and it has at most 163,840",
    "flip_z29.mha": "does not give the size of its packed voxels",
    "mcds0.mha": "packed voxels as 0 bytes, and they are 95,953",
    "mdf9.mha": "5 files of voxels for 20 slices",
    "mdf8.mha": "x%d 0 0 0",
    "mval12_6.mha": "'%s%n%s' next to it, which is missing",
    "val5_5.nrrd": "space is A",
    "dn18.nhdr": "next to it, which is missing",
    "val7_7.nrrd": "gives no voxel spacing",
    "mval6_3.mha": "gives no position",
    "voxoff_0.nii": "vox_offset, as byte 0",
    "dn16.nhdr": "'fifo.raw', which is a folder, pipe or device",
}


@posix_only
@pytest.mark.parametrize("name", CASES)
def test_cases_that_fuzzing_once_found(name: str, shared_data: Path, tmp_path: Path) -> None:
    case = shared_data.parent / "cases" / name
    if not case.is_file():
        pytest.skip(f"{case} is not there")
    shutil.copyfile(case, tmp_path / name)
    os.mkfifo(tmp_path / "fifo.raw")
    try:
        said = " ".join(read_volume(tmp_path / name).notes)
    except InputError as error:
        said = str(error)
    assert CASES[name] in said


# A crash of a library, whatever the door.


@pytest.fixture
def crashing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CT at which the process that reads it crashes."""
    end_children()
    monkeypatch.setenv("PYTHONPATH", crashing_path(tmp_path / "custom"))
    folder = tmp_path / "studies"
    folder.mkdir()
    return write_nifti(a_body(), folder / "crashes.nii.gz")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(write_tiny_model(tmp_path_factory.mktemp("models") / "tiny"))


@posix_only
def test_every_door_shows_the_same_sentence_for_a_crash(
    crashing: Path, model: str, tmp_path: Path
) -> None:
    with pytest.raises(InputError) as caught:
        read_volume(crashing)
    sentence = str(caught.value)
    assert sentence.startswith(f"{crashing}: The process that read it ended unexpectedly (SIGSEGV)")
    out = str(tmp_path / "out.nii.gz")
    mask = write_nifti(a_body(), tmp_path / "mask.nii.gz")
    for command in (
        ["segment", str(crashing), "--labelmap", out, "--model", model],
        ["propagate", str(crashing), str(mask), "--output", out],
    ):
        ended = CliRunner().invoke(app, command)
        assert isinstance(ended.exception, InputError), (command, ended.output)
        assert str(ended.exception) == sentence
    good = write_nifti(a_body(), crashing.parent / "good.nii.gz")
    results = tmp_path / "results"
    command = ["batch", str(crashing.parent), "-o", str(results), "--model", model]
    for _ in range(2):
        ended = CliRunner().invoke(app, command)
        assert ended.exit_code == 1, ended.output
        table = (results / "studies.csv").read_text(encoding="utf-8")
        assert sentence in table
        assert (results / "good.seg.nrrd").is_file(), "the batch goes on"
    np.testing.assert_array_equal(read_volume(good).array, a_body().array)


@posix_only
def test_the_command_ends_with_a_sentence_and_no_traceback(crashing: Path, tmp_path: Path) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", "SDSegLib", "segment", str(crashing), "-o", "out.seg.nrrd"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert ended.returncode == 2
    assert "SIGSEGV" in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "Fatal Python error" not in ended.stderr


# Links between folders of studies.


@posix_only
def test_links_are_followed_once_and_what_is_passed_over_is_named(
    tmp_path: Path, model: str
) -> None:
    studies, elsewhere = tmp_path / "studies", tmp_path / "elsewhere"
    for path in (studies / "a" / "ct.nii.gz", elsewhere / "ct.nii.gz"):
        path.parent.mkdir(parents=True)
        write_nifti(a_body(), path)
    (studies / "linked").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(studies)
    (studies / "again").symlink_to(studies / "a")
    (studies / "zwice").symlink_to(elsewhere)
    (studies / "gone").symlink_to(tmp_path / "nowhere")
    os.mkfifo(studies / "pipe.nii")
    passed: dict[str, str] = {}
    found = find_studies(
        studies,
        pass_over=lambda path, reason: passed.update(
            {path.relative_to(studies).as_posix(): reason}
        ),
    )
    assert [study.name for study in found] == ["a/ct", "linked/ct"]
    assert passed == {
        "gone": "a link that leads nowhere",
        "pipe.nii": "no regular file",
        "again": "a link to a folder that is looked into anyway",
        "zwice": "a link to a folder that is looked into anyway",
        "linked/back": "a link to a folder that this one lies in",
    }
    shutil.rmtree(studies / "a")
    ended = CliRunner().invoke(
        app, ["batch", str(studies), "-o", str(tmp_path / "results"), "--model", model]
    )
    assert ended.exit_code == 0, ended.output
    assert "Passed over:" in ended.stderr
    assert "leads nowhere" in ended.stderr
    assert (tmp_path / "results" / "linked" / "ct.seg.nrrd").is_file()


@posix_only
def test_a_folder_that_cannot_be_listed_fails_alone(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    studies = tmp_path / "studies"
    write = studies / "series"
    write.mkdir(parents=True)
    end_children()
    monkeypatch.setenv("PYTHONPATH", crashing_path(tmp_path / "custom"))
    (write / "1-crashes.nii.gz").write_bytes(b"\x02\x00\x00\x00UL\x04\x00" + bytes(200))
    (write / "1.dcm").write_bytes(bytes(128) + b"DICM" + bytes(200))
    write_nifti(a_body(), studies / "good.nii.gz")
    found = find_studies(studies)
    assert [study.name for study in found] == ["good", "series", "series/1-crashes"]
    with pytest.raises(InputError, match=r"/series: The process that read it ended"):
        read_volume(found[1].source, found[1].series)
