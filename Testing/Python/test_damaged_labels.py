"""Label files, scenes and tables of names that are damaged, hostile, or say two things at once."""

from __future__ import annotations

import json
import sqlite3
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dataset_trees import a_ct, save_volume, some_labels, write_nnunet
from pydicom import dcmread
from test_datasets_dicom import SHAPE, a_patient, names_file, refusal
from test_datasets_layouts import inner_labels, write_scene, write_segmentation

from SDSegLib.archives import reason
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.errors import InputError
from SDSegLib.export.label_files import read_label_file, structures_in
from SDSegLib.models.labels import names_of_structures, read_names, read_structures
from SDSegLib.reading.files import read_volume
from SDSegLib.reading.rtstruct import read_contours
from SDSegLib.untrusted import parse_json
from SDSegLib.volume.contours import Contour, filled, slice_mask
from SDSegLib.volume.same_structures import common_labels
from SDSegLib.volume.structure import Code, Structure

# --- contours -------------------------------------------------------------------------------------


def plan(folder: Path, change: Any) -> tuple[Path, Path]:
    """A patient whose structure set was changed: it and the CT."""
    a_patient(folder)
    file = folder / "plan.dcm"
    dataset = dcmread(file)
    change(dataset)
    dataset.save_as(file)
    return file, folder / "CT"


def contour_refusal(folder: Path, change: Any) -> str:
    with pytest.raises(InputError) as caught:
        read_contours(*plan(folder, change))
    return str(caught.value)


def test_structures_of_one_number_are_not_confused(tmp_path: Path) -> None:
    def same(dataset: Any) -> None:
        dataset.StructureSetROISequence[1].ROINumber = 7

    assert "the same number" in contour_refusal(tmp_path, same)


def test_contours_of_no_structure_are_told(tmp_path: Path) -> None:
    def other(dataset: Any) -> None:
        dataset.ROIContourSequence[0].ReferencedROINumber = 99

    volume, _ = read_contours(*plan(tmp_path, other))
    assert "3 contours belong to no structure that the file names" in " ".join(volume.notes)
    assert set(np.unique(volume.array)) == {0, 2}


@pytest.mark.parametrize("value", ["1e300", "-1e308", "2000000"])
def test_points_that_are_far_away_are_damage(tmp_path: Path, value: str) -> None:
    def far(dataset: Any) -> None:
        contour = dataset.ROIContourSequence[0].ContourSequence[0]
        contour.ContourData = [value, *map(str, contour.ContourData[1:])]

    assert "more than 1 km away" in contour_refusal(tmp_path, far)


def test_a_contour_of_a_million_points_takes_seconds_and_little_memory() -> None:
    """Up and down in one column and back in the next, an odd number of times."""
    import tracemalloc

    rows, turns = 64, 500_001
    x, y = np.full(turns * 2, 10.5), np.tile([-1.0, rows], turns)
    points = np.vstack([np.column_stack([x, y]), [[20.5, rows], [20.5, -1.0]]])
    tracemalloc.start()
    began = time.monotonic()
    mask = filled(points, (rows, 32))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.monotonic() - began < 20
    assert peak < 600e6
    expected = np.zeros((rows, 32), bool)
    expected[:, 11:21] = True
    np.testing.assert_array_equal(mask, expected)


