"""Users bring what they have: TotalSegmentator, AMOS, FLARE, WORD, folders, scenes of 3D Slicer."""

from __future__ import annotations

import json
import logging
import shutil
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from dataset_trees import a_ct, save_volume, some_labels, write_decathlon
from dicom_maker import write_series
from typer.testing import CliRunner

from SDSegLib.cli.app import app
from SDSegLib.datasets.cases import Case, load_items
from SDSegLib.datasets.catalogue import open_dataset
from SDSegLib.datasets.collection import Collection
from SDSegLib.errors import InputError
from SDSegLib.reading.files import read_volume
from SDSegLib.reading.slicer_scene import scene_segmentation, scene_volume
from SDSegLib.volume.model_input import InputDescription
from SDSegLib.volume.structure import LEFT, RIGHT

GRID = InputDescription((64, 64), None, "LPS", ((-160.0, 240.0),))
CORNER = (3, 5, 4)  # k, j, i of the first voxel of a cropped file


def refusal(*arguments: Any, **options: Any) -> str:
    with pytest.raises(InputError) as caught:
        open_dataset(*arguments, **options)
    return str(caught.value)


def load(collection: Collection, split: str = "all") -> list[Case]:
    return load_items(collection.items(split), collection, GRID, collection.num_classes)


def names_in(collection: Collection) -> list[str]:
    return [item.name for item in collection.structures]


def splits(collection: Collection) -> list[list[str]]:
    parts = (collection.train, collection.validation, collection.test)
    return [[item.name for item in part] for part in parts]


# --- TotalSegmentator -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def totalsegmentator(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four cases of a real CT with 61 structures, one mask for each, and the table of splits."""
    root = tmp_path_factory.mktemp("Totalsegmentator_dataset")
    source = shared_data / "abdomen_ct"
    names = json.loads((source / "labels.json").read_text(encoding="utf-8"))["organs.nii.gz"]
    organs = sitk.ReadImage(str(source / "organs.nii.gz"))
    for case in ("s0000", "s0001", "s0002", "s0004"):
        masks = root / case / "segmentations"
        masks.mkdir(parents=True)
        shutil.copy(source / "ct.nii.gz", root / case / "ct.nii.gz")
        if case == "s0000":
            for value, name in names.items():
                sitk.WriteImage(organs == int(value), str(masks / f"{name}.nii.gz"))
        else:
            for path in (root / "s0000" / "segmentations").iterdir():
                shutil.copy(path, masks / path.name)
    (root / "meta.csv").write_text(
        "\ufeffimage_id;age;gender;institute;study_type;split\ns0000;61;m;I;ct abdomen;train\n"
        "s0001;67;f;I;ct abdomen;train\ns0002;74;m;C;ct abdomen;val\ns0003;50;f;I;ct;train\n"
        "s0004;50;f;I;ct;test\n",
        encoding="utf-8",
    )
    return root


def test_totalsegmentators_masks_become_one_label_map(
    totalsegmentator: Path, shared_data: Path
) -> None:
    collection = open_dataset("totalsegmentator", totalsegmentator)
    assert len(collection.structures) == 61
    assert splits(collection) == [["s0000", "s0001"], ["s0002"], ["s0004"]]
    assert collection.notes == ("1 of 5 cases of meta.csv are not there.",)
    names = names_in(collection)
    assert {"Left kidney", "Vertebra L5", "Left rib 7", "Urinary bladder", "Left hip bone"} <= {
        *names
    }
    kidney, femur = (
        next(item for item in collection.structures if item.name == name)
        for name in ("Left kidney", "Right femur")
    )
    assert (kidney.type.value, kidney.modifier) == ("64033007", LEFT)
    assert (femur.type.scheme, femur.type.meaning, femur.modifier) == ("99SDSEG", "Femur", RIGHT)
    ribs = [name for name in names if name.startswith("Left rib")]
    assert ribs == [f"Left rib {number}" for number in range(7, 13)]
    (case,) = load(collection, "test")
    stored = read_volume(shared_data / "abdomen_ct" / "organs.nii.gz", labels=True).array
    assert np.array_equal(case.label_map > 0, (stored > 0)[:, ::-1, ::-1])
    liver = names.index("Liver") + 1
    assert np.array_equal(case.label_map == liver, (stored == 5)[:, ::-1, ::-1])
    assert case.drawn == set(range(1, 62))


