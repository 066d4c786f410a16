"""A CT of another region than the model is for is pointed out; patients of the region are not."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantom import stored_as

from SDSegLib.models.registry import find_model
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import resource_folder
from SDSegLib.volume.coverage import check_coverage, section_areas_cm2
from SDSegLib.volume.expectation import Expectation
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

EXPECTS = find_model("head-neck-oar").description.expects


def a_cylinder(radius_mm: float, slices: int = 20) -> Volume:
    """Tissue of 40 HU in air, 4 × 4 × 5 mm."""
    _, j, i = np.indices((slices, 100, 110))
    inside = np.hypot(4.0 * (i - 55), 4.0 * (j - 50)) < radius_mm
    array = np.where(inside, 40, -1000).astype(np.int16)
    return Volume(array, Geometry(array.shape, (4.0, 4.0, 5.0), (0.0, 0.0, 0.0), np.eye(3)))


def test_sections_are_measured_in_square_centimetres_however_the_ct_is_stored() -> None:
    volume = a_cylinder(100.0)
    expected = np.pi * 10**2
    np.testing.assert_allclose(section_areas_cm2(volume), expected, rtol=0.03)
    turned = stored_as(volume, (1, 2, 0), (0,))
    np.testing.assert_allclose(section_areas_cm2(turned), expected, rtol=0.03)


def test_a_trunk_is_no_neck_and_a_neck_below_a_trunk_is_one() -> None:
    trunk, neck = a_cylinder(150.0), a_cylinder(65.0, 4)
    (finding,) = check_coverage(trunk, EXPECTS)
    assert finding.kind == "coverage"
    assert "head and neck" in finding.message
    assert "above 70" in finding.message
    assert check_coverage(neck, EXPECTS) == []
    both = np.concatenate([trunk.array, neck.array])
    assert check_coverage(replace(trunk, array=both, geometry=_grown(trunk, both)), EXPECTS) == []
    assert check_coverage(trunk, Expectation("CT")) == []


def test_blank_slices_are_no_neck() -> None:
    trunk = a_cylinder(150.0)
    trunk.array[:8] = -1024
    assert [finding.kind for finding in check_coverage(trunk, EXPECTS)] == ["coverage"]


def test_the_sample_is_of_the_region() -> None:
    sample = read_volume(resource_folder() / "Samples" / "head-neck-ct.nii.gz")
    assert check_coverage(sample, EXPECTS) == []


@pytest.mark.parametrize("name", ["ct.nii.gz", "dicom_series"])
def test_an_abdomen_is_not(shared_data: Path, name: str) -> None:
    volume = read_volume(shared_data / "abdomen_ct" / name)
    assert [finding.kind for finding in check_coverage(volume, EXPECTS)] == ["coverage"]


def test_no_real_patient_of_the_region_is_doubted(shared_data: Path) -> None:
    cases = sorted((shared_data / "head_neck_oar" / "train").glob("pt_*/ct.nii.gz"))[::5]
    assert len(cases) > 30
    for path in cases:
        assert check_coverage(read_volume(path), EXPECTS) == [], path


def _grown(volume: Volume, array: np.ndarray) -> Geometry:
    return replace(volume.geometry, shape=array.shape)
