"""The bundled model on real CT: orientation, the sample, and the whole way to DICOM SEG.

Patients are cut to their middle 16 slices to keep this short; set SDSEG_FULL=1 for whole volumes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from phantom import stored_as

from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.reading.files import read_volume
from SDSegLib.resources import resource_folder
from SDSegLib.volume.volume import Volume

pytestmark = pytest.mark.slow

SAMPLE = resource_folder() / "Samples" / "head-neck-ct.nii.gz"
PATIENTS = 10
MIDDLE = None if os.environ.get("SDSEG_FULL") else 16


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return load_segmenter("head-neck-oar", "cpu")


def rotated(volume: Volume, degrees: float) -> Volume:
    """The same voxels with an oblique header."""
    a, b = np.radians([degrees, degrees / 2])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    direction = about_x @ about_z @ volume.geometry.direction
    return replace(volume, geometry=replace(volume.geometry, direction=direction))


def middle_of(volume: Volume) -> Volume:
    if MIDDLE is None:
        return volume
    start = (len(volume.array) - MIDDLE) // 2
    array = volume.array[start : start + MIDDLE]
    return replace(volume, array=array, geometry=replace(volume.geometry, shape=array.shape))


@pytest.mark.parametrize("number", range(PATIENTS))
def test_a_patient_is_segmented_alike_however_the_ct_is_stored(
    segmenter: Segmenter, shared_data: Path, number: int
) -> None:
    folders = sorted((shared_data / "head_neck_oar" / "validation").iterdir())
    volume = middle_of(read_volume(folders[number] / "ct.nii.gz"))
    expected = segmenter.segment(volume).label_map
    assert len(np.unique(expected)) > 2
    flipped = segmenter.segment(stored_as(volume, (0, 1, 2), (0, 2))).label_map
    np.testing.assert_array_equal(np.flip(flipped, (0, 2)), expected)
    permuted = segmenter.segment(stored_as(volume, (2, 0, 1), (1,))).label_map
    np.testing.assert_array_equal(np.flip(permuted, (1,)).transpose(1, 2, 0), expected)
    oblique = segmenter.segment(rotated(volume, 20.0))
    np.testing.assert_array_equal(oblique.label_map, expected)
    assert oblique.geometry.matches(rotated(volume, 20.0).geometry)


def test_every_organ_is_found_in_the_sample(segmenter: Segmenter) -> None:
    volumes = segmenter.segment(read_volume(SAMPLE)).volumes_ml()
    plausible = {
        "Brainstem": (10, 60),
        "Spinal cord": (5, 60),
        "Right parotid gland": (8, 70),
        "Left parotid gland": (8, 70),
        "Esophagus": (2, 40),
        "Larynx": (5, 80),
        "Mandible": (20, 150),
    }
    for name, (low, high) in plausible.items():
        assert low < volumes[name] < high, f"{name}: {volumes[name]:.1f} mL"


def test_organs_of_the_sample_lie_on_their_sides(segmenter: Segmenter) -> None:
    volume = read_volume(SAMPLE)
    result = segmenter.segment(volume)
    centre = {
        item.name: (
            volume.geometry.affine_lps
            @ [*np.argwhere(result.label_map == item.label).mean(axis=0)[::-1], 1.0]
        )[:3]
        for item in result.structures
    }
    assert centre["Right parotid gland"][0] < centre["Mandible"][0]
    assert centre["Left parotid gland"][0] > centre["Mandible"][0]
    assert centre["Brainstem"][2] > centre["Larynx"][2] > centre["Esophagus"][2] - 30
    assert centre["Spinal cord"][1] > centre["Larynx"][1]
