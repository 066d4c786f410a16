"""Labels are compared by name or code wherever one stands; where only numbers are, that is said."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from command_parts import Outcome, run_here
from dicom_maker import write_series
from phantom import a_body
from PIL import Image
from tiny_model import STRUCTURES, write_tiny_model

from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.errors import InputError
from SDSegLib.evaluation.cases import find_pairs
from SDSegLib.evaluation.evaluate import Options, evaluate_folder
from SDSegLib.evaluation.prepared_model import prepare_model
from SDSegLib.export.label_files import read_label_file, structures_in
from SDSegLib.models.labels import read_structures, structures_named
from SDSegLib.options import RunOptions
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.same_structures import common_labels
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import LEFT, RIGHT, Code, Structure
from SDSegLib.volume.volume import Volume

ORGANS = read_structures("head-neck-oar")
NUMBERS = {item.id: item.label for item in ORGANS}


@pytest.fixture(scope="module")
def patient(shared_data: Path) -> Path:
    """A real CT whose seven organs are drawn."""
    return shared_data / "head_neck_oar" / "validation" / "pt_201"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def renumbered(labels: Volume, numbers: dict[str, int]) -> np.ndarray:
    """The label map with new numbers for some organs, and without the others."""
    found = np.zeros_like(labels.array, dtype=np.uint8)
    for name, number in numbers.items():
        found[labels.array == NUMBERS[name]] = number
    return found


def save(array: np.ndarray, like: Volume, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(like.geometry.spacing)
    image.SetOrigin(like.geometry.origin)
    image.SetDirection(np.asarray(like.geometry.direction, float).ravel().tolist())
    sitk.WriteImage(image, str(path), useCompression=True)
    return path


def dataset_json(folder: Path, names: dict[str, int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    content = {
        "channel_names": {"0": "CT"},
        "labels": {"background": 0, **names},
        "numTraining": 1,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content), encoding="utf-8")


def nnunet_folder(root: Path, patient: Path) -> Path:
    """The patient in nnU-Net's layout, whose dataset.json says 1 = Mandible and 7 = Brainstem."""
    labels = read_volume(patient / "organs.nii.gz")
    save(
        renumbered(labels, {"mandible": 1, "brainstem": 7}),
        labels,
        root / "labelsTr" / "pt_201.nii.gz",
    )
    images = root / "imagesTr"
    images.mkdir()
    (images / "pt_201_0000.nii.gz").symlink_to(patient / "ct.nii.gz")
    dataset_json(root, {"Mandible": 1, "Brainstem": 7})
    return root


def dice(output: Path) -> dict[str, float]:
    with (output / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return {row["structure"]: float(row["dice"]) for row in csv.DictReader(file) if row["dice"]}


def evaluate(*arguments: object) -> Outcome:
    return run_here("evaluate", *arguments, "--pictures", 0)


# --- a model --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_an_nnunet_folder_is_compared_by_name_with_the_bundled_model(
    patient: Path, tmp_path: Path
) -> None:
    root = nnunet_folder(tmp_path / "root", patient)
    plain = evaluate(root, "-o", tmp_path / "plain", "--device", "cpu")
    assert plain.code == 0, plain.said
    named = evaluate(
        *(root, "--dataset", "nnunet", "--split", "train", "--device", "cpu"),
        *("-o", tmp_path / "named"),
    )
    assert named.code == 0, named.said
    found = dice(tmp_path / "plain")
    assert found == pytest.approx(dice(tmp_path / "named"))
    assert sorted(found) == ["Brainstem", "Mandible"]
    assert found["Mandible"] > 0.8
    assert found["Brainstem"] > 0.8
    summary = json.loads((tmp_path / "plain" / "summary.json").read_text(encoding="utf-8"))
    assert summary["labels_matched_by"] == "name"
    assert "Nothing names" not in plain.said


def pairs_of(patient: Path, root: Path, names: dict[str, int]) -> Path:
    labels = read_volume(patient / "organs.nii.gz")
    save(renumbered(labels, names), labels, root / "pt_201" / "organs.nii.gz")
    (root / "pt_201" / "ct.nii.gz").symlink_to(patient / "ct.nii.gz")
    return root


