"""Images that are not what a CT model expects are pointed out; real CT is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny_model import STRUCTURES

from SDSegLib.errors import InputError
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.checks import finite_array
from SDSegLib.volume.expectation import Expectation
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.judgement import (
    judge_input,
    judge_quality,
    judge_region,
    judge_result,
    refuse,
)
from SDSegLib.volume.region import Region
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.volume import Volume


def volume_of(array: np.ndarray, spacing: tuple[float, float, float] = (4.0, 4.0, 5.0)) -> Volume:
    return Volume(array, Geometry(array.shape, spacing, (0.0, 0.0, 0.0), np.eye(3)))


def body_ct() -> np.ndarray:
    """HU int16 (12, 64, 64): an oval body of fat, soft tissue, lungs and a spine, in air."""
    noise = np.random.default_rng(0).normal(0, 12, (12, 64, 64))
    _, y, x = np.indices(noise.shape)
    hu = np.full(noise.shape, -1000.0)
    for centre, radii, value in (
        ((32, 32), (28, 20), -100.0),
        ((32, 32), (26, 18), 45.0),
        ((20, 30), (8, 10), -800.0),
        ((44, 30), (8, 10), -800.0),
        ((32, 44), (4, 4), 500.0),
    ):
        inside = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2 < 1
        hu[inside] = value
    return (hu + noise).clip(-1024, 3071).round().astype(np.int16)


def brain_mr() -> np.ndarray:
    """int16 (12, 64, 64): bright tissue of several classes on dark, noisy background."""
    rng = np.random.default_rng(1)
    _, y, x = np.indices((12, 64, 64))
    radius = np.hypot(x - 32, y - 32)
    values = np.select([radius < 10, radius < 18, radius < 26], [300.0, 700.0, 1050.0], 0.0)
    return np.abs(values + rng.normal(0, 60, values.shape)).astype(np.int16)


def kinds(volume: Volume) -> list[str]:
    return [finding.kind for finding in judge_input(volume)]


def test_a_plain_ct_raises_no_finding() -> None:
    assert judge_input(volume_of(body_ct())) == ()
    assert judge_input(replace(volume_of(body_ct()), modality="CT")) == ()


def test_a_crop_inside_the_body_raises_no_finding_about_values() -> None:
    crop = body_ct()[:, 14:50, 8:56]

    assert kinds(volume_of(np.ascontiguousarray(crop))) == []


def test_padding_outside_the_scan_circle_raises_no_finding() -> None:
    hu = body_ct()
    _, y, x = np.indices(hu.shape)
    hu[np.hypot(x - 32, y - 32) > 32] = -3024

    assert kinds(volume_of(hu)) == []


@pytest.mark.parametrize("offset", [1000, 1024])
def test_hu_with_offset_is_recognised(offset: int) -> None:
    shifted = (body_ct() + offset).clip(0).astype(np.uint16)

    (finding,) = judge_input(volume_of(shifted))

    assert finding.kind == "hu-offset"
    assert "HU + 1024" in finding.message
    assert "Subtract 1024" in finding.message


def test_rescale_applied_twice_is_recognised() -> None:
    (finding,) = judge_input(volume_of((body_ct().clip(-1024, 300) - 1024).astype(np.int16)))

    assert finding.kind == "hu-offset"
    assert "applied twice" in finding.message


def test_values_that_are_no_hu_are_recognised() -> None:
    hu = body_ct().astype(np.float32)

    for array in (
        (hu.clip(-1000, 1000) + 1000) / 2000,
        (hu - hu.mean()) / hu.std(),
        ((hu.clip(-160, 240) + 160) / 400 * 255).astype(np.uint8),
        brain_mr(),
    ):
        (finding,) = judge_input(volume_of(array))
        assert finding.kind == "range"
        assert "Give the original CT in HU" in finding.message


def test_another_modality_is_named() -> None:
    (finding,) = judge_input(replace(volume_of(brain_mr()), modality="MR"))

    assert finding.kind == "modality"
    assert "modality is MR, not CT" in finding.message


def test_nan_and_infinity_are_counted_and_become_air() -> None:
    hu = body_ct().astype(np.float32)
    hu[0, 0, :3] = (np.nan, np.inf, -np.inf)

    (finding,) = judge_input(volume_of(hu))

    assert finding.kind == "not-finite"
    assert "3 of 49,152 voxels" in finding.message
    fit = finite_array(volume_of(hu))
    assert fit[0, 0, :3].tolist() == [-1024.0] * 3
    np.testing.assert_array_equal(fit[1:], hu[1:])


def test_finite_array_keeps_values_and_clips_absurd_ones() -> None:
    for number, low, high in (
        ("int8", -100, 100),
        ("uint8", 0, 200),
        ("int16", -1024, 3000),
        ("uint16", 0, 60000),
        ("int32", -(2**20), 2**20),
        ("uint32", 0, 2**32 - 1),
        ("int64", -(2**40), 2**40),
        ("float32", -1e9, 1e9),
        ("float64", -1e300, 1e300),
    ):
        array = np.array([[[low, 7, high]]], dtype=number)

        fit = finite_array(volume_of(array))

        assert fit.dtype == (np.float32 if "float" in number else np.int16)
        assert fit.ravel().tolist() == [max(low, -32768), 7, min(high, 32767)]


def test_finite_array_does_not_touch_the_volume() -> None:
    array = np.array([[[np.nan, 1.0, 2e6]]], dtype=np.float32)
    volume = volume_of(array.copy())

    finite_array(volume)

    np.testing.assert_array_equal(volume.array, array)


@pytest.mark.parametrize(
    ("array", "finding"),
    [
        (np.zeros((4, 0, 4), np.int16), r"empty \(4 × 0 × 4 voxels\)"),
        (np.full((4, 4, 4), -1024, np.int16), r"same value \(-1024\)"),
        (np.full((4, 4, 4), np.nan, np.float32), "is a number"),
        (np.full((4, 4, 4), np.inf, np.float32), "is a number"),
    ],
)
def test_images_without_content_are_refused(array: np.ndarray, finding: str) -> None:
    with pytest.raises(InputError, match=finding):
        refuse(judge_input(volume_of(array)))


def test_an_unusable_grid_is_refused() -> None:
    with pytest.raises(InputError, match="4 × 0 × 5 mm"):
        refuse(judge_input(volume_of(body_ct(), spacing=(4.0, 0.0, 5.0))))


def test_padding_far_below_air_does_not_hide_an_offset() -> None:
    shifted = body_ct() + np.int16(1024)
    shifted[:, :, :6] = shifted[:, :, -6:] = -2000  # outside of the scanner's field of view
    assert kinds(volume_of(shifted)) == ["hu-offset"]
    padded = body_ct()
    padded[:, :, :6] = padded[:, :, -6:] = -3024
    assert kinds(volume_of(padded)) == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda hu: hu * 100.0, "far beyond HU"),
        (lambda hu: hu.clip(-160, 240), "cut off at a display window"),
        (lambda hu: hu / 10.0, "cut off at a display window, or scaled"),
        (lambda hu: -hu, "inverted"),
    ],
)
def test_values_on_another_scale_are_named(change: Callable, words: str) -> None:
    (finding,) = judge_input(volume_of(change(body_ct().astype(np.float32))))
    assert finding.kind == "range"
    assert words in finding.message


def test_grids_that_ask_too_much_of_a_model_are_pointed_out() -> None:
    hu = body_ct()

    assert kinds(volume_of(hu[4:6])) == ["few-slices"]
    assert kinds(volume_of(hu, spacing=(4.0, 4.0, 12.0))) == ["coarse-spacing"]
    (finding,) = judge_input(volume_of(hu, spacing=(1.0, 4.0, 5.0)))
    assert finding.kind == "small-field"
    assert "64 × 256 mm" in finding.message


def test_a_short_stack_of_slices_is_no_small_field() -> None:
    assert kinds(volume_of(body_ct(), spacing=(4.0, 4.0, 1.0))) == []


def test_remarks_of_the_reader_are_passed_on() -> None:
    (finding,) = judge_input(replace(volume_of(body_ct()), notes=("One scout was left out.",)))

    assert (finding.kind, finding.message) == ("reader", "One scout was left out.")


def test_real_ct_raises_no_false_alarm_and_its_distortions_do(shared_data: Path) -> None:
    cases = sorted((shared_data / "head_neck_oar" / "train").glob("pt_*/ct.nii.gz"))[::8]
    paths = [*cases, shared_data / "abdomen_ct" / "ct.nii.gz"]
    paths.append(shared_data / "abdomen_ct" / "dicom_series")
    assert len(paths) > 20
    for path in paths:
        volume = read_volume(path)
        assert judge_input(volume) == (), path
        assert kinds(replace(volume, array=volume.array + 1024)) == ["hu-offset"], path
        normalised = (volume.array.astype(np.float32) + 1024) / 4000
        assert kinds(replace(volume, array=normalised)) == ["range"], path


def test_the_head_ct_with_offset_is_recognised_and_mended(shared_data: Path) -> None:
    for name in ("dicom", "CTHeadAxial.nhdr"):
        volume = read_volume(shared_data / "head_ct_small" / name)
        assert kinds(volume) == ["hu-offset"]
        assert kinds(replace(volume, array=volume.array - 1024)) == []


def test_a_volume_that_is_mostly_not_finite_is_refused_and_one_that_is_half_is_not() -> None:
    hu = body_ct().astype(np.float32)
    hu[: len(hu) // 2] = np.nan
    assert [(f.kind, f.severity) for f in judge_input(volume_of(hu))] == [("not-finite", "tell")]
    hu[len(hu) // 2, 0, 0] = np.inf
    (finding,) = judge_input(volume_of(hu))
    assert (finding.kind, finding.severity) == ("not-finite", "refuse")
    assert "24,577 of 49,152 voxels" in finding.message


def test_what_makes_a_result_meaningless_comes_first_and_is_asked_about() -> None:
    volume = replace(volume_of(brain_mr()[:2]), modality="MR", notes=("A note.",))
    found = judge_input(volume)
    assert [(f.kind, f.severity) for f in found] == [
        ("modality", "ask"),
        ("reader", "tell"),
        ("few-slices", "tell"),
    ]
    assert judge_input(volume, Expectation("MR"))[0].kind == "reader"


def found_of(sizes_ml: dict[str, float]) -> Segmentation:
    """A result of the tiny model's seven structures, on voxels of 1 mL."""
    labels = np.zeros((10, 20, 20), np.uint8)
    for item in STRUCTURES:
        count = round(sizes_ml.get(item.name, 0))
        labels.reshape(-1)[item.label * 300 : item.label * 300 + count] = item.label
    geometry = Geometry(labels.shape, (10.0, 10.0, 10.0), (0.0, 0.0, 0.0), np.eye(3))
    return Segmentation(labels, geometry, STRUCTURES)


