"""Calibrated probabilities: chances that hold, the same labels, and slices ranked by their Dice."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_trees import save_volume
from phantom import a_body, stored_as
from tiny_model import STRUCTURES, write_tiny_model

from SDSegLib.evaluation.calibration import (
    calibrated_rows,
    calibration_error,
    fit_calibration,
    judge_voxels,
    reliability,
)
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.sample_segmentations import segment_samples
from SDSegLib.inference.samples import calibrated, expected_dice
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.operations.base import OpenVolume
from SDSegLib.operations.model_store import ModelStore
from SDSegLib.operations.segment import SegmentOperation
from SDSegLib.options import RunOptions
from SDSegLib.review.slices import slice_scores, slices_to_review
from SDSegLib.review.summary import summarise
from SDSegLib.volume.calibration import Calibration
from SDSegLib.volume.doubt import SliceDoubt
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation

ROOT = Path(__file__).parents[2]
SHARPER = Calibration((1.5,) * 8, (0.5, *(0.1,) * 7))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny", uncertainty=SHARPER)


@pytest.fixture(scope="module")
def segmenter(model: Path) -> Segmenter:
    return load_segmenter(str(model), "cpu")


def overconfident(count: int = 20000) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities of three classes that are said too surely, and what is the case."""
    generator = np.random.default_rng(0)
    logits = generator.normal(0, 1.5, (count, 3))
    chances = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    truth = (chances.cumsum(1) < generator.random((count, 1))).sum(1)
    said = np.exp(2.5 * logits + [0.0, 0.8, 0.0])
    return (said / said.sum(1, keepdims=True)).astype(np.float32), truth.astype(np.uint8)


def test_the_fit_makes_chances_of_what_was_said_too_surely() -> None:
    said, truth = overconfident()
    near = said[:, 0] < 0.99
    said, truth = said[near], truth[near]
    fitted = fit_calibration(said[::2], truth[::2])
    raw, after = (
        reliability(rows, truth[1::2], said[1::2])
        for rows in (said[1::2], calibrated_rows(said[1::2], fitted))
    )
    for name, bins in raw.items():
        before, now = calibration_error(bins), calibration_error(after[name])
        assert before is not None
        assert now is not None
        assert now < 0.03 < before, name
    assert fitted.scale[1] == pytest.approx(1 / 2.5, abs=0.06)
    assert Calibration.from_json(json.loads(json.dumps(fitted.to_json())), 3) == fitted


def test_sure_background_and_models_without_calibration_stay_as_they_are() -> None:
    probabilities = torch.tensor([[0.995, 0.6], [0.005, 0.4]])[:, :, None]
    changed = calibrated(probabilities, Calibration((0.5, 1.0), (0.0, 1.0)))
    torch.testing.assert_close(changed[:, 0], probabilities[:, 0])
    odds = 0.4 * np.e / 0.6**0.5
    assert float(changed[1, 1]) == pytest.approx(odds / (1 + odds))
    assert calibrated(probabilities, None) is probabilities


def test_expected_dice_is_that_of_draws() -> None:
    generator = torch.Generator().manual_seed(0)
    chances = torch.rand(3, 12, 12, generator=generator).pow(3)
    chances[2] *= 0.2
    chances /= chances.sum(0)
    given = chances.argmax(0)
    expected = expected_dice(chances, given)
    drawn = torch.multinomial(chances.flatten(1).T, 400, replacement=True, generator=generator)
    for one in (1, 2):
        truth, ours = drawn == one, (given == one).flatten()[:, None]
        dice = 2 * (truth & ours).sum(0) / (truth.sum(0) + ours.sum(0))
        assert float(expected[one - 1]) == pytest.approx(float(dice.mean()), abs=0.02)
    assert float(expected_dice(torch.eye(3)[:, :, None], torch.zeros(3, 1).long())[0]) == 0


