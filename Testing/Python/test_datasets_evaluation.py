"""Someone judges a model on a data set's test split: pictures and volumes, by name or by number."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_trees import (
    a_photo,
    a_polyp,
    save_picture,
    save_volume,
    some_labels,
    write_btcv,
    write_cvc,
    write_kvasir,
    write_nnunet,
)
from PIL import Image
from tiny_model import tiny_description, write_tiny_model
from torch import Tensor
from typer.testing import CliRunner

from SDSegLib.cli.app import app
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.datasets.published import POLYP
from SDSegLib.errors import InputError
from SDSegLib.evaluation.cases import cases_of, in_labels_of
from SDSegLib.evaluation.evaluate import Options, evaluate_cases
from SDSegLib.evaluation.predictors import PicturePredictor
from SDSegLib.evaluation.scores import Rules
from SDSegLib.families import build_family
from SDSegLib.families.base import NetworkPart, SegmentationFamily
from SDSegLib.families.description import ModelDescription
from SDSegLib.inference.device import choose_device
from SDSegLib.inference.picture import PictureSegmenter
from SDSegLib.models.folder import load_family
from SDSegLib.models.labels import read_structures, structures_named
from SDSegLib.reading.pictures import read_mask, read_picture
from SDSegLib.volume.model_input import InputDescription

SEES = InputDescription((32, 32), None, "LPS", ((0.0, 255.0),), outside=0.0, pictures="rgb")


def polyp_description(**changes: object) -> ModelDescription:
    return tiny_description(**{"input": SEES, "structures": (POLYP,), **changes})


class BrightFamily(SegmentationFamily):
    """Finds what is brighter than −0.1 in green: what a perfectly trained model would give."""

    DEFAULT_BATCH = {"cpu": 2}  # noqa: RUF012

    def parts(self) -> tuple[NetworkPart, ...]:
        return ()

    def condition(self, image: Tensor) -> Tensor:
        assert image.shape[1] == self.description.input.channels
        return image

    def probabilities(
        self, condition: Tensor, noise: Tensor | None = None, steps: int = 1
    ) -> Tensor:
        found = torch.sigmoid((condition[:, 1] + 0.05) * 20)
        return torch.stack([1 - found, found], dim=1)


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["evaluate", *map(str, arguments)])
    message = result.output + (str(result.exception) if result.exception else "")
    return result.exit_code, " ".join(message.split())


def summary(folder: Path) -> dict:
    return json.loads((folder / "summary.json").read_text(encoding="utf-8"))


# --- one picture ----------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(40, 50), (200, 331), (17, 16)])
def test_a_picture_is_segmented_at_its_own_size(size: tuple[int, int]) -> None:
    segmenter = PictureSegmenter(BrightFamily(polyp_description()), choose_device("cpu"))
    result = segmenter.segment(a_photo(0, size))
    assert result.label_map.shape == size
    assert result.probabilities.shape == (2, *size)
    np.testing.assert_allclose(result.probabilities.sum(axis=0), 1, atol=1e-5)
    truth = a_polyp(size)
    dice = 2 * (result.label_map & truth).sum() / (result.label_map.sum() + truth.sum())
    assert dice > 0.85
    assert [item.name for item in result.structures] == ["Polyp"]


@pytest.mark.parametrize("family", ["compact", "published"])
def test_both_families_take_colours(family: str) -> None:
    changes: dict[str, object] = {"family": family}
    if family == "published":
        sizes = {"ch": 32, "ch_mult": [1, 2], "num_res_blocks": 1}
        unet = {"model_channels": 32, "channel_mult": [1, 2], "attention_resolutions": []}
        changes["network"] = {"autoencoder": sizes, "unet": unet}
    segmenter = PictureSegmenter(build_family(polyp_description(**changes)), choose_device("cpu"))
    first, second = (segmenter.segment(a_photo()) for _ in range(2))
    assert first.label_map.shape == (40, 50)
    np.testing.assert_array_equal(first.probabilities, second.probabilities)
    averaged = segmenter.segment(a_photo(), samples=3)
    assert averaged.probabilities.shape == (2, 40, 50)
    assert segmenter.segment(a_photo()[..., 0]).label_map.shape == (40, 50)


def test_models_and_arrays_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="tiny segments volumes, not pictures"):
        PictureSegmenter(build_family(tiny_description()), choose_device("cpu"))
    segmenter = PictureSegmenter(BrightFamily(polyp_description()), choose_device("cpu"))
    for array in (
        a_photo().astype(np.float32),
        np.zeros((4, 5, 4), np.uint8),
        np.zeros((0, 5), np.uint8),
    ):
        with pytest.raises(InputError, match="A picture is 8-bit"):
            segmenter.segment(array)


def test_a_grey_model_mixes_colours() -> None:
    sees = InputDescription(
        (32, 32), None, "LPS", ((0.0, 255.0),), repeat=3, outside=0.0, pictures="grey"
    )
    segmenter = PictureSegmenter(BrightFamily(polyp_description(input=sees)), choose_device("cpu"))
    photo = a_photo()
    mixed = (photo @ np.array([0.299, 0.587, 0.114])).round().astype(np.uint8)
    difference = segmenter.segment(photo).probabilities - segmenter.segment(mixed).probabilities
    assert np.abs(difference).max() < 0.1


def test_descriptions_of_pictures_are_written_and_read_back() -> None:
    description = polyp_description()
    content = json.loads(json.dumps(description.to_json()))
    assert content["input"]["pictures"] == "rgb"
    assert ModelDescription.from_json(content).input == SEES
    del content["input"]["pictures"]
    assert ModelDescription.from_json(content).input.pictures is None
    content["input"]["pictures"] = "sepia"
    with pytest.raises(Exception, match="pictures 'sepia' is none of grey, rgb"):
        ModelDescription.from_json(content)


# --- the test split -------------------------------------------------------------------------------


def test_a_good_model_gets_a_good_score_on_pictures(tmp_path: Path) -> None:
    collection = open_dataset("kvasir-seg", write_kvasir(tmp_path, 20))
    family = BrightFamily(polyp_description())
    cases = cases_of(collection, "test")
    pairs, names = in_labels_of(family.description, collection, cases.pairs)
    predictor = PicturePredictor(PictureSegmenter(family, choose_device("cpu")))
    evaluation = evaluate_cases(pairs, predictor, names, Options(Rules(), pictures=2))
    assert set(evaluation.scores) == {"cju18", "cju19"}
    for (score,) in evaluation.scores.values():
        assert score.dice is not None
        assert score.dice > 0.85
        assert score.hd95_mm is None  # a picture has no millimetres
    assert evaluation.snapshots[0].slices[0].image is not None
    assert evaluation.snapshots[0].slices[0].image.shape[2] == 3


def test_the_command_judges_a_model_on_pictures(tmp_path: Path) -> None:
    root = write_kvasir(tmp_path / "Kvasir Übung", 20)
    model = write_tiny_model(tmp_path / "model", input=SEES, structures=(POLYP,))
    out = tmp_path / "out"
    code, said = run(root, "--dataset", "kvasir-seg", "-m", model, "-o", out, "--device", "cpu")
    assert code == 0, said
    assert "20 pictures of Kvasir-SEG; 1000 were published" in said
    found = summary(out)
    assert (found["dataset"], found["split"], found["cases"]) == ("kvasir-seg", "test", 2)
    assert found["absent"] == "background"
    assert "hd95_mm" not in found["overall"]
    with Image.open(next((out / "worst").glob("*.png"))) as drawn:
        assert len(drawn.convert("RGB").getcolors(10**6)) > 500  # in colours
    arguments = ("--data", root, "--dataset", "kvasir-seg", "-m", model, "--autoencoder")
    code, said = run(*arguments, "--split", "all", "-o", tmp_path / "own", "--device", "cpu")
    assert code == 0, said
    assert summary(tmp_path / "own")["cases"] == 20


def test_several_steps_and_samples_are_judged_like_the_single_one(tmp_path: Path) -> None:
    root = write_kvasir(tmp_path / "data", 20)
    model = write_tiny_model(tmp_path / "model", input=SEES, structures=(POLYP,))
    arguments = (root, "--dataset", "kvasir-seg", "-m", model, "--device", "cpu")
    picture = read_picture(root / "images" / "cju19.jpg")
    truth = read_mask(root / "masks" / "cju19.jpg") > 127
    family, cpu = load_family(model), choose_device("cpu")
    dice = set()
    for steps, samples in ((1, 1), (1, 3), (4, 1)):
        out = tmp_path / f"{steps}-{samples}"
        code, said = run(*arguments, "-o", out, "--steps", steps, "--samples", samples)
        assert code == 0, said
        assert (summary(out)["steps"], summary(out)["samples"]) == (steps, samples)
        found = PictureSegmenter(family, cpu, steps=steps).segment(picture, samples).label_map
        wanted = 2 * (found & truth).sum() / (found.sum() + truth.sum())
        assert summary(out)["per_case"]["cju19"]["dice"] == pytest.approx(wanted, abs=1e-4)
        dice.add(round(float(wanted), 6))
    assert len(dice) == 3
    code, said = run(*arguments, "-o", tmp_path / "many", "--steps", 2000)
    assert code != 0
    assert "2000 reverse steps; 1 to 1000 are possible" in said


@pytest.mark.parametrize("way", [["--mirror"], ["--samples", "3"], ["--steps", "2"]])
def test_how_a_model_segments_means_nothing_for_masks_that_are_there(
    tmp_path: Path, way: list[str]
) -> None:
    root = write_kvasir(tmp_path / "data", 20)
    common = (root, "--dataset", "kvasir-seg", "-o", tmp_path / "out")
    code, said = run(*common, "--predictions", root / "masks", *way)
    assert code != 0
    assert f"{way[0]} says how a model segments" in said
    assert not (tmp_path / "out").exists()


def test_pictures_have_no_mirror(tmp_path: Path) -> None:
    root = write_kvasir(tmp_path / "data", 20)
    model = write_tiny_model(tmp_path / "model", input=SEES, structures=(POLYP,))
    code, said = run(
        root, "--dataset", "kvasir-seg", "-m", model, "-o", tmp_path / "out", "--mirror"
    )
    assert code != 0
    assert "Only models of volumes segment mirrored slices" in said


def test_masks_of_another_program_are_judged(tmp_path: Path) -> None:
    root = write_kvasir(tmp_path / "data", 20)
    masks = tmp_path / "masks"
    save_picture(a_polyp(), masks / "cju19.png")  # 0 and 1
    save_picture(a_polyp() * np.uint8(255), masks / "cju18.png")
    arguments = (root, "--dataset", "kvasir-seg", "--predictions", masks)
    code, said = run(*arguments, "-o", tmp_path / "out")
    assert code == 0, said
    assert summary(tmp_path / "out")["per_case"] == {
        "cju18": {"dice": 1.0, "iou": 1.0},
        "cju19": {"dice": 1.0, "iou": 1.0},
    }
    save_picture(a_polyp()[::-1], masks / "cju19.png")
    assert run(*arguments, "-o", tmp_path / "turned")[0] == 0
    assert summary(tmp_path / "turned")["per_case"]["cju19"]["dice"] < 0.8
    save_picture(a_photo(), masks / "cju18.png")
    assert "is no label map" in run(*arguments, "-o", tmp_path / "wrong")[1]
    (masks / "cju18.png").unlink()
    assert (
        "has no label map for 1 of 2 cases, such as cju18.png"
        in run(*arguments, "-o", tmp_path / "less")[1]
    )


def test_structures_of_volumes_are_compared_by_name(tmp_path: Path) -> None:
    """The data set calls the left kidney 5; in the model it is 3."""
    root = write_nnunet(tmp_path / "data", ["a", "b"])
    save_volume(some_labels((5,)), root / "labelsTr" / "b.nii.gz")
    collection = open_dataset("nnunet", root)
    description = tiny_description(structures=read_structures("btcv8"))
    pairs, names = in_labels_of(description, collection, cases_of(collection, "train").pairs)
    assert names == {1: "Spleen", 3: "Left kidney"}
    read = pairs[0].read_reference(pairs[0].reference).array
    assert set(np.unique(read)) == {0, 1, 3}
    np.testing.assert_array_equal(read == 3, some_labels((1, 5)) == 5)
    other = tiny_description()
    with pytest.raises(InputError, match="have no structure in common: Brainstem"):
        in_labels_of(other, collection, pairs)


def test_the_command_judges_a_model_on_volumes(tmp_path: Path) -> None:
    root = write_btcv(tmp_path / "btcv", (1, 2, 3))
    model = write_tiny_model(tmp_path / "model", structures=read_structures("btcv13"))
    arguments = ("--dataset", "btcv8", "--data", root, "-m", model, "--device", "cpu")
    code, said = run(*arguments, "-o", tmp_path / "out", "--pictures", "1")
    assert code == 0, said
    found = summary(tmp_path / "out")
    assert found["cases"] == 12
    assert [row["name"] for row in found["structures"]][-1] == "Pancreas"
    assert len(found["structures"]) == 8
    code, said = run(*arguments, "--autoencoder", "-o", tmp_path / "own")
    assert code != 0
    assert "are not those of BTCV, 8 organs" in said


def test_what_cannot_be_judged_is_said(tmp_path: Path) -> None:
    root = write_kvasir(tmp_path / "data", 10)
    flat = write_tiny_model(tmp_path / "flat", input=SEES, structures=(POLYP,))
    deep = write_tiny_model(tmp_path / "deep")
    out = ("-o", tmp_path / "out", "--device", "cpu")
    assert (
        "segments volumes, and these are pictures"
        in run(root, "--dataset", "kvasir-seg", "-m", deep, *out)[1]
    )
    volumes = write_nnunet(tmp_path / "volumes", ["a"])
    said = run(volumes, "--dataset", "nnunet", "--split", "train", "-m", flat, *out)[1]
    assert "segments pictures, and these are volumes" in said
    assert "segments pictures, and these are volumes" in run(volumes, "-m", flat, *out)[1]
    assert "the data folder is missing" in run(*out)[1].lower()
    assert "was given twice" in run(root, "--data", root, *out)[1]
    assert (
        "nothing in the split validation"
        in run(volumes, "--dataset", "nnunet", "--split", "validation", *out)[1]
    )
    assert "Unknown data set 'kvasir'" in run(root, "--dataset", "kvasir", *out)[1]
    assert "--option seed=1 is for a data set" in run(volumes, "--option", "seed=1", *out)[1]


def test_a_picture_and_its_mask_stay_together_through_evaluation(tmp_path: Path) -> None:
    """Each is read at the picture's own size."""
    collection = open_dataset("cvc-clinicdb", write_cvc(tmp_path))
    cases = cases_of(collection, "test")
    assert cases.pairs
    for pair in cases.pairs:
        assert pair.image is not None
        assert read_picture(pair.image).shape[:2] == read_mask(pair.reference).shape
        stored = pair.read_reference(pair.reference)
        assert stored.array.shape == (1, 12, 16)
        assert set(np.unique(stored.array)) == {0, 1}
    assert structures_named({1: "Polyp"})[0].name == collection.structures[0].name