def test_numbers_alone_are_compared_as_numbers_and_that_is_said(
    patient: Path, tmp_path: Path, tiny: Path
) -> None:
    root = pairs_of(patient, tmp_path / "data", NUMBERS)
    done = evaluate(root, "-m", tiny, "-o", tmp_path / "out", "--device", "cpu")
    assert done.code == 0, done.said
    assert "label 1 is taken for the model's Brainstem" in done.err
    assert "--names" in done.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["labels_matched_by"] == "number"
    assert summary["remarks"]


def test_a_names_file_says_what_the_numbers_mean(patient: Path, tmp_path: Path, tiny: Path) -> None:
    root = pairs_of(patient, tmp_path / "data", {"mandible": 1, "brainstem": 7})
    names = tmp_path / "names.json"
    names.write_text(json.dumps({"1": "mandible", "7": "BrainStem"}), encoding="utf-8")
    done = evaluate(
        *(root, "-m", tiny, "--names", names, "-o", tmp_path / "out", "--device", "cpu"),
    )
    assert done.code == 0, done.said
    assert "Nothing names" not in done.said
    run = RunOptions(model=str(tiny), device="cpu")
    from SDSegLib.evaluation.cases import with_names

    prepared = prepare_model(run, with_names(find_pairs(root), str(names)).pairs)
    (pair,) = prepared.pairs
    reference = pair.read_reference(pair.reference)
    expected = read_volume(patient / "organs.nii.gz").array
    np.testing.assert_array_equal(reference.array == 7, expected == NUMBERS["mandible"])
    np.testing.assert_array_equal(reference.array == 1, expected == NUMBERS["brainstem"])
    assert prepared.names == {1: "Brainstem", 7: "Mandible"}


def test_a_model_without_any_of_the_named_structures_is_refused(
    patient: Path, tmp_path: Path, tiny: Path
) -> None:
    root = pairs_of(patient, tmp_path / "data", {"mandible": 1})
    dataset_json(root, {"Liver": 1, "Spleen": 2})
    done = evaluate(root, "-m", tiny, "-o", tmp_path / "out", "--device", "cpu")
    assert done.code == 2
    assert "no structure in common" in done.err
    assert "Liver" in done.err


def test_what_is_named_and_not_compared_is_said(patient: Path, tmp_path: Path, tiny: Path) -> None:
    root = pairs_of(patient, tmp_path / "data", {"mandible": 1, "larynx": 2, "brainstem": 3})
    dataset_json(root, {"Mandible": 1, "Tumour": 2})
    done = evaluate(root, "-m", tiny, "-o", tmp_path / "out", "--device", "cpu")
    assert done.code == 0, done.said
    assert "not compared: Tumour, 3" in done.err


# --- files that name their structures -------------------------------------------------------------


def segmentation(
    patient: Path, numbers: dict[str, int], names: dict[str, str] | None = None
) -> Segmentation:
    labels = read_volume(patient / "organs.nii.gz")
    structures = tuple(
        replace(
            next(item for item in ORGANS if item.id == key),
            label=number,
            name=(names or {}).get(key, next(item for item in ORGANS if item.id == key).name),
        )
        for key, number in sorted(numbers.items(), key=lambda pair: pair[1])
    )
    return Segmentation(renumbered(labels, numbers), labels.geometry, structures)


@pytest.fixture
def seg_nrrd(patient: Path, tmp_path: Path) -> Path:
    """Mandible 1 and brainstem 2, under names that only the codes explain."""
    pytest.importorskip("slicer", reason="needs the extra slicer")
    from SDSegLib.export.seg_nrrd import write_seg_nrrd

    path = tmp_path / "refs" / "pt_201.seg.nrrd"
    path.parent.mkdir()
    numbers = {"mandible": 1, "brainstem": 2}
    write_seg_nrrd(segmentation(patient, numbers, {"mandible": "Unterkiefer"}), path)
    return path


def test_names_and_codes_of_a_slicer_file_are_read(seg_nrrd: Path, patient: Path) -> None:
    found = structures_in(seg_nrrd)
    assert [item.name for item in found] == ["Unterkiefer", "Brainstem"]
    assert common_labels(found, ORGANS) == {
        found[0].label: NUMBERS["mandible"],
        found[1].label: NUMBERS["brainstem"],
    }
    expected = read_volume(patient / "organs.nii.gz").array
    stored = read_label_file(seg_nrrd).array
    np.testing.assert_array_equal(stored == found[0].label, expected == NUMBERS["mandible"])