@pytest.mark.parametrize(
    ("structures", "some", "count"),
    [
        ("organs", "Gallbladder", 17),
        ("vertebrae", "Sacrum", 9),
        ("cardiac", "Portal and splenic veins", 7),
        ("muscles", "Spinal cord", 15),
        ("ribs", "Left rib 12", None),
        ("kidney_right, spleen", "Right kidney", 2),
    ],
)
def test_a_group_of_structures_can_be_chosen(
    totalsegmentator: Path, structures: str, some: str, count: int | None
) -> None:
    collection = open_dataset("totalsegmentator", totalsegmentator, structures=structures)
    assert some in names_in(collection)
    if count is not None:
        assert len(collection.structures) == count


def test_the_groups_are_a_division_of_all_structures(totalsegmentator: Path) -> None:
    groups = [
        names_in(open_dataset("totalsegmentator", totalsegmentator, structures=group))
        for group in ("organs", "vertebrae", "cardiac", "muscles", "ribs")
    ]
    everything = names_in(open_dataset("totalsegmentator", totalsegmentator))
    assert sorted(name for group in groups for name in group) == sorted(everything)
    message = refusal("totalsegmentator", totalsegmentator, structures="kidneys")
    assert "no masks kidneys. Give total, organs, vertebrae" in message


def test_masks_that_overlap_are_empty_or_missing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = some_labels((1,)), some_labels((1,))
    second[:, :6] = 0
    for number in range(2):
        case = tmp_path / f"s{number:04d}"
        save_volume(a_ct(), case / "ct.nii.gz")
        save_volume(first, case / "segmentations" / "colon.nii.gz")
        save_volume(second, case / "segmentations" / "liver.nii.gz")
        save_volume(0 * first, case / "segmentations" / "spleen.nii.gz")
    (tmp_path / "s0001" / "segmentations" / "liver.nii.gz").unlink()
    collection = open_dataset("totalsegmentator", tmp_path)
    assert collection.notes == (
        "1 case lacks masks of some structures, which are unknown there: s0001.",
    )
    with caplog.at_level(logging.WARNING):
        whole, part = load(collection)
    assert "parts of Colon are hidden by others" in caplog.text
    np.testing.assert_array_equal(whole.label_map, first + (second > 0))
    assert whole.drawn == {1, 2, 3}  # the spleen was looked for, and is not there
    assert part.drawn == {1, 3}
    liver = open_dataset("totalsegmentator", tmp_path, structures="liver")
    assert splits(liver) == [["s0000"], [], []]
    assert "1 case has none of the masks and is left out: s0001." in liver.notes


def test_what_is_wrong_with_totalsegmentators_folders_is_said(tmp_path: Path) -> None:
    assert "no cases in the layout of TotalSegmentator" in refusal("totalsegmentator", tmp_path)
    masks = tmp_path / "s0000" / "segmentations"
    save_volume(some_labels((1,)), masks / "liver.nii.gz")
    assert "are missing" in refusal("totalsegmentator", tmp_path)
    save_volume(a_ct(), masks.parent / "ct.nii.gz")
    (tmp_path / "meta.csv").write_text("image_id;split\ns0000;heldout\n", encoding="utf-8")
    assert "has the split 'heldout'" in refusal("totalsegmentator", tmp_path)
    (tmp_path / "meta.csv").write_bytes(b"\xff\xfe\x00")
    assert "meta.csv cannot be read" in refusal("totalsegmentator", tmp_path)
    (tmp_path / "meta.csv").write_text("image_id,split\ns0000,test\n", encoding="utf-8")
    assert "no case that is there into the split train" in refusal("totalsegmentator", tmp_path)
    (tmp_path / "meta.csv").unlink()

    def reason() -> str:
        with pytest.raises(InputError) as caught:
            load(open_dataset("totalsegmentator", tmp_path))
        return str(caught.value)

    save_volume(some_labels((1,)), masks / "spleen.nii.gz", spacing=(2.0, 1.5, 3.5))
    assert "spleen.nii.gz is on another grid than the other masks" in reason()
    save_volume(some_labels((1, 2)), masks / "spleen.nii.gz")
    assert "spleen.nii.gz is no mask of one structure: it holds the values 0, 1, 2" in reason()
    (masks / "spleen.nii.gz").write_bytes(b"\x1f\x8b\x08")
    assert "spleen.nii.gz" in reason()


