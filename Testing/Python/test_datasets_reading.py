"""Someone's files are read: masks of every kind, damaged ones, other grids, kept for later."""

from __future__ import annotations

import io
import json
import logging
import os
import pickle
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import (
    a_ct,
    a_photo,
    a_polyp,
    save_picture,
    save_volume,
    some_labels,
    write_btcv,
    write_decathlon,
    write_kvasir,
    write_refuge,
    write_sts3d,
)
from PIL import Image

from SDSegLib.datasets.cases import Case, load_cases, load_items
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.datasets.collection import Collection, Item
from SDSegLib.datasets.packed import open_packed, write_packed
from SDSegLib.datasets.proposal import input_for
from SDSegLib.datasets.recipe import LabelRecipe
from SDSegLib.errors import InputError, OutputError
from SDSegLib.reading.pictures import read_mask, read_picture
from SDSegLib.volume.model_input import InputDescription

INPUT = InputDescription((32, 32), (3.0, 3.0), "LPS", ((-160.0, 240.0),))
BINARY = LabelRecipe("values", ((1, 1),))


def refusal(path: Path, recipe: LabelRecipe = BINARY) -> str:
    with pytest.raises(InputError) as caught:
        recipe.of_mask(read_mask(path), path)
    return str(caught.value)


def arrays_of(cases: list[Case]) -> list[list]:
    return [
        [c.name, c.image.tolist(), c.label_map.tolist(), c.spacing, c.drawn, c.extents]
        for c in cases
    ]


@pytest.fixture
def decathlon(tmp_path: Path) -> Collection:
    return open_dataset("nnunet", write_decathlon(tmp_path / "Aufgabe ü", 3))


# --- masks ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".PNG", ".bmp", ".tif", ".jpg", ".JPEG"])
def test_black_and_white_masks_of_every_format_are_the_same(tmp_path: Path, suffix: str) -> None:
    path = save_picture(a_polyp() * np.uint8(255), tmp_path / f"Übung{suffix}")
    labels = LabelRecipe("bright").of_mask(read_mask(path), path)
    assert labels.dtype == np.uint8
    np.testing.assert_array_equal(labels, a_polyp())


def test_blurred_borders_of_jpeg_masks_are_cut_in_the_middle(tmp_path: Path) -> None:
    path = tmp_path / "mask.jpg"
    Image.fromarray(np.repeat(a_polyp()[..., None] * np.uint8(255), 3, 2)).save(path, quality=50)
    stored = read_mask(path)
    assert len(np.unique(stored)) > 4
    np.testing.assert_array_equal(LabelRecipe("bright").of_mask(stored, path), a_polyp())
    assert "which name no structure" in refusal(path, BINARY)


def test_numbers_behind_a_palette_and_of_16_bits_are_labels(tmp_path: Path) -> None:
    labels = a_polyp() * np.uint8(2)
    indexed = Image.fromarray(labels, mode="P")
    indexed.putpalette([0, 0, 0, 9, 9, 9, 200, 10, 10])
    indexed.save(tmp_path / "palette.png")
    save_picture(labels.astype(np.uint16), tmp_path / "deep.png")
    save_picture(np.repeat(labels[..., None], 3, 2), tmp_path / "grey_as_rgb.png")
    Image.fromarray(a_polyp() > 0).save(tmp_path / "bits.png")
    recipe = LabelRecipe("values", ((1, 0), (2, 1)))
    for name in ("palette", "deep", "grey_as_rgb"):
        path = tmp_path / f"{name}.png"
        np.testing.assert_array_equal(recipe.of_mask(read_mask(path), path), a_polyp())
    path = tmp_path / "bits.png"
    np.testing.assert_array_equal(LabelRecipe("bright").of_mask(read_mask(path), path), a_polyp())


def test_the_cup_is_where_green_is_255(tmp_path: Path) -> None:
    collection = open_dataset("refuge2-cup", write_refuge(tmp_path))
    label = collection.test[0].label
    assert label is not None
    found = collection.recipe.of_mask(read_mask(label), label)
    np.testing.assert_array_equal(found, a_polyp())
    # REFUGE's own masks have the background white; taken as they are, everything would be cup.
    own = np.full((40, 50), 255, np.uint8)
    own[5:30, 5:40] = 128
    own[10:20, 15:30] = 0
    path = save_picture(own, tmp_path / "own.png")
    assert "0 cup, 128 disc, 255 outside" in refusal(path, collection.recipe)


