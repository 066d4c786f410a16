"""The benchmark of disturbed CT: each disturbance does what it says, and the table is of them."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from dataset_trees import save_volume
from phantom import SPACING, a_body, stored_as
from tiny_model import write_tiny_model

from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

BENCHMARKS = Path(__file__).parents[1] / "Benchmarks"


@pytest.fixture
def degradations(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    import degradations

    return degradations


def a_slope(spacing: tuple[float, float, float] = SPACING) -> Volume:
    """Values are 2 · x + y + 3 · z in mm of the patient, so that every place has its own."""
    geometry = Geometry((14, 20, 24), spacing, (-30.0, 5.0, 20.0), np.eye(3))
    return Volume(np.rint(places(geometry)).astype(np.int16), geometry)


def places(geometry: Geometry) -> np.ndarray:
    k, j, i = np.indices(geometry.shape)
    x, y, z, _ = np.tensordot(geometry.affine_lps, np.stack([i, j, k, np.ones_like(k)]), 1)
    return 2 * x + y + 3 * z


def water(side: int = 64, slices: int = 5) -> Volume:
    """A disc of soft tissue in air, on square slices."""
    _, j, i = np.indices((slices, side, side))
    middle = (side - 1) / 2
    values = np.where((j - middle) ** 2 + (i - middle) ** 2 < (0.35 * side) ** 2, 40, -1024)
    return Volume(
        values.astype(np.int16),
        Geometry(values.shape, (4.0, 4.0, 3.0), (0.0, 0.0, 0.0), np.eye(3)),
    )


@pytest.mark.parametrize("dose", [0.5, 0.1])
def test_noise_grows_as_the_dose_falls(degradations: ModuleType, dose: float) -> None:
    clean = water(96, 8)
    own = np.random.default_rng(0).normal(0, 8, clean.array.shape)
    inside = clean.array > -1000
    scan = replace(clean, array=np.where(inside, clean.array + own, -1024).astype(np.int16))
    assert degradations.own_noise_hu(scan) == pytest.approx(8, rel=0.1)
    less = degradations.with_noise(scan, dose, seed=1)
    assert (less.array[~inside] == -1024).all()
    added = (less.array - scan.array)[inside].std()
    assert added == pytest.approx(8 * np.sqrt(1 / dose - 1), rel=0.15)
    again = degradations.with_noise(scan, dose, seed=1)
    np.testing.assert_array_equal(again.array, less.array)
    assert (degradations.with_noise(scan, dose, seed=2).array != less.array).any()


def test_an_offset_leaves_padding_alone(degradations: ModuleType) -> None:
    moved = degradations.with_offset(water(), -30)
    assert set(np.unique(moved.array)) == {-1024, 10}


def test_thick_and_fine_voxels_stay_where_they_are(degradations: ModuleType) -> None:
    scan = a_slope((3.0, 3.5, 2.0))
    for other in (degradations.with_thick_slices(scan), degradations.resampled(scan, 1.0)):
        np.testing.assert_allclose(other.array, places(other.geometry), atol=1.01)
    assert degradations.with_thick_slices(scan).geometry.spacing == (3.0, 3.5, 5.0)
    assert len(degradations.with_thick_slices(scan).array) == 5
    assert degradations.resampled(scan, 1.0).array.shape == (27, 67, 70)
    part = degradations.cut(scan, 3, 9)
    np.testing.assert_allclose(part.array, places(part.geometry), atol=0.51)


def test_other_axes_and_headers_keep_the_voxels(degradations: ModuleType) -> None:
    body = a_body()
    turned = degradations.with_other_axes(body, (1, 0, 2), (0, 2))
    expected = stored_as(body, (1, 0, 2), (0, 2))
    np.testing.assert_array_equal(turned.array, expected.array)
    assert turned.geometry.matches(expected.geometry)
    oblique = degradations.with_turned_header(body, (12.0, 0.0, 8.0))
    assert oblique.array is body.array
    cosines = np.diag(oblique.geometry.direction)
    assert (cosines < 0.999).all()
    assert oblique.geometry.shear_degrees < 1e-6


def test_back_projection_gives_back_what_was_projected(degradations: ModuleType) -> None:
    disc = (water().array[2] > -1000).astype(np.float32)
    rays = degradations._projector(64) @ disc.ravel() * 0.4
    back = degradations._reconstructed(
        rays, degradations._projector(64), degradations._filter(64), (64, 64), 0.4
    )
    from scipy.ndimage import binary_erosion

    inside = binary_erosion(disc > 0, iterations=4)
    assert back[inside].mean() == pytest.approx(1, abs=0.02)
    assert back[inside].std() < 0.03


def test_metal_gives_streaks_on_its_slices_only(degradations: ModuleType) -> None:
    scan = water()
    teeth = tuple((row, column) for row in (24, 25) for column in (22, 23, 40, 41))
    metal = degradations.Metal(1, 3, teeth)
    streaky = degradations.with_metal(scan, metal, seed=1)
    for place in (0, 3, 4):
        np.testing.assert_array_equal(streaky.array[place], scan.array[place])
    change = streaky.array[1].astype(int) - scan.array[1]
    assert streaky.array[1][24, 22] == 3071
    between = change[24:26, 28:36]
    assert between.mean() < -50  # dark between the crowns: the beam is hardened
    below = change[45:50, 28:36]
    assert np.abs(below).mean() < np.abs(between).mean()
    none = degradations.with_metal(scan, degradations.Metal(1, 3, ()), seed=1)
    inside = scan.array[1] > -1000
    assert np.abs((none.array[1] - scan.array[1])[inside]).mean() < 20  # noise of photons only


def test_crowns_are_put_where_the_teeth_are(degradations: ModuleType) -> None:
    scan = water(64, 12)
    mandible = np.zeros(scan.array.shape, bool)
    mandible[2:10, 18:40, 16:48] = True
    assert degradations.teeth_of(scan, mandible) is None  # nothing dense
    assert degradations.teeth_of(scan, np.zeros_like(mandible)) is None
    scan.array[6:9, 20:22, 20:22] = 1500
    scan.array[6:9, 20:22, 42:44] = 1400
    metal = degradations.teeth_of(scan, mandible)
    assert metal is not None
    assert (metal.first, metal.stop) == (6, 9)
    for left in (20, 42):
        assert any(row in (20, 21) and column in (left, left + 1) for row, column in metal.pixels)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for number in range(2):
        body = a_body((12, 40, 40))
        array = body.array if number else body.array[:, :, ::-1]
        labels = np.zeros(array.shape, np.uint8)
        labels[3:9, 10:25, 12:30] = 1 + number
        labels[4:8, 25:30, 12:30] = 7
        folder = tmp_path / "data" / f"pt_{number}"
        save_volume(array, folder / "ct.nii.gz", spacing=(4.0, 4.0, 3.0))
        save_volume(labels, folder / "organs.nii.gz", spacing=(4.0, 4.0, 3.0))
    return tmp_path / "data"


def test_one_command_measures_all_rows_and_goes_on_where_it_was(data: Path, tmp_path: Path) -> None:
    output = tmp_path / "results"
    model = write_tiny_model(tmp_path / "tiny")
    words = [sys.executable, str(BENCHMARKS / "robustness.py"), "--data", str(data)]
    words += ["--model", str(model), "--output", str(output)]
    first = [*words, "--rows", "plus-30,thick,flipped", "--cases", "pt_0"]
    done = subprocess.run(first, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    before = (output / "pt_0" / "thick.json").stat().st_mtime_ns
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (output / "pt_0" / "thick.json").stat().st_mtime_ns == before
    content = json.loads((output / "robustness.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for row in content["rows"]}
    assert rows["undisturbed"]["cases"] == rows["plus-30"]["cases"] == 2
    assert rows["plus-30"]["change"]["low"] is not None
    for name in ("flipped", "oblique"):
        assert rows[name]["change"]["mean"] == rows[name]["voxels_that_differ"] == 0
    assert "| header: axes permuted and flipped | 2 |" in done.stdout
    assert "| +30 HU | 2 |" in (output / "robustness.md").read_text(encoding="utf-8")
    # The undisturbed CT beside a row is the same as in its own row.
    shown = json.loads((output / "pt_1" / "thick.json").read_text(encoding="utf-8"))
    alone = json.loads((output / "pt_1" / "undisturbed.json").read_text(encoding="utf-8"))
    assert shown["undisturbed"] == alone["dice"]


def test_findings_are_counted_on_ct_that_nobody_disturbed(data: Path, tmp_path: Path) -> None:
    model = write_tiny_model(tmp_path / "tiny")
    words = [sys.executable, str(BENCHMARKS / "robustness.py"), "--model", str(model)]
    words += ["--findings", str(data), "--output", str(tmp_path / "results")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    content = json.loads((tmp_path / "results" / "findings.json").read_text(encoding="utf-8"))
    assert content["ct"] == 2
