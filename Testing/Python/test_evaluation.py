"""Someone measures how good a model is: known answers, unknown organs, other grids, the command."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from tiny_model import INPUT, STRUCTURES, write_tiny_model

from SDSegLib.errors import InputError, ModelError, OutputError
from SDSegLib.evaluation.cases import find_pairs, find_predictions, label_names
from SDSegLib.evaluation.evaluate import Options, evaluate_autoencoder, evaluate_folder
from SDSegLib.evaluation.label_maps import on_grid, read_label_map
from SDSegLib.evaluation.reconstruction import compact_only, reconstruct
from SDSegLib.evaluation.report import prepare_output, prepared_output, write_results
from SDSegLib.evaluation.scores import (
    Rules,
    Status,
    StructureScore,
    evaluate_pair,
    slice_dice,
)
from SDSegLib.evaluation.summary import summarise
from SDSegLib.families.compact import CompactFamily
from SDSegLib.models.folder import load_family
from SDSegLib.options import RunOptions
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

SPACING = (3.0, 2.0, 1.0)  # along (k, j, i)
SHAPE = (12, 20, 24)


def cube(k: int = 2, j: int = 4, i: int = 5, label: int = 1, side: int = 6) -> np.ndarray:
    """A label map with one cube of `side` voxels that begins at (k, j, i)."""
    array = np.zeros(SHAPE, np.uint8)
    array[k : k + side, j : j + side, i : i + side] = label
    return array


def score_of(prediction: np.ndarray, reference: np.ndarray, **rules: Any) -> StructureScore:
    return evaluate_pair(prediction, reference, SPACING, [1], Rules(**rules))[0]


def plain_score(dice: float | None, label: int = 1) -> StructureScore:
    status: Status = "unknown" if dice is None else "compared"
    return StructureScore(label, status, dice, dice, None, None, 1.0, 1.0)


def save(array: np.ndarray, path: Path, direction: str = "LPS") -> None:
    """Write an array on a 3 × 2 × 1 mm grid, with the file's axes in `direction`."""
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(SPACING[::-1])
    image.SetOrigin((-10.0, 20.0, 30.0))
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(sitk.DICOMOrient(image, direction), str(path))