def test_117_structures_are_trained_for(tmp_path: Path) -> None:
    labels = np.zeros((8, 40, 60), np.uint8)
    labels[2:6, ::2, ::2][:, :10, :12] = np.arange(1, 121).reshape(10, 12)
    labels[labels > 117] = 0
    for number in range(2):
        case = tmp_path / "data" / f"s{number:04d}"
        save_volume(a_ct(number, labels.shape), case / "ct.nii.gz")
        for label in range(1, 118):
            save_volume(
                (labels == label).astype(np.uint8),
                case / "segmentations" / f"structure_{label}.nii.gz",
            )
    collection = open_dataset("totalsegmentator", tmp_path / "data")
    (case,) = load_items(collection.train[:1], collection, GRID, 118)
    np.testing.assert_array_equal(case.label_map, labels)
    command = ["train", "--dataset", "totalsegmentator", "--data", str(tmp_path / "data")]
    result = CliRunner().invoke(app, [*command, "--output", str(tmp_path / "run"), "--plan"])
    assert result.exit_code == 0, result.output
    assert "117" in result.output


# --- AMOS, FLARE, WORD ----------------------------------------------------------------------------


def write_pairs(
    root: Path,
    images: str,
    labels: str,
    names: list[str],
    values: tuple[int, ...],
    suffix: str = "",
) -> None:
    for number, name in enumerate(names):
        save_volume(a_ct(number), root / images / f"{name}{suffix}.nii.gz")
        save_volume(some_labels(values), root / labels / f"{name}.nii.gz")


def test_amos_is_read_as_it_is_unpacked(tmp_path: Path) -> None:
    write_pairs(tmp_path, "imagesTr", "labelsTr", ["amos_0001", "amos_0507"], (1, 15))
    write_pairs(tmp_path, "imagesVa", "labelsVa", ["amos_0008", "amos_0554"], (1, 14))
    save_volume(a_ct(), tmp_path / "imagesTs" / "amos_0002.nii.gz")
    collection = open_dataset("amos", tmp_path)
    assert splits(collection) == [["amos_0001"], ["amos_0008"], []]
    assert names_in(collection)[13:] == ["Urinary bladder", "Prostate or uterus"]
    assert collection.notes == ("2 images are MR and are left out.",)
    assert load(collection)[0].drawn == set(range(1, 16))
    other = open_dataset("amos", tmp_path, modality="MR")
    assert splits(other) == [["amos_0507"], ["amos_0554"], []]
    assert other.modality == "MR"
    assert "neither CT nor MR" in refusal("amos", tmp_path, modality="PET")
    (tmp_path / "labelsTr" / "amos_0001.nii.gz").unlink()
    assert "Label maps are missing" in refusal("amos", tmp_path)


def test_word_has_three_parts(tmp_path: Path) -> None:
    write_pairs(tmp_path, "imagesTr", "labelsTr", ["word_0002", "word_0003"], (1, 16))
    write_pairs(tmp_path, "imagesVal", "labelsVal", ["word_0001"], (1, 16))
    write_pairs(tmp_path, "imagesTs", "labelsTs", ["word_0014"], (1, 16))
    collection = open_dataset("word", tmp_path)
    assert splits(collection) == [["word_0002", "word_0003"], ["word_0001"], ["word_0014"]]
    assert names_in(collection)[14:] == ["Left head of femur", "Right head of femur"]
    assert [item.modifier for item in collection.structures[14:]] == [LEFT, RIGHT]
    assert collection.structures[0].type.value == "10200004"
    assert "is not laid out as WORD" in refusal("word", tmp_path / "imagesTr")