def test_masks_that_mean_nothing_are_refused(tmp_path: Path) -> None:
    ones = save_picture(a_polyp(), tmp_path / "ones.png")
    assert "brightest pixel" in refusal(ones, LabelRecipe("bright"))
    colored = save_picture(a_photo(), tmp_path / "colored.png")
    assert "in colours" in refusal(colored)
    other = save_picture(a_polyp() * np.uint8(9), tmp_path / "nine.png")
    message = refusal(other)
    assert "holds the values 9, which name no structure; known are 0, 1" in message
    fractions = save_picture(a_polyp().astype(np.float32) / 2, tmp_path / "half.tif")
    assert "fractions" in refusal(fractions)
    with pytest.raises(InputError, match=r"is no label map: it holds the value 0\.5"):
        BINARY.of_volume(np.full((1, 2, 2), 0.5, np.float32), Path("x"))
    with pytest.raises(InputError, match="holds the value -1000"):
        BINARY.of_volume(a_ct(), Path("x"))
    with pytest.raises(InputError, match="holds the value nan"):
        BINARY.of_volume(np.full((1, 2, 2), np.nan), Path("x"))
    whole = BINARY.of_volume(np.array([[[0.0, 1.0]]], np.float32), Path("x"))
    assert whole.tolist() == [[[0, 1]]]


def test_specks_of_sts_are_dropped(tmp_path: Path) -> None:
    collection = open_dataset("sts3d", write_sts3d(tmp_path))
    (case,) = load_items(collection.test, collection, replace(INPUT, spacing=None), 2)
    assert int(case.label_map.sum()) == 6**3
    kept = replace(collection, recipe=replace(collection.recipe, smallest=0))
    (case,) = load_items(kept.test, kept, replace(INPUT, spacing=None), 2)
    assert int(case.label_map.sum()) == 6**3 + 3**3


# --- pictures -------------------------------------------------------------------------------------


def test_pictures_keep_their_rows_columns_and_colours(tmp_path: Path) -> None:
    photo = a_photo()
    for suffix in (".png", ".bmp", ".TIFF"):
        found = read_picture(save_picture(photo, tmp_path / f"photo{suffix}"))
        np.testing.assert_array_equal(found, photo)
    transparent = np.dstack([photo, np.full(photo.shape[:2], 7, np.uint8)])
    found = read_picture(save_picture(transparent, tmp_path / "rgba.png"))
    np.testing.assert_array_equal(found, photo)
    turned = tmp_path / "turned.jpg"
    exif = Image.Exif()
    exif[274] = 6  # the camera was held upright
    Image.fromarray(photo).save(turned, quality=95, exif=exif)
    assert read_picture(turned).shape == photo.shape
    grey = read_picture(save_picture(photo[..., 0], tmp_path / "grey.png"))
    np.testing.assert_array_equal(grey, photo[..., 0])