def test_references_and_predictions_of_any_kind_are_compared_by_name(
    seg_nrrd: Path, patient: Path, tmp_path: Path
) -> None:
    """Reference .seg.nrrd; predictions NIfTI with a dataset.json of other numbers."""
    root = tmp_path / "root"
    (root / "labels").mkdir(parents=True)
    seg_nrrd.rename(root / "labels" / "pt_201.seg.nrrd")
    labels = read_volume(patient / "organs.nii.gz")
    predictions = tmp_path / "predictions"
    save(
        renumbered(labels, {"brainstem": 5, "mandible": 9, "larynx": 1}),
        labels,
        predictions / "pt_201.nii.gz",
    )
    dataset_json(predictions, {"brain stem": 5, "Unterkiefer": 9, "larynx": 1})
    done = evaluate(root, "--predictions", predictions, "-o", tmp_path / "out")
    assert done.code == 0, done.said
    assert dice(tmp_path / "out") == {"Brainstem": 1.0, "Unterkiefer": 1.0}
    assert "not compared: larynx" in done.err
    assert "Nothing names" not in done.err


@pytest.mark.parametrize("layout", [(), ("--dataset", "nnunet", "--split", "all")])
def test_predictions_without_names_have_the_numbers_of_the_references(
    patient: Path, tmp_path: Path, layout: tuple[str, ...]
) -> None:
    """The numbers in the files count, not those to which a data set renumbers them."""
    root = nnunet_folder(tmp_path / "root", patient)
    labels = read_volume(patient / "organs.nii.gz")
    predictions = tmp_path / "predictions"
    numbers = {"mandible": 1, "brainstem": 7, "larynx": 2}
    save(renumbered(labels, numbers), labels, predictions / "pt_201.nii.gz")
    done = evaluate(root, *layout, "--predictions", predictions, "-o", tmp_path / "out")
    assert done.code == 0, done.said
    assert dice(tmp_path / "out") == {"Mandible": 1.0, "Brainstem": 1.0}
    assert "1 for Mandible, 7 for Brainstem" in done.err
    assert str(predictions / "dataset.json") in done.err
    assert "not compared: 2" in done.err
    summary = json.loads((tmp_path / "out" / "summary.json").read_text(encoding="utf-8"))
    assert summary["labels_matched_by"] == "number"
    dataset_json(predictions, {"Mandible": 1, "Brainstem": 7, "Larynx": 2})
    done = evaluate(root, *layout, "--predictions", predictions, "-o", tmp_path / "again")
    assert dice(tmp_path / "again") == {"Mandible": 1.0, "Brainstem": 1.0}
    assert "references, 1 for" not in done.err


def test_predicted_pictures_have_the_numbers_of_their_references(tmp_path: Path) -> None:
    """nnU-Net's pictures with the values 1 and 7; one structure may also be drawn with 255."""
    drawn = np.zeros((20, 30), np.uint8)
    drawn[2:9, 3:9], drawn[10:15, 12:25] = 1, 7
    for name, names, values in (
        ("several", {"Cup": 1, "Disc": 7}, drawn),
        ("one", {"Polyp": 255}, np.where(drawn, 255, 0).astype(np.uint8)),
    ):
        root = tmp_path / name
        for folder, file in (
            ("imagesTr", "a_0000.png"), ("labelsTr", "a.png"), ("found", "a.png"),
        ):  # fmt: skip
            (root / folder).mkdir(parents=True)
            Image.fromarray(values).save(root / folder / file)
        dataset_json(root, names)
        done = evaluate(
            *(root, "--dataset", "nnunet", "--split", "all", "-o", tmp_path / f"{name} out"),
            *("--predictions", root / "found"),
        )
        assert done.code == 0, done.said
        assert dice(tmp_path / f"{name} out") == dict.fromkeys(names, 1.0)