@pytest.mark.parametrize("folders", [("images", "labels"), ("imagesTr2200", "labelsTr2200")])
def test_flare_may_have_partial_labels(tmp_path: Path, folders: tuple[str, str]) -> None:
    names = [f"FLARE22_Tr_{number:04d}" for number in range(1, 7)]
    write_pairs(tmp_path, *folders, names, (1, 13), "_0000")
    collection = open_dataset("flare", tmp_path)
    assert [len(part) for part in splits(collection)] == [4, 2, 0]
    assert collection.train[0].name.startswith("FLARE22_Tr_0")
    assert (len(collection.structures), names_in(collection)[12]) == (13, "Left kidney")
    partial = open_dataset("flare", tmp_path, absent="unknown")
    assert names_in(partial)[13] == "Tumor"
    assert load(partial)[0].drawn == {1, 13}


def test_nnunets_layout_may_have_a_folder_for_validation(tmp_path: Path) -> None:
    root = write_decathlon(tmp_path, 6)
    write_pairs(root, "imagesVal", "labelsVal", ["liver_90"], (1, 2))
    collection = open_dataset("nnunet", root)
    assert [len(part) for part in splits(collection)] == [6, 1, 0]
    more = open_dataset("nnunet", root, validation=0.3)
    assert [len(part) for part in splits(more)] == [4, 3, 0]


# --- folders, found by looking --------------------------------------------------------------------


def write_segmentation(
    path: Path, labels: np.ndarray, names: dict[int, str], cropped: bool = False
) -> None:
    """A `.seg.nrrd` file as 3D Slicer writes it, on the whole grid or only as far as it reaches."""
    image = sitk.GetImageFromArray(labels)
    image.SetSpacing((2.0, 1.5, 3.0))
    if cropped:
        k, j, i = CORNER
        image = image[i:, j:, k:]
    for number, (value, name) in enumerate(names.items()):
        image.SetMetaData(f"Segment{number}_Name", name)
        image.SetMetaData(f"Segment{number}_LabelValue", str(value))
        image.SetMetaData(f"Segment{number}_Layer", "0")
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path), useCompression=True)


def inner_labels() -> np.ndarray:
    labels = np.zeros((6, 24, 28), np.uint8)
    labels[4:, 8:12, 8:12], labels[5, 13:20, 9:20] = 1, 2
    return labels


@pytest.mark.parametrize("image", ["ct.nii.gz", "CT.nrrd", "thorax.mha", "dicom", "loose dicom"])
@pytest.mark.parametrize("label", ["organs.nii.gz", "labels.nrrd", "Segmentation.seg.nrrd"])
def test_a_folder_per_case_needs_no_options(tmp_path: Path, image: str, label: str) -> None:
    labels = inner_labels()
    for number in range(2):
        case = tmp_path / f"patient {number}"
        if image.endswith("dicom"):
            folder = case / "DICOM" if image == "dicom" else case
            write_series(folder, a_ct(number), spacing=(2.0, 1.5, 3.0), origin=(0, 0, 0))
        else:
            save_volume(a_ct(number), case / image)
        if label.endswith(".seg.nrrd"):
            write_segmentation(case / label, labels, {1: "Liver", 2: "Left kidney"})
        else:
            save_volume(labels, case / label)
    collection = open_dataset("folder", tmp_path, modality="CT")
    assert splits(collection)[0] == ["patient 0", "patient 1"]
    for case in load(collection):
        np.testing.assert_array_equal(case.label_map, labels)
    if label.endswith(".seg.nrrd"):
        assert collection.structures[1].modifier == LEFT


def test_label_maps_of_numbers_may_hold_more_than_a_hundred_structures(tmp_path: Path) -> None:
    labels = np.arange(6 * 24 * 28, dtype=np.uint16).reshape(6, 24, 28) % 118
    for number in range(2):
        save_volume(a_ct(number), tmp_path / "images" / f"{number}.nii.gz")
        save_volume(labels.astype(np.uint8), tmp_path / "labels" / f"{number}.nii.gz")
    collection = open_dataset("folder", tmp_path)
    assert len(collection.structures) == 117
    np.testing.assert_array_equal(load(collection)[0].label_map, labels)


