"""`sdseg propagate` as a user types it, from files to files."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from command_parts import Run, sdseg
from dicom_maker import write_series

from SDSegLib.errors import OutputError
from SDSegLib.export.label_map import write_label_map
from SDSegLib.export.seg_nrrd import write_seg_nrrd
from SDSegLib.mrml.edit_grid import edit_grid, segment_on_grid
from SDSegLib.mrml.last_prediction import drawn_in, last_prediction
from SDSegLib.mrml.session import private_scene
from SDSegLib.mrml.storage import load_segmentation_node
from SDSegLib.mrml.volumes import volume_to_node
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.doubt import SliceDoubt
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import Code, Structure
from SDSegLib.volume.volume import Volume

SHAPE = (24, 64, 72)
LIVER = Structure(1, "Liver", (221, 130, 101), Code("SCT", "10200004", "Liver"))
SPLEEN = Structure(2, "Spleen", (157, 108, 162), Code("SCT", "78961009", "Spleen"))
DRAWN = [6, 11, 16]

Typed = Callable[..., tuple[int, str, str]]
__all__ = ["sdseg"]


@pytest.fixture
def typed(sdseg: Run) -> Typed:
    """Run `sdseg` with arguments: exit code, output, and errors on one line."""

    def run(*arguments: object) -> tuple[int, str, str]:
        outcome = sdseg(*arguments)
        return outcome.code, outcome.out, " ".join(outcome.err.split())

    return run


def an_abdomen() -> tuple[Volume, np.ndarray]:
    """A body with two organs, and a label map of them: 1 on every slice, 2 beside it."""
    z, y, x = np.meshgrid(*(np.arange(n) for n in SHAPE), indexing="ij")
    body = ((y - 32) / 28) ** 2 + ((x - 36) / 34) ** 2 < 1
    liver = ((y - 30) / 14) ** 2 + ((x - 22) / 12) ** 2 + ((z - 11) / 9) ** 2 < 1
    spleen = ((y - 36) / 8) ** 2 + ((x - 54) / 8) ** 2 + ((z - 11) / 7) ** 2 < 1
    noise = np.random.default_rng(0).normal(0, 10, SHAPE)
    hu = np.where(body, 30 + 80 * liver + 120 * spleen + noise, -1000)
    labels = np.where(liver, 1, np.where(spleen, 2, 0)).astype(np.uint8)
    geometry = Geometry(SHAPE, (1.5, 1.5, 3.0), (10, -20, 30), np.eye(3))
    return Volume(hu.astype(np.int16), geometry, "ct", "CT"), labels


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ct.nii.gz`, and `drawn` files with the liver on three slices and the whole spleen."""
    there = tmp_path_factory.mktemp("abdomen")
    volume, labels = an_abdomen()
    image = sitk.GetImageFromArray(volume.array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    sitk.WriteImage(image, str(there / "ct.nii.gz"))
    both = Segmentation(with_drawn_liver(labels), volume.geometry, (LIVER, SPLEEN))
    write_seg_nrrd(both, there / "drawn.seg.nrrd")
    write_label_map(both, there / "drawn.nii.gz")
    return there


def with_drawn_liver(labels: np.ndarray) -> np.ndarray:
    drawn = np.where(labels == 2, labels, 0).astype(np.uint8)
    drawn[DRAWN] = labels[DRAWN]
    return drawn


def test_a_segmentation_of_slicer_keeps_all_but_the_carried_voxels(
    folder: Path, tmp_path: Path, typed: Typed
) -> None:
    out = tmp_path / "out.seg.nrrd"
    code, shown, _ = typed(
        "propagate", folder / "ct.nii.gz", folder / "drawn.seg.nrrd", "-o", out,
        "--segment", "liver", "--slices", "6,11,16", "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0
    told = json.loads(shown)
    assert told["structure"] == "Liver"
    assert told["drawn"] == DRAWN
    assert told["axis"] == "k"
    assert told["seconds"] > 0
    assert told["next_slice"] in told["changed"]
    volume, labels = an_abdomen()
    with private_scene() as scene:
        node = load_segmentation_node(out, scene)
        volume_node = volume_to_node(volume, scene)
        grid = edit_grid(node, volume_node)
        assert grid.is_volumes
        segmentation = node.GetSegmentation()
        kept = [segmentation.GetNthSegment(n) for n in range(2)]
        assert [segment.GetName() for segment in kept] == ["Liver", "Spleen"]
        assert np.allclose(kept[0].GetColor(), np.array(LIVER.color) / 255)
        assert "SCT^10200004^Liver" in kept[0].GetTerminology()
        ids = [segmentation.GetNthSegmentID(n) for n in range(2)]
        liver, spleen = (segment_on_grid(node, item, grid) for item in ids)
        found = drawn_in(liver, last_prediction(kept[0]))
    assert np.array_equal(spleen.whole(), labels == 2)
    whole = liver.whole()
    assert np.array_equal(whole[DRAWN], labels[DRAWN] == 1)
    inner = [z for z in range(7, 16) if z not in DRAWN]
    truth = labels[inner] == 1
    assert 2 * (whole[inner] & truth).sum() / (whole[inner].sum() + truth.sum()) > 0.9
    assert (found.axis, found.numbers) == (0, tuple(DRAWN))  # 3D Slicer goes on from there
    code, _, again = typed(
        "propagate", folder / "ct.nii.gz", out, "-o", tmp_path / "again.seg.nrrd",
        "--segment", "liver", "--device", "cpu",
    )  # fmt: skip
    assert code == 0
    assert "only 6, 11, 16 were drawn, and all of its slices were taken" in again
    assert "Name the drawn ones: --slices 6,11,16." in again


def test_a_label_map_keeps_its_other_labels(folder: Path, tmp_path: Path, typed: Typed) -> None:
    out = tmp_path / "out.nii.gz"
    arguments = (
        "propagate", folder / "ct.nii.gz", folder / "drawn.nii.gz", "-o", out,
        "--segment", 1, "--slices", "6,11,16", "--carry", "between", "--device", "cpu",
    )  # fmt: skip
    code, _, told = typed(*arguments)
    assert code == 0
    assert "drawn on 6, 11, 16 along k, carried to 7–10, 12–15" in told
    assert "Draw next:" in told
    _, labels = an_abdomen()
    result = read_volume(out).array
    assert np.array_equal(result == 2, labels == 2)
    assert np.array_equal(result[DRAWN], labels[DRAWN])
    assert (result[7:16] == 1).any(axis=(1, 2)).all()
    assert not (result[17:] == 1).any()
    before = out.read_bytes()
    code, _, told = typed(*arguments)
    assert code == 2
    assert "exists" in told
    assert out.read_bytes() == before
    assert typed(*arguments, "--overwrite")[0] == 0


def test_a_label_map_becomes_a_segmentation_and_back(
    folder: Path, tmp_path: Path, typed: Typed
) -> None:
    for mask, out, wanted in (
        ("drawn.nii.gz", "out.seg.nrrd", "1"),
        ("drawn.seg.nrrd", "out.nii.gz", "Liver"),
    ):
        code, _, told = typed(
            "propagate", folder / "ct.nii.gz", folder / mask, "-o", tmp_path / out,
            "--segment", wanted, "--slices", "6-7,11", "--carry", "between", "--device", "cpu",
        )  # fmt: skip
        assert code == 0, told
    with private_scene() as scene:
        node = load_segmentation_node(tmp_path / "out.seg.nrrd", scene)
        assert node.GetSegmentation().GetNumberOfSegments() == 2
    result = read_volume(tmp_path / "out.nii.gz").array
    _, labels = an_abdomen()
    assert np.array_equal(result[11], labels[11])
    assert np.array_equal(result == 2, labels == 2)


def test_segments_that_overlap_leave_drawn_slices_in_a_label_map(
    folder: Path, tmp_path: Path, typed: Typed
) -> None:
    volume, labels = an_abdomen()
    image = sitk.GetImageFromArray(
        np.stack([with_drawn_liver(labels) == 1, np.ones(SHAPE)], -1).astype(np.uint8),
        isVector=True,
    )
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    for n, name in enumerate(("Liver", "Box")):
        for key, value in {"ID": f"s{n}", "Name": name, "LabelValue": "1", "Layer": str(n)}.items():
            image.SetMetaData(f"Segment{n}_{key}", value)
    image.SetMetaData("Segmentation_MasterRepresentation", "Binary labelmap")
    sitk.WriteImage(image, str(tmp_path / "layers.seg.nrrd"))
    for out, note in (("out.nii.gz", "parts of Liver are missing in it"), ("o.seg.nrrd", "")):
        code, shown, _ = typed(
            "propagate", folder / "ct.nii.gz", tmp_path / "layers.seg.nrrd", "-o", tmp_path / out,
            "--segment", "Liver", "--carry", "between", "--device", "cpu", "--json",
        )  # fmt: skip
        assert code == 0
        told = json.loads(shown)
        assert note in " ".join(told["messages"])
        assert bool(told["messages"]) == bool(note)
        assert told["label"] == (1 if note else None)
    result = read_volume(tmp_path / "out.nii.gz").array
    assert np.array_equal(result[DRAWN] == 1, labels[DRAWN] == 1)
    with private_scene() as scene:
        node = load_segmentation_node(tmp_path / "o.seg.nrrd", scene)
        grid = edit_grid(node, volume_to_node(volume, scene))
        liver, box = (segment_on_grid(node, f"s{n}", grid).whole() for n in range(2))
    assert box.all()
    assert np.array_equal(liver[DRAWN], labels[DRAWN] == 1)


@pytest.fixture(scope="module")
def series(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ct`, the abdomen as a DICOM series whose slices run from the feet up, and its DICOM
    Segmentation `drawn.dcm`: the liver on three slices, and the whole spleen."""
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    from SDSegLib.export.dicom_seg import write_dicom_seg

    there = tmp_path_factory.mktemp("series")
    volume, labels = an_abdomen()
    geometry = volume.geometry
    write_series(there / "ct", volume.array, origin=geometry.origin, spacing=geometry.spacing)
    both = Segmentation(with_drawn_liver(labels), geometry, (LIVER, SPLEEN))
    write_dicom_seg(both, read_volume(there / "ct"), there / "drawn.dcm")
    return there


@pytest.mark.parametrize("wanted", ["liver", "1"])
def test_a_dicom_segmentation_is_carried_as_any_other_mask(
    folder: Path, series: Path, tmp_path: Path, typed: Typed, wanted: str
) -> None:
    """On the series itself, and on the same CT as NIfTI; the result is that of a label map."""
    how = ("--slices", "6,11,16", "--device", "cpu")
    for ct, name in ((series / "ct", "a.nii.gz"), (folder / "ct.nii.gz", "b.nii.gz")):
        code, shown, told = typed(
            "propagate", ct, series / "drawn.dcm", "-o", tmp_path / name,
            "--segment", wanted, "--json", *how,
        )  # fmt: skip
        assert code == 0, told
        assert json.loads(shown)["structure"] == "Liver"
        assert json.loads(shown)["messages"] == []
    code, *_ = typed(
        "propagate", folder / "ct.nii.gz", folder / "drawn.nii.gz", "-o", tmp_path / "c.nii.gz",
        "--segment", 1, *how,
    )  # fmt: skip
    assert code == 0
    expected = read_volume(tmp_path / "c.nii.gz", labels=True).array
    assert np.isin(expected[[8, 13]], 1).any(axis=(1, 2)).all()
    for name in ("a.nii.gz", "b.nii.gz"):
        np.testing.assert_array_equal(read_volume(tmp_path / name, labels=True).array, expected)


def test_a_dicom_segmentation_becomes_one_of_slicer(
    series: Path, tmp_path: Path, typed: Typed
) -> None:
    out = tmp_path / "out.seg.nrrd"
    arguments = ("propagate", series / "ct", series / "drawn.dcm", "-o", out, "--device", "cpu")
    code, _, told = typed(*arguments)
    assert code == 2
    assert "2 structures (labels 1 Liver, 2 Spleen); choose one with --segment" in told
    code, _, told = typed(*arguments, "--segment", "kidney")
    assert code == 2
    assert "holds no label 'kidney'; its labels are: 1 Liver, 2 Spleen" in told
    code, _, told = typed(*arguments, "--segment", "Liver", "--slices", "6,11,16")
    assert code == 0, told
    with private_scene() as scene:
        segmentation = load_segmentation_node(out, scene).GetSegmentation()
        kept = [segmentation.GetNthSegment(n) for n in range(2)]
        assert [segment.GetName() for segment in kept] == ["Liver", "Spleen"]
        assert np.allclose(kept[0].GetColor(), np.array(LIVER.color) / 255, atol=0.02)
        assert "SCT^10200004^Liver" in kept[0].GetTerminology()


def test_one_drawn_slice_of_a_dicom_segmentation_lies_in_its_place(
    series: Path, tmp_path: Path, typed: Typed
) -> None:
    """The segmentation has the frame of slice 11 alone."""
    from SDSegLib.export.dicom_seg import write_dicom_seg

    ct = read_volume(series / "ct")
    labels = np.zeros(SHAPE, np.uint8)
    labels[11] = an_abdomen()[1][11] == 1
    write_dicom_seg(Segmentation(labels, ct.geometry, (LIVER,)), ct, tmp_path / "one.dcm")
    code, shown, told = typed(
        "propagate", series / "ct", tmp_path / "one.dcm", "-o", tmp_path / "out.nii.gz",
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0, told
    assert json.loads(shown)["drawn"] == [11]
    found = read_volume(tmp_path / "out.nii.gz", labels=True).array
    np.testing.assert_array_equal(found[11], labels[11])


def test_a_dicom_segmentation_of_another_series_is_named(
    series: Path, tmp_path: Path, typed: Typed
) -> None:
    volume, _ = an_abdomen()
    for name, origin, values in (
        ("shifted", (10.4, -20, 30), volume.array),
        ("shorter", volume.geometry.origin, volume.array[:12]),
    ):
        write_series(tmp_path / name, values, origin=origin, spacing=volume.geometry.spacing)
        code, _, told = typed(
            "propagate", tmp_path / name, series / "drawn.dcm", "-o", tmp_path / "out.nii.gz",
            "--segment", "Spleen", "--device", "cpu",
        )  # fmt: skip
        assert code == 2
        assert f"drawn.dcm is not on the voxels of {tmp_path / name}" in told
    code, _, told = typed("segment", series / "drawn.dcm", "-o", tmp_path / "out.seg.nrrd")
    assert code == 2
    assert "drawn.dcm is a DICOM Segmentation, not an image" in told
    cut = tmp_path / "cut"  # not among the objects that the tests validate
    cut.write_bytes((series / "drawn.dcm").read_bytes()[:3000])
    code, _, told = typed("propagate", series / "ct", cut, "-o", tmp_path / "out.nii.gz")
    assert code == 2
    assert f"{cut} is damaged" in told
    assert not (tmp_path / "out.nii.gz").exists()


def test_overlapping_dicom_segments_are_each_carried_whole(
    series: Path, tmp_path: Path, typed: Typed
) -> None:
    import highdicom
    import pydicom

    from SDSegLib.export.dicom_seg import labels_on_slices
    from SDSegLib.export.dicom_source import read_source

    ct, (_, labels) = read_volume(series / "ct"), an_abdomen()
    drawn = with_drawn_liver(labels)
    source = read_source(ct.dicom_files)
    masks = np.stack([drawn == 1, np.zeros(SHAPE, bool)], axis=-1)
    masks[11, 25:35, 15:25, 1] = True
    stacked = [
        labels_on_slices(Segmentation(mask, ct.geometry, (LIVER,)), source.slices)
        for mask in np.moveaxis(masks.astype(np.uint8), -1, 0)
    ]
    written = pydicom.dcmread(series / "drawn.dcm")
    images = [pydicom.dcmread(item.file) for item in source.slices]
    for image in images:
        for keyword in ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyDate",
                        "StudyTime", "ReferringPhysicianName", "StudyID", "PatientID"):  # fmt: skip
            setattr(image, keyword, image.get(keyword) or "")
    original = highdicom.seg.Segmentation(
        source_images=images,
        pixel_array=np.stack(stacked, axis=-1),
        segmentation_type="BINARY",
        segment_descriptions=[
            highdicom.seg.SegmentDescription.from_dataset(item) for item in written.SegmentSequence
        ],
        series_instance_uid=highdicom.UID(),
        series_number=9,
        sop_instance_uid=highdicom.UID(),
        instance_number=1,
        manufacturer="Test",
        manufacturer_model_name="Test",
        software_versions="1",
        device_serial_number="1",
    )
    original.save_as(tmp_path / "both")
    out = tmp_path / "out.nii.gz"
    code, shown, told = typed(
        "propagate", series / "ct", tmp_path / "both", "-o", out, "--segment", "Liver",
        "--carry", "between", "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0, told
    assert json.loads(shown)["drawn"] == DRAWN
    assert "parts of Liver are hidden by others" in " ".join(json.loads(shown)["messages"])
    found = read_volume(out, labels=True).array
    np.testing.assert_array_equal(found[DRAWN] == 1, masks[DRAWN][..., 0])


def test_a_prediction_is_corrected_near_a_slice(folder: Path, tmp_path: Path, typed: Typed) -> None:
    volume, labels = an_abdomen()
    prediction = np.roll(labels == 1, 2, axis=1).astype(np.uint8)
    prediction[11] = labels[11] == 1
    path = tmp_path / "prediction.nii.gz"
    write_label_map(Segmentation(prediction, volume.geometry, (LIVER,)), path)
    out = tmp_path / "out.nii.gz"
    code, shown, told = typed(
        "propagate", folder / "ct.nii.gz", path, "-o", out, "--slices", "11", "--correct",
        "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0, told
    assert json.loads(shown)["changed"] == [*range(1, 11), *range(12, 22)]
    result = read_volume(out).array
    assert np.array_equal(result[11], prediction[11])
    assert np.array_equal(result[:1], prediction[:1])
    assert np.array_equal(result[22:], prediction[22:])
    assert not np.array_equal(result[10], prediction[10])


def test_slices_that_the_model_doubts_are_still_named_after_a_correction(
    folder: Path, tmp_path: Path, typed: Typed
) -> None:
    volume, labels = an_abdomen()
    doubt = np.zeros((2, SHAPE[0]), np.float32)
    doubt[0, [8, 15]] = 9, 7
    doubt[1, [5, 11, 18]] = 20, 40, 30
    prediction = Segmentation(labels, volume.geometry, (SPLEEN, LIVER), doubt=SliceDoubt(0, doubt))
    path = tmp_path / "prediction.seg.nrrd"
    write_seg_nrrd(prediction, path)
    corrected, drawn = tmp_path / "corrected.seg.nrrd", tmp_path / "drawn.seg.nrrd"
    for out, is_correction in ((corrected, True), (drawn, False)):
        code, _, told = typed(
            "propagate", folder / "ct.nii.gz", path, "-o", out, "--slices", "11",
            "--segment", "Liver", "--device", "cpu", *(["--correct"] if is_correction else []),
        )  # fmt: skip
        assert code == 0, told
    first = {}
    for file in (path, corrected, drawn):
        with private_scene() as scene:
            node = load_segmentation_node(file, scene)
            spleen, liver = (
                last_prediction(node.GetSegmentation().GetNthSegment(place)) for place in (0, 1)
            )
        assert spleen is not None
        assert spleen.to_correct_first(spleen.axis, spleen.drawn) == (8, 15)
        assert liver is not None
        first[file] = liver.to_correct_first(liver.axis, liver.drawn)
    assert first == {path: (11, 18, 5), corrected: (18, 5), drawn: ()}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--segment", "Kidney"), "no segment called 'Kidney'; its segments are: 1 Liver, 2 Sp"),
        ((), "It holds 2 segments (1 Liver, 2 Spleen); name one. Choose with --segment."),
        (
            ("--segment", "1", "--slices", "40"),
            "no slice 40 along k; the volume has slices 0 to 23",
        ),
        (("--segment", "1", "--slices", "5-2"), "The slices '5-2' run backwards; type 2-5."),
        (("--segment", "1", "--slices", "1-99999999999999"), "There is no slice 99999999999999;"),
        (("--segment", "1", "--slices", "all"), "The slices 'all' are not numbers with commas"),
        (("--segment", "1", "--slices", "1"), "empty on all slices that are named (1); it holds"),
        (("--segment", "1", "--axis", "x"), "Unknown axis 'x'; choose one of k, j, i."),
        (("--segment", "1", "--carry", "left"), "Unknown carry 'left'; choose one of between"),
        (("--segment", "1", "--correct"), "To correct a prediction, name the slices"),
        (("--segment", "1", "-m", "head-neck-oar"), "cannot carry a drawn mask; installed for"),
        (("--segment", "1", "-m", "nothing"), "no model called 'nothing'"),
    ],
)
def test_wrong_arguments_are_named(
    folder: Path, tmp_path: Path, typed: Typed, arguments: tuple[str, ...], sentence: str
) -> None:
    out = tmp_path / "out.seg.nrrd"
    code, _, told = typed(
        "propagate", folder / "ct.nii.gz", folder / "drawn.seg.nrrd", "-o", out,
        "--device", "cpu", *arguments,
    )  # fmt: skip
    assert code == 2
    assert sentence in told
    assert not out.exists()


def test_masks_that_cannot_be_used_are_named(folder: Path, tmp_path: Path, typed: Typed) -> None:
    volume, labels = an_abdomen()
    ct = folder / "ct.nii.gz"

    def mask(
        name: str,
        array: np.ndarray,
        spacing: tuple[float, ...] = (1.5, 1.5, 3.0),
        is_color: bool = False,
    ) -> Path:
        image = sitk.GetImageFromArray(array, isVector=is_color)
        image.SetSpacing(spacing)
        image.SetOrigin(volume.geometry.origin)
        sitk.WriteImage(image, str(tmp_path / name))
        return tmp_path / name

    other = Volume(volume.array, Geometry(SHAPE, (1.5, 1.5, 3.0), (0, 0, 0), np.eye(3)))
    shifted = tmp_path / "shifted.seg.nrrd"
    write_seg_nrrd(Segmentation(labels, other.geometry, (LIVER, SPLEEN)), shifted)
    one = (labels == 1).astype(np.uint8)
    for path, sentence in (
        (mask("coarse.nii.gz", one[:, ::2, ::2], (3, 3, 3)), "is not on the voxels of"),
        (shifted, "is not on the voxels of"),
        (mask("both.nii.gz", labels), "2 structures (labels 1, 2); choose one with --segment"),
        (mask("empty.nii.gz", 0 * one), "is empty; draw the structure on at least one slice"),
        (mask("soft.nii.gz", one * np.float32(0.5)), "holds fractions, not labels"),
        (mask("nan.nii.gz", np.where(one, np.float32("nan"), 0)), "holds NaN or infinity, not"),
        (mask("ct2.nii.gz", volume.array), "holds values from -1000 to"),
        (mask("color.nrrd", np.stack([one] * 3, axis=-1), is_color=True), "3 numbers per voxel"),
        (tmp_path / "gone.nii.gz", "does not exist"),
        (tmp_path, "is a folder; give one file with the mask"),
        (tmp_path / "gone.seg.nrrd", "does not exist"),
    ):
        out = tmp_path / "out.nii.gz"
        code, _, told = typed("propagate", ct, path, "-o", out, "--device", "cpu")
        assert code == 2, path
        assert sentence in told, (path, told)
        assert not out.exists()
    code, _, told = typed("propagate", ct, mask("m.nii.gz", one), "-o", tmp_path / "out.png")
    assert code == 2
    assert "must end in one of .seg.nrrd, .nii.gz" in told
    inputs = mask("m.nii.gz", one)
    code, _, told = typed("propagate", ct, inputs, "-o", inputs, "--overwrite")
    assert code == 2
    assert "is an input" in told


def test_ctrl_c_ends_it_without_a_file(
    folder: Path, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("SDSegLib.cli.interrupt.Interrupt.is_set", lambda self: True)
    out = tmp_path / "out.nii.gz"
    code, _, told = typed(
        "propagate", folder / "ct.nii.gz", folder / "drawn.nii.gz", "-o", out,
        "--segment", 1, "--slices", "6,11,16", "--device", "cpu",
    )  # fmt: skip
    assert code == 130
    assert "Cancelled after 0 of 24 slices." in told
    assert not list(tmp_path.iterdir())


def test_its_cost_is_told(typed: Typed) -> None:
    code, shown, _ = typed("cost", "propagate", "--seconds", "--json")
    assert code == 0
    told = json.loads(shown)
    assert 0.2 < told["gflop"] < 3
    assert 0 < told["seconds_per_slice"] < 2
    assert told["half_megabytes"] < 12


def test_an_image_that_is_no_ct_is_named(folder: Path, tmp_path: Path, typed: Typed) -> None:
    image = sitk.ReadImage(str(folder / "ct.nii.gz"))
    sitk.WriteImage(image + 1024, str(tmp_path / "offset.nii.gz"))
    arguments = (
        "propagate", tmp_path / "offset.nii.gz", folder / "drawn.nii.gz",
        "-o", tmp_path / "out.nii.gz", "--segment", 1, "--slices", "6,11", "--carry", "between",
        "--device", "cpu", "--overwrite",
    )  # fmt: skip
    code, _, told = typed(*arguments)
    assert code == 0
    assert "Warning:" in told
    assert "the values look like HU + 1024" in told
    code, shown, _ = typed(*arguments, "--json")
    assert json.loads(shown)["warnings"][0]["kind"] == "hu-offset"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--slices", "6-8", "--carry", "between"), "Nothing is drawn on 7–8, which --slices"),
        (("--slices", "6", "--carry", "between"), "No slice could change: 6 along k count as"),
    ],
)
def test_slices_that_were_hardly_meant_are_named(
    folder: Path, tmp_path: Path, typed: Typed, arguments: tuple[str, ...], sentence: str
) -> None:
    code, _, told = typed(
        "propagate", folder / "ct.nii.gz", folder / "drawn.nii.gz", "-o", tmp_path / "o.nii.gz",
        "--segment", 1, "--device", "cpu", *arguments,
    )  # fmt: skip
    assert code == 0
    assert sentence in told


def test_a_far_erased_slice_proposes_no_other(folder: Path, tmp_path: Path, typed: Typed) -> None:
    code, shown, _ = typed(
        "propagate", folder / "ct.nii.gz", folder / "drawn.nii.gz", "-o", tmp_path / "o.nii.gz",
        "--segment", 1, "--slices", "23", "--correct", "--device", "cpu", "--json",
    )  # fmt: skip
    assert code == 0
    told = json.loads(shown)
    assert told["holding"] == DRAWN
    assert told["next_slice"] is None


def test_a_full_disk_names_the_file_that_was_asked_for(
    folder: Path, tmp_path: Path, typed: Typed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(node: object, path: Path) -> None:
        raise OutputError(f"{path} could not be written to its end; free space on its disk.")

    monkeypatch.setattr("SDSegLib.mrml.storage.save_segmentation_node", full)
    out = tmp_path / "out.seg.nrrd"
    code, _, told = typed(
        "propagate", folder / "ct.nii.gz", folder / "drawn.seg.nrrd", "-o", out,
        "--segment", 1, "--slices", "6,11", "--carry", "between", "--device", "cpu",
    )  # fmt: skip
    assert code == 2
    assert f"Error: {out} could not be written" in told
    assert not list(tmp_path.iterdir())
