"""Someone trains: sample n is the same in every run, and says what it does not know."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dataset_trees import a_photo, a_polyp, save_picture, save_volume, write_kvasir
from phantom import a_body
from torch import Tensor
from torch.utils.data import DataLoader

from SDSegLib.datasets.cases import Case, load_cases, load_items
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.datasets.slices import SliceDataset, with_contrast
from SDSegLib.errors import InputError
from SDSegLib.training.direct import DIRECT
from SDSegLib.volume.model_input import InputDescription

INPUT = InputDescription(
    size=(32, 32),
    spacing=(4.0, 4.0),
    axes="LPS",
    windows=((-160.0, 240.0), (-1000.0, 1500.0)),
    slice_offsets_mm=(-3.0, 0.0, 3.0),
)
# Of samples 0 … 5 as `facts_of` gives them, written down before data sets were generalised.
PLAIN = (
    (-362.0253, 71.0000, 0, -1),
    (-388.3405, 53.0000, 35, 600),
    (-342.6847, 42.0000, 100, 1442),
    (-333.2069, 27.0000, 28, 650),
    (-342.6847, 42.0000, 100, 1442),
    (-386.4626, 26.0000, 35, 600),
)
VARIED = (
    (-563.0809, 32.4873, 0, -1),
    (-412.5439, 20.0662, 42, 762),
    (-344.8994, 55.7778, 100, 1264),
    (-423.4499, 63.7338, 39, 1895),
    (-449.8477, 35.3678, 84, 1139),
    (-570.1571, 28.9804, 7, 0),
)


def facts_of(sample: dict[str, Tensor]) -> tuple[float, float, int, int]:
    """Mean of the image, one of its pixels, labelled pixels and their centre's row × 100."""
    image, label_map = sample["image"], sample["label_map"]
    rows = label_map.nonzero()[:, 0].float()
    centre = round(100 * float(rows.mean())) if len(rows) else -1
    return float(image.mean()), float(image[1, 17, 13]), int((label_map > 0).sum()), centre