def ct() -> np.ndarray:
    array = np.random.default_rng(0).normal(40, 60, SHAPE).astype(np.int16)
    array[:, :3] = -1000
    return array


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Three patients; the second has no label 2, whose place is thus unknown."""
    folder = tmp_path / "data"
    for name, second in (("anna", True), ("bert", False), ("cleo", True)):
        labels = cube()
        if second:
            labels[9:11, 2:5, 2:5] = 2
        save(ct(), folder / name / "ct.nii.gz")
        save(labels, folder / name / "organs.nii.gz")
    return folder


# --- known answers --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("shift", "step_mm", "near_face_mm"),
    [((1, 0, 0), 3.0, 24.0), ((0, 1, 0), 2.0, 24.0), ((0, 0, 1), 1.0, 16.0)],
)
def test_shifted_cube_has_the_overlap_and_distances_counted_by_hand(
    shift: tuple[int, int, int], step_mm: float, near_face_mm: float
) -> None:
    """A 6³ cube has 152 surface voxels. After one step to the side the 36 of its leading face are
    that step away from the other surface. Of its trailing face the rim lies on the other's sides;
    the 16 inner voxels are 1, 2, 2 and 1 mm from them along i, or a step if that is less.
    """
    score = score_of(cube(2 + shift[0], 4 + shift[1], 5 + shift[2]), cube())
    assert score.status == "compared"
    assert score.dice == pytest.approx(2 * 5 * 36 / (216 + 216))
    assert score.iou == pytest.approx(5 * 36 / (216 + 36))
    assert score.hd95_mm == pytest.approx(step_mm)
    assert score.assd_mm == pytest.approx((36 * step_mm + near_face_mm) / 152)
    assert score.reference_ml == pytest.approx(216 * 6 / 1000)


def test_single_voxels_are_as_far_apart_as_pythagoras_says() -> None:
    score = score_of(cube(1, 1, 1, side=1), cube(3, 4, 5, side=1))
    expected = np.sqrt((2 * 3.0) ** 2 + (3 * 2.0) ** 2 + (4 * 1.0) ** 2)
    assert score.hd95_mm == pytest.approx(expected)
    assert score.assd_mm == pytest.approx(expected)
    assert score.dice == 0.0


def test_hd95_leaves_a_stray_voxel_out_and_the_average_does_not() -> None:
    prediction = cube()
    prediction[11, 19, 23] = 1
    score = score_of(prediction, cube())
    # The stray voxel lies 4 slices, 10 rows and 13 columns beyond the cube's last corner.
    stray = np.sqrt((4 * 3.0) ** 2 + (10 * 2.0) ** 2 + (13 * 1.0) ** 2)
    assert score.hd95_mm == 0.0
    assert score.assd_mm == pytest.approx(stray / (152 + 153))


def test_structures_at_the_border_of_the_volume_are_measured() -> None:
    score = score_of(cube(0, 0, 0), cube(0, 0, 1))
    assert score.hd95_mm == pytest.approx(1.0)


def test_each_label_is_compared_for_itself() -> None:
    reference = cube(label=1) + cube(2, 12, 14, label=3)
    prediction = cube(label=1) + cube(2, 12, 15, label=3)
    first, third = evaluate_pair(prediction, reference, SPACING, [1, 3])
    assert (first.label, first.dice, first.assd_mm) == (1, 1.0, 0.0)
    assert third.label == 3
    assert third.dice == pytest.approx(5 / 6)


def test_dice_by_slice_tells_where_the_error_is() -> None:
    prediction = cube()
    prediction[7] = 0
    dice = slice_dice(prediction, cube(), [1, 2])
    assert dice.shape == (12, 2)
    assert dice[2:7, 0] == pytest.approx(1.0)
    assert dice[7, 0] == 0.0
    assert np.isnan(dice[[0, 1, 8, 9, 10, 11], 0]).all()
    assert np.isnan(dice[:, 1]).all()


# --- what is missing ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rules", "predicted", "status", "dice"),
    [
        ({}, True, "unknown", None),
        ({}, False, "unknown", None),
        ({"absent": "background"}, True, "spurious", 0.0),
        ({"absent": "background"}, False, "absent", None),
        ({"convention": "paper"}, True, "spurious", 1.0),
        ({"convention": "paper"}, False, "absent", 0.0),
    ],
)
def test_structure_that_was_not_drawn_is_counted_as_the_rules_say(
    rules: dict[str, Any], predicted: bool, status: str, dice: float | None
) -> None:
    score = score_of(cube() if predicted else np.zeros(SHAPE, np.uint8), cube(label=2), **rules)
    assert (score.status, score.dice, score.iou) == (status, dice, dice)
    assert score.hd95_mm is None
    assert score.assd_mm is None


@pytest.mark.parametrize("rules", [{}, {"absent": "background"}, {"convention": "paper"}])
def test_missed_structure_has_dice_zero_and_no_distance_under_all_rules(
    rules: dict[str, Any],
) -> None:
    score = score_of(np.zeros(SHAPE, np.uint8), cube(), **rules)
    assert (score.status, score.dice, score.iou) == ("missed", 0.0, 0.0)
    assert score.hd95_mm is None


def test_unknown_structures_are_left_out_of_means_and_missed_ones_out_of_distances() -> None:
    empty = np.zeros(SHAPE, np.uint8)
    scores = {
        "found": evaluate_pair(cube(), cube(), SPACING, [1, 2]),
        "missed": evaluate_pair(empty, cube(), SPACING, [1, 2]),
        "unknown": evaluate_pair(cube(), empty, SPACING, [1, 2]),
    }
    first, second = summarise(scores).structures
    assert (first.cases, first.missed, first.unknown, first.spurious) == (2, 1, 1, 0)
    assert first.metrics["dice"].mean == pytest.approx(0.5)
    assert first.metrics["dice"].cases == 2
    assert first.metrics["hd95_mm"].mean == 0.0
    assert first.metrics["hd95_mm"].cases == 1
    assert (second.cases, second.unknown) == (0, 3)
    assert second.metrics == {}


# --- means and intervals --------------------------------------------------------------------------


def test_overall_mean_weighs_structures_and_not_cases() -> None:
    scores = {
        "a": [plain_score(1.0), plain_score(0.2, 2)],
        "b": [plain_score(0.8), plain_score(None, 2)],
    }
    summary = summarise(scores)
    assert summary.overall["dice"].mean == pytest.approx((0.9 + 0.2) / 2)
    assert summary.per_case["a"]["dice"] == pytest.approx(0.6)
    assert summary.per_case["b"]["dice"] == pytest.approx(0.8)
    assert "hd95_mm" not in summary.overall


def test_intervals_are_the_same_each_time_and_hold_the_textbook_width() -> None:
    values = np.random.default_rng(3).uniform(0.5, 0.9, 40)
    scores = {str(n): [plain_score(float(value))] for n, value in enumerate(values)}
    first, again = summarise(scores), summarise(scores)
    assert first == again
    estimate = first.overall["dice"]
    assert estimate.low is not None
    assert estimate.high is not None
    assert estimate.low < values.mean() < estimate.high
    width = 2 * 1.96 * values.std() / np.sqrt(len(values))
    assert estimate.high - estimate.low == pytest.approx(width, rel=0.1)


def test_structure_drawn_in_one_case_does_not_move_the_overall_interval_off_its_mean() -> None:
    scores = {str(n): [plain_score(0.9), plain_score(None, 2)] for n in range(4)}
    scores["4"] = [plain_score(0.9), plain_score(0.1, 2)]
    overall = summarise(scores).overall["dice"]
    assert overall.mean == pytest.approx(0.5)
    assert (overall.low, overall.high) == (pytest.approx(0.5), pytest.approx(0.5))


def test_one_case_has_no_interval() -> None:
    estimate = summarise({"only": [plain_score(0.7)]}).overall["dice"]
    assert (estimate.mean, estimate.low, estimate.high) == (0.7, None, None)


# --- grids ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("axes", ["LPS", "RAS", "LAS", "SRP", "AIL", "PSL"])
def test_flipped_and_permuted_predictions_are_compared_in_the_patient(
    tmp_path: Path, axes: str
) -> None:
    save(cube(1, 2, 3), tmp_path / "reference.nii.gz")
    save(cube(1, 2, 3), tmp_path / "prediction.nrrd", axes)
    reference = read_label_map(tmp_path / "reference.nii.gz")
    prediction = read_label_map(tmp_path / "prediction.nrrd")
    array, resampled = on_grid(prediction, reference.geometry)
    assert not resampled
    assert np.array_equal(array, reference.array)


def test_oblique_grids_are_reoriented_without_loss_too() -> None:
    turned = np.array(sitk.VersorTransform((0, 0, 1), np.radians(45)).GetMatrix()).reshape(3, 3)
    want = Geometry(SHAPE, SPACING[::-1], (5.0, 6.0, 7.0), turned)
    flip = np.diag([-1.0, 1.0, -1.0, 1.0])
    flip[:3, 3] = (SHAPE[2] - 1, 0, SHAPE[0] - 1)
    have = Geometry.from_affine_lps(SHAPE, want.affine_lps @ flip)
    array, resampled = on_grid(Volume(cube()[::-1, :, ::-1], have), want)
    assert not resampled
    assert np.array_equal(array, cube())


def test_another_grid_is_resampled_to_the_nearest_voxel() -> None:
    fine = Geometry(SHAPE, SPACING[::-1], (0.0, 0.0, 0.0), np.eye(3))
    # Voxels twice as wide along i, whose first centre lies between the first two fine ones, and
    # one that lies beyond the prediction.
    coarse = Geometry((12, 20, 13), (2.0, 2.0, 3.0), (0.4, 0.0, 0.0), np.eye(3))
    array, resampled = on_grid(Volume(cube(), fine), coarse)
    assert resampled
    assert array.shape == coarse.shape
    assert np.array_equal(array[:, :, :12], cube()[:, :, ::2])
    assert not array[:, :, 12].any()


def test_image_given_as_label_map_is_refused_with_the_value(tmp_path: Path) -> None:
    array = np.zeros(SHAPE, np.float32)
    array[3, 3, 3] = 0.5
    save(array, tmp_path / "probability.nii.gz")
    with pytest.raises(InputError, match=r"probability\.nii\.gz is no label map.* 0\.5"):
        read_label_map(tmp_path / "probability.nii.gz")
    save(ct(), tmp_path / "ct.nii.gz")
    with pytest.raises(InputError, match="no label map"):
        read_label_map(tmp_path / "ct.nii.gz")


# --- finding cases --------------------------------------------------------------------------------


def test_case_folders_are_found_and_those_without_reference_named(data: Path) -> None:
    (data / "bert" / "organs.nii.gz").unlink()
    (data / "empty").mkdir()
    found = find_pairs(data)
    assert [pair.name for pair in found.pairs] == ["anna", "cleo"]
    assert found.pairs[0].image == data / "anna" / "ct.nii.gz"
    assert found.skipped == ("bert",)


def test_one_case_folder_is_a_data_set_of_one(data: Path) -> None:
    assert [pair.name for pair in find_pairs(data / "anna").pairs] == ["anna"]


def test_nnunet_folders_pair_images_by_their_first_channel(tmp_path: Path) -> None:
    for name in ("case_1_0000.nii.gz", "case_2_0000.nii.gz", "case_2_0001.nii.gz", "x_0000.nrrd"):
        save(ct(), tmp_path / "imagesTr" / name)
    for name in ("case_1.nii.gz", "case_2.nrrd"):
        save(cube(), tmp_path / "labelsTr" / name)
    found = find_pairs(tmp_path)
    assert [pair.name for pair in found.pairs] == ["case_1", "case_2"]
    assert found.pairs[1].image == tmp_path / "imagesTr" / "case_2_0000.nii.gz"
    assert found.skipped == ("x",)


def test_images_and_labels_of_the_same_stem_are_pairs(tmp_path: Path) -> None:
    save(ct(), tmp_path / "images" / "a.nii.gz")
    save(cube(), tmp_path / "labels" / "a.mha")
    save(cube(), tmp_path / "labels" / "b.mha")
    first, second = find_pairs(tmp_path).pairs
    assert first.image == tmp_path / "images" / "a.nii.gz"
    assert (second.name, second.image) == ("b", None)


def test_missing_prediction_is_named_before_the_work(data: Path, tmp_path: Path) -> None:
    save(cube(), tmp_path / "predictions" / "anna.nii.gz")
    with pytest.raises(InputError, match="no label map for 2 of 3 cases, such as bert"):
        find_predictions(tmp_path / "predictions", find_pairs(data).pairs)


def test_folder_without_cases_says_what_is_looked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"organs\.nii\.gz.*labelsTr"):
        find_pairs(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        find_pairs(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "labels", [{"background": 0, "liver": 1}, {"0": "background", "1": "liver"}]
)
def test_names_come_from_the_data_set_or_from_the_labels(
    data: Path, labels: dict[str, Any]
) -> None:
    references = [pair.reference for pair in find_pairs(data).pairs]
    assert label_names(data, references) == {1: "label 1", 2: "label 2"}
    (data / "dataset.json").write_text(json.dumps({"labels": labels}))
    assert label_names(data, references) == {1: "liver"}


# --- autoencoder ----------------------------------------------------------------------------------


@pytest.fixture
def exact_autoencoder(tmp_path: Path) -> CompactFamily:
    """One structure, 2 × 2 blocks, and weights that pass every block through as it is."""
    folder = write_tiny_model(
        tmp_path / "exact",
        structures=STRUCTURES[:1],
        network={"factor": 2, "latent_channels": 8},
        input=INPUT,
    )
    family = compact_only(load_family(folder))
    with torch.no_grad():
        for parameter in family.autoencoder.parameters():
            parameter.zero_()
        for layers in (family.autoencoder.encoder, family.autoencoder.decoder):
            for layer in layers:
                if isinstance(layer, torch.nn.Conv2d):
                    side = layer.kernel_size[0]
                    middle = layer.weight[:, :, side // 2, side // 2]
                    middle.copy_(torch.eye(*middle.shape))
    return family


def test_exact_autoencoder_gives_label_maps_of_any_size_back(
    exact_autoencoder: CompactFamily,
) -> None:
    label_map = np.zeros((5, 77, 41), np.uint8)
    label_map[1, 2:70, 3:40] = np.random.default_rng(0).integers(0, 2, (68, 37))
    label_map[3, 0, 0] = label_map[3, 76, 40] = 1
    label_map[4, 75:, 39:] = 1
    assert np.array_equal(reconstruct(exact_autoencoder, label_map, batch=2), label_map)


def test_labels_that_the_model_does_not_know_become_background(
    exact_autoencoder: CompactFamily,
) -> None:
    label_map = np.zeros((1, 40, 40), np.uint8)
    label_map[0, 5:9, 5:9] = 1
    label_map[0, 20:30, 20:30] = 2
    assert np.array_equal(reconstruct(exact_autoencoder, label_map), np.where(label_map == 1, 1, 0))


def test_autoencoder_that_loses_a_structure_is_scored_as_missing_it(
    data: Path, tmp_path: Path
) -> None:
    model = write_tiny_model(tmp_path / "model", structures=STRUCTURES[:2])
    options = Options(pictures=1, run=RunOptions(model=str(model), device="cpu"))
    result = evaluate_autoencoder(find_pairs(data).pairs, options)
    assert result.facts["grid"] == "model"
    assert [score.status for score in result.evaluation.scores["bert"]][1] == "unknown"
    assert all(score.hd95_mm is None for score in result.evaluation.scores["anna"])
    assert len(result.evaluation.snapshots) == 1


def test_published_model_has_no_label_map_autoencoder(data: Path, tmp_path: Path) -> None:
    sizes = {"ch": 32, "ch_mult": [1, 1], "num_res_blocks": 1}
    unet = {"model_channels": 32, "channel_mult": [1], "num_res_blocks": 1, "num_heads": 1}
    model = write_tiny_model(
        tmp_path / "published",
        family="published",
        network={"autoencoder": sizes, "unet": unet},
        input=replace(INPUT, windows=((-125.0, 275.0),), slice_offsets_mm=(0.0,), repeat=3),
        structures=STRUCTURES[:1],
    )
    with pytest.raises(ModelError, match="only compact models"):
        evaluate_autoencoder(
            find_pairs(data).pairs, Options(run=RunOptions(model=str(model), device="cpu"))
        )


# --- results on disk ------------------------------------------------------------------------------


def predictions_for(data: Path, folder: Path, change: Callable[[np.ndarray], np.ndarray]) -> Path:
    for pair in find_pairs(data).pairs:
        save(change(read_label_map(pair.reference).array), folder / f"{pair.name}.nrrd", "RAS")
    return folder


def write(data: Path, predictions: Path, output: Path, pictures: int = 2) -> dict[str, Any]:
    pairs = find_pairs(data).pairs
    result = evaluate_folder(data, predictions, pairs, Options(Rules(), pictures))
    summary = summarise(result.evaluation.scores)
    prepare_output(output, overwrite=True)
    return write_results(output, result.evaluation, summary, result.names, result.facts, "test")


def test_perfect_predictions_on_flipped_grids_score_one(data: Path, tmp_path: Path) -> None:
    predictions = predictions_for(data, tmp_path / "predictions", lambda labels: labels)
    content = write(data, predictions, tmp_path / "results")
    assert content["overall"]["dice"]["mean"] == 1.0
    assert content["overall"]["hd95_mm"]["mean"] == 0.0
    assert content["notes"] == {}


def test_worst_results_are_drawn_and_named(data: Path, tmp_path: Path) -> None:
    def without_second(labels: np.ndarray) -> np.ndarray:
        return np.where(labels == 2, 0, labels).astype(np.uint8)

    predictions = predictions_for(data, tmp_path / "predictions", without_second)
    output = tmp_path / "results"
    content = write(data, predictions, output)
    assert content["structures"][1]["missed"] == 2
    assert content["structures"][1]["metrics"]["dice"]["mean"] == 0.0
    pictures = sorted(path.name for path in (output / "worst").iterdir())
    assert pictures == ["01_anna_label-2.png", "02_cleo_label-2.png"]
    for path in (output / "dice.png", output / "worst" / pictures[0]):
        assert path.read_bytes().startswith(b"\x89PNG")


def test_new_evaluation_leaves_nothing_of_the_old_one(data: Path, tmp_path: Path) -> None:
    predictions = predictions_for(data, tmp_path / "predictions", lambda labels: labels)
    output = tmp_path / "results"
    write(data, predictions, output, pictures=3)
    (output / "worst" / "mine.png").write_bytes(b"mine")
    write(data, predictions, output, pictures=1)
    kept = sorted(path.name for path in (output / "worst").iterdir())
    assert len(kept) == 2
    assert "mine.png" in kept


def test_folder_with_something_in_it_is_not_touched(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        prepare_output(tmp_path)
    with pytest.raises(OutputError, match="cannot be used"):
        prepare_output(tmp_path / "thesis.txt")


def test_a_run_that_fails_leaves_no_empty_folder(tmp_path: Path) -> None:
    mine, new = tmp_path / "mine", tmp_path / "new" / "results"
    mine.mkdir()

    def fail(output: Path, *files: str) -> None:
        with prepared_output(output):
            assert output.is_dir()
            for name in files:
                (output / name).touch()
            raise OutputError("the server lacks the model")

    for output in (mine, new):
        with pytest.raises(OutputError, match="the server"):
            fail(output)
    assert list(tmp_path.iterdir()) == [mine]
    with pytest.raises(OutputError, match="the server"):
        fail(new, "metrics.csv")
    assert (new / "metrics.csv").exists()
    with prepared_output(mine):
        pass
    assert mine.is_dir()


# --- the command ----------------------------------------------------------------------------------


def sdseg(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "SDSegLib", "evaluate", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=False)


@pytest.mark.slow
def test_command_evaluates_a_model(data: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model", structures=STRUCTURES[:2])
    output = tmp_path / "results"
    done = sdseg(data, "--model", model, "--output", output, "--device", "cpu", "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    stored = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    assert printed == stored
    assert stored["model"]["name"] == "tiny"
    assert len(stored["model"]["weights_sha256"]) == 64
    assert stored["command"].startswith("sdseg evaluate")
    assert stored["structures"][1]["unknown"] == 1
    with (output / "metrics.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [(row["case"], row["structure"]) for row in rows[:3]] == [
        ("anna", "Brainstem"),
        ("anna", "Spinal cord"),
        ("bert", "Brainstem"),
    ]
    assert (rows[3]["status"], rows[3]["dice"]) == ("unknown", "")


@pytest.mark.slow
def test_command_evaluates_predictions(data: Path, tmp_path: Path) -> None:
    predictions = predictions_for(data, tmp_path / "predictions", lambda labels: labels)
    output = tmp_path / "results"
    done = sdseg(data, "--predictions", predictions, "--output", output, "--pictures", "0")
    assert done.returncode == 0, done.stderr
    assert "1.000" in done.stdout
    assert not (output / "worst").exists()


@pytest.mark.slow
@pytest.mark.parametrize("typed", ["Spinal cord", "spinal cord", "SPINAL-CORD", "spinal_cord"])
def test_one_structure_is_evaluated_however_its_name_is_typed(
    data: Path, tmp_path: Path, typed: str
) -> None:
    model = write_tiny_model(tmp_path / "model", structures=STRUCTURES[:2])
    arguments = ("--model", model, "--output", tmp_path / "results", "--device", "cpu", "--json")
    done = sdseg(data, *arguments, "--classes", typed)
    assert done.returncode == 0, done.stderr
    assert [item["name"] for item in json.loads(done.stdout)["structures"]] == ["Spinal cord"]


def test_model_and_predictions_exclude_each_other(tmp_path: Path) -> None:
    both = ("--predictions", tmp_path, "--output", tmp_path / "out")
    for option in (("--model", "x"), ("--autoencoder",)):
        done = sdseg(tmp_path, *both, *option)
        assert done.returncode == 2
        assert f"{option[0]} and --predictions exclude each other" in " ".join(done.stderr.split())
    assert not (tmp_path / "out").exists()


# --- real CT --------------------------------------------------------------------------------------


def test_real_series_and_its_flipped_labels_agree(shared_data: Path, tmp_path: Path) -> None:
    """The labels lie flipped along j against the DICOM series, in the same place of the patient."""
    folder = shared_data / "abdomen_ct"
    found = find_pairs(folder, image="dicom_series", reference="dicom_series_organs.nii.gz")
    assert [pair.name for pair in found.pairs] == ["abdomen_ct"]
    assert found.pairs[0].image is not None
    series = read_volume(found.pairs[0].image)
    stored = read_label_map(found.pairs[0].reference)
    array, resampled = on_grid(stored, series.geometry)
    assert not resampled
    assert np.array_equal(array, stored.array[:, ::-1])

    image = sitk.GetImageFromArray(array)
    image.SetSpacing(series.geometry.spacing)
    image.SetOrigin(series.geometry.origin)
    image.SetDirection(series.geometry.direction.ravel().tolist())
    (tmp_path / "predictions").mkdir()
    sitk.WriteImage(image, str(tmp_path / "predictions" / "abdomen_ct.nii.gz"))
    result = evaluate_folder(
        folder, tmp_path / "predictions", found.pairs, Options(Rules(), pictures=1)
    )
    summary = summarise(result.evaluation.scores)
    assert summary.overall["dice"].mean == 1.0
    assert summary.overall["assd_mm"].mean == 0.0
    assert result.evaluation.snapshots[0].slices[0].image is not None