def test_label_maps_do_not_depend_on_the_calibration(plain: Path, segmenter: Segmenter) -> None:
    before = load_segmenter(str(plain), "cpu").segment(a_body(), samples=2, probabilities=True)
    after = segmenter.segment(a_body(), samples=2, probabilities=True)
    np.testing.assert_array_equal(after.label_map, before.label_map)
    np.testing.assert_array_equal(after.instability, before.instability)
    assert before.probabilities is not None
    assert after.probabilities is not None
    expected = calibrated(torch.from_numpy(before.probabilities[:, 4]), SHARPER)
    np.testing.assert_allclose(after.probabilities[:, 4], expected, atol=1e-5)
    assert np.abs(after.probabilities - before.probabilities).max() > 0.05
    assert before.doubt is not None
    assert not before.doubt.is_calibrated
    assert after.doubt is not None
    assert after.doubt.is_calibrated
    assert after.doubt.voxels.sum() < before.doubt.voxels.sum()  # it is sharper


def test_several_samples_of_a_model_without_the_entry_are_scored_by_instability(
    plain: Path,
) -> None:
    result = load_segmenter(str(plain), "cpu").segment(a_body(), samples=2)
    without = replace(result, doubt=None)
    for structure in result.structures:
        np.testing.assert_array_equal(
            slice_scores(result, structure, 0), slice_scores(without, structure, 0)
        )


def test_one_sample_of_a_model_without_the_entry_is_scored_by_its_probabilities(
    plain: Path,
) -> None:
    result = load_segmenter(str(plain), "cpu").segment(a_body())
    assert result.doubt is not None
    assert result.doubt.dice is not None
    structure = result.structures[0]
    place = int(np.nanargmin(slice_scores(result, structure, 0)))
    reach = int(3 / result.geometry.spacing[2])
    near = result.doubt.dice[0][max(0, place - reach) : place + reach + 1]
    assert slice_scores(result, structure, 0)[place] == pytest.approx(1 - near.mean(), abs=0.05)
    unknown = replace(result, doubt=None)
    assert (result.is_scored, unknown.is_scored) == (True, False)
    assert summarise(result, "cpu", 1.0, 0.0).slices
    assert not summarise(unknown, "cpu", 1.0, 0.0).slices


def test_doubt_that_an_earlier_version_sent_is_of_a_calibrated_model() -> None:
    dice = np.full((1, 2), 0.5, np.float32)
    sent = SliceDoubt(0, np.zeros((1, 2), np.float32), dice, is_calibrated=False).to_json()
    assert not SliceDoubt.from_json(sent).is_calibrated
    del sent["calibrated"]
    assert SliceDoubt.from_json(sent).is_calibrated


@pytest.mark.parametrize(("order", "flips"), [((2, 0, 1), (1,)), ((1, 2, 0), (0, 2))])
def test_the_scores_follow_the_axes(
    segmenter: Segmenter, order: tuple[int, ...], flips: tuple[int, ...]
) -> None:
    there = segmenter.segment(stored_as(a_body(), order, flips), ["mandible", "larynx"])
    here = segmenter.segment(a_body(), ["mandible", "larynx"])
    assert here.doubt is not None
    assert here.doubt.dice is not None
    assert here.doubt.dice.max() > 0.2
    axis = order.index(0)
    for structure in here.structures:
        expected = slice_scores(here, structure, 0)
        found = slice_scores(there, structure, axis)
        np.testing.assert_allclose(found[::-1] if axis in flips else found, expected, atol=1e-6)


def test_the_score_is_one_minus_the_expected_dice_near_by() -> None:
    labels = np.zeros((9, 10, 10), np.uint8)
    labels[2:8, 3:6, 3:6] = STRUCTURES[1].label
    labels[5] = 0
    dice = np.zeros((2, 9), np.float32)
    dice[1] = [0, 0, 0.6, 0.9, 0.6, 0.3, 0.9, 0.3, 0]
    for thickness, near in ((2.5, 1), (5.0, 0)):
        geometry = Geometry(labels.shape, (2.0, 2.0, thickness), (0.0, 0.0, 0.0), np.eye(3))
        found = Segmentation(
            labels, geometry, STRUCTURES[:2], doubt=SliceDoubt(0, np.zeros((2, 9)), dice)
        )
        scores = slice_scores(found, STRUCTURES[1], 0)
        assert np.isnan(scores[[0, 1, 8]]).all()
        assert scores[5] == 1  # between slices that have it
        for index in (2, 3, 4, 6, 7):
            mean = dice[1, index - near : index + near + 1].mean()
            assert scores[index] == pytest.approx(1 - mean)
        assert np.nan_to_num(slice_scores(found, STRUCTURES[1], 1)).max() == 0  # another plane


