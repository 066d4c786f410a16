"""`sdseg stability`: what it says of a model that heeds its noise, and of one that does not."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from dataset_trees import write_kvasir
from phantom import a_body
from tiny_model import write_tiny_model

from SDSegLib.cli.app import main
from SDSegLib.datasets.published import POLYP
from SDSegLib.evaluation.similarity import SampleSimilarity, learned_distance
from SDSegLib.evaluation.stability import pairwise_dice, rank_correlation
from SDSegLib.inference.device import DeviceChoice
from SDSegLib.inference.picture import PictureSegmenter
from SDSegLib.inference.sample_segmentations import segment_samples
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.models.folder import load_family
from SDSegLib.reading.pictures import read_mask, read_picture
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.volume import Volume

CPU = DeviceChoice(torch.device("cpu"), "test")


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("models") / "tiny")


def two_bodies() -> list[Volume]:
    other = a_body((12, 44, 40))
    return [a_body(), replace(other, array=other.array[::-1].copy())]


def write(array: np.ndarray, volume: Volume, path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    sitk.WriteImage(image, str(path))


@pytest.fixture
def data(tmp_path: Path, model: Path) -> Path:
    """Two patients whose truth is what the model says with its stored noise; one lacks label 2."""
    segmenter = Segmenter(load_family(model), CPU)
    for number, volume in enumerate(two_bodies()):
        folder = tmp_path / "data" / f"pt_{number}"
        folder.mkdir(parents=True)
        write(volume.array, volume, folder / "ct.nii.gz")
        truth = segmenter.segment(volume).label_map
        if number == 1:
            truth[truth == 2] = 0
        write(truth, volume, folder / "organs.nii.gz")
    return tmp_path / "data"


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(sys, "argv", ["sdseg", "stability", *(str(item) for item in arguments)])
    with pytest.raises(SystemExit) as stop:
        main()
    return int(stop.value.code or 0)


def test_each_sample_is_what_that_noise_gives_alone(model: Path) -> None:
    segmenter = Segmenter(load_family(model), CPU, batch=4)
    volume = a_body()
    seen = set()
    result = segment_samples(
        segmenter, volume, 3, on_samples=lambda place, p: seen.add((place, p.shape))
    )
    together = segmenter.segment(volume, samples=3)
    np.testing.assert_array_equal(result.mean.label_map, together.label_map)
    np.testing.assert_array_equal(result.mean.instability, together.instability)
    np.testing.assert_array_equal(result.label_maps[0], segmenter.segment(volume).label_map)
    assert seen == {(place, (3, 8, 40, 48)) for place in range(10)}
    from SDSegLib.inference.samples import noises_of

    segmenter.family.stored_noise.copy_(noises_of(segmenter.family, 3)[2])
    np.testing.assert_array_equal(result.label_maps[2], segmenter.segment(volume).label_map)


def test_one_command_writes_tables_and_a_figure(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    out = tmp_path / "out é"
    assert run(monkeypatch, data, "-m", model, "-o", out, "--samples", 3) == 0
    shown = capsys.readouterr().out
    assert "Mandible" in shown
    assert "SSIM of two samples" in shown
    assert sorted(path.name for path in out.iterdir()) == [
        "cases.csv", "slices.csv", "stability.json", "stability.png",
    ]  # fmt: skip
    assert (out / "stability.png").read_bytes().startswith(b"\x89PNG")
    content = json.loads((out / "stability.json").read_text(encoding="utf-8"))
    assert (content["samples"], content["cases"]) == (3, 2)
    # The truth is the stored noise's own result, so that one is perfect and the others are not.
    assert content["dice"]["values"][0] == 1
    assert content["dice"]["span"] == pytest.approx(1 - min(content["dice"]["values"]), abs=1e-5)
    assert 0 < content["dice"]["values"][1] < 0.999
    assert 0 < content["pairwise"] < 1
    assert content["similarity"]["psnr_db"] < 60
    assert content["similarity"]["ssim"] < 1
    with (out / "cases.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["case"] for row in rows] == ["pt_0"] * 7 + ["pt_1"] * 7
    undrawn = next(row for row in rows if row["case"] == "pt_1" and "cord" in row["structure"])
    assert undrawn["dice_0"] == undrawn["dice_of_mean"] == ""
    with (out / "slices.csv").open(encoding="utf-8") as file:
        slices = list(csv.DictReader(file))
    assert {row["named"] for row in slices} == {"0", "1"}
    assert not [r for r in slices if r["case"] == "pt_1" and "cord" in r["structure"]]
    assert run(monkeypatch, data, "-m", model, "-o", out) == 2
    assert "not empty" in capsys.readouterr().err


def test_a_model_deaf_to_noise_is_perfectly_stable(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: Path,
    model: Path,
    tmp_path: Path,
) -> None:
    from SDSegLib.families.compact import CompactFamily

    predict = CompactFamily.predict

    def deaf(family: CompactFamily, z_t: torch.Tensor, *others: torch.Tensor) -> torch.Tensor:
        return predict(family, torch.zeros_like(z_t), *others)

    monkeypatch.setattr(CompactFamily, "predict", deaf)
    out = tmp_path / "out"
    assert run(monkeypatch, data, "-m", model, "-o", out, "--samples", 2, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["dice"]["deviation"] == 0
    assert content["pairwise"] == 1
    assert content["similarity"]["psnr_db"] == 100
    assert content["similarity"]["ssim"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--samples", "1"], "--samples"),
        (["--model", "nobody"], "no model called 'nobody'"),
        (["--reference", "truth.nii.gz"], "holds no cases"),
        (["--image", "mr.nii.gz"], "no image"),
        (["--option", "labels=masks"], "name it with --dataset"),
    ],
)
def test_what_cannot_work_is_refused(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    data: Path,
    model: Path,
    tmp_path: Path,
    arguments: list[str],
    says: str,
) -> None:
    chosen = [] if "--model" in arguments else ["-m", model]
    assert run(monkeypatch, data, "-o", tmp_path / "out", *chosen, *arguments) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_pictures_of_a_data_set_are_judged_as_the_paper_does(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    root = write_kvasir(tmp_path / "data", 20)
    sees = InputDescription((32, 32), None, "LPS", ((0.0, 255.0),), outside=0.0, pictures="rgb")
    polyps = write_tiny_model(tmp_path / "polyps", input=sees, structures=(POLYP,))
    arguments = (root, "--dataset", "kvasir-seg", "-m", polyps, "--samples", 4)
    assert run(monkeypatch, *arguments, "-o", tmp_path / "out", "--split", "all") == 0
    assert "Polyp" in capsys.readouterr().out
    content = json.loads((tmp_path / "out" / "stability.json").read_text(encoding="utf-8"))
    assert (content["cases"], content["dataset"], content["split"]) == (20, "kvasir-seg", "all")
    segmenter = PictureSegmenter(load_family(polyps), CPU)
    dice = []
    for number in range(20):
        found = segmenter.segment(read_picture(root / "images" / f"cju{number:02d}.jpg")).label_map
        truth = read_mask(root / "masks" / f"cju{number:02d}.jpg") > 127
        dice.append(2 * (found & truth).sum() / (found.sum() + truth.sum()))
    assert content["dice"]["values"][0] == pytest.approx(np.mean(dice), abs=1e-4)
    assert content["dice"]["deviation"] > 0
    assert 0 < content["pairwise"] < 1
    assert {"psnr_db", "ssim"} <= set(content["similarity"])
    assert content["structures"][0]["slices"] > 10
    assert content["named_dice"] is None

    assert run(monkeypatch, *arguments, "-o", tmp_path / "four", "--steps", 4) == 0
    content = json.loads((tmp_path / "four" / "stability.json").read_text(encoding="utf-8"))
    assert (content["cases"], content["steps"]) == (2, 4)
    assert run(monkeypatch, *arguments, "-o", tmp_path / "many", "--steps", 2000) == 2
    assert "2000 reverse steps; 1 to 1000" in capsys.readouterr().err
    assert run(monkeypatch, root, "-m", polyps, "-o", tmp_path / "none") == 2


def test_pairwise_dice_by_hand() -> None:
    one = np.array([[[1, 1, 0, 2]]], np.uint8)
    other = np.array([[[1, 0, 0, 2]]], np.uint8)
    third = np.array([[[0, 0, 0, 2]]], np.uint8)
    found = pairwise_dice([one, other, third], [1, 2, 3])
    assert found == {1: pytest.approx((2 / 3 + 0 + 0) / 3), 2: 1.0}
    assert pairwise_dice([np.zeros((2, 2, 2), np.uint8)] * 2, [1]) == {}
    many = np.array([[[1, 1, 0, 9]]], np.uint8)  # labels that nobody asked about
    assert pairwise_dice([many, many], [1]) == {1: 1.0}


def test_rank_correlation_by_hand() -> None:
    assert rank_correlation([0.1, 0.2, 0.9, 5.0], [1, 2, 4, 3]) == pytest.approx(0.8)
    assert rank_correlation([1, 1, 2], [3, 3, 9]) == pytest.approx(1)  # ties share a rank
    assert rank_correlation([1, 2, 3], [9, 3, 1]) == pytest.approx(-1)
    assert rank_correlation([1, 1, 1], [1, 2, 3]) is None
    assert rank_correlation([1, 2], [1, 2]) is None


def probabilities_of(foreground: torch.Tensor) -> torch.Tensor:
    """(samples, rows, columns) → (samples, 2, rows, columns)."""
    return torch.stack([1 - foreground, foreground], dim=1)


def test_similarity_by_hand() -> None:
    pictures = torch.zeros(2, 20, 20)
    pictures[:, 5:10, 5:10] = 1
    pictures[1, 5:10, 10:12] = 1
    similarity = SampleSimilarity()
    similarity.add(3, probabilities_of(pictures))
    similarity.add(4, torch.zeros(2, 2, 20, 20))  # nothing found: left out
    means = similarity.means()
    assert means["psnr_db"] == pytest.approx(-10 * np.log10(10 / 400), rel=1e-4)
    assert 0.3 < means["ssim"] < 0.95
    similarity.add(3, probabilities_of(pictures[:1].repeat(2, 1, 1)))  # the slice once more
    assert similarity.means()["psnr_db"] == 100
    assert SampleSimilarity().means() == {}


def test_lpips_is_used_where_the_package_is(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a stand-in of the package that measures the mean difference of what it is given."""

    class Stand(torch.nn.Module):
        def __init__(self, net: str, verbose: bool) -> None:
            super().__init__()
            assert net == "alex"

        def forward(self, one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
            assert one.shape[1] == 3
            assert one.min() == -1
            assert one.max() == 1
            return (one - other).abs().mean(dim=(1, 2, 3), keepdim=True)

    package = ModuleType("lpips")
    package.LPIPS = Stand
    package.__spec__ = sys.__spec__
    monkeypatch.setitem(sys.modules, "lpips", package)
    distance = learned_distance(torch.device("cpu"))
    assert distance is not None
    pictures = torch.zeros(2, 64, 64)
    pictures[0, :32] = 1
    similarity = SampleSimilarity(distance)
    similarity.add(0, probabilities_of(pictures))
    assert similarity.means()["lpips"] == pytest.approx(1.0)

    def offline(**_: object) -> None:
        raise OSError("no network")

    package.LPIPS = offline
    assert learned_distance(torch.device("cpu")) is None