def test_overlapping_segments_are_each_read_and_the_overlap_is_said(
    seg_nrrd: Path, patient: Path, tmp_path: Path
) -> None:
    from SDSegLib.mrml.session import private_scene
    from SDSegLib.mrml.storage import load_segmentation_node, save_segmentation_node

    with private_scene() as scene:
        node = load_segmentation_node(seg_nrrd, scene)
        inner = node.GetSegmentation()
        inner.SeparateSegmentLabelmap(inner.GetNthSegmentID(1))
        image = inner.GetNthSegment(1).GetRepresentation("Binary labelmap")
        array = np.frombuffer(image.GetPointData().GetScalars(), np.uint8)
        assert array.any()
        layered = tmp_path / "layered.seg.nrrd"
        save_segmentation_node(node, layered)
    found = structures_in(layered)
    assert [item.name for item in found] == ["Unterkiefer", "Brainstem"]
    volume = read_label_file(layered)
    expected = read_volume(patient / "organs.nii.gz").array
    for item, name in zip(found, ("mandible", "brainstem"), strict=True):
        np.testing.assert_array_equal(volume.array == item.label, expected == NUMBERS[name])


def test_a_dicom_segmentation_is_compared_by_its_codes(tmp_path: Path) -> None:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    from SDSegLib.export.dicom_seg import write_dicom_seg

    write_series(tmp_path / "series", a_body((6, 40, 48)).array, spacing=(3.5, 3.0, 2.5))
    ct = read_volume(tmp_path / "series")
    array = np.zeros(ct.array.shape, np.uint8)
    array[1:4, 10:20, 10:20] = 3
    array[2:5, 25:30, 10:20] = 6
    structures = (
        replace(STRUCTURES[6], label=3, name="Kiefer"),
        replace(STRUCTURES[0], label=6),
    )
    folder = tmp_path / "data" / "case"
    folder.mkdir(parents=True)
    write_dicom_seg(Segmentation(array, ct.geometry, structures), ct, folder / "organs.dcm")
    found = structures_in(folder / "organs.dcm")
    assert [item.name for item in found] == ["Kiefer", "Brainstem"]
    assert common_labels(found, STRUCTURES) == {1: 7, 2: 1}
    predictions = tmp_path / "predictions"
    save(np.where(array == 3, 7, np.where(array == 6, 1, 0)).astype(np.uint8), ct,
         predictions / "case.nii.gz")  # fmt: skip
    dataset_json(predictions, {"Kiefer": 7, "Brainstem": 1})
    pairs = find_pairs(tmp_path / "data", reference="organs.dcm").pairs
    result = evaluate_folder(tmp_path / "data", predictions, pairs, Options())
    scores = {result.names[item.label]: item.dice for item in result.evaluation.scores["case"]}
    assert scores == {"Kiefer": 1.0, "Brainstem": 1.0}
    assert result.remarks == ()


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_a_pipe_among_the_references_is_named_and_not_waited_for(
    patient: Path, tmp_path: Path
) -> None:
    root = nnunet_folder(tmp_path / "root", patient)
    os.mkfifo(root / "labelsTr" / "pt_202.nii.gz")
    done = evaluate(root, "--predictions", root / "labelsTr", "-o", tmp_path / "out")
    assert done.code == 2
    assert "pt_202.nii.gz is neither a file nor a folder" in done.err


def test_some_files_with_names_and_some_without_are_not_mixed(
    seg_nrrd: Path, patient: Path, tmp_path: Path, tiny: Path
) -> None:
    labels = read_volume(patient / "organs.nii.gz")
    root = tmp_path / "root"
    (root / "labels").mkdir(parents=True)
    seg_nrrd.rename(root / "labels" / "a.seg.nrrd")
    save(labels.array.astype(np.uint8), labels, root / "labels" / "b.nii.gz")
    for name in "ab":
        (root / "images").mkdir(exist_ok=True)
        (root / "images" / f"{name}.nii.gz").symlink_to(patient / "ct.nii.gz")
    with pytest.raises(InputError, match=r"b\.nii\.gz holds numbers without names.*--names"):
        prepare_model(RunOptions(model=str(tiny), device="cpu"), find_pairs(root).pairs)


# --- other ways in --------------------------------------------------------------------------------