def test_pictures_that_cannot_be_read_say_why(tmp_path: Path) -> None:
    def reason(path: Path) -> str:
        with pytest.raises(InputError) as caught:
            read_picture(path)
        assert str(path) in str(caught.value)
        return str(caught.value)

    deep = save_picture(np.full((4, 5), 4000, np.uint16), tmp_path / "deep.png")
    assert "more than 8 bits" in reason(deep)
    whole = save_picture(a_photo(), tmp_path / "whole.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[: len(whole) // 2])
    assert "damaged" in reason(tmp_path / "cut.png")
    (tmp_path / "text.jpg").write_text("no picture")
    assert "not a picture" in reason(tmp_path / "text.jpg")
    assert "does not exist" in reason(tmp_path / "nowhere.png")
    pages = [Image.fromarray(a_photo(n)) for n in range(2)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    assert "several pages" in reason(tmp_path / "pages.tif")


def test_a_mask_of_another_size_is_refused(tmp_path: Path) -> None:
    collection = open_dataset("kvasir-seg", write_kvasir(tmp_path, 3))
    item = collection.train[0]
    assert item.label is not None
    save_picture(a_polyp((50, 40)) * np.uint8(255), item.label)
    assert collection.input is not None
    with pytest.raises(InputError) as caught:
        load_items(collection.train, collection, collection.input, 2)
    assert f"{item.image} has 50 × 40 pixels, but its mask {item.label} has 40 × 50" in str(
        caught.value
    )


# --- volumes --------------------------------------------------------------------------------------


def test_slices_of_btcv_are_turned_as_the_reference_sees_them(tmp_path: Path) -> None:
    """Rows run to the left and columns to the front, whatever the file's own axes are."""
    root = write_btcv(tmp_path, (1,))
    training = root / "Abdomen" / "RawData" / "Training"
    array = a_ct()
    labels = np.zeros(array.shape, np.uint8)
    labels[2:5, 4:9, 20:26] = 1  # in front, on the left
    for direction in ("LPS", "LAS", "RAS", "SPL"):
        save_volume(array, training / "img" / "img0001.nii.gz", direction, (1.5, 1.5, 3.0))
        save_volume(labels, training / "label" / "label0001.nii.gz", direction, (1.5, 1.5, 3.0))
        collection = open_dataset("btcv-binary", root)
        assert collection.input is not None
        (case,) = load_items(collection.test[:1], collection, collection.input, 2)
        np.testing.assert_array_equal(case.image, array[:, ::-1].transpose(0, 2, 1))
        assert case.label_map[3].nonzero()[0].min() == 20  # rows are left
        assert case.spacing == 3.0
    assert case.drawn == {1}


def test_labels_are_resampled_by_area_and_images_linearly(decathlon: Collection) -> None:
    item = decathlon.train[0]
    assert item.label is not None
    labels = np.zeros((6, 24, 28), np.uint8)
    labels[2, 4:16, 6:12], labels[2, 4:16, 12:24] = 1, 2
    save_volume(labels, item.label)
    (fine,) = load_items([item], decathlon, replace(INPUT, spacing=None), 3)
    (coarse,) = load_items([item], decathlon, INPUT, 3)
    np.testing.assert_array_equal(fine.label_map, labels)
    assert coarse.image.shape == (6, 12, 19)
    assert (coarse.label_map == 1).sum() == 24  # of 3 × 3 mm, as 72 of 2 × 1.5 mm
    assert (coarse.label_map == 2).sum() == 48
    assert coarse.image.mean() == pytest.approx(fine.image.mean(), rel=0.1)


def test_grids_and_values_that_do_not_fit_are_refused(
    decathlon: Collection, caplog: pytest.LogCaptureFixture
) -> None:
    def reason() -> str:
        with pytest.raises(InputError) as caught:
            load_items(decathlon.train, decathlon, INPUT, 3)
        return str(caught.value)

    item = decathlon.train[1]
    assert item.label is not None
    save_volume(some_labels((1, 7)), item.label)
    assert f"{item.label} holds the values 7, which name no structure" in reason()
    save_volume(some_labels((1,)), item.label, spacing=(2.0, 1.5, 3.1))
    assert "is not on the grid of its image" in reason()
    save_volume(some_labels((1,))[:5], item.label)
    assert f"{item.label} (28 × 24 × 5 voxels)" in reason()
    item.label.write_bytes(item.label.read_bytes()[:200])
    assert str(item.label) in reason()
    save_volume(some_labels((1,)), item.label)
    save_volume(a_ct() + np.int16(1024), item.image)
    with caplog.at_level(logging.WARNING):
        load_items(decathlon.train, decathlon, INPUT, 3)
    assert f"{item.name}: " in caplog.text
    assert "HU + 1024" in caplog.text


def test_a_model_must_suit_the_data(decathlon: Collection, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="The model has 7 structures, but Liver has 2"):
        load_items(decathlon.train, decathlon, INPUT, 8)
    pictures = open_dataset("kvasir-seg", write_kvasir(tmp_path / "k", 3))
    with pytest.raises(InputError, match="consists of 2-D pictures"):
        load_items(pictures.train, pictures, INPUT, 2)
    assert pictures.input is not None
    with pytest.raises(InputError, match="consists of volumes"):
        load_items(decathlon.train, decathlon, pictures.input, 3)
    nameless = [Item("x", decathlon.train[0].image, None)]
    with pytest.raises(InputError, match="x of Liver has no label map"):
        load_items(nameless, decathlon, INPUT, 3)


def test_values_that_are_not_hu_keep_their_fractions(tmp_path: Path) -> None:
    root = write_decathlon(tmp_path, 2)
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**content, "modality": {"0": "MRI"}}))
    values = np.random.default_rng(0).random((6, 24, 28)).astype(np.float32)
    save_volume(values, root / "imagesTr" / "liver_0.nii.gz")
    collection = open_dataset("nnunet", root)
    assert collection.modality == "MR"
    case = load_items(collection.train[:1], collection, replace(INPUT, spacing=None), 3)[0]
    np.testing.assert_array_equal(case.image, values)
    sees = input_for(replace(collection, train=collection.train[:1]))
    ((low, high),) = sees.windows
    assert 0 <= low < 0.05
    assert 0.95 < high <= 1
    assert sees.outside == low


def test_normalised_values_are_not_taken_for_hu(tmp_path: Path) -> None:
    """Some releases of STS-3D hold values from 0 to 1, which would all be rounded to 0 or 1."""
    root = write_sts3d(tmp_path)
    path = root / "labelled" / "image" / "STS_0012_a.nii.gz"
    save_volume(np.random.default_rng(0).random((12, 24, 28)).astype(np.float32), path)
    collection = open_dataset("sts3d", root)
    with pytest.raises(InputError, match="they are not HU but were normalised"):
        load_items(collection.test, collection, input_for(collection), 2)