def test_segmentations_beside_volumes_are_paired_by_name(tmp_path: Path) -> None:
    names = {1: "Liver", 2: "Spleen"}
    for number, ending in enumerate(
        (".seg.nrrd", "-segmentation.seg.nrrd", " Segmentation.seg.nrrd")
    ):
        save_volume(a_ct(number), tmp_path / f"case{number}.nrrd")
        write_segmentation(tmp_path / f"case{number}{ending}", inner_labels(), names, number == 1)
    save_volume(a_ct(9), tmp_path / "not drawn.nrrd")
    collection = open_dataset("folder", tmp_path)
    assert splits(collection) == [["case0", "case1", "case2"], [], []]
    for case in load(collection):
        np.testing.assert_array_equal(case.label_map, inner_labels())
    write_segmentation(tmp_path / "case0-2.seg.nrrd", inner_labels(), names)
    assert "are two segmentations of case0.nrrd" in refusal("folder", tmp_path)
    (tmp_path / "case0-2.seg.nrrd").rename(tmp_path / "other.seg.nrrd")
    assert "other.seg.nrrd has no volume beside it" in refusal("folder", tmp_path)


def test_what_is_ambiguous_in_a_cases_folder_is_asked_for(tmp_path: Path) -> None:
    case = tmp_path / "a"
    save_volume(a_ct(), case / "one.nii.gz")
    save_volume(a_ct(), case / "two.nii.gz")
    save_volume(inner_labels(), case / "organs.nii.gz")
    message = refusal("folder", tmp_path)
    assert "a holds 2 images (one.nii.gz, two.nii.gz); name the file with image=FILE" in message
    chosen = open_dataset("folder", tmp_path, image="two.nii.gz", label="organs.nii.gz")
    assert chosen.train[0].image.name == "two.nii.gz"
    (case / "two.nii.gz").unlink()
    save_volume(a_ct(), tmp_path / "b" / "ct.nii.gz")
    assert "1 case has a CT and no segmentation: b" in refusal("folder", tmp_path)
    names = {1: "Liver", 2: "Spleen"}
    for name in ("x.seg.nrrd", "y.seg.nrrd"):
        write_segmentation(tmp_path / "b" / name, inner_labels(), names)
    assert "b holds 2 segmentations (x.seg.nrrd, y.seg.nrrd)" in refusal("folder", tmp_path)


# --- 3D Slicer scenes -----------------------------------------------------------------------------


def write_scene(
    path: Path,
    ct: Path,
    labels: np.ndarray,
    *,
    names: tuple[str, ...] = ("Liver", "Left kidney"),
    transform: bool = False,
    reference: bool = True,
    another_volume: bool = False,
    another_segmentation: bool = False,
) -> Path:
    """A scene with a CT and a segmentation of it, written by 3D Slicer's own classes."""
    slicer = pytest.importorskip("slicer", reason="needs the extra slicer")
    from SDSegLib.models.labels import structures_called
    from SDSegLib.mrml.segmentation_node import segmentation_to_node
    from SDSegLib.mrml.session import open_session
    from SDSegLib.mrml.volumes import volume_to_node
    from SDSegLib.volume.segmentation import Segmentation

    volume = read_volume(ct)
    with open_session() as session:
        scene = session.scene
        volume_node = volume_to_node(volume)
        volume_node.SetName("MUSTER^MAX CT")
        if another_volume:
            volume_to_node(replace(volume, array=volume.array[::-1].copy())).SetName("Other")
        structures = structures_called(names)
        result = Segmentation(labels, volume.geometry, structures)
        for _ in range(2 if another_segmentation else 1):
            node = segmentation_to_node(result, volume_node)
            node.SetName("MUSTER^MAX Segmentation")
        if not reference:
            role = node.GetReferenceImageGeometryReferenceRole()
            node.SetNodeReferenceID(role, None)
        if transform:
            above = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
            node.SetAndObserveTransformNodeID(above.GetID())
        path.parent.mkdir(parents=True, exist_ok=True)
        assert slicer is not None
        assert scene.WriteToMRB(str(path))
    return path


