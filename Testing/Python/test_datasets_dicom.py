"""A clinic's plans are learned from: CT with structure sets or segmentations."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import some_labels
from dicom_maker import ct_values, write_report, write_series
from structure_set_maker import outlines, write_structure_set
from typer.testing import CliRunner

from SDSegLib.cli.app import app
from SDSegLib.datasets.cases import Case, load_items
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.datasets.collection import Collection
from SDSegLib.datasets.proposal import input_for
from SDSegLib.errors import InputError
from SDSegLib.evaluation.cases import cases_of
from SDSegLib.export.label_files import read_label_file, structures_in
from SDSegLib.reading.files import read_volume
from SDSegLib.reading.rtstruct import read_contours
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.structure import LEFT, RIGHT

SECRETS = ("Secret", "secret-id", "MUSTER")
ORGANS = {1: "Hirnstamm", 2: "Myelon", 3: "Parotis re", 4: "Parotis li", 7: "Mandibula"}
TABLE = {
    "Hirnstamm": "Brainstem",
    "Myelon": "Spinal cord",
    "Parotis re": "Right parotid gland",
    "Parotis li": "Left parotid gland",
    "Mandibula": "Mandible",
}
GRID = InputDescription((64, 64), None, "LPS", ((-160.0, 240.0),))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


def refusal(*arguments: object, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        open_dataset(*arguments, **options)  # type: ignore[arg-type]
    return str(caught.value)


def load(collection: Collection) -> list[Case]:
    items = collection.items("all")
    return load_items(items, collection, GRID, collection.num_classes)


@pytest.fixture
def table(tmp_path: Path) -> str:
    return names_file(tmp_path, TABLE)


def names_file(folder: Path, names: object) -> str:
    path = folder / "names.json"
    path.write_text(json.dumps(names), encoding="utf-8")
    return str(path)


SHAPE = (6, 24, 28)


def small_ct(folder: Path, brighter: int = 0, **tags: object) -> tuple[Path, Geometry]:
    """A CT of `SHAPE` in a folder: one of its files, and its grid."""
    files = write_series(folder, ct_values(*SHAPE) + np.int16(brighter), **tags)
    return files[0], read_volume(folder).geometry


def a_patient(folder: Path, labels: np.ndarray | None = None, **tags: object) -> Geometry:
    """A small patient with the structures A (1) and B (2)."""
    file, grid = small_ct(folder / "CT")
    labels = some_labels((1, 2), SHAPE) if labels is None else labels
    rois = {"A": outlines(labels == 1), "B": outlines(labels == 2)}
    write_structure_set(folder / "plan.dcm", file, grid, rois, **tags)
    return grid


# --- real plans -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def clinic(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three real patients as DICOM, each laid out in another way, with the clinic's names."""
    root = tmp_path_factory.mktemp("clinic")
    source = shared_data / "head_neck_oar" / "train"
    for number, name in enumerate(("pt_1", "pt_10", "pt_100")):
        ct = read_volume(source / name / "ct.nii.gz")
        organs = read_volume(source / name / "organs.nii.gz", labels=True)
        kept = slice(40, 100)
        grid = ct.geometry
        origin = grid.affine_lps[:3] @ [0, 0, kept.start, 1]
        folder = root / f"MUSTER^{number}"
        images = folder / "study" / "series" if number == 0 else folder
        files = write_series(
            images,
            np.clip(ct.array[kept], -1024, 3000),
            origin=origin,
            spacing=grid.spacing,
            PatientID=f"secret-id-{number}",
            FrameOfReferenceUID=f"1.2.3.{number}",
        )
        labels = organs.array[kept]
        np.save(root / f"{number}.npy", labels)
        rois = {name: outlines(labels == label) for label, name in ORGANS.items()}
        rois = {name: found for name, found in rois.items() if found}
        rois["PTV 70"] = outlines(labels == 6)
        if number == 2:
            del rois["Myelon"]
        geometry = read_volume(images).geometry
        write_structure_set(folder / "RS.dcm", files[0], geometry, rois)
        write_report(folder / "report.dcm")
    return root