def test_a_measured_input_shows_whole_slices(tmp_path: Path) -> None:
    root = write_decathlon(tmp_path, 3)
    for number in range(3):
        wide = a_ct(number, (2, 300, 400))
        save_volume(wide, root / "imagesTr" / f"liver_{number}.nii.gz", spacing=(0.9, 0.9, 5.0))
    sees = input_for(open_dataset("nnunet", root))
    assert sees.size == (256, 256)
    assert sees.spacing == (1.4, 1.4)  # 400 · 0.9 mm in 256 pixels
    assert sees.windows == ((-160.0, 240.0), (-1000.0, 1500.0))
    assert (sees.axes, sees.outside) == ("LPS", -1024.0)


# --- kept for later -------------------------------------------------------------------------------


def test_a_cache_gives_the_same_cases_without_reading_again(
    decathlon: Collection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache ö"
    expected = arrays_of(load_items(decathlon.train, decathlon, INPUT, 3))
    first = load_items(decathlon.train, decathlon, INPUT, 3, cache)
    assert isinstance(first[0].image, np.memmap)
    assert arrays_of(first) == expected
    with monkeypatch.context() as patch:
        patch.setattr("SDSegLib.datasets.cases.read_volume", lambda path: pytest.fail("read"))
        again = load_items(decathlon.train, decathlon, INPUT, 3, cache)
    assert arrays_of(again) == expected
    sent = pickle.dumps(again)
    assert len(sent) < 20_000  # where the arrays lie, not what is in them
    assert arrays_of(pickle.loads(sent)) == expected
    part = replace(again[0], image=again[0].image[:2])
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(part)).image, part.image)