def test_all_doors_get_the_same_scores(model: Path, segmenter: Segmenter) -> None:
    here = segmenter.segment(a_body(), samples=2)
    operation = SegmentOperation(RunOptions(model=str(model), device="cpu", samples=2))
    opened, outputs = OpenVolume(a_body()), {}
    for name, spec in operation.returns(opened.volume).items():
        outputs[name] = np.zeros(spec.shape, spec.dtype)
    answer = operation.run(opened, ModelStore(), outputs, lambda _: None, lambda: False)
    sent = json.loads(json.dumps(answer.values))
    there = operation.result(opened.volume, sent, outputs)
    assert there.doubt is not None
    assert there.doubt.dice is not None
    first, second = slices_to_review(here), slices_to_review(there)
    assert first
    assert [item.index for item in first] == [item.index for item in second]
    np.testing.assert_allclose(
        [item.score for item in first], [item.score for item in second], atol=2e-4
    )
    shown = summarise(there, "cpu", 1.0, 0.0).slices
    assert [item.instability for item in shown] == [item.score for item in second]
    mean = segment_samples(segmenter, a_body(), 2).mean
    for structure in here.structures:
        np.testing.assert_allclose(
            slice_scores(mean, structure, 0), slice_scores(here, structure, 0), atol=1e-6
        )


def test_voxels_of_organs_that_were_not_drawn_are_not_judged(segmenter: Segmenter) -> None:
    body = a_body()
    reference = segmenter.segment(body).label_map.copy()
    present = [int(label) for label in np.unique(reference) if label]
    reference[reference == present[0]] = 0
    found = judge_voxels(segmenter, body, reference, samples=2)
    assert found.probabilities[:, present[0]].max(initial=0) < 0.01
    assert (found.probabilities[:, 0] < 0.99).all()
    assert set(np.unique(found.labels)) <= {0, *present[1:]}
    whole = segmenter.segment(body, samples=2)
    np.testing.assert_array_equal(found.segmentation.label_map, whole.label_map)
    np.testing.assert_array_equal(found.segmentation.instability, whole.instability)


@pytest.mark.slow
def test_commands_calibrate_a_model_and_measure_it(plain: Path, tmp_path: Path) -> None:
    body, model = a_body((12, 40, 40)), tmp_path / "model"
    shutil.copytree(plain, model)
    labels = load_segmenter(str(model), "cpu").segment(body).label_map.copy()
    labels[::3] = 0
    for name in ("pt_0", "pt_1"):
        save_volume(body.array, tmp_path / "data" / name / "ct.nii.gz", spacing=(3.0, 3.5, 2.5))
        save_volume(labels, tmp_path / "data" / name / "organs.nii.gz", spacing=(3.0, 3.5, 2.5))
    words = ["--data", str(tmp_path / "data"), "--model", str(model)]
    refused = run("Testing/Benchmarks/uncertainty.py", *words, "--output", str(tmp_path / "none"))
    assert refused.returncode == 2
    done = run("Training/calibrate.py", *words, "--version", "0.0.2")
    assert done.returncode == 0, done.stderr
    assert "each patient left out in turn" in done.stdout
    content = json.loads((model / "model.json").read_text(encoding="utf-8"))
    assert content["version"] == "0.0.2"
    assert len(content["uncertainty"]["scale"]) == 8
    done = run("Testing/Benchmarks/uncertainty.py", *words, "--output", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "| expected Dice |" in done.stdout
    found = json.loads((tmp_path / "out" / "uncertainty.json").read_text(encoding="utf-8"))
    errors = found["calibration_errors"]
    assert errors["calibrated"]["likeliest"] < errors["raw"]["likeliest"]
    assert found["cases"] == 2


def run(program: str, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / program), *words]
    return subprocess.run(command, capture_output=True, text=True)