# --- a picture of one's own -----------------------------------------------------------------------


def segment_command(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["segment", *map(str, arguments), "--device", "cpu"])
    message = result.output + (str(result.exception) if result.exception else "")
    return result.exit_code, " ".join(message.split())


def test_a_photograph_becomes_a_mask_an_overlay_and_a_map_of_doubt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = write_tiny_model(tmp_path / "model", input=SEES, structures=(POLYP,))
    folder = tmp_path / "Bilder é"
    folder.mkdir()
    photo, mask, overlay = folder / "photo.png", folder / "mask.png", folder / "overlay.png"
    save_picture(a_photo(0, (60, 83)), photo)
    files = ("--labelmap", mask, "--preview", overlay, "--uncertainty", folder / "unsure.png")
    code, said = segment_command(photo, "-m", model, *files, "--samples", 3)
    assert code == 0, said
    family = load_family(model)
    found = PictureSegmenter(family, choose_device("cpu")).segment(a_photo(0, (60, 83)), 3)
    np.testing.assert_array_equal(read_mask(mask), found.label_map * np.uint8(255))
    np.testing.assert_array_equal(read_mask(folder / "unsure.png"), found.instability)
    assert f"{found.label_map.mean():.1%}" in said
    shown = read_picture(overlay).astype(int)
    changed = (shown != a_photo(0, (60, 83))).any(axis=2)
    assert changed.any()
    assert not changed[found.label_map == 0].any()
    outlined = (shown == POLYP.color).all(axis=2)
    assert 0 < outlined.sum() < found.label_map.sum()
    assert not outlined[found.label_map == 0].any()
    code, said = segment_command(photo, "-m", model, *files[:2])
    assert "exists already" in said
    code, said = segment_command(photo, "-m", model, *files[:2], "--overwrite", "--json")
    content = json.loads(said)
    assert content["structures"][0]["pixels"] == np.count_nonzero(read_mask(mask))