def test_thousands_of_contours_in_a_slice_are_joined_quickly() -> None:
    square = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 3.0], [0.0, 3.0]]) + 0.5
    shifts = [(5 * (n % 100), 5 * (n // 100 % 100)) for n in range(4000)]
    contours = [Contour(square + np.array(shift)) for shift in shifts]
    contours += [Contour(square), Contour(square + 0.2)]  # repeated: counts once
    began = time.monotonic()
    mask = slice_mask(contours, (512, 512))
    assert time.monotonic() - began < 20
    assert mask.sum() == 4000 * 9
    contours.append(Contour(np.array([[-1.0, -1], [512, -1], [512, 512], [-1, 512]])))
    assert slice_mask(contours, (512, 512)).sum() == 512 * 512 - 4000 * 9


def test_more_contours_than_a_slice_can_have_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("SDSegLib.reading.rtstruct._MOST_CONTOURS", 3)

    def many(dataset: Any) -> None:
        item = dataset.ROIContourSequence[0]
        item.ContourSequence = [item.ContourSequence[0]] * 4

    assert "more than 3 contours in one slice" in contour_refusal(tmp_path, many)


def test_a_contour_that_never_ends_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("SDSegLib.reading.rtstruct._LONGEST_OUTLINE", 2.0)
    assert "more often than any outline does" in contour_refusal(tmp_path, lambda dataset: None)


def test_left_out_names_are_told_only_if_they_name_structures(tmp_path: Path) -> None:
    grid = a_patient(tmp_path / "d" / "p1")
    from structure_set_maker import outlines, write_structure_set

    marked = some_labels((1,), SHAPE) == 1
    names = ("A", "PTV 70", "Boost Secret^Name", "Parotid gland L", "12.03.37", "Secret 1")
    write_structure_set(
        tmp_path / "d" / "p1" / "plan.dcm",
        sorted((tmp_path / "d" / "p1" / "CT").iterdir())[0],
        grid,
        dict.fromkeys(names, outlines(marked)),
    )
    collection = open_dataset("dicom", tmp_path / "d", names=names_file(tmp_path, {"A": "Liver"}))
    (note,) = (note for note in collection.notes if "left out" in note)
    assert "does not name 5 names of structures (PTV 70, Parotid gland L and others)" in note
    said = refusal("dicom", tmp_path / "d", names=names_file(tmp_path, {"B": "Liver"}))
    assert "Secret" not in said
    assert "6 names of structures" in said
    assert names_of_structures(["PTV 12 03 37", "Secret", "", "70", "gtv_n"]) == []


# --- DICOM Segmentations --------------------------------------------------------------------------


def a_segmentation(folder: Path) -> Path:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    from dicom_maker import ct_values, write_series

    from SDSegLib.export.dicom_seg import write_dicom_seg
    from SDSegLib.models.labels import structures_called
    from SDSegLib.volume.segmentation import Segmentation

    write_series(folder / "CT", ct_values(*SHAPE))
    volume = read_volume(folder / "CT")
    labels = some_labels((1, 2), SHAPE)
    structures = structures_called(["Liver", "Spleen"])
    write_dicom_seg(Segmentation(labels, volume.geometry, structures), volume, folder / "seg.dcm")
    return folder / "seg.dcm"


def segmentation_refusals(folder: Path, change: Any) -> list[str]:
    """What names and voxels of a changed segmentation are refused with; it is taken away again."""
    path = a_segmentation(folder)
    dataset = dcmread(path)
    change(dataset)
    dataset.save_as(path)
    said = []
    for read in (structures_in, read_label_file):
        try:
            read(path)
        except InputError as error:
            said.append(str(error))
    path.unlink()
    return said


@pytest.mark.parametrize("number", [0, 300])
def test_segments_are_numbered_from_1_to_255(tmp_path: Path, number: int) -> None:
    def other(dataset: Any) -> None:
        dataset.SegmentSequence[0].SegmentNumber = number

    said = segmentation_refusals(tmp_path, other)
    assert len(said) == 2
    assert all("seg.dcm" in text for text in said)


@pytest.mark.parametrize("pixels", [b"\0\0", b"more"])
def test_a_segmentation_has_the_pixels_that_it_announces(tmp_path: Path, pixels: bytes) -> None:
    def other(dataset: Any) -> None:
        dataset.PixelData = pixels if len(pixels) < 4 else dataset.PixelData * 2

    said = segmentation_refusals(tmp_path, other)
    assert len(said) == 2
    assert "bytes of pixels where" in said[0]


def test_errors_of_highdicom_are_sentences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import SDSegLib.export.dicom_seg_labels as module

    path = a_segmentation(tmp_path)
    import highdicom

    for error in (sqlite3.IntegrityError("x"), RuntimeError("x"), TypeError("x"), OverflowError()):

        def fail(*_: object, error: Exception = error, **__: object) -> None:
            raise error

        monkeypatch.setattr(highdicom.seg.Segmentation, "get_volume", fail)
        for read in (module.dicom_labels, module.dicom_layers):
            with pytest.raises(InputError, match="regularly spaced slices"):
                read(path)


# --- .seg.nrrd ------------------------------------------------------------------------------------


def with_field(path: Path, *fields: str) -> Path:
    write_segmentation(path, inner_labels(), {1: "Liver", 2: "Spleen"})
    header, rest = path.read_bytes().split(b"\n\n", 1)
    path.write_bytes(b"\n".join((header, *(text.encode() for text in fields))) + b"\n\n" + rest)
    return path


def test_numbers_of_segments_are_read_within_limits(tmp_path: Path) -> None:
    path = with_field(tmp_path / "a.seg.nrrd", f"Segment{'9' * 5000}_Name:=Huge")
    assert [item.name for item in structures_in(path)] == ["Liver", "Spleen"]
    many = [f"Segment{n}_Name:=S{n}" for n in range(2, 20_000)]
    began = time.monotonic()
    with pytest.raises(InputError, match="names 20000 segments; up to 255"):
        structures_in(with_field(path, *many))
    assert time.monotonic() - began < 10


@pytest.mark.parametrize("value", ["2", "0", "99999"])
def test_two_segments_of_one_value_are_refused(tmp_path: Path, value: str) -> None:
    write_segmentation(tmp_path / "a.seg.nrrd", inner_labels(), {int(value): "Liver", 2: "Spleen"})
    path = with_field(
        tmp_path / "b.seg.nrrd", "Segment2_Name:=Third", f"Segment2_LabelValue:={value}"
    )
    with pytest.raises(InputError, match=r"the segment '(Spleen|Third)'"):
        structures_in(path)


# --- scenes ---------------------------------------------------------------------------------------


def repacked(path: Path, change: Any) -> str:
    """What a scene with changed members is refused with."""
    with zipfile.ZipFile(path) as archive:
        members = [(item.filename, archive.read(item)) for item in archive.infolist()]
    with pytest.warns() if change is twice else _nothing(), zipfile.ZipFile(path, "w") as archive:
        for name, content in change(members):
            archive.writestr(name, content)
    with pytest.raises(InputError) as caught:
        read_label_file(path)
    assert "MUSTER" not in str(caught.value)
    return str(caught.value)


def _nothing() -> Any:
    from contextlib import nullcontext

    return nullcontext()


def twice(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
    return [*members, next(item for item in members if item[0].endswith(".seg.nrrd"))]


def test_hostile_scenes_are_refused_in_any_encoding(tmp_path: Path) -> None:
    ct = save_volume(a_ct(), tmp_path / "ct.nii.gz")
    path = tmp_path / "a.mrb"

    def bomb(members: list[tuple[str, bytes]]) -> list[tuple[str, bytes]]:
        begin = '<?xml version="1.0" encoding="utf-16"?><!DOCTYPE x [<!ENTITY a "b">]>'
        return [
            (name, (begin + "<MRML>&a;</MRML>").encode("utf-16") if name.endswith(".mrml") else c)
            for name, c in members
        ]

    write_scene(path, ct, inner_labels())
    assert "defines entities" in repacked(path, bomb)
    write_scene(path, ct, inner_labels())
    assert "several files of the same name" in repacked(path, twice)


def test_damaged_archives_do_not_name_their_members(tmp_path: Path) -> None:
    ct = save_volume(a_ct(), tmp_path / "ct.nii.gz")
    path = write_scene(tmp_path / "a.mrb", ct, inner_labels())
    with zipfile.ZipFile(path) as archive:
        item = next(i for i in archive.infolist() if i.filename.endswith(".seg.nrrd"))
    data = bytearray(path.read_bytes())
    data[item.header_offset + 30 + len(item.filename) + 40] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(InputError, match="checksum or cannot be unpacked") as caught:
        read_label_file(path)
    assert "MUSTER" not in str(caught.value)
    for error in (
        EOFError(),
        NotImplementedError("MUSTER"),
        KeyError("MUSTER"),
        RuntimeError("MUSTER"),
    ):
        assert "MUSTER" not in reason(error)


# --- names ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"1": "Liver", "1": "Spleen"}', "names '1' twice"),
        ('{"1": "Liver", "01": "Spleen"}', "gives the label 1 two names"),
        ('{"1": null}', "None is not a text"),
        ('{"1": ["Liver"]}', "is not a text"),
        ('{"1": 5}', "5 is not a text"),
        ('{"1": " "}', "is not a text"),
        ('{"-1": "Liver"}', "is negative"),
        ('{"1": "Liver", "2": "liver"}', "gives several labels the name"),
        ('{"²": "Liver"}', "is not a whole number"),
        ('"Liver"', "neither an object nor a list"),
    ],
)
def test_names_that_are_none_are_refused(tmp_path: Path, content: str, said: str) -> None:
    path = tmp_path / "names.json"
    path.write_text(content, encoding="utf-8")
    for read in (read_names, read_structures):
        with pytest.raises(InputError) as caught:
            read(str(path))
        assert said in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value"), [("label", 1.9), ("label", True), ("color", [1.5, 0, 0]), ("name", None)]
)
def test_entries_of_another_kind_are_not_rounded(key: str, value: object) -> None:
    kind = Code("SCT", "10200004", "Liver")
    good = Structure(1, "Liver", (1, 2, 3), kind).to_json()
    assert Structure.from_json({**good, "label": "1"}).label == 1
    numeric = {**good, "type": {**good["type"], "value": 10200004}}
    assert Structure.from_json(numeric).type == kind
    with pytest.raises(ValueError, match="not a"):
        Structure.from_json({**good, key: value})


@pytest.mark.parametrize(
    "labels", [{"background": 0, "liver": 1.5}, {"liver": True}, {"liver": -1}, {"liver": 70000},
               {"1": None}, {"1": 5}],
)  # fmt: skip
def test_dataset_json_with_strange_labels_is_refused(tmp_path: Path, labels: object) -> None:
    write_nnunet(tmp_path, ("a", "b"))
    path = tmp_path / "dataset.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**content, "labels": labels}), encoding="utf-8")
    with pytest.raises(InputError, match="is not what nnU-Net or the Decathlon writes"):
        open_dataset("nnunet", tmp_path)


def test_titles_of_others_are_shown_in_one_plain_line(tmp_path: Path) -> None:
    write_nnunet(tmp_path, ("a", "b"))
    path = tmp_path / "dataset.json"
    content = json.loads(path.read_text(encoding="utf-8"))
    content |= {"name": "\x1b[31m\ud800" + "A" * 999, "channel_names": {"0": "\x1b"}}
    path.write_text(json.dumps(content), encoding="utf-8")
    collection = open_dataset("nnunet", tmp_path)
    assert collection.title.startswith("\\x1b[31m\\ud800AAA")
    assert len(collection.title) == 256
    assert collection.modality == "\\x1b"


def test_a_name_that_stands_twice_in_json_is_refused() -> None:
    assert parse_json('{"a": {"b": 1}, "c": {"b": 2}}') == {"a": {"b": 1}, "c": {"b": 2}}
    with pytest.raises(ValueError, match="it names 'b' twice"):
        parse_json('{"a": {"b": 1, "b": 2}}')


def test_thousands_of_structures_are_compared_quickly() -> None:
    kind = Code("99X", "x", "x")
    many = [Structure(n, f"structure {n}", (0, 0, 0), kind) for n in range(1, 20_001)]
    began = time.monotonic()
    assert common_labels(many, many[:10]) == {n: n for n in range(1, 11)}
    assert time.monotonic() - began < 10