@pytest.fixture
def ct(tmp_path: Path) -> Path:
    return save_volume(a_ct(), tmp_path / "ct.nii.gz")


@pytest.mark.parametrize("form", ["{0}.mrb", "{0}/scene.mrb", "{0}/Scene {0}.MRB"])
def test_scenes_of_slicer_are_cases(tmp_path: Path, ct: Path, form: str) -> None:
    labels = inner_labels()
    for number in range(2):
        write_scene(tmp_path / "d" / form.format(number).lower(), ct, labels)
        if "MRB" in form:
            folder = tmp_path / "d" / str(number)
            next(folder.iterdir()).rename(folder / "Scene.MRB")
    collection = open_dataset("folder", tmp_path / "d", modality="CT")
    assert splits(collection)[0] == ["0", "1"]
    assert names_in(collection) == ["Liver", "Left kidney"]
    assert collection.structures[0].type.value == "10200004"
    for case in load(collection):
        np.testing.assert_array_equal(case.label_map, labels)
        np.testing.assert_array_equal(case.image, a_ct())


def test_real_organs_in_scenes_are_planned_for(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "head_neck_oar" / "train"
    for name in ("pt_1", "pt_10"):
        organs = read_volume(source / name / "organs.nii.gz", labels=True).array
        names = ("Brainstem", "Spinal cord", "Right parotid gland", "Left parotid gland")
        labels = np.where(organs > 4, 0, organs).astype(np.uint8)
        write_scene(
            tmp_path / "d" / f"{name}.mrb", source / name / "ct.nii.gz", labels, names=names
        )
    collection = open_dataset("folder", tmp_path / "d", modality="CT")
    for case, name in zip(load(collection), ("pt_1", "pt_10"), strict=True):
        organs = read_volume(source / name / "organs.nii.gz", labels=True).array
        np.testing.assert_array_equal(case.label_map, np.where(organs > 4, 0, organs))
    command = ["train", "--dataset", "folder", "--data", str(tmp_path / "d")]
    result = CliRunner().invoke(
        app, [*command, "--option", "modality=CT", "--output", str(tmp_path / "run"), "--plan"]
    )
    assert result.exit_code == 0, result.output


def scene_refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load(open_dataset("folder", path.parent, modality="CT"))
    message = str(caught.value)
    assert str(path) in message
    assert "MUSTER" not in message
    return message


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"transform": True}, "A transform lies between the segmentation and its volume"),
        ({"another_segmentation": True}, "holds 2 segmentations"),
        ({"reference": False, "another_volume": True}, "the scene holds 2"),
    ],
)
def test_scenes_that_do_not_say_what_belongs_together_are_refused(
    tmp_path: Path, ct: Path, changes: dict[str, bool], said: str
) -> None:
    path = write_scene(tmp_path / "d" / "a.mrb", ct, inner_labels(), **changes)
    assert said in scene_refusal(path)


def test_the_volume_that_was_drawn_on_is_taken_of_several(tmp_path: Path, ct: Path) -> None:
    write_scene(tmp_path / "d" / "a.mrb", ct, inner_labels(), another_volume=True)
    write_scene(tmp_path / "d" / "b.mrb", ct, inner_labels(), reference=False)
    for case in load(open_dataset("folder", tmp_path / "d", modality="CT")):
        np.testing.assert_array_equal(case.label_map, inner_labels())
        np.testing.assert_array_equal(case.image, a_ct())


def test_what_was_unpacked_of_a_scene_is_removed(tmp_path: Path, ct: Path) -> None:
    path = write_scene(tmp_path / "a.mrb", ct, inner_labels())
    with scene_segmentation(path) as segmentation, scene_volume(path) as volume:
        assert segmentation.name == "data.seg.nrrd"
        assert volume.parent.stat().st_mode & 0o77 == 0
    assert not segmentation.parent.exists()
    assert not volume.parent.exists()
    with pytest.raises(InputError, match="is damaged") as caught, scene_volume(path) as volume:
        raise InputError(f"{volume} is damaged")
    assert str(path) in str(caught.value)
    assert not volume.parent.exists()


