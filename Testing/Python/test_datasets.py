"""Someone unpacks a data set: it is found and split as published, or told what is missing where."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from dataset_trees import (
    BTCV_NUMBERS,
    a_ct,
    a_photo,
    a_polyp,
    save_picture,
    save_volume,
    some_labels,
    write_btcv,
    write_cvc,
    write_decathlon,
    write_kvasir,
    write_nnunet,
    write_refuge,
    write_sts3d,
)

from SDSegLib.datasets.catalogue import (
    dataset_names,
    dataset_options,
    open_dataset,
    parse_options,
)
from SDSegLib.datasets.collection import Collection, Item, hold_out, of_patients
from SDSegLib.datasets.proposal import input_for
from SDSegLib.errors import InputError
from SDSegLib.models.official import BTCV_AXES, BTCV_SPACING, BTCV_WINDOW
from SDSegLib.volume.expectation import Expectation


def names(items: tuple[Item, ...]) -> list[str]:
    return [item.name for item in items]


def refusal(name: str, root: Path, **options: object) -> str:
    with pytest.raises(InputError) as caught:
        open_dataset(name, root, **options)
    return str(caught.value)


def is_partition(collection: Collection, count: int) -> bool:
    every = names(collection.items("all"))
    return len(every) == len(set(every)) == count


@pytest.fixture(scope="module")
def btcv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_btcv(tmp_path_factory.mktemp("Bauch-CT Größe"))


# --- BTCV -----------------------------------------------------------------------------------------


def test_btcv_has_the_papers_twelve_test_volumes(btcv: Path) -> None:
    collection = open_dataset("btcv13", btcv)
    numbers = [int(name.removeprefix("img")) for name in names(collection.test)]
    assert numbers == [1, 2, 3, 4, 8, 22, 25, 29, 32, 35, 36, 38]
    assert len(collection.train) == 18
    assert collection.validation == ()
    assert is_partition(collection, 30)
    assert collection.num_classes == 14
    assert collection.expects == Expectation("CT", "abdomen")
    item = collection.test[4]
    assert item.label is not None
    assert (item.image.name, item.label.name) == ("img0008.nii.gz", "label0008.nii.gz")


def test_btcv_is_seen_as_the_official_checkpoints_see_it(btcv: Path) -> None:
    for name in ("btcv13", "btcv8", "btcv-binary"):
        sees = open_dataset(name, btcv).input
        assert sees is not None
        assert (sees.axes, sees.spacing, sees.windows) == (BTCV_AXES, BTCV_SPACING, (BTCV_WINDOW,))
        assert (sees.size, sees.channels, sees.pictures) == ((256, 256), 3, None)


def test_the_eight_organs_of_btcv_are_numbered_anew(btcv: Path) -> None:
    thirteen, eight = open_dataset("btcv13", btcv), open_dataset("btcv8", btcv)
    named = {item.label: item.name for item in thirteen.structures}
    table = dict(eight.recipe.values)
    assert {value for value, label in table.items() if label == 0} == {5, 9, 10, 12, 13}
    for structure in eight.structures:
        (value,) = (value for value, label in table.items() if label == structure.label)
        assert named[value] == structure.name
    array = np.arange(14, dtype=np.int16).reshape(1, 2, 7)
    found = eight.recipe.of_volume(array, Path("x")).ravel().tolist()
    assert found == [0, 1, 2, 3, 4, 0, 5, 6, 7, 0, 0, 8, 0, 0]


def test_btcv_binary_has_one_structure(btcv: Path) -> None:
    collection = open_dataset("btcv-binary", btcv)
    array = np.arange(14).reshape(1, 2, 7)
    assert collection.recipe.of_volume(array, Path("x")).ravel().tolist() == [0] + [1] * 13
    assert names(collection.structures) == ["Abdominal organs"]


def test_btcv_without_some_volumes_says_which_and_where(btcv: Path, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(btcv, root)
    training = root / "Abdomen" / "RawData" / "Training"
    (training / "img" / "img0002.nii.gz").unlink()
    (training / "img" / "img0036.nii.gz").unlink()
    message = refusal("btcv13", root)
    expected = (
        f"BTCV test volumes are missing under {training / 'img'}: img0002, img0036 (2 in all)"
    )
    assert message.startswith(expected)
    shutil.copytree(btcv, root, dirs_exist_ok=True)
    (training / "label" / "label0010.nii.gz").unlink()
    assert "BTCV train label maps are missing" in refusal("btcv8", root)
    shutil.copy(training / "label" / "label0009.nii.gz", training / "label" / "img0010.nii.gz")
    assert len(open_dataset("btcv8", root).train) == 18
    shutil.copy(training / "img" / "img0009.nii.gz", training / "img" / "img0061.nii.gz")
    (note,) = open_dataset("btcv8", root).notes
    assert "1 volumes do not belong to BTCV" in note
    assert "img0061" in note


def test_btcv_is_found_from_its_inner_folders_too(btcv: Path, tmp_path: Path) -> None:
    for inner in ("Abdomen", "Abdomen/RawData", "Abdomen/RawData/Training"):
        assert len(open_dataset("btcv13", btcv / inner).test) == 12
    assert f"no {tmp_path / 'Abdomen' / 'RawData' / 'Training' / 'img'}" in refusal(
        "btcv13", tmp_path
    )
    assert "does not exist; check the spelling" in refusal("btcv13", tmp_path / "nowhere")


def test_part_of_the_training_volumes_can_be_held_back(btcv: Path) -> None:
    collection = open_dataset("btcv13", btcv, **parse_options(["validation=0.2", "seed=3"]))
    assert (len(collection.train), len(collection.validation)) == (14, 4)
    assert is_partition(collection, len(BTCV_NUMBERS))
    assert collection.test == open_dataset("btcv13", btcv).test
    assert collection.train != open_dataset("btcv13", btcv, validation=0.2, seed=4).train


# --- the other published ones ---------------------------------------------------------------------


def test_sts_tests_on_the_names_of_the_paper(tmp_path: Path) -> None:
    collection = open_dataset("sts3d", write_sts3d(tmp_path))
    assert names(collection.test) == ["STS_0012_a"]
    assert names(collection.train) == ["STS_0001_a", "STS_0107_b"]
    assert collection.input is not None
    assert collection.input.windows == ((500 - 600, 500 + 600),)
    assert input_for(collection).spacing == (1.5, 1.5)
    assert input_for(collection).windows == collection.input.windows
    assert collection.recipe.smallest == 64
    images = tmp_path / "labelled" / "image"
    (images / "STS_0107_b.nii.gz").unlink()
    assert f"missing under {images}: STS_0107_b" in refusal("sts3d", tmp_path)
    for kind in ("image", "label"):
        (tmp_path / "labelled" / kind / "STS_0012_a.nii.gz").unlink()
    (tmp_path / "labelled" / "label" / "STS_0107_b.nii.gz").unlink()
    assert "of the 1 under" in refusal("sts3d", tmp_path)


def test_refuge_tests_on_names_that_begin_with_t(tmp_path: Path) -> None:
    collection = open_dataset("refuge2-cup", write_refuge(tmp_path))
    assert names(collection.test) == ["T0001", "T0002"]
    assert names(collection.train) == ["V0003", "g0001", "n0002"]
    assert "3 and 2" in collection.notes[0]
    assert "800 and 400" in collection.notes[0]
    assert collection.input is not None
    assert (collection.input.pictures, collection.input.channels) == ("rgb", 3)
    (tmp_path / "masks" / "n0002.png").unlink()
    (tmp_path / "masks" / "T0001.png").unlink()
    message = refusal("refuge2-cup", tmp_path)
    assert f"REFUGE2 label files are missing under {tmp_path / 'masks'}: T0001, n0002" in message
    for name in ("T0001", "T0002"):
        (tmp_path / "images" / f"{name}.png").unlink()
    (tmp_path / "masks" / "T0002.png").unlink()
    (tmp_path / "images" / "n0002.png").unlink()
    assert "begin with T" in refusal("refuge2-cup", tmp_path)


def test_cvc_is_split_by_the_frames_numbers(tmp_path: Path) -> None:
    root = write_cvc(tmp_path)
    collection = open_dataset("cvc-clinicdb", root)
    assert [len(collection.items(s)) for s in ("train", "validation", "test")] == [492, 60, 60]
    assert is_partition(collection, 612)
    assert names(collection.train)[:3] == ["1", "2", "3"]
    assert (names(collection.validation)[0], names(collection.test)[-1]) == ("493", "612")
    for number in (7, 300, 611):
        (root / "Original" / f"{number}.png").unlink()
        (root / "Ground Truth" / f"{number}.png").unlink()
    message = refusal("cvc-clinicdb", root)
    assert f"CVC-ClinicDB frames are missing under {root / 'Original'}: 7, 300, 611" in message


def test_kvasir_is_split_by_names(tmp_path: Path) -> None:
    collection = open_dataset("kvasir-seg", write_kvasir(tmp_path))
    assert [len(collection.items(s)) for s in ("train", "validation", "test")] == [16, 2, 2]
    assert names(collection.test) == ["cju18", "cju19"]
    assert "20 pictures of Kvasir-SEG; 1000 were published" in collection.notes[0]
    (tmp_path / "images" / "cju03.jpg").unlink()
    message = refusal("kvasir-seg", tmp_path)
    assert f"Kvasir-SEG images are missing under {tmp_path / 'images'}: cju03" in message


# --- nnU-Net and the Decathlon --------------------------------------------------------------------


def test_a_decathlon_task_is_read_from_its_description(tmp_path: Path) -> None:
    root = write_decathlon(tmp_path / "Task03 Löber")
    collection = open_dataset("nnunet", root)
    assert (collection.title, collection.modality) == ("Liver", "CT")
    assert names(collection.structures) == ["liver", "cancer"]
    assert (len(collection.train), len(collection.validation)) == (8, 2)
    assert collection.test == ()
    assert "no label maps" in collection.notes[0]
    (root / "labelsTr" / "liver_4.nii.gz").unlink()
    assert f"missing under {root / 'labelsTr'}: liver_4" in refusal("nnunet", root)
    (root / "imagesTr" / "liver_4.nii.gz").unlink()
    message = refusal("nnunet", root)
    assert "Cases that dataset.json lists" in message
    assert "liver_4" in message


def test_channels_of_nnunet_are_chosen_by_number(tmp_path: Path) -> None:
    root = write_nnunet(tmp_path, [f"p{n}" for n in range(5)], ("T1", "CT"))
    message = refusal("nnunet", root)
    assert "p0" in message
    assert "T1, CT" in message
    collection = open_dataset("nnunet", root, channel="1")
    assert collection.modality == "CT"
    assert all(item.image.name.endswith("_0001.nii.gz") for item in collection.train)
    assert "no channel 2; it has 0, 1" in refusal("nnunet", root, channel=2)


def test_labels_with_gaps_are_numbered_anew(tmp_path: Path) -> None:
    collection = open_dataset("nnunet", write_nnunet(tmp_path, ["a", "b"]))
    assert [(s.label, s.name) for s in collection.structures] == [(1, "spleen"), (2, "left kidney")]
    assert dict(collection.recipe.values) == {1: 1, 5: 2}
    assert collection.validation == ()  # of two patients none is held back unasked


def test_test_cases_of_nnunet_have_label_maps(tmp_path: Path) -> None:
    root = write_nnunet(tmp_path, ["a", "b"])
    save_volume(a_ct(), root / "imagesTs" / "c_0000.nii.gz")
    save_volume(some_labels((1,)), root / "labelsTs" / "c.nii.gz")
    assert names(open_dataset("nnunet", root).test) == ["c"]


def test_pictures_may_be_laid_out_as_nnunet_has_them(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_picture(a_photo(), tmp_path / "imagesTr" / f"{name}_0000.png")
        save_picture(a_polyp(), tmp_path / "labelsTr" / f"{name}.png")
    content = {
        "channel_names": {"0": "R", "1": "G", "2": "B"},
        "labels": {"background": 0, "road": 1},
        "numTraining": 3,
        "file_ending": ".png",
    }
    (tmp_path / "dataset.json").write_text(json.dumps(content))
    collection = open_dataset("nnunet", tmp_path)
    assert (collection.dimensions, collection.channels) == (2, 3)
    assert "counts 3 cases; there are 2" in collection.notes[0]


@pytest.mark.parametrize(
    ("labels", "part"),
    [
        ({"background": 0, "whole": [1, 2], "core": 2}, "a region of several labels ('whole')"),
        ({"background": 0, "liver": 1, "ignore": 2}, "an area to ignore"),
        ({"background": 0, "liver": 1, "spleen": 1}, "two names"),
        ({"background": 0}, "names no structure"),
        (["liver"], "is not what nnU-Net"),
    ],
)
def test_descriptions_that_cannot_be_used_say_why(
    tmp_path: Path, labels: object, part: str
) -> None:
    root = write_nnunet(tmp_path, ["a"])
    content = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps({**content, "labels": labels}))
    assert part in refusal("nnunet", root)


def test_several_channels_in_one_file_are_refused(tmp_path: Path) -> None:
    root = write_decathlon(tmp_path, 2)
    content = json.loads((root / "dataset.json").read_text())
    content["modality"] = {"0": "T2", "1": "ADC"}
    (root / "dataset.json").write_text(json.dumps(content))
    assert "2 channels (T2, ADC) in one 4-D file" in refusal("nnunet", root)


# --- a plain folder -------------------------------------------------------------------------------


def test_a_folder_of_volumes_with_names_for_its_labels(tmp_path: Path) -> None:
    root = tmp_path / "Daten größer"
    for number in range(6):
        save_volume(a_ct(number), root / "images" / f"p{number}.NII.GZ".lower())
        save_volume(some_labels((1, 2)), root / "labels" / f"p{number}.nrrd")
    (tmp_path / "names.json").write_text(json.dumps({"1": "Leber", "2": "Milz"}))
    collection = open_dataset(
        "folder", root, names=str(tmp_path / "names.json"), test=0.17, validation=0.2, modality="CT"
    )
    assert names(collection.structures) == ["Leber", "Milz"]
    assert [len(collection.items(s)) for s in ("train", "validation", "test")] == [3, 1, 2]
    assert collection.input is None
    sees = input_for(collection)
    assert sees.spacing == (1.5, 1.5)
    assert len(sees.windows) == 2


def test_labels_without_names_are_seen_from_the_files(tmp_path: Path) -> None:
    save_volume(a_ct(), tmp_path / "a" / "ct.nii.gz")
    save_volume(some_labels((3, 7)), tmp_path / "a" / "seg.nii.gz")
    collection = open_dataset("folder", tmp_path, image="ct.nii.gz", label="seg.nii.gz")
    assert names(collection.structures) == ["label 3", "label 7"]
    assert dict(collection.recipe.values) == {3: 1, 7: 2}
    save_volume(a_ct(), tmp_path / "b" / "ct.nii.gz")
    message = refusal("folder", tmp_path, image="ct.nii.gz", label="seg.nii.gz")
    assert f"missing under {tmp_path}: b/seg.nii.gz" in message
    save_volume(a_ct(), tmp_path / "b" / "seg.nii.gz")
    assert "is no label map" in refusal("folder", tmp_path, image="ct.nii.gz", label="seg.nii.gz")


def test_folders_for_splits_are_taken_as_they_are(tmp_path: Path) -> None:
    for split, count in (("train", 6), ("val", 2), ("Test", 0), ("test", 1)):
        for number in range(count):
            save_picture(a_photo(number), tmp_path / split / "images" / f"{split}{number}.PNG")
            mask = a_polyp() * np.uint8(255)
            save_picture(mask, tmp_path / split / "masks" / f"{split}{number}_mask.png")
    collection = open_dataset("folder", tmp_path, label_suffix="_mask")
    assert [len(collection.items(s)) for s in ("train", "validation", "test")] == [6, 2, 1]
    assert collection.recipe.rule == "bright"
    save_picture(a_photo(), tmp_path / "test" / "images" / "train0.png")
    save_picture(a_polyp(), tmp_path / "test" / "masks" / "train0_mask.png")
    assert "train0: the same names are in several splits" in refusal(
        "folder", tmp_path, label_suffix="_mask"
    )


def test_what_is_wrong_with_a_folder_is_said(tmp_path: Path) -> None:
    assert "no folder images" in refusal("folder", tmp_path)
    save_picture(a_photo(), tmp_path / "images" / "a.png")
    assert "no folder labels or masks" in refusal("folder", tmp_path)
    save_picture(a_polyp(), tmp_path / "labels" / "b.png")
    message = refusal("folder", tmp_path)
    assert f"missing under {tmp_path / 'labels'}: a" in message
    save_picture(a_polyp(), tmp_path / "labels" / "a.png")
    assert f"missing under {tmp_path / 'images'}: b" in refusal("folder", tmp_path)
    save_volume(a_ct(), tmp_path / "images" / "b.nii.gz")
    assert "volumes and pictures together, such as b.nii.gz and a.png" in refusal(
        "folder", tmp_path
    )
    save_picture(a_photo(), tmp_path / "images" / "a.jpg")
    assert "two files for one item" in refusal("folder", tmp_path)
    assert "give both: image=FILE and label=FILE" in refusal("folder", tmp_path, image="x")
    assert "Unknown rule 'dark'" in refusal("folder", tmp_path, rule="dark")


# --- splits and options ---------------------------------------------------------------------------


def items_of(*names: str) -> list[Item]:
    return [Item(name, Path(f"{name}.png"), None) for name in names]


def test_slices_of_a_patient_stay_together() -> None:
    names = (f"p{patient}_s{n}" for patient in range(10) for n in range(7))
    items = of_patients(items_of(*names), r"^(p\d+)_")
    stay, held = hold_out(items, 0.25, 0)
    patients = [{item.name.split("_")[0] for item in part} for part in (stay, held)]
    assert not patients[0] & patients[1]
    assert len(patients[1]) == 3
    assert len(held) == 21
    again = hold_out(list(reversed(items)), 0.25, 0)
    assert set(again[1]) == set(held)
    assert set(hold_out(items, 0.25, 1)[1]) != set(held)


def test_the_choice_is_the_same_on_every_machine() -> None:
    _, held = hold_out(items_of(*"abcdefghij"), 0.3, seed=0)
    assert names(held) == ["c", "f", "g"]


def test_shares_that_leave_nothing_are_refused() -> None:
    items = items_of("a", "b")
    assert hold_out(items, 0.0) == (tuple(items), ())
    with pytest.raises(InputError, match="none would be left"):
        hold_out(items, 0.9)
    with pytest.raises(InputError, match="give 0 up to below 1"):
        hold_out(items, 1.0)
    with pytest.raises(InputError, match="no regular expression"):
        of_patients(items, "(")
    with pytest.raises(InputError, match="finds no patient in the name a"):
        of_patients(items, "b")


def test_names_and_options_are_checked(tmp_path: Path) -> None:
    assert "choose one of btcv13, btcv8" in refusal("btcv", tmp_path)
    assert "has no option valdation; it takes validation, seed" in refusal(
        "btcv13", tmp_path, valdation=0.1
    )
    assert "it takes set_aside" in refusal("kvasir-seg", tmp_path, seed=1)
    assert "validation=many is not a number" in refusal("sts3d", tmp_path, validation="many")
    assert "absent=maybe is none of background, unknown" in refusal(
        "nnunet", tmp_path, absent="maybe"
    )
    with pytest.raises(InputError, match="is not like validation"):
        parse_options(["validation"])
    assert parse_options(["label-suffix=_m=1"]) == {"label_suffix": "_m=1"}
    assert all(isinstance(dataset_options(name), tuple) for name in dataset_names())


def test_splits_are_asked_for_by_name(tmp_path: Path) -> None:
    collection = open_dataset("nnunet", write_nnunet(tmp_path, ["a"]))
    with pytest.raises(InputError, match="Unknown split 'dev'"):
        collection.items("dev")
    with pytest.raises(InputError, match="nothing in the split test; choose train"):
        collection.items("test")


# --- real data ------------------------------------------------------------------------------------


def test_the_head_and_neck_patients_are_split_as_for_the_bundled_model(shared_data: Path) -> None:
    collection = open_dataset("head-neck-oar", shared_data / "head_neck_oar")
    assert [len(collection.items(s)) for s in ("train", "validation", "test")] == [156, 14, 33]
    folders = sorted(p.name for p in (shared_data / "head_neck_oar" / "train").glob("pt_*"))
    assert names(collection.validation) == folders[5::12]
    assert collection.recipe.absent == "unknown"
    inner = open_dataset("head-neck-oar", shared_data / "head_neck_oar" / "train")
    assert (inner.train, inner.test) == (collection.train, ())


def test_real_polyps_are_in_the_layout_of_kvasir(shared_data: Path) -> None:
    collection = open_dataset("kvasir-seg", shared_data / "polyp_rgb")
    assert is_partition(collection, 27)
    assert collection.channels == 3
