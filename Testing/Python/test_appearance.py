"""A CT of another region than the model is for is pointed out; patients of the region are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantom import stored_as
from tiny_model import write_tiny_model

from SDSegLib.errors import ModelError
from SDSegLib.models.fit import choose_model, examine, rank_models
from SDSegLib.models.folder import read_description
from SDSegLib.models.registry import InstalledModel, find_model
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import resource_folder
from SDSegLib.volume.appearance import check_appearance, measure_appearance
from SDSegLib.volume.expectation import Expectation
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

EXPECTS = find_model("head-neck-oar").description.expects


def a_cylinder(radius_mm: float, slices: int = 20, bone: float = 0.06) -> Volume:
    """Tissue of 40 HU in air, 4 × 4 × 5 mm, with a share of bone in its middle."""
    _, j, i = np.indices((slices, 100, 110))
    distance = np.hypot(4.0 * (i - 55), 4.0 * (j - 50))
    array = np.where(distance < radius_mm, 40, -1000).astype(np.int16)
    array[distance < radius_mm * np.sqrt(bone)] = 700
    return Volume(array, Geometry(array.shape, (4.0, 4.0, 5.0), (0.0, 0.0, 0.0), np.eye(3)))


def part_of(volume: Volume, box: tuple[slice, slice, slice]) -> Volume:
    array = volume.array[box]
    return replace(volume, array=array, geometry=replace(volume.geometry, shape=array.shape))


def test_appearance_is_measured_however_the_ct_is_stored() -> None:
    volume = a_cylinder(100.0)
    volume.array[0:10, 40:60, 45:65] = -800
    for stored in (volume, stored_as(volume, (1, 2, 0), (0,))):
        measured = measure_appearance(stored)
        lung = 10 * 20 * 20
        body = np.count_nonzero(volume.array > -900)
        assert measured["lung_percent"] == pytest.approx(100 * lung / body)
        bone = np.count_nonzero(volume.array > 300)
        assert measured["bone_percent"] == pytest.approx(100 * bone / body)
        smallest = np.count_nonzero(volume.array[0] > -200) * 0.16
        assert measured["section_cm2"] == pytest.approx(smallest)


def test_a_trunk_is_no_neck_and_a_neck_below_a_trunk_is_one() -> None:
    trunk, neck = a_cylinder(150.0), a_cylinder(65.0, 4)
    (finding,) = check_appearance(measure_appearance(trunk), EXPECTS)
    assert (finding.kind, finding.severity) == ("coverage", "ask")
    assert "head and neck" in finding.message
    assert "cross-sections of the body of 70" in finding.message
    assert check_appearance(measure_appearance(neck), EXPECTS) == []
    both = np.concatenate([trunk.array, neck.array])
    grown = replace(trunk.geometry, shape=both.shape)
    assert (
        check_appearance(measure_appearance(replace(trunk, array=both, geometry=grown)), EXPECTS)
        == []
    )
    assert check_appearance(measure_appearance(trunk), Expectation("CT")) == []


def test_a_model_without_a_region_says_so() -> None:
    (finding,) = check_appearance(
        measure_appearance(a_cylinder(150.0)), replace(EXPECTS, region="")
    )
    assert finding.message.startswith("This image differs from the CTs that the model learnt from")
    assert "Give a CT of the same body region" in finding.message


def test_blank_slices_are_no_neck() -> None:
    trunk = a_cylinder(150.0)
    trunk.array[:8] = -1024
    assert [finding.kind for finding in check_appearance(measure_appearance(trunk), EXPECTS)] == [
        "coverage"
    ]


def test_the_sample_is_of_the_region() -> None:
    sample = read_volume(resource_folder() / "Samples" / "head-neck-ct.nii.gz")
    assert check_appearance(measure_appearance(sample), EXPECTS) == []


@pytest.mark.parametrize("name", ["ct.nii.gz", "dicom_series"])
def test_an_abdomen_is_not(shared_data: Path, name: str) -> None:
    volume = read_volume(shared_data / "abdomen_ct" / name)
    assert [finding.kind for finding in check_appearance(measure_appearance(volume), EXPECTS)] == [
        "coverage"
    ]


@pytest.mark.parametrize("side", [slice(10, 100), slice(150, 240)])
def test_a_ct_cropped_to_one_lung_is_not_although_its_sections_are_small(
    shared_data: Path, side: slice
) -> None:
    thorax = read_volume(shared_data / "ct_unlabelled" / "thorax_nsclc_r01_001_half.nii.gz")
    lung = part_of(thorax, (slice(None), slice(60, 200), side))
    assert measure_appearance(lung)["section_cm2"] < EXPECTS.appearance["section_cm2"][1]
    (finding,) = check_appearance(measure_appearance(lung), EXPECTS)
    assert "as dense as lung" in finding.message


def test_no_real_patient_of_the_region_is_doubted(shared_data: Path) -> None:
    cases = sorted((shared_data / "head_neck_oar" / "train").glob("pt_*/ct.nii.gz"))[::5]
    assert len(cases) > 30
    for path in cases:
        assert check_appearance(measure_appearance(read_volume(path)), EXPECTS) == [], path


def installed(folder: Path, **changes: object) -> InstalledModel:
    write_tiny_model(folder, name=folder.name, **changes)
    return InstalledModel(folder, read_description(folder), bundled=False)


def test_the_model_that_fits_the_ct_is_proposed_and_the_others_say_why_not(tmp_path: Path) -> None:
    narrow = {"modality": "CT", "region": "hand", "appearance": {"section_cm2": [0, 60]}}
    wide = {"modality": "CT", "region": "trunk", "appearance": {"section_cm2": [300, 900]}}
    models = [
        installed(tmp_path / "hand", expects=narrow),
        installed(tmp_path / "brain", expects={"modality": "MR", "region": "brain"}),
        installed(tmp_path / "trunk", expects=wide),
    ]
    ranked = rank_models(a_cylinder(150.0), models)
    assert [(fit.model.description.name, fit.level) for fit in ranked] == [
        ("trunk", "fits"),
        ("brain", "doubtful"),
        ("hand", "doubtful"),
    ]
    volume = replace(a_cylinder(150.0), modality="CT")
    assert choose_model(volume, models).model is models[2]
    assert rank_models(volume, models)[-1].level == "unsuitable"
    magnetic = rank_models(replace(volume, modality="MR"), models)
    assert magnetic[0].model is models[1]
    assert "the image is MR" in examine(replace(volume, modality="MR"), models).reasons
    values = np.abs(volume.array // 2)  # not those of a CT
    unstated = replace(volume, array=values, modality=None)
    assert choose_model(unstated, models).model is models[1]
    assert examine(unstated, models[:1]).reason == "No installed model is for this image."
    with pytest.raises(ModelError, match="No model is installed"):
        choose_model(volume, [])


def test_a_volume_is_examined_for_the_model_that_is_asked_for_or_the_best(tmp_path: Path) -> None:
    neck = InstalledModel(tmp_path, find_model("head-neck-oar").description, bundled=True)
    hand = replace(
        neck,
        description=replace(
            neck.description, name="hand", title="Hand", expects=Expectation("MR", "hand")
        ),
    )
    volume = read_volume(resource_folder() / "Samples" / "head-neck-ct.nii.gz")
    best = examine(volume, [hand, neck])
    assert best.model is neck
    assert best.reason == f"{neck.description.title} is for CT of the head and neck."
    assert not [item for item in best.findings if item.severity != "tell"]

    asked = examine(replace(volume, modality="CT"), [hand, neck], "hand")
    assert asked.model is hand
    assert asked.reason == "Hand is for MR, the image is CT."
    assert asked.findings[0].severity == "ask"

    none = examine(replace(volume, array=volume.array + np.int16(1024)), [neck])
    assert none.reason == "No installed model is for this image."
    assert none.findings[0].severity == "ask"

    empty = examine(replace(volume, array=np.zeros_like(volume.array)), [neck])
    assert (empty.ranked, empty.model) == ((), None)
    assert empty.findings[0].severity == "refuse"