def test_real_contours_become_the_masks_that_they_were_drawn_around(
    clinic: Path, table: str
) -> None:
    collection = open_dataset("dicom", clinic, names=table)
    assert [item.name for item in collection.structures] == list(TABLE.values())
    assert [item.type.value for item in collection.structures][:2] == ["15926001", "2748008"]
    assert [item.modifier for item in collection.structures][2:4] == [RIGHT, LEFT]
    assert collection.modality == "CT"
    assert "PTV 70" in " ".join(collection.notes)
    drawn = dict(zip(ORGANS, range(1, 6), strict=True))
    by_folder = {item.label.parent.name: item for item in collection.items("all") if item.label}
    for number in range(3):
        item = by_folder[f"MUSTER^{number}"]
        (case,) = load_items([item], collection, GRID, 6)
        expected = np.load(clinic / f"{number}.npy")
        for label, new in drawn.items():
            if number == 2 and label == 2:
                assert new not in case.drawn  # a structure that was not drawn is unknown
                assert not (case.label_map == new).any()
                continue
            before, after = expected == label, case.label_map == new
            if not before.any():
                assert new not in case.drawn
                continue
            np.testing.assert_array_equal(before.any((1, 2)), after.any((1, 2)))
            assert dice(before, after) > 0.999


def test_a_model_is_taught_from_structure_sets_and_a_patient_with_two_series_is_one(
    tmp_path: Path,
) -> None:
    from SDSegLib.teaching.cases import open_cases

    root = tmp_path / "plans"
    for number, patient in enumerate(("anna", "bert", "anna")):
        folder = root / f"study {number}"
        tags = {"PatientID": patient, "PatientName": patient}
        file, grid = small_ct(folder / "CT", number, **tags)
        labels = some_labels((1, 2), SHAPE)
        rois = {"A": outlines(labels == 1), "B": outlines(labels == 2)}
        write_structure_set(folder / "plan.dcm", file, grid, rois)
    names = names_file(tmp_path, {"A": "Liver", "B": "Spleen"})
    with pytest.raises(InputError, match="give --dataset dicom"):
        open_cases(root)
    cases = open_cases(root, "dicom", {"names": names})
    assert [len(cases.holders(label)) for label in (1, 2)] == [3, 3]
    assert len(set(cases.patients.values())) == 2
    assert "count as one patient" in " ".join(cases.collection.notes)
    (pair,) = cases.pairs([cases.items[0].name])
    assert set(np.unique(pair.read_reference(pair.reference).array)) == {0, 1, 2}
    other = open_cases(root, "dicom", {"names": names, "patients": "(.+)"})
    assert len(set(other.patients.values())) == 3