def test_a_result_with_few_structures_and_none_whole_does_not_look_like_the_region() -> None:
    expected = Expectation("CT", "head and neck", volumes_ml={"Spinal cord": (8.0, 47.0)})
    (finding,) = judge_result(found_of({"Spinal cord": 5, "Mandible": 0}), expected)
    assert finding.kind == "result"
    assert "1 of 7 structures" in finding.message
    assert "Spinal cord 5.0 mL, usually 8 to 47" in finding.message
    assert "does not look like a CT of the head and neck" in finding.message
    assert judge_result(found_of({"Spinal cord": 20}), expected) == ()
    most = dict.fromkeys([item.name for item in STRUCTURES[:4]], 3.0)
    (finding,) = judge_result(found_of(most), expected)
    assert "4 of 7 structures" in finding.message
    unknown = Expectation("CT", "head and neck")
    assert judge_result(found_of(most), unknown) == ()
    (finding,) = judge_result(found_of({"Larynx": 99}), unknown)
    assert "1 of 7 structures were found: this does not look" in finding.message
    in_a_box = replace(found_of({}), region=Region((0, 0, 0), (2, 2, 2)))
    assert judge_result(in_a_box, expected) == ()
    found = found_of({"Spinal cord": 5})
    short = replace(found, geometry=replace(found.geometry, spacing=(10.0, 10.0, 1.5)))
    (finding,) = judge_result(short, expected)
    assert "the image shows only" in finding.message
    assert "does not look like" not in finding.message


def test_a_box_beyond_the_volume_is_told() -> None:
    used = replace(found_of({}), region=Region((0, 0, 0), (2, 2, 2)))
    assert judge_region(None, found_of({})) == ()
    assert judge_region(used.region, used) == ()
    (finding,) = judge_region(Region((0, 0, -3), (2, 2, 99)), used)
    assert "The region i -3–98, j 0–1, k 0–1 reaches beyond the volume" in finding.message
    assert "i 0–1, j 0–1, k 0–1 of it was segmented" in finding.message


@pytest.mark.parametrize(
    ("figures", "told"),
    [
        ({}, ""),
        ({"structures": "many"}, ""),
        (
            {"structures": [{"name": "Larynx", "dice": None}, {"name": "Brainstem", "dice": 0.7}]},
            "",
        ),
        (
            {"structures": [{"name": "Larynx", "dice": 0.2}, {"name": "Liver", "dice": 0.1}]},
            "(Larynx 0.20)",
        ),
    ],
)
def test_structures_that_a_model_finds_badly_are_told(figures: dict[str, Any], told: str) -> None:
    messages = [finding.message for finding in judge_quality(figures, STRUCTURES)]
    assert len(messages) == bool(told)
    assert told in " ".join(messages)