@pytest.fixture(scope="module")
def patients(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bodies with a bone; only in the first one label 2 is drawn too."""
    root = tmp_path_factory.mktemp("patients")
    for name, shape in (("anna", (10, 40, 48)), ("bert", (8, 44, 40))):
        body = a_body(shape)
        labels = (body.array > 500).astype(np.uint8)
        if name == "anna":
            labels[2:5, 20:30, 12:24] = 2
        save_volume(body.array, root / name / "ct.nii.gz", spacing=body.geometry.spacing)
        save_volume(labels, root / name / "organs.nii.gz", spacing=body.geometry.spacing)
    return root


@pytest.fixture(scope="module")
def cases(patients: Path) -> list[Case]:
    return load_cases(patients, INPUT, num_classes=4)


def test_samples_are_those_that_earlier_versions_drew(cases: list[Case]) -> None:
    plain = SliceDataset(cases, INPUT, 4, seed=5, length=100, augment=False)
    varied = SliceDataset(cases, INPUT, 4, seed=5, length=100)
    for number in range(6):
        assert facts_of(plain[number]) == pytest.approx(PLAIN[number], rel=1e-5, abs=1e-3)
        assert facts_of(varied[number]) == pytest.approx(VARIED[number], rel=0.02, abs=3)


def test_a_sample_does_not_depend_on_those_before_it(cases: list[Case]) -> None:
    first = SliceDataset(cases, INPUT, 4, seed=1, length=100)
    forward = [first[number] for number in range(8)]
    second = SliceDataset(cases, INPUT, 4, seed=1, length=100)
    for number in reversed(range(8)):
        for key, value in second[number].items():
            torch.testing.assert_close(value, forward[number][key], rtol=0, atol=0)
    other = SliceDataset(cases, INPUT, 4, seed=2, length=100)
    assert any(not torch.equal(other[n]["image"], forward[n]["image"]) for n in range(8))


def test_what_was_not_drawn_is_unknown(cases: list[Case], patients: Path) -> None:
    dataset = SliceDataset(cases, INPUT, 4, seed=0, length=100)
    seen = {tuple(dataset[number]["drawn"].tolist()) for number in range(20)}
    assert seen == {(True, True, True, False), (True, True, False, False)}
    options = {"image": "ct.nii.gz", "label": "organs.nii.gz", "names": "btcv8"}
    for absent, expected in (("unknown", {1}), ("background", set(range(1, 9)))):
        collection = open_dataset("folder", patients, absent=absent, modality="CT", **options)
        _, bert = load_items(collection.train, collection, INPUT, 9)
        assert bert.drawn == expected


def test_workers_of_a_loader_give_the_same_samples(cases: list[Case]) -> None:
    dataset = SliceDataset(cases, INPUT, 4, seed=1, length=6)
    loader = DataLoader(dataset, batch_size=3, num_workers=1, multiprocessing_context="spawn")
    images = torch.cat([batch["image"] for batch in loader])
    torch.testing.assert_close(images, torch.stack([dataset[n]["image"] for n in range(6)]))


def test_noise_follows_the_window(cases: list[Case]) -> None:
    """In values from 0 to 1 a variation made for HU would leave nothing of the image."""
    small = [replace(case, image=(case.image.astype(np.float32) + 1000) / 2500) for case in cases]
    sees = replace(INPUT, windows=((0.0, 1.0),), outside=0.0)
    dataset = SliceDataset(small, sees, 4, seed=0, length=40)
    values = torch.stack([dataset[number]["image"] for number in range(40)])
    assert float(values.min()) > -0.5
    assert float(values.max()) < 1.5


def test_nothing_to_train_on_is_said(cases: list[Case]) -> None:
    empty = replace(cases[0], extents=[None] * len(cases[0].image))
    with pytest.raises(InputError, match="no slice with tissue"):
        SliceDataset([empty], INPUT, 4, seed=0, length=10)


# --- pictures -------------------------------------------------------------------------------------


def test_pictures_are_squeezed_whole_and_stay_on_their_masks(tmp_path: Path) -> None:
    collection = open_dataset("kvasir-seg", write_kvasir(tmp_path, 6))
    assert collection.input is not None
    sees = replace(collection.input, size=(32, 64))
    cases = load_items(collection.train, collection, sees, 2)
    assert cases[0].image.shape == (1, 3, 32, 64)
    assert cases[0].image.dtype == np.uint8
    plain = SliceDataset(cases, sees, 2, seed=0, length=50, augment=False)
    sample = plain[0]
    assert sample["image"].shape == (3, 32, 64)
    assert sample["label_map"].dtype == torch.int64
    assert sample["drawn"].tolist() == [True, True]
    rows, columns = sample["label_map"].nonzero().float().mean(dim=0).tolist()
    assert rows == pytest.approx(0.4 * 32, abs=1)
    assert columns == pytest.approx(0.65 * 64, abs=1.5)
    varied = SliceDataset(cases, sees, 2, seed=0, length=50)
    for number in range(20):
        image, label_map = varied[number]["image"], varied[number]["label_map"]
        assert 0 <= float(image.min()) <= float(image.max()) <= 255
        # The disc is brighter than its surroundings, wherever the variation puts it.
        inside, outside = image[1][label_map == 1], image[1][label_map == 0]
        assert inside.mean() > outside.mean() + 15
    again = SliceDataset(cases, sees, 2, seed=0, length=50)
    torch.testing.assert_close(again[7]["image"], varied[7]["image"], rtol=0, atol=0)


def test_photographs_are_mirrored_and_grey_pictures_are_not(tmp_path: Path) -> None:
    for kind, picture in (("rgb", a_photo()), ("grey", a_photo()[..., 0])):
        root = tmp_path / kind
        for name in ("a", "b"):
            save_picture(picture, root / "images" / f"{name}.png")
            save_picture(a_polyp(), root / "masks" / f"{name}.png")
        collection = open_dataset("folder", root)
        assert collection.input is not None
        assert collection.input.pictures == kind
        assert collection.input.channels == 3
        cases = load_items(collection.train, collection, collection.input, 2)
        dataset = SliceDataset(cases, collection.input, 2, seed=0, length=100)
        columns = [float(dataset[n]["label_map"].nonzero()[:, 1].float().mean()) for n in range(30)]
        assert (min(columns) < 100) == (kind == "rgb")


def test_contrast_changes_soft_tissue_in_one_of_three_samples_and_neither_air_fat_nor_bone(
    cases: list[Case],
) -> None:
    usual = SliceDataset(cases, INPUT, 4, seed=1, length=60)
    enhanced = SliceDataset(cases, INPUT, 4, seed=1, length=60, contrast=200.0)
    largest = []
    for number in range(60):
        before, after = usual[number], enhanced[number]
        change = after["image"] - before["image"]
        assert torch.equal(after["label_map"], before["label_map"])
        assert not change[(before["image"] <= 0) | (before["image"] >= 350)].any()
        assert change.min() > -41
        assert change.max() < 401
        largest.append(float(change.abs().max()))
    assert 10 < sum(one > 1 for one in largest) < 32
    assert max(largest) > 100


def test_a_structure_may_change_by_itself() -> None:
    image = torch.full((1, 24, 24), 40.0)
    label_map = torch.zeros(24, 24)
    label_map[8:16, 8:16] = 2
    steps = []
    for seed in range(40):
        found = with_contrast(image, label_map, 100.0, np.random.default_rng(seed))[0]
        steps.append(float((found[8:16, 8] - found[8:16, 7]).mean()))
    assert sum(step > 30 for step in steps) > 5
    assert sum(abs(step) < 30 for step in steps) > 10


@pytest.mark.parametrize("value", [-1.0, float("nan")])
def test_a_contrast_that_is_no_size_is_refused(value: float) -> None:
    with pytest.raises(ValueError, match="contrast is"):
        replace(DIRECT.training, contrast=value)