def test_training_data_are_read_by_the_names_in_their_files(patient: Path, tmp_path: Path) -> None:
    """Two files in which the same numbers mean different organs."""
    pytest.importorskip("slicer", reason="needs the extra slicer")
    from SDSegLib.export.seg_nrrd import write_seg_nrrd

    for name, numbers in (
        ("a", {"mandible": 1, "brainstem": 2}),
        ("b", {"brainstem": 1, "mandible": 2}),
    ):
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        (folder / "ct.nii.gz").symlink_to(patient / "ct.nii.gz")
        write_seg_nrrd(segmentation(patient, numbers), folder / "organs.seg.nrrd")
    data = open_dataset(
        "folder", tmp_path / "data", image="ct.nii.gz", label="organs.seg.nrrd", modality="CT"
    )
    assert [item.name for item in data.structures] == ["Mandible", "Brainstem"]
    expected = read_volume(patient / "organs.nii.gz").array
    for item in (*data.train, *data.validation):
        assert item.label is not None
        labels = data.recipe.read(item.label).array
        np.testing.assert_array_equal(labels == 1, expected == NUMBERS["mandible"])
        np.testing.assert_array_equal(labels == 2, expected == NUMBERS["brainstem"])


def test_a_folder_of_pairs_takes_the_names_of_a_dataset_json(patient: Path, tmp_path: Path) -> None:
    root = nnunet_folder(tmp_path / "root", patient)
    (root / "imagesTr" / "pt_201_0000.nii.gz").rename(root / "imagesTr" / "pt_201.nii.gz")
    data = open_dataset("folder", root, images="imagesTr", labels="labelsTr")
    assert [item.name for item in data.structures] == ["Mandible", "Brainstem"]


def test_a_mask_to_propagate_is_chosen_by_its_name(patient: Path, tmp_path: Path) -> None:
    root = nnunet_folder(tmp_path / "root", patient)
    mask = root / "labelsTr" / "pt_201.nii.gz"
    for wanted in ("mandible", "1"):
        done = run_here(
            *("propagate", patient / "ct.nii.gz", mask, "-o", tmp_path / f"{wanted}.nii.gz"),
            *("--segment", wanted, "--device", "cpu", "--json"),
        )
        assert done.code == 0, done.said
        content = json.loads(done.out)
        assert (content["structure"], content["label"]) == ("Mandible", 1)
    refused = run_here(
        "propagate", patient / "ct.nii.gz", mask, "-o", tmp_path / "x.nii.gz", "--segment", "liver"
    )
    assert refused.code == 2
    assert "1 Mandible, 7 Brainstem" in refused.err


# --- which structures are the same ----------------------------------------------------------------


def structure(label: int, name: str, code: str = "", side: Code | None = None) -> Structure:
    kind = Code("SCT", code, name) if code else Code("99X", name, name)
    return Structure(label, name, (0, 0, 0), kind, modifier=side)


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (["Brain stem"], ["brainstem"], {1: 1}),
        (["spinal_cord"], ["Spinal cord"], {1: 1}),
        (["Parotid gland, left"], ["Left parotid gland"], {1: 1}),
        (["parotid_L", "parotid_R"], ["right parotid", "left parotid"], {1: 2, 2: 1}),
        (["Liver"], ["Spleen"], {}),
        (["Liver", "liver"], ["Liver"], {}),
    ],
)
def test_names_match_whatever_their_spelling(
    ours: list[str], theirs: list[str], expected: dict[int, int]
) -> None:
    sources = [structure(number, name) for number, name in enumerate(ours, start=1)]
    targets = [structure(number, name) for number, name in enumerate(theirs, start=1)]
    assert common_labels(sources, targets) == expected


def test_codes_match_where_names_differ_and_sides_count() -> None:
    ours = [
        structure(1, "Ohr links", "45289007", LEFT),
        structure(2, "Ohr rechts", "45289007", RIGHT),
    ]
    theirs = [structure(3, "Right", "45289007", RIGHT), structure(4, "Left", "45289007", LEFT)]
    assert common_labels(ours, theirs) == {1: 4, 2: 3}
    tissue = [structure(1, "Segment 1", "85756007")]
    assert common_labels(tissue, [structure(1, "Other", "85756007")]) == {}
    assert common_labels(structures_named({1: "A"}), structures_named({1: "B"})) == {}