def test_a_training_on_a_clinics_folders_says_nothing_of_the_patients(
    clinic: Path, table: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache, output = tmp_path / "cache", tmp_path / "run"
    command = ["train", "--dataset", "dicom", "--data", str(clinic), "--option", f"names={table}"]
    with caplog.at_level(logging.DEBUG):
        result = CliRunner().invoke(
            app, [*command, "--cache", str(cache), "--output", str(output), "--plan"]
        )
    assert result.exit_code == 0, result.output
    assert "3 to train on" in result.output
    assert "Spinal cord in 2" in result.output
    assert "does not name 1 name of structures (PTV 70), which are left out" in result.output
    entries = sorted(path.name for path in cache.iterdir())
    assert [name[:5] for name in entries] == ["case-"] * 3
    said = result.output + caplog.text + " ".join(entries)
    for secret in SECRETS:
        assert secret not in said


def test_names_of_structures_have_to_be_given_and_are_listed(clinic: Path, tmp_path: Path) -> None:
    message = refusal("dicom", clinic)
    assert "give it with names=FILE" in message
    assert "Hirnstamm (3)" in message
    assert "Myelon (2)" in message
    missing = tmp_path / "nothing.json"
    assert f"{missing} cannot be read" in refusal("dicom", clinic, names=str(missing))
    names = names_file(tmp_path, {"Leber": "Liver"})
    assert "No file has a structure that" in refusal("dicom", clinic, names=names)
    names = names_file(tmp_path, {**TABLE, "Leber": "Liver"})
    assert "names Leber, which no file has" in refusal("dicom", clinic, names=names)
    names = names_file(tmp_path, {"Myelon": "Spinal cord", "Hirnstamm": "spinal-cord"})
    assert "two structures of one meaning, 'Hirnstamm' and 'Myelon'" in refusal(
        "dicom", clinic, names=names
    )
    for wrong in ([], {"Myelon": 1}, {"Myelon": ""}, {"A b": "Liver", "a_b": "Spleen"}):
        assert str(tmp_path) in refusal("dicom", clinic, names=names_file(tmp_path, wrong))


def test_a_model_is_compared_with_structure_sets(clinic: Path, table: str) -> None:
    collection = open_dataset("dicom", clinic, names=table)
    found = cases_of(collection, "all")
    for pair in found.pairs:
        reference = pair.read_reference(pair.reference)
        assert reference.geometry.matches(read_volume(pair.required_image()).geometry)
        assert set(np.unique(reference.array)) <= set(range(6))


def test_a_segmentation_beside_its_ct_needs_no_table(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    from SDSegLib.export.dicom_seg import write_dicom_seg
    from SDSegLib.models.labels import structures_called
    from SDSegLib.volume.placement import placed_on
    from SDSegLib.volume.segmentation import Segmentation

    source = shared_data / "abdomen_ct"
    ct = tmp_path / "data" / "one" / "ct"
    shutil.copytree(source / "dicom_series", ct)
    volume = read_volume(ct)
    stored = read_volume(source / "dicom_series_organs.nii.gz", labels=True)
    labels = placed_on(stored.array, stored.geometry, volume.geometry, 0.01)
    assert labels is not None
    present = [int(value) for value in np.unique(labels) if value]
    structures = structures_called([f"Structure {value}" for value in present])
    renumbered = np.searchsorted([0, *present], labels).astype(np.uint8)
    result = Segmentation(renumbered, volume.geometry, structures)
    write_dicom_seg(result, volume, ct.parent / "seg.dcm")
    collection = open_dataset("dicom", tmp_path / "data")
    assert [item.name for item in collection.structures] == [item.name for item in structures]
    (case,) = load(collection)
    np.testing.assert_array_equal(case.label_map, renumbered)


# --- what contours may be like --------------------------------------------------------------------


def labels_of(folder: Path, name: str = "A") -> np.ndarray:
    """The mask of a structure in a patient's folder."""
    structures = {item.name: item.label for item in structures_in(folder / "plan.dcm")}
    volume = read_label_file(folder / "plan.dcm", image=folder / "CT")
    return volume.array == structures[name]


@pytest.mark.parametrize("kind", ["CLOSED_PLANAR", "CLOSEDPLANAR_XOR", "keyhole"])
def test_holes_and_islands_stay(tmp_path: Path, kind: str) -> None:
    file, grid = small_ct(tmp_path / "CT")
    mask = np.zeros(SHAPE, bool)
    mask[2, 2:20, 2:24], mask[2, 5:17, 5:20], mask[2, 8:12, 8:12] = True, False, True
    mask[3, 2:20, 2:24], mask[3, 5:17, 5:20] = True, False
    drawn = outlines(mask, keyhole=kind == "keyhole")
    kinds = {"A": "CLOSED_PLANAR" if kind == "keyhole" else kind}
    write_structure_set(tmp_path / "plan.dcm", file, grid, {"A": drawn}, kinds)
    np.testing.assert_array_equal(labels_of(tmp_path), mask)


def test_contours_that_overlap_or_repeat_are_joined(tmp_path: Path) -> None:
    file, grid = small_ct(tmp_path / "CT")
    left, right = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    left[2, 4:12, 4:12], right[2, 8:16, 8:16] = True, True
    drawn = [*outlines(left), *outlines(right), *outlines(left)]
    write_structure_set(tmp_path / "plan.dcm", file, grid, {"A": drawn})
    np.testing.assert_array_equal(labels_of(tmp_path), left | right)
    drawn = [*outlines(left), *outlines(right)]
    kinds = {"A": "CLOSEDPLANAR_XOR"}
    write_structure_set(tmp_path / "plan.dcm", file, grid, {"A": drawn}, kinds)
    np.testing.assert_array_equal(labels_of(tmp_path), left ^ right)


@pytest.mark.parametrize("orientation", [(1, 0, 0, 0, -1, 0), (0, 1, 0, 0, 0, -1)])
def test_contours_lie_where_the_ct_does_however_its_axes_run(
    tmp_path: Path, orientation: tuple[int, ...]
) -> None:
    file, grid = small_ct(tmp_path / "CT", orientation=orientation)
    mask = some_labels((1,), SHAPE) == 1
    write_structure_set(tmp_path / "plan.dcm", file, grid, {"A": outlines(mask)})
    np.testing.assert_array_equal(labels_of(tmp_path), mask)
    mirrored = replace(grid, direction=grid.direction * [-1, 1, 1])
    assert np.linalg.det(mirrored.direction) < 0
    write_structure_set(tmp_path / "plan.dcm", file, mirrored, {"A": outlines(mask)})
    assert not (labels_of(tmp_path) & mask).any()  # what is drawn elsewhere is not moved


def test_contours_between_slices_go_to_the_nearest_one_and_that_is_said(tmp_path: Path) -> None:
    file, grid = small_ct(tmp_path / "CT")
    mask = np.zeros(SHAPE, bool)
    mask[1:4, 4:12, 4:12] = True
    drawn = [points + np.array([0, 0, 0.4]) for points in outlines(mask)]
    smaller = np.zeros(SHAPE, bool)
    smaller[2, 6:8, 6:8] = True
    between = [points + np.array([0, 0, -0.45]) for points in outlines(smaller)]
    outside = [points + np.array([0, 0, 30]) for points in outlines(smaller)]
    last = [points + np.array([0, 0, 2.6]) for points in outlines(smaller)]
    rois = {"A": between + drawn + outside + last}
    write_structure_set(tmp_path / "plan.dcm", file, grid, rois)
    mask[5] = smaller[2]
    np.testing.assert_array_equal(labels_of(tmp_path), mask)
    mask[5] = False
    notes = " ".join(read_label_file(tmp_path / "plan.dcm", image=tmp_path / "CT").notes)
    assert "A: Contours lie between slices of the CT and were moved to the nearest." in notes
    assert "A: 1 contours outside the CT were left out." in notes
    drawn = outlines(mask)[::2]
    write_structure_set(tmp_path / "plan.dcm", file, grid, {"A": drawn})
    (note,) = read_label_file(tmp_path / "plan.dcm", image=tmp_path / "CT").notes
    assert "1 slice between its first and last contour has none" in note


def test_points_and_open_lines_are_no_structure(tmp_path: Path) -> None:
    file, grid = small_ct(tmp_path / "p" / "CT")
    mask = some_labels((1,), SHAPE) == 1
    rois = {
        "A": outlines(mask),
        "Isocenter": [np.array([[5.0, 5.0, 2.0]])],
        "Wire": outlines(mask),
        "Empty": [],
        "Speck": [np.array([[5.0, 5.0, 2.0], [6.0, 6.0, 2.0]])],
    }
    kinds = {"Isocenter": "POINT", "Wire": "OPEN_PLANAR"}
    write_structure_set(tmp_path / "p" / "plan.dcm", file, grid, rois, kinds)
    names = names_file(tmp_path, {name: name for name in rois})
    (tmp_path / "data").mkdir()
    (tmp_path / "p").rename(tmp_path / "data" / "p")
    collection = open_dataset("dicom", tmp_path / "data", names=names)
    (case,) = load(collection)
    np.testing.assert_array_equal(case.label_map == 1, mask)
    assert case.drawn == {1}
    volume = read_label_file(
        tmp_path / "data" / "p" / "plan.dcm", image=tmp_path / "data" / "p" / "CT"
    )
    said = " ".join(volume.notes)
    assert "Isocenter: 1 points were left out" in said
    assert "Wire: 3 open contours were left out" in said
    assert "Speck: 1 contours of fewer than three points" in said


def test_where_structures_overlap_the_last_one_counts_and_it_is_said(tmp_path: Path) -> None:
    file, grid = small_ct(tmp_path / "CT")
    whole, part = np.zeros(SHAPE, bool), np.zeros(SHAPE, bool)
    whole[1:5, 4:16, 4:16], part[2:4, 6:10, 6:10] = True, True
    rois = {"Liver": outlines(whole), "Tumor": outlines(part)}
    write_structure_set(tmp_path / "plan.dcm", file, grid, rois)
    volume = read_label_file(tmp_path / "plan.dcm", image=tmp_path / "CT")
    np.testing.assert_array_equal(volume.array, whole.astype(int) + part)
    assert "parts of Liver are hidden" in " ".join(volume.notes)
    volume = read_label_file(tmp_path / "plan.dcm", wanted=[1], image=tmp_path / "CT")
    np.testing.assert_array_equal(volume.array, whole)


def test_slices_of_a_tilted_gantry_are_straightened_with_their_contours(tmp_path: Path) -> None:
    shift = (0.0, 0.6, 0.0)
    file, _ = small_ct(tmp_path / "d" / "p" / "CT", shift=shift)
    volume = read_volume(tmp_path / "d" / "p" / "CT")
    assert volume.acquired is not None
    mask = some_labels((1,), SHAPE) == 1
    rois = {"A": outlines(mask)}
    write_structure_set(tmp_path / "d" / "p" / "plan.dcm", file, volume.acquired, rois)
    collection = open_dataset("dicom", tmp_path / "d", names=names_file(tmp_path, {"A": "A"}))
    (case,) = load(collection)
    assert case.label_map.shape == volume.array.shape
    assert np.count_nonzero(case.label_map) == np.count_nonzero(mask)


# --- bad input ------------------------------------------------------------------------------------


def test_the_series_that_was_drawn_on_is_taken_of_several(tmp_path: Path) -> None:
    folder = tmp_path / "d" / "p"
    a_patient(folder)
    other = ct_values(*SHAPE)[::-1]
    write_series(folder / "CT", other, names=[f"other-{k}.dcm" for k in range(6)])
    write_series(folder / "MR", other, Modality="MR")
    names = names_file(tmp_path, {"A": "Liver", "B": "Spleen"})
    collection = open_dataset("dicom", tmp_path / "d", names=names)
    (case,) = load(collection)
    np.testing.assert_array_equal(case.image, ct_values(*SHAPE))
    np.testing.assert_array_equal(case.label_map, some_labels((1, 2), SHAPE))
    assert [len(parts) for parts in (collection.train, collection.test)] == [1, 0]


def test_structures_that_belong_to_other_images_are_refused(tmp_path: Path) -> None:
    root = tmp_path / "d"
    names = names_file(tmp_path, {"A": "Liver"})
    a_patient(root / "p")
    (root / "p" / "CT").rename(tmp_path / "CT")
    assert "and no images; put the CT" in refusal("dicom", root, names=names)
    write_series(root / "p" / "CT", ct_values(*SHAPE), FrameOfReferenceUID="1.2.3.99")
    assert "was drawn on another series than those in" in refusal("dicom", root, names=names)
    shutil.rmtree(root / "p" / "CT")
    (tmp_path / "CT").rename(root / "p" / "CT")
    frame = [_frame("1.2.3.99", root / "p" / "CT" / "slice-000.dcm")]
    a_patient(tmp_path / "e" / "p")
    file = next((root / "p" / "CT").glob("*.dcm"))
    grid = read_volume(root / "p" / "CT").geometry
    write_structure_set(
        root / "p" / "plan.dcm", file, grid, {"A": []}, ReferencedFrameOfReferenceSequence=frame
    )
    assert "has another frame of reference than" in refusal("dicom", root, names=names)
    with pytest.raises(InputError, match="another frame of reference than the CT"):
        read_label_file(root / "p" / "plan.dcm", image=root / "p" / "CT")


def _frame(uid: str, ct: Path):
    from pydicom import Dataset, dcmread

    series, study, frame = Dataset(), Dataset(), Dataset()
    series.SeriesInstanceUID = dcmread(ct).SeriesInstanceUID
    study.RTReferencedSeriesSequence = [series]
    frame.FrameOfReferenceUID = uid
    frame.RTReferencedStudySequence = [study]
    return frame


def test_what_is_missing_or_there_twice_is_said(tmp_path: Path) -> None:
    root = tmp_path / "d"
    root.mkdir()
    names = names_file(tmp_path, {"A": "Liver"})
    assert "has no folders" in refusal("dicom", root, names=names)
    write_series(root / "p" / "CT", ct_values(3))
    assert "None of 1 folders holds a structure set" in refusal("dicom", root, names=names)
    a_patient(root / "q")
    assert "1 folders have no structures" in open_dataset("dicom", root, names=names).notes[0]
    shutil.copytree(root / "q", root / "copy of q")
    assert "hold the same series; keep one" in refusal("dicom", root, names=names)
    shutil.rmtree(root / "copy of q")
    shutil.copy(root / "q" / "plan.dcm", root / "q" / "plan 2.dcm")
    assert "were drawn on the same images; keep the one" in refusal("dicom", root, names=names)
    (root / "q" / "plan 2.dcm").unlink()
    file, grid = small_ct(root / "r" / "MR", Modality="MR")
    mask = some_labels((1,), SHAPE) == 1
    write_structure_set(root / "r" / "plan.dcm", file, grid, {"A": outlines(mask)})
    message = refusal("dicom", root, names=names)
    assert "mixes images of CT and MR" in message


def test_all_series_of_a_patient_are_held_out_together(tmp_path: Path) -> None:
    for number in range(6):
        folder = tmp_path / "d" / f"{number}"
        file, grid = small_ct(folder, PatientID=f"p{number // 2}")
        mask = some_labels((1,), SHAPE) == 1
        write_structure_set(folder / "plan.dcm", file, grid, {"A": outlines(mask)})
    names = names_file(tmp_path, {"A": "Liver"})
    collection = open_dataset("dicom", tmp_path / "d", names=names, validation=0.3)
    held = {item.patient for item in collection.validation}
    assert len(collection.validation) == 2
    assert len(held) == 1
    assert not held & {item.patient for item in collection.train}


@pytest.mark.parametrize("share", [0.2, 0.5, 0.7, 0.9, 0.99])
def test_files_that_were_cut_short_are_refused_in_a_sentence(tmp_path: Path, share: float) -> None:
    a_patient(tmp_path / "d" / "p")
    file = tmp_path / "d" / "p" / "plan.dcm"
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * share)])
    names = names_file(tmp_path, {"A": "Liver"})
    with pytest.raises(InputError) as caught:
        load(open_dataset("dicom", tmp_path / "d", names=names))
    assert "plan.dcm" in str(caught.value)
    assert "Secret" not in str(caught.value)