def test_a_cache_notices_what_has_changed(decathlon: Collection, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    items = decathlon.train[:1]
    (before,) = load_items(items, decathlon, INPUT, 3, cache)
    (coarse,) = load_items(items, decathlon, replace(INPUT, spacing=(4.0, 4.0)), 3, cache)
    assert coarse.image.shape != before.image.shape
    (tiled,) = load_items(items, decathlon, replace(INPUT, size=(64, 64)), 3, cache)
    assert tiled.image.filename == before.image.filename  # tiles are cut later
    unknown = replace(decathlon, recipe=replace(decathlon.recipe, absent="unknown"))
    assert items[0].label is not None
    save_volume(some_labels((2,)), items[0].label)
    os.utime(items[0].label, ns=(1, 1))
    (after,) = load_items(items, decathlon, INPUT, 3, cache)
    assert set(np.unique(after.label_map)) == {0, 2}
    assert after.drawn == {1, 2}
    assert load_items(items, unknown, INPUT, 3, cache)[0].drawn == {2}
    assert len(list(cache.iterdir())) == 4
    assert not list(cache.glob(".unfinished*"))


def test_a_damaged_cache_is_made_anew(decathlon: Collection, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    expected = arrays_of(load_items(decathlon.train, decathlon, INPUT, 3, cache))
    entries = sorted(cache.iterdir())
    (entries[0] / "image.npy").write_bytes(b"")
    (entries[1] / "case.json").write_text("{")
    (entries[2] / "case.json").unlink()
    assert arrays_of(load_items(decathlon.train, decathlon, INPUT, 3, cache)) == expected
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written to"):
        load_items(decathlon.train, decathlon, INPUT, 3, tmp_path / "file")


def packed(collection: Collection, path: Path, description: InputDescription) -> Collection:
    pairs = [
        (split, case)
        for split in ("train", "validation", "test")
        if getattr(collection, split)
        for case in load_items(
            collection.items(split), collection, description, collection.num_classes
        )
    ]
    write_packed(path, collection, description, pairs)
    return open_dataset("packed", path)


def test_a_packed_file_gives_the_same_cases_elsewhere(
    decathlon: Collection, tmp_path: Path
) -> None:
    path = tmp_path / "Löwe.zip"
    found = packed(decathlon, path, INPUT)
    assert found.structures == decathlon.structures
    assert (found.title, found.input, found.recipe) == ("Liver", INPUT, decathlon.recipe)
    assert [i.name for i in found.train] == [i.name for i in decathlon.train]
    expected = arrays_of(load_items(decathlon.train, decathlon, INPUT, 3))
    assert arrays_of(load_items(found.train, found, INPUT, 3)) == expected
    assert arrays_of(load_items(found.train, found, INPUT, 3, tmp_path / "cache")) == expected
    assert arrays_of(load_cases(path, INPUT, 3)) == expected
    tiled = replace(INPUT, size=(64, 64), windows=((0.0, 100.0),))
    assert arrays_of(load_items(found.train, found, tiled, 3)) == expected
    with pytest.raises(InputError, match="was packed for axes LPS, spacing"):
        load_items(found.train, found, replace(INPUT, spacing=None), 3)


def test_a_packed_file_that_is_replaced_is_read_anew(decathlon: Collection, tmp_path: Path) -> None:
    path = tmp_path / "livers.zip"
    assert len(packed(decathlon, path, INPUT).train) > 1
    first = replace(decathlon, train=decathlon.train[:1])
    path.unlink()
    found = packed(first, path, INPUT)
    assert [item.name for item in found.train] == [decathlon.train[0].name]
    assert len(load_cases(path, INPUT, 3)) == len(found.train) + len(found.validation)


def test_pictures_are_packed_too(tmp_path: Path) -> None:
    collection = open_dataset("kvasir-seg", write_kvasir(tmp_path / "k", 4))
    assert collection.input is not None
    found = packed(collection, tmp_path / "k.zip", collection.input)
    assert (found.dimensions, found.input) == (2, collection.input)
    assert [len(found.items(s)) for s in ("train", "validation", "test")] == [2, 1, 1]
    for split in ("train", "test"):
        ours, theirs = (
            load_items(c.items(split), c, collection.input, 2) for c in (collection, found)
        )
        assert arrays_of(ours) == arrays_of(theirs)


def test_files_that_were_not_packed_are_refused(decathlon: Collection, tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    with pytest.raises(InputError, match="does not exist"):
        open_packed(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(InputError, match="is no packed data set or is damaged"):
        open_packed(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("letter.txt", "hello")
    with pytest.raises(InputError, match="is no packed data set or is damaged"):
        open_packed(path)
    path.unlink()
    found = packed(decathlon, path, INPUT)
    content = io.BytesIO(path.read_bytes())
    with zipfile.ZipFile(content) as archive, zipfile.ZipFile(path, "w") as cut:
        cut.writestr("collection.json", archive.read("collection.json"))
    with pytest.raises(InputError, match="is damaged"):
        load_items(found.train, found, INPUT, 3)


# --- real data ------------------------------------------------------------------------------------


def test_real_masks_of_polyps_are_where_the_eye_sees_them(shared_data: Path) -> None:
    collection = open_dataset("kvasir-seg", shared_data / "polyp_rgb")
    assert collection.input is not None
    cases = load_items(collection.items("all"), collection, collection.input, 2)
    for item, case in zip(collection.items("all"), cases, strict=True):
        assert case.image.shape == (1, 3, 256, 256)
        assert item.label is not None
        stored = read_mask(item.label)
        assert case.label_map.mean() == pytest.approx((stored > 127).mean(), abs=0.01)
        assert 0.005 < case.label_map.mean() < 0.7


def test_a_real_abdomen_is_read_with_its_names(shared_data: Path) -> None:
    collection = open_dataset(
        "folder", shared_data, image="ct.nii.gz", label="organs.nii.gz", modality="CT"
    )
    assert [item.name for item in collection.train] == ["abdomen_ct"]
    assert len(collection.structures) == 61
    sees = input_for(collection)
    assert sees.spacing == (3.0, 3.0)
    (case,) = load_items(collection.train, collection, sees, collection.num_classes)
    liver = next(item.label for item in collection.structures if item.name == "label 5")
    rows, columns = (case.label_map == liver).nonzero()[1:]
    assert columns.mean() < case.image.shape[2] / 2  # in LPS the liver is on the low side
    assert 20 < np.median(case.image[case.label_map == liver]) < 200
    assert len(rows) > 1000


def test_real_patients_fit_into_one_small_file(shared_data: Path, tmp_path: Path) -> None:
    collection = open_dataset("head-neck-oar", shared_data / "head_neck_oar")
    few = replace(collection, train=collection.train[:4], validation=(), test=())
    assert few.input is not None
    found = packed(few, tmp_path / "few.zip", few.input)
    size = sum(case.image.size for case in load_items(few.train, few, few.input, 8))
    assert (tmp_path / "few.zip").stat().st_size < 0.16 * size
    theirs = load_items(found.train, found, few.input, 8)
    ours = load_items(few.train, few, few.input, 8)
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.image, other.image)
        np.testing.assert_array_equal(one.label_map, other.label_map)
        assert (one.name, one.drawn, one.extents) == (other.name, other.drawn, other.extents)