def changed_scene(path: Path, change: Any) -> None:
    """Write the archive anew with the members that `change` gives for a name and its content."""
    with zipfile.ZipFile(path) as archive:
        members = {item.filename: archive.read(item) for item in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            new = change(name, content)
            if new is not None:
                archive.writestr(name, new)


def test_damaged_and_hostile_scenes_are_refused(tmp_path: Path, ct: Path) -> None:
    good = write_scene(tmp_path / "good.mrb", ct, inner_labels())
    path = tmp_path / "d" / "a.mrb"
    path.parent.mkdir()

    def reason(change: Any) -> str:
        shutil.copy(good, path)
        changed_scene(path, change)
        return scene_refusal(path)

    is_scene = lambda name: name.endswith(".mrml")  # noqa: E731
    assert "holds no scene files" in reason(lambda n, c: None if is_scene(n) else c)
    assert "scene file is damaged" in reason(lambda n, c: c[:500] if is_scene(n) else c)
    bomb = b'<!DOCTYPE x [<!ENTITY a "b">]><MRML>&a;</MRML>'
    assert "defines entities" in reason(lambda n, c: bomb if is_scene(n) else c)
    outside = lambda n, c: c.replace(b"Data/", b"../../../../etc/") if is_scene(n) else c  # noqa: E731
    assert "lacks the file of its" in reason(outside)
    assert "lacks the file of its segmentation" in reason(
        lambda n, c: None if n.endswith(".seg.nrrd") else c
    )
    assert "a.mrb" in reason(lambda n, c: c[: len(c) // 2] if n.endswith(".seg.nrrd") else c)
    assert "a.mrb" in reason(lambda n, c: c[: len(c) // 2] if n.endswith("CT.nrrd") else c)
    surface = lambda n, c: c.replace(b".seg.nrrd", b".seg.vtm") if is_scene(n) else c  # noqa: E731
    assert "lacks the file" in reason(surface)
    path.write_bytes(good.read_bytes()[:5000])
    assert "is no 3D Slicer scene, or is damaged" in scene_refusal(path)
    path.write_bytes(b"")
    assert str(path) in scene_refusal(path)


# --- cases that are to do, structures without a mask ----------------------------------------------


def test_cases_of_a_collection_that_are_to_do_are_left_out(tmp_path: Path) -> None:
    from case_parts import a_ct as a_patient
    from case_parts import kidneys, with_cyst

    from SDSegLib.cases.collection import CaseCollection
    from SDSegLib.cases.store import write_labels
    from SDSegLib.teaching.cases import open_cases

    collection = CaseCollection(tmp_path / "cases")
    for number in range(3):
        volume = a_patient(number)
        collection.add(volume, kidneys(volume) if number else None)
    found = open_dataset("folder", tmp_path / "cases")
    assert splits(found) == [["case-002", "case-003"], [], []]
    assert found.notes == ("1 of 3 cases have no segmentation yet and are left out.",)
    taught = open_cases(tmp_path / "cases", "folder")
    assert [item.name for item in taught.items] == ["case-002", "case-003"]
    assert taught.collection.notes == found.notes
    write_labels(tmp_path / "cases" / "case-002" / "segmentation.seg.nrrd", with_cyst(volume))
    (told,) = open_cases(tmp_path / "cases").collection.notes
    assert "case-002 holds other structures than the index (Cyst, " in told
    collection.set_state("case-002", "corrected")
    both = open_cases(tmp_path / "cases")
    assert both.collection.notes == (
        "case-002: Structures overlap, and a voxel counts for one only: parts of Left kidney are "
        "hidden by others.",
    )
    one = open_cases(tmp_path / "cases", structures=["left kidney"])
    assert not one.collection.notes
    (kidney,) = one.facts["case-002"].volumes_ml.values()
    assert kidney > both.facts["case-002"].volumes_ml[1]
    assert kidney == one.facts["case-003"].volumes_ml[1]
    for name in ("case-002", "case-003"):
        collection.remove(name)
    assert "No case of" in refusal("folder", tmp_path / "cases")


def test_what_is_doubtful_about_cases_to_learn_from_is_told(tmp_path: Path) -> None:
    from SDSegLib.teaching.cases import open_cases

    names = {1: "Liver", 2: "Spleen"}
    for number, case in enumerate(("p1_early", "p1_late", "p2", "p3")):
        save_volume(a_ct(number), tmp_path / case / "ct.nii.gz")
        write_segmentation(tmp_path / case / "x.seg.nrrd", inner_labels(), names, number == 0)
    cases = open_cases(tmp_path)
    assert len(set(cases.patients.values())) == 4
    assert not cases.collection.notes
    whole, cropped = (cases.facts[case].volumes_ml for case in ("p1_late", "p1_early"))
    assert whole == cropped

    shutil.copy(tmp_path / "p2" / "ct.nii.gz", tmp_path / "p3" / "ct.nii.gz")
    mr = np.clip(np.random.default_rng(5).normal(300, 90, (6, 24, 28)), 0, 900)
    save_volume(mr.astype(np.int16), tmp_path / "p1_late" / "ct.nii.gz")
    cases = open_cases(tmp_path, options={"patients": r"^(p\d+)"})
    patients = cases.patients
    assert patients["p1_early"] == patients["p1_late"] != patients["p2"] == patients["p3"]
    told = " ".join(cases.collection.notes)
    assert "p1_early, p1_late count as one patient" in told
    assert "p2, p3 count as one patient" in told
    assert "p1_late: 99.8 % of the values lie between" in told


@pytest.mark.parametrize("layout", ["nnunet", "totalsegmentator"])
def test_the_layout_of_cases_to_learn_from_is_named(tmp_path: Path, layout: str) -> None:
    from SDSegLib.teaching.cases import open_cases

    if layout == "nnunet":
        write_decathlon(tmp_path)
    else:
        save_volume(a_ct(), tmp_path / "s0" / "ct.nii.gz")
        save_volume(some_labels((1,)), tmp_path / "s0" / "segmentations" / "liver.nii.gz")
    with pytest.raises(InputError, match=f"give --dataset {layout}"):
        open_cases(tmp_path)


def test_a_structure_without_a_mask_is_unknown_to_an_evaluation(tmp_path: Path) -> None:
    """An empty mask says that the structure is not there, so predicting it is an error."""
    from SDSegLib.evaluation.cases import cases_of
    from SDSegLib.evaluation.evaluate import Options, evaluate_folder
    from SDSegLib.evaluation.scores import Rules

    labels = some_labels((1, 2))
    for case in ("s0", "s1"):
        save_volume(a_ct(), tmp_path / "d" / case / "ct.nii.gz")
        masks = tmp_path / "d" / case / "segmentations"
        save_volume((labels == 1).astype(np.uint8), masks / "liver.nii.gz")
        save_volume(labels, tmp_path / "predicted" / f"{case}.nii.gz")
    empty = np.zeros_like(labels)
    save_volume(empty, tmp_path / "d" / "s0" / "segmentations" / "spleen.nii.gz")
    collection = open_dataset("totalsegmentator", tmp_path / "d")
    pairs = cases_of(collection, "all").pairs
    for convention in ("field", "paper"):
        options = Options(Rules(convention, "background"))
        found = evaluate_folder(
            tmp_path / "d", tmp_path / "predicted", pairs, options, collection
        ).evaluation
        states = {case: [score.status for score in row] for case, row in found.scores.items()}
        assert states == {"s0": ["compared", "spurious"], "s1": ["compared", "unknown"]}
        assert found.scores["s1"][1].dice is None
        assert found.scores["s1"][0].dice == 1.0
        assert "The reference has no mask of Spleen, so this is unknown there." in found.notes["s1"]
        assert "Spleen" not in " ".join(found.notes.get("s0", []))