def test_damaged_files_are_read_or_refused_but_cause_no_other_error(tmp_path: Path) -> None:
    a_patient(tmp_path)
    content, random = (tmp_path / "plan.dcm").read_bytes(), np.random.default_rng(0)
    refused = []
    for number in range(60):
        changed, start = bytearray(content), int(random.integers(132, len(content)))
        if number % 2:
            changed[start] = random.integers(256)
        else:
            del changed[start : start + int(random.integers(1, 60))]
        (tmp_path / "bad.dcm").write_bytes(changed)
        try:
            read_contours(tmp_path / "bad.dcm", tmp_path / "CT")
        except InputError as error:
            refused.append(str(error))
    assert 0 < len(refused) < 60
    assert "Secret" not in "".join(refused)


def test_contours_without_their_points_are_refused(tmp_path: Path) -> None:
    a_patient(tmp_path)
    from pydicom import dcmread

    def reason(**tags: object) -> str:
        dataset = dcmread(tmp_path / "plan.dcm")
        contour = dataset.ROIContourSequence[0].ContourSequence[0]
        for keyword, value in tags.items():
            setattr(contour, keyword, value)
        dataset.save_as(tmp_path / "bad.dcm")
        with pytest.raises(InputError) as caught:
            read_label_file(tmp_path / "bad.dcm", image=tmp_path / "CT")
        return str(caught.value)

    assert "does not have the points that it announces" in reason(NumberOfContourPoints=99)
    points = [0.0, 0.0, 0.0, 5.0, 5.0, 5.0, 5.0, 0.0, 5.0]
    message = reason(ContourData=points, NumberOfContourPoints=3)
    assert "Contours of A do not lie in the slices of the CT" in message


def test_a_structure_set_alone_says_where_it_belongs(tmp_path: Path) -> None:
    a_patient(tmp_path)
    with pytest.raises(InputError, match="data set 'dicom'"):
        read_label_file(tmp_path / "plan.dcm")


def test_the_grid_for_training_is_found(clinic: Path, table: str) -> None:
    collection = open_dataset("dicom", clinic, names=table)
    assert input_for(collection).spacing is not None