def test_several_structures_of_a_picture_keep_their_numbers_and_colours(tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "model", input=SEES)
    photo, mask = tmp_path / "photo.png", tmp_path / "mask.png"
    save_picture(a_photo(0, (60, 83)), photo)
    assert segment_command(photo, "-m", model, "--labelmap", mask)[0] == 0
    labels = read_mask(mask)
    family = load_family(model)
    found = PictureSegmenter(family, choose_device("cpu")).segment(a_photo(0, (60, 83)))
    np.testing.assert_array_equal(labels, found.label_map)
    color_of = {item.label: item.color for item in family.description.structures}
    label = int(labels.max())
    row, column = np.argwhere(labels == label)[0]
    assert tuple(read_picture(mask)[row, column]) == color_of[label]
    names = ("--classes", "mandible,larynx", "--overwrite")
    assert segment_command(photo, "-m", model, "--labelmap", mask, *names)[0] == 0
    np.testing.assert_array_equal(read_mask(mask), np.where(labels >= 6, labels, 0))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "a.seg.nrrd"], "--output is for volumes"),
        (["--labelmap", "a.nii.gz"], "must end in .png"),
        (["--labelmap", "a.png", "--region", "0,1,0,1,0,1"], "--region is for volumes"),
        (["--uncertainty", "a.png"], "needs several samples"),
        (["--labelmap", "a.png", "--samples", "65"], "65 samples; 1 to 64"),
        ([], "at least one of --labelmap, --uncertainty, --preview"),
    ],
)
def test_what_a_picture_cannot_give_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    model = write_tiny_model(tmp_path / "model", input=SEES, structures=(POLYP,))
    save_picture(a_photo(), tmp_path / "photo.png")
    code, said = segment_command("photo.png", "-m", model, *arguments)
    assert code != 0
    assert says in said
    assert not (tmp_path / "a.png").exists()
