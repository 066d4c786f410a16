"""A collection of cases, from the first CT to the list, with nothing of the patient in it."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from case_parts import (
    CYST,
    LEFT_KIDNEY,
    LIVER,
    RIGHT_KIDNEY,
    a_ct,
    all_bytes,
    kidneys,
    leftovers,
    with_cyst,
)
from dicom_maker import write_series
from phantom import a_body, stored_as
from segmentation_maker import DIRECTIONS, a_segmentation, a_volume
from test_cli import Run, sdseg

from SDSegLib import CaseCollection, check_cases
from SDSegLib.datasets.folder import folder as open_folder
from SDSegLib.errors import InputError
from SDSegLib.export.dicom_seg import write_dicom_seg
from SDSegLib.export.label_files import read_label_file
from SDSegLib.export.plain_files import write_plain_ct
from SDSegLib.models.labels import read_structures, structures_named
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.layers import LayeredLabels
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.structure import Code
from SDSegLib.volume.volume import Volume

__all__ = ["sdseg"]


def messages(collection: CaseCollection) -> str:
    return "\n".join(item.message for item in check_cases(collection))


# --- a story on real patients ---------------------------------------------------------------------


@pytest.mark.slow
def test_three_patients_are_added_listed_corrected_and_removed(
    shared_data: Path, sdseg: Run, tmp_path: Path
) -> None:
    patients, mine = shared_data / "head_neck_oar" / "validation", tmp_path / "Fälle 例"
    for number, name in enumerate(("pt_201", "pt_202"), start=1):
        ct, organs = patients / name / "ct.nii.gz", patients / name / "organs.nii.gz"
        done = sdseg("cases", "add", mine, ct, organs, "--names", "head-neck-oar")
        assert done.code == 0, done.err
        assert f"Added case-00{number}, corrected" in done.out
        assert str(mine / f"case-00{number}") in done.out
        truth = read_volume(organs, labels=True)
        ml = np.count_nonzero(truth.array == 7) * truth.geometry.voxel_volume_ml
        assert "Mandible" in done.out
        assert f"{ml:.1f}" in done.out
    assert sdseg("cases", "add", mine, patients / "pt_203" / "ct.nii.gz").code == 0

    listed = sdseg("cases", "list", mine)
    assert "3 cases of 3 patients (2 corrected, 1 to do), 7 structures" in listed.out
    assert str(mine) in listed.out
    found = json.loads(sdseg("cases", "list", mine, "--json").out)
    assert [case["state"] for case in found["cases"]] == ["corrected", "corrected", "to-do"]
    assert found["findings"] == []

    organs = patients / "pt_203" / "organs.nii.gz"
    done = sdseg(
        *("cases", "set", mine, "case-003", "--segmentation", organs),
        *("--names", "head-neck-oar", "--state", "left out"),
    )
    assert done.code == 0, done.err
    assert "Changed case-003, left out" in done.out
    read = CaseCollection(mine).case("case-003")
    labels = read.read_labels()
    drawn = read_volume(organs, labels=True)
    assert labels.geometry.matches(drawn.geometry, 0.01)
    for item in labels.structures:
        number = {one.name: one.label for one in read_structures("head-neck-oar")}[item.name]
        assert np.array_equal(labels.mask(item), drawn.array == number)
    assert np.array_equal(read.read_ct().array, read_volume(patients / "pt_203/ct.nii.gz").array)

    done = sdseg("cases", "remove", mine, "case-002", "--yes")
    assert done.code == 0, done.err
    assert sorted(os.listdir(mine)) == ["case-001", "case-003", "cases.json"]


def test_everything_else_reads_the_folder(shared_data: Path, tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    names = read_structures("head-neck-oar")
    for name in ("pt_201", "pt_202"):
        source = shared_data / "head_neck_oar" / "validation" / name
        collection.add(source / "ct.nii.gz", source / "organs.nii.gz", names=names)
    data = open_folder(tmp_path / "mine", image="ct.nii.gz", label="segmentation.seg.nrrd")
    assert {item.name for item in data.structures} == {item.name for item in names}
    assert [item.name for item in data.items("all")] == ["case-001", "case-002"]


@pytest.mark.slow
def test_a_dicom_series_with_its_segmentation_leaves_nothing_of_the_patient(
    shared_data: Path, sdseg: Run, tmp_path: Path
) -> None:
    pytest.importorskip("highdicom", reason="needs the extra dicom")
    series, mine = shared_data / "abdomen_ct" / "dicom_series", tmp_path / "mine"
    volume = read_volume(series)
    drawn = CaseCollection(tmp_path / "first")
    liver, spleen = (replace(LIVER, label=5), replace(CYST, label=1, name="Spleen"))
    organs = shared_data / "abdomen_ct" / "dicom_series_organs.nii.gz"
    case = drawn.add(volume, organs, names=(liver, spleen)).case
    # The label map's rows run the other way round; it is laid on the CT by its place in space.
    flipped = read_volume(organs, labels=True)
    assert not flipped.geometry.matches(volume.geometry, 0.01)
    labels = case.read_labels()
    assert np.array_equal(labels.to_segmentation().label_map == 2, flipped.array[:, ::-1] == 1)

    segmentation = tmp_path / "organs.dcm"
    write_dicom_seg(labels.to_segmentation(), volume, segmentation)
    done = sdseg("cases", "add", mine, series, segmentation, "--json")
    assert done.code == 0, done.err
    added = json.loads(done.out)
    assert added["ml"] == pytest.approx(labels.volumes_ml(), abs=0.001)
    again = CaseCollection(mine).case("case-001")
    assert [(item.name, item.type, item.modifier) for item in again.structures] == [
        (item.name, item.type, item.modifier) for item in labels.structures
    ]
    colors = [np.subtract(a.color, b.color) for a, b in zip(again.structures, labels.structures,
                                                            strict=True)]  # fmt: skip
    assert np.abs(colors).max() <= 2  # through CIELab and back
    assert np.array_equal(again.read_ct().array, volume.array)
    for item, other in zip(labels.structures, again.structures, strict=True):
        assert np.array_equal(labels.mask(item), again.read_labels().mask(other))

    import pydicom

    header = pydicom.dcmread(next(path for path in sorted(series.iterdir()) if path.is_file()))
    kept = all_bytes(mine)
    for element in header.iterall():
        value = str(element.value)
        if element.VR in ("UI", "DA", "TM", "DT", "PN", "LO", "SH") and len(value) > 5:
            assert value.encode() not in kept, element
    assert str(series).encode() not in kept


def test_names_dates_and_paths_of_a_source_are_not_copied(tmp_path: Path) -> None:
    secret = "Mustermann^Erika"
    write_series(
        tmp_path / secret, a_body().array, PatientName=secret, PatientID="4711-0815",
        PatientBirthDate="19640812", SeriesDescription=secret, spacing=(3.0, 3.5, 2.5),
    )  # fmt: skip
    CaseCollection(tmp_path / "mine").add(tmp_path / secret)
    nifti = sitk.GetImageFromArray(a_ct(1).array)
    nifti.SetMetaData("descrip", secret)
    nifti.SetMetaData("aux_file", "4711-0815")
    sitk.WriteImage(nifti, tmp_path / "4711-0815.nii.gz")
    CaseCollection(tmp_path / "mine").add(tmp_path / "4711-0815.nii.gz")
    kept = all_bytes(tmp_path / "mine")
    for text in ("Mustermann", "Erika", "4711", "0815", "19640812", str(tmp_path)):
        assert text.encode() not in kept
    assert b"case-002" in kept


def test_a_case_that_is_left_out_stays_so_with_another_segmentation(tmp_path: Path) -> None:
    collection, ct = CaseCollection(tmp_path / "mine"), a_ct()
    collection.add(ct, kidneys(ct), state="left-out")
    assert collection.set_segmentation("case-001", with_cyst(ct)).case.state == "left-out"
    again = collection.add(ct, kidneys(ct), replace_segmentation=True)
    assert again.case.state == "left-out"
    told = collection.set_segmentation("case-001", kidneys(ct), "corrected")
    assert told.case.state == "corrected"


def test_only_this_user_may_read_it(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        collection = CaseCollection(tmp_path / "mine")
        collection.add(a_ct(), kidneys(a_ct()))
        collection.set_segmentation("case-001", with_cyst(a_ct()))
    finally:
        os.umask(before)
    for path in (tmp_path / "mine", *(tmp_path / "mine").rglob("*")):
        mode = stat.S_IMODE(path.stat().st_mode)
        assert mode == (0o700 if path.is_dir() else 0o600), path


# --- files ----------------------------------------------------------------------------------------


def test_files_do_not_tell_when_and_where_they_were_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    contents = []
    for name, moment in (("a", 1.6e9), ("b", 1.7e9)):
        monkeypatch.setattr("time.time", lambda moment=moment: moment)
        case = CaseCollection(tmp_path / name).add(a_ct(), with_cyst(a_ct())).case
        assert case.segmentation is not None
        contents.append((case.ct.read_bytes(), case.segmentation.read_bytes()))
    assert contents[0] == contents[1]
    assert contents[0][0][:4] == b"\x1f\x8b\x08\x00"  # no name either


@pytest.mark.parametrize("kind", DIRECTIONS)
def test_grids_of_every_direction_come_back_in_every_program(tmp_path: Path, kind: str) -> None:
    volume, result = a_volume(kind), a_segmentation(kind)
    case = CaseCollection(tmp_path / "mine").add(volume, result).case
    for path, expected in ((case.ct, volume.array), (case.segmentation, result.label_map)):
        image = sitk.ReadImage(str(path))
        assert np.array_equal(sitk.GetArrayFromImage(image) > 0, expected > 0)
        direction = np.reshape(image.GetDirection(), (3, 3))
        there = direction * np.array(image.GetSpacing())
        assert np.abs(there - volume.geometry.affine_lps[:3, :3]).max() < 1e-4
        assert np.abs(np.subtract(image.GetOrigin(), volume.geometry.origin)).max() < 1e-3
    assert case.read_ct().geometry.matches(case.read_labels().geometry, 0.01)
    assert case.read_ct().geometry.matches(volume.geometry, 0.01)


@pytest.mark.slow
def test_segments_that_overlap_stay_whole_in_slicer_too(tmp_path: Path) -> None:
    slicer = pytest.importorskip("slicer", reason="needs the extra slicer")
    from SDSegLib.mrml.edit_grid import edit_grid, segment_on_grid
    from SDSegLib.mrml.from_node import layers_from_node
    from SDSegLib.mrml.segments import codes_of_entry, codes_of_structure, segment_ids
    from SDSegLib.mrml.session import open_session
    from SDSegLib.mrml.storage import load_segmentation_node
    from SDSegLib.mrml.volumes import volume_to_node

    volume, drawn = a_ct(), with_cyst(a_ct())
    collection = CaseCollection(tmp_path / "mine")
    case = collection.add(volume, drawn).case
    assert case.segmentation is not None
    assert slicer is not None
    with open_session():
        node, volume_node = load_segmentation_node(case.segmentation), volume_to_node(volume)
        grid = edit_grid(node, volume_node)
        assert grid.is_volumes
        for segment_id, item in zip(segment_ids(node), drawn.structures, strict=True):
            segment = node.GetSegmentation().GetSegment(segment_id)
            assert segment.GetName() == item.name
            assert np.allclose(np.multiply(segment.GetColor(), 255), item.color, atol=0.01)
            assert codes_of_entry(segment.GetTerminology()) == codes_of_structure(item)
            part = segment_on_grid(node, segment_id, grid)
            assert np.count_nonzero(part.voxels) == np.count_nonzero(drawn.mask(item))
        # What the window hands over is whole as well.
        from_scene = layers_from_node(node, volume_node)
    other = CaseCollection(tmp_path / "other")
    again = other.add(a_ct(), from_scene).case.read_labels()
    assert len(again.layers) == 2
    for item, one in zip(drawn.structures, again.structures, strict=True):
        assert (one.name, one.color, one.type, one.modifier) == (
            item.name, item.color, item.type, item.modifier,
        )  # fmt: skip
        assert np.array_equal(again.mask(one), drawn.mask(item))


def test_a_segmentation_that_overlaps_can_be_dicom(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom", reason="needs the extra dicom")
    empty = ("PatientBirthDate", "PatientSex", "AccessionNumber", "StudyID", "StudyDate",
             "StudyTime", "ReferringPhysicianName", "PatientName", "PatientID")  # fmt: skip
    write_series(tmp_path / "ct", a_ct().array, spacing=(3.0, 3.5, 2.5), **dict.fromkeys(empty, ""))
    volume = read_volume(tmp_path / "ct")
    drawn = with_cyst(volume)
    path = tmp_path / "organs.dcm"
    write_dicom_seg(drawn.to_segmentation(), volume, path)
    whole = highdicom.seg.segread(path)
    masks = np.stack([drawn.mask(item) for item in drawn.structures], axis=-1)
    overlapping = highdicom.seg.Segmentation(
        [highdicom.imread(file) for file in volume.dicom_files],
        masks,
        "BINARY",
        [whole.get_segment_description(number) for number in whole.segment_numbers],
        **{name: getattr(whole, keyword) for name, keyword in (
            ("manufacturer", "Manufacturer"), ("manufacturer_model_name", "ManufacturerModelName"),
            ("software_versions", "SoftwareVersions"),
            ("device_serial_number", "DeviceSerialNumber"),
        )},
        series_instance_uid=highdicom.UID(), series_number=7, instance_number=1,
        sop_instance_uid=highdicom.UID(),
    )  # fmt: skip
    file = tmp_path / "overlapping"
    overlapping.save_as(file)
    assert np.count_nonzero(read_label_file(file).array) == np.count_nonzero(masks.any(axis=-1))
    added = CaseCollection(tmp_path / "mine").add(tmp_path / "ct", file)
    again = added.case.read_labels()
    for item, one in zip(drawn.structures, again.structures, strict=True):
        assert item.name == one.name
        assert np.array_equal(again.mask(one), drawn.mask(item))


def test_a_file_cropped_to_its_segments_is_laid_on_the_ct(tmp_path: Path) -> None:
    volume, drawn = a_ct(), kidneys(a_ct())
    image = sitk.GetImageFromArray(drawn.label_map)
    image.SetSpacing(volume.geometry.spacing)
    image.SetOrigin(volume.geometry.origin)
    cropped = sitk.Flip(image[6:40, 10:30, 1:8], (True, False, True))
    sitk.WriteImage(cropped, tmp_path / "cropped.nrrd")
    case = CaseCollection(tmp_path / "mine").add(
        volume, tmp_path / "cropped.nrrd", names=drawn.structures
    ).case  # fmt: skip
    labels = case.read_labels()
    for item in labels.structures:
        number = {one.name: one.label for one in drawn.structures}[item.name]
        assert np.array_equal(labels.mask(item), drawn.label_map == number)
    shifted = replace(volume, geometry=replace(volume.geometry, origin=(1.0, 12.5, 300.0)))
    other = CaseCollection(tmp_path / "other")
    with pytest.raises(InputError, match="not on the voxels of"):
        other.add(shifted, tmp_path / "cropped.nrrd", names=drawn.structures)


def test_hu_become_whole_numbers_and_other_values_stay(tmp_path: Path) -> None:
    volume = a_ct()
    hu = volume.array.astype(np.float32) + 0.3
    hu[0, 0, :4] = np.nan
    collection = CaseCollection(tmp_path / "mine")
    added = collection.add(replace(volume, array=hu))
    assert "NaN" in " ".join(item.message for item in added.findings)
    kept = added.case.read_ct().array
    assert kept.dtype == np.int16
    assert (kept[0, 0, :4] == -1024).all()
    assert np.array_equal(kept[1:], volume.array[1:])
    scaled = ((volume.array + 1000) / 4000).astype(np.float32)
    added = collection.add(replace(volume, array=scaled))
    assert "normalised" in " ".join(item.message for item in added.findings)
    assert np.array_equal(added.case.read_ct().array, scaled)


def test_a_name_with_every_character_comes_back(tmp_path: Path) -> None:
    name = 'Lésion "肝" |a~b^c&d;e\\n\x1b[31m\n'
    item = replace(LIVER, name=name, type=Code("99A|", "1~2", "x^y\\"))
    labels = kidneys(a_ct()).label_map
    collection = CaseCollection(tmp_path / "mine")
    collection.add(a_ct(), Segmentation(labels, a_ct().geometry, (item,)))
    case = CaseCollection(tmp_path / "mine").case("case-001")
    assert "肝" in case.structures[0].name
    assert "\x1b" not in case.structures[0].name
    assert case.read_labels().structures == case.structures
    assert not check_cases(collection)


# --- the same CT, the same patient ----------------------------------------------------------------


def test_the_same_ct_is_known_in_any_file(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    write_series(tmp_path / "ct", a_ct().array, spacing=(3.0, 3.5, 2.5), PatientID="1")
    collection.add(tmp_path / "ct", kidneys(read_volume(tmp_path / "ct")))
    volume = read_volume(tmp_path / "ct")
    turned = stored_as(volume, (1, 2, 0), (0, 2))
    write_plain_ct(turned, tmp_path / "exported.nii.gz")
    exported = tmp_path / "exported.nii.gz"
    with pytest.raises(InputError, match="already, as case-001; ask to replace"):
        collection.add(exported, kidneys(volume))
    with pytest.raises(InputError, match="already, as case-001; add its segmentation"):
        collection.add(exported)
    with pytest.raises(InputError, match="as case-001 and not as other"):
        collection.add(exported, kidneys(volume), name="other", replace_segmentation=True)
    cyst = with_cyst(volume).placed_on(turned.geometry)
    assert cyst is not None
    again = collection.add(exported, cyst, state="segmented", replace_segmentation=True)
    assert not again.is_new
    (case,) = collection.cases()
    assert case.state == "segmented"
    labels = case.read_labels()
    assert labels.geometry.matches(case.read_ct().geometry, 0.01)
    for item, one in zip(with_cyst(volume).structures, labels.structures, strict=True):
        assert np.array_equal(with_cyst(volume).mask(item), labels.mask(one))
    assert leftovers(tmp_path / "mine") == []
    shifted = replace(volume, geometry=replace(volume.geometry, origin=(1.0, 2.0, 3.0)))
    with pytest.raises(InputError, match="case-001 holds this CT at another place"):
        collection.add(shifted, kidneys(shifted), replace_segmentation=True)


def test_a_case_to_do_gets_its_segmentation_without_more_words(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    collection.add(a_ct())
    assert collection.add(a_ct(), kidneys(a_ct())).case.state == "corrected"
    assert len(collection.cases()) == 1


def test_patients_are_told_apart_by_their_id_which_is_not_kept(tmp_path: Path) -> None:
    for name, number, patient in (
        ("a", 0, "77"),
        ("b", 1, "77"),
        ("c", 2, "78"),
        ("d", 3, ""),
        ("e", 4, ""),
    ):
        write_series(tmp_path / name, a_ct(number).array, spacing=(3.0, 3.5, 2.5),
                     PatientID=patient)  # fmt: skip
    collection = CaseCollection(tmp_path / "mine")
    said = {}
    for name in "abcde":
        volume = read_volume(tmp_path / name)
        added = collection.add(tmp_path / name, kidneys(volume))
        said[added.case.name] = " ".join(item.message for item in added.findings)
    keys = [case.patient for case in collection.cases()]
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    assert "same patient as case-001" in said["case-002"]
    assert "same patient" not in said["case-003"] + said["case-004"] + said["case-005"]

    collection.set_state("case-002", "left-out")
    assert "case-002 is left out, but case-001 of the same patient is learned" in messages(
        collection
    )
    collection.set_patient("case-002", "another one")
    assert messages(collection) == ""
    # What the user calls the patient may be the PatientID.
    collection.set_patient("case-002", "78")
    assert collection.case("case-002").patient == collection.case("case-003").patient
    # Each collection has keys of its own.
    other = CaseCollection(tmp_path / "other").add(tmp_path / "a").case
    assert other.patient not in keys


# --- findings -------------------------------------------------------------------------------------


def test_names_and_codes_that_disagree_are_told(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    collection.add(a_ct(0), kidneys(a_ct(0)))
    assert messages(collection) == ""
    second = kidneys(a_ct(1))
    other_code = replace(LIVER, type=Code("SCT", "1", "Spleen"))
    other_name = replace(RIGHT_KIDNEY, name="Ren dexter")
    collection.add(
        a_ct(1), Segmentation(second.label_map, second.geometry,
                              (LEFT_KIDNEY, other_name, other_code)),
    )  # fmt: skip
    found = check_cases(collection)
    assert [item.kind for item in found] == ["structures", "structures"]
    assert "Liver has the code SCT 10200004 in case-001 and SCT 1 in case-002" in found[0].message
    assert "Right kidney in case-001 and Ren dexter in case-002 have one code" in found[1].message
    assert all(item.cases == ("case-001", "case-002") for item in found)


def test_sides_that_are_exchanged_are_told(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    for number in range(3):
        collection.add(a_ct(number), kidneys(a_ct(number)))
    assert messages(collection) == ""
    collection.add(a_ct(3), kidneys(a_ct(3), are_exchanged=True))
    (finding,) = check_cases(collection)
    assert (finding.kind, finding.cases) == ("side", ("case-004",))
    assert "Left kidney on the right, Right kidney on the left" in finding.message


def test_a_single_kidney_on_the_wrong_side_of_the_body_is_told(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    for number, exchanged in enumerate((False, True)):
        drawn = kidneys(a_ct(number), exchanged)
        alone = Segmentation(drawn.label_map, drawn.geometry, (LEFT_KIDNEY,))
        collection.add(a_ct(number), alone)
    (finding,) = check_cases(collection)
    assert finding.cases == ("case-002",)
    assert "Left kidney on the right of the body" in finding.message


def test_a_patient_beside_the_middle_of_the_image_is_no_reason_for_doubt(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    for number, structures in enumerate(((LEFT_KIDNEY, RIGHT_KIDNEY), (LEFT_KIDNEY,))):
        volume = a_ct(number)
        wide = np.full((10, 40, 120), -1000, np.int16)
        wide[..., :48] = volume.array
        labels = np.zeros(wide.shape, np.uint8)
        labels[..., :48] = kidneys(volume).label_map
        geometry = replace(volume.geometry, shape=wide.shape)
        collection.add(Volume(wide, geometry), Segmentation(labels, geometry, structures))
    assert messages(collection) == ""


def test_a_helper_under_the_name_of_an_organ_is_told_by_the_others(tmp_path: Path) -> None:
    collection = CaseCollection(tmp_path / "mine")
    for number in range(9):
        volume = a_ct(number)
        labels = (kidneys(volume).label_map == LIVER.label).astype(np.uint8)
        if number == 4:
            labels[:, 2:-2, 2:-2] = 1  # also through the air
        collection.add(volume, Segmentation(labels, volume.geometry, (replace(LIVER, label=1),)))
        if number == 6:
            assert messages(collection) == "", "too few to know what is usual"
    (finding,) = check_cases(collection)
    assert (finding.kind, finding.cases) == ("unusual", ("case-005",))
    assert "Liver of case-005 is unlike that of the other cases" in finding.message
    assert "(others" in finding.message
    collection.set_state("case-005", "to-do")
    assert messages(collection) == ""


def test_a_mirrored_image_is_told_by_the_others(shared_data: Path, tmp_path: Path) -> None:
    """A liver has no side in its name."""
    collection = CaseCollection(tmp_path / "mine")
    for number in range(4):
        volume = a_ct(number)
        labels = (kidneys(volume).label_map == LIVER.label).astype(np.uint8)
        if number == 2:
            labels = labels[..., ::-1].copy()
        collection.add(volume, Segmentation(labels, volume.geometry, (replace(LIVER, label=1),)))
    (finding,) = check_cases(collection)
    assert finding.cases == ("case-003",)
    assert "Liver on the left of the body, unlike all other cases" in finding.message


def test_real_organs_are_on_their_sides(shared_data: Path, tmp_path: Path) -> None:
    data = json.loads((shared_data / "abdomen_ct" / "labels.json").read_text(encoding="utf-8"))
    names = structures_named({int(n): name for n, name in data["organs.nii.gz"].items()})
    collection = CaseCollection(tmp_path / "mine")
    ct, organs = (shared_data / "abdomen_ct" / name for name in ("ct.nii.gz", "organs.nii.gz"))
    assert len(collection.add(ct, organs, names=names).case.structures) == len(names)
    assert messages(collection) == ""
    volume, labels = read_volume(ct), read_volume(organs, labels=True)
    exchanged = structures_named({
        item.label: item.name.replace("left", "x").replace("right", "left").replace("x", "right")
        for item in names
    })  # fmt: skip
    mirrored = LayeredLabels((labels.array.astype(np.uint8),), volume.geometry, exchanged)
    collection.set_segmentation("case-001", mirrored)
    (finding,) = check_cases(collection)
    assert "and" in finding.message
    assert "kidney_left on the right" in finding.message


def test_files_changed_by_hand_are_told(tmp_path: Path, sdseg: Run) -> None:
    mine = tmp_path / "mine"
    collection = CaseCollection(mine)
    for number in range(3):
        collection.add(a_ct(number), kidneys(a_ct(number)))
    (mine / "case-001" / "ct.nii.gz").unlink()
    other = CaseCollection(tmp_path / "other").add(a_ct(1), with_cyst(a_ct(1))).case
    assert other.segmentation is not None
    other.segmentation.replace(mine / "case-002" / "segmentation.seg.nrrd")
    (mine / "case-003" / "segmentation.seg.nrrd").write_bytes(b"NRRD0004\n")
    found = {item.cases[0]: item.message for item in check_cases(collection)}
    assert "lacks ct.nii.gz" in found["case-001"]
    assert "other structures than the index" in found["case-002"]
    assert "Cyst" in found["case-002"]
    assert found["case-003"]
    done = sdseg("cases", "set", mine, "case-002", "--state", "corrected")
    assert done.code == 0, done.err
    assert [item.name for item in collection.case("case-002").structures][-1] == "Cyst"
    assert "case-002" not in {item.cases[0] for item in check_cases(collection)}


# --- folders --------------------------------------------------------------------------------------


def test_a_folder_put_there_by_hand_is_told_and_taken_up(
    shared_data: Path, tmp_path: Path, sdseg: Run
) -> None:
    mine = tmp_path / "my cases"
    CaseCollection(mine).add(a_ct())
    source = shared_data / "head_neck_oar" / "validation" / "pt_204"
    by_hand = mine / "by-hand"
    by_hand.mkdir()
    for name in ("ct.nii.gz", "organs.nii.gz"):
        (by_hand / name).write_bytes((source / name).read_bytes())
    assert (
        f"by-hand is not in the index; take it up with sdseg cases add '{mine}'"
        in sdseg("cases", "list", mine).out
    )
    done = sdseg("cases", "add", mine, "--folder", "by-hand", "--names", "head-neck-oar")
    assert done.code == 0, done.err
    assert "Other files stay" in done.err
    assert "organs.nii.gz" in done.err
    case = CaseCollection(mine).case("by-hand")
    assert case.folder == by_hand
    assert sorted(os.listdir(by_hand)) == ["ct.nii.gz", "organs.nii.gz", "segmentation.seg.nrrd"]
    assert np.array_equal(case.read_ct().array, read_volume(source / "ct.nii.gz").array)
    assert "not in the index" not in sdseg("cases", "list", mine).out
    again = sdseg("cases", "add", mine, "--folder", by_hand, "--names", "head-neck-oar")
    assert "a case of the collection already" in again.err


def test_a_folder_elsewhere_is_only_read(tmp_path: Path, sdseg: Run) -> None:
    write_series(tmp_path / "study" / "dicom", a_ct().array, spacing=(3.0, 3.5, 2.5))
    volume = read_volume(tmp_path / "study" / "dicom")
    drawn = CaseCollection(tmp_path / "other").add(volume, kidneys(volume)).case
    labels, masks = kidneys(volume), tmp_path / "study" / "segmentations"
    masks.mkdir()
    for number, name in enumerate(("kidney_left", "kidney_right", "spleen")):
        drawn_here = number < 2 and labels.label_map == labels.structures[number].label
        values = np.zeros(volume.array.shape, np.int16) + drawn_here
        write_plain_ct(Volume(values, volume.geometry), masks / f"{name}.nii.gz")
    done = sdseg("cases", "add", tmp_path / "masks", "--folder", tmp_path / "study")
    assert "left out and unknown in this case: Spleen" in done.err
    (case,) = CaseCollection(tmp_path / "masks").cases()
    assert [item.name for item in case.structures] == ["Left kidney", "Right kidney"]
    found = case.read_labels()
    for drawn_one, item in zip(labels.structures[:2], found.structures, strict=True):
        assert np.array_equal(found.mask(item), labels.label_map == drawn_one.label)
    assert drawn.segmentation is not None
    drawn.segmentation.rename(tmp_path / "study" / "organs.seg.nrrd")
    done = sdseg("cases", "add", tmp_path / "mine", "--folder", tmp_path / "study", "--name", "a")
    assert done.code == 0, done.err
    assert sorted(path.name for path in (tmp_path / "study").iterdir()) == [
        "dicom", "organs.seg.nrrd", "segmentations",
    ]  # fmt: skip
    (case,) = CaseCollection(tmp_path / "mine").cases()
    assert (case.name, case.state, len(case.structures)) == ("a", "corrected", 3)
    (tmp_path / "study" / "ct.nii.gz").write_bytes(drawn.ct.read_bytes())
    (tmp_path / "study" / "other.nii.gz").write_bytes(drawn.ct.read_bytes())
    (tmp_path / "study" / "third.nii.gz").write_bytes(drawn.ct.read_bytes())
    (tmp_path / "study" / "ct.nii.gz").unlink()
    done = sdseg("cases", "add", tmp_path / "mine", "--folder", tmp_path / "study")
    assert "2 files that may be the CT (other.nii.gz, third.nii.gz)" in done.err


def test_a_volume_of_an_open_scene_is_not_changed(tmp_path: Path) -> None:
    volume = Volume(a_ct().array.astype(np.float32), a_ct().geometry)
    before = volume.array.copy()
    CaseCollection(tmp_path / "mine").add(volume, kidneys(volume))
    assert np.array_equal(volume.array, before)
