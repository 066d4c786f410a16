"""CT with a tilted gantry: straightened with a warning, with results in the right place."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
from dicom_maker import write_series
from pydicom import dcmread
from tiny_model import write_tiny_model

from SDSegLib.cli.app import main
from SDSegLib.errors import InputError, OutputError
from SDSegLib.export.dicom_seg import write_dicom_seg
from SDSegLib.export.label_map import write_label_map
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.segmentation import Segmentation
from SDSegLib.volume.straighten import on_acquired_grid, straightening_of
from SDSegLib.volume.structure import Code, Structure
from SDSegLib.volume.volume import Volume

SHAPE, SPACING, ORIGIN = (24, 40, 44), (1.5, 1.25, 3.0), (-30.0, -25.0, 10.0)
LIVER = Structure(1, "Liver", (200, 100, 50), Code("SCT", "10200004", "Liver"))
CENTRE, RADIUS = np.array([4.0, 3.0, 44.0]), 14.0


def positions(geometry: Geometry) -> np.ndarray:
    """LPS position of each voxel, (k, j, i, 3)."""
    k, j, i = np.indices(geometry.shape)
    affine = geometry.affine_lps
    return np.stack([i, j, k], axis=-1) @ affine[:3, :3].T + affine[:3, 3]


def in_ball(places: np.ndarray) -> np.ndarray:
    return np.linalg.norm(places - CENTRE, axis=-1) <= RADIUS


def sheared(degrees: float, sideways: float = 0.0) -> Geometry:
    """Axial planes, each shifted to the back and to the side against the one below."""
    step = np.array([np.tan(np.radians(sideways)), np.tan(np.radians(degrees)), 1.0]) * SPACING[2]
    axes = np.eye(3)
    axes[:, 2] = step / np.linalg.norm(step)
    spacing = (*SPACING[:2], float(np.linalg.norm(step)))
    return Geometry(SHAPE, spacing, first_place(step), axes)


def first_place(step: np.ndarray) -> tuple[float, float, float]:
    """Of the first voxel, so that the middle slice lies in the middle."""
    x, y, _ = np.array(ORIGIN) - step * (SHAPE[0] - 1) / 2
    return float(x), float(y), ORIGIN[2]


def ball_in(geometry: Geometry) -> np.ndarray:
    """A ball of 60 HU in air."""
    return np.where(in_ball(positions(geometry)), 60, -1000).astype(np.int16)


def tilted_series(folder: Path, degrees: float, **tags: Any) -> np.ndarray:
    geometry = sheared(degrees)
    values = ball_in(geometry)
    shift = (0.0, SPACING[2] * np.tan(np.radians(degrees)), 0.0)
    write_series(folder, values, origin=geometry.origin, spacing=SPACING, shift=shift, **tags)
    return values


def labels_of(volume: Volume) -> Segmentation:
    """What a perfect model would find in a straightened volume."""
    labels = in_ball(positions(volume.geometry)).astype(np.uint8)
    return Segmentation(labels, volume.geometry, (LIVER,))


def dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * np.count_nonzero(one & other) / (np.count_nonzero(one) + np.count_nonzero(other))


@pytest.mark.parametrize("degrees", [15.0, -22.5])
def test_a_tilted_series_is_straightened_with_a_warning(tmp_path: Path, degrees: float) -> None:
    tilted_series(tmp_path, degrees)

    volume = read_volume(tmp_path)

    shift = (SHAPE[0] - 1) * SPACING[2] * np.tan(np.radians(abs(degrees)))
    assert len(volume.notes) == 1
    assert f"shifted against each other by {shift:.1f} mm" in volume.notes[0]
    assert f"tilted by {abs(degrees):.1f}°" in volume.notes[0]
    assert volume.array.dtype == np.int16
    assert volume.geometry.shear_degrees == pytest.approx(0.0, abs=1e-9)
    np.testing.assert_allclose(volume.geometry.spacing, SPACING)
    assert volume.geometry.shape == (SHAPE[0], 40 + int(np.ceil(shift / SPACING[1])), SHAPE[2])
    tissue = volume.array > -470
    assert dice(tissue, in_ball(positions(volume.geometry))) > 0.98
    assert volume.array.min() == -1000


def test_slices_stay_slices_also_if_they_are_thinner_than_pixels(tmp_path: Path) -> None:
    shift = (0.0, 0.3, 0.0)
    write_series(tmp_path, ball_in(sheared(0.0)), spacing=(1.5, 1.25, 1.1), shift=shift)

    geometry = read_volume(tmp_path).geometry

    np.testing.assert_allclose(geometry.spacing, (1.5, 1.25, 1.1))
    np.testing.assert_allclose(geometry.direction, np.eye(3), atol=1e-9)
    assert geometry.shape[0] == SHAPE[0]


def test_linear_values_stay_linear(tmp_path: Path) -> None:
    geometry = sheared(17.0, 9.0)
    values = (positions(geometry) @ [3.0, -2.0, 1.0]).astype(np.float32)
    image = sitk.GetImageFromArray(values)
    image.SetSpacing(geometry.spacing)
    image.SetOrigin(geometry.origin)
    image.SetDirection(geometry.direction.ravel().tolist())
    sitk.WriteImage(image, str(tmp_path / "ct.mha"))

    volume = read_volume(tmp_path / "ct.mha")

    expected = positions(volume.geometry) @ [3.0, -2.0, 1.0]
    is_right = np.abs(volume.array - expected) < 1e-2
    assert np.count_nonzero(is_right) > 0.95 * values.size


def test_labels_come_back_to_the_slices_they_were_acquired_on() -> None:
    geometry = sheared(20.0, -8.0)
    labels = (np.random.default_rng(0).random(SHAPE) > 0.5).astype(np.uint8)
    how = straightening_of(geometry)
    assert how is not None

    straight = how.apply(labels, 0, labels=True)

    np.testing.assert_array_equal(on_acquired_grid(straight, geometry), labels)
    assert np.count_nonzero(straight) == np.count_nonzero(labels)


def test_a_dicom_segmentation_lies_on_the_tilted_slices(tmp_path: Path) -> None:
    tilted_series(tmp_path / "ct", 15.0)
    volume = read_volume(tmp_path / "ct")

    write_dicom_seg(labels_of(volume), volume, tmp_path / "seg.dcm")

    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    uids = [dcmread(file).SOPInstanceUID for file in volume.dicom_files]
    planes = seg.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )[..., 0]
    expected = in_ball(positions(sheared(15.0)))
    assert dice(planes > 0, expected) > 0.95
    for plane, group in zip(seg.pixel_array, seg.PerFrameFunctionalGroupsSequence, strict=True):
        start = np.array(group.PlanePositionSequence[0].ImagePositionPatient, float)
        rows, columns = np.nonzero(plane)
        places = start + np.stack([columns * SPACING[0], rows * SPACING[1], 0 * rows], axis=-1)
        assert np.linalg.norm(places - CENTRE, axis=-1).max() < RADIUS + SPACING[1]


def test_a_plain_stack_as_3d_slicer_keeps_it_is_taken_slice_by_slice(tmp_path: Path) -> None:
    """Beneath its transform 3D Slicer keeps the slices as acquired, on straight axes."""
    values = tilted_series(tmp_path / "ct", 15.0)
    volume = read_volume(tmp_path / "ct")
    stacked = Geometry(SHAPE, SPACING, sheared(15.0).origin, np.eye(3))
    result = Segmentation((values > -500).astype(np.uint8), stacked, (LIVER,))

    write_dicom_seg(result, volume, tmp_path / "seg.dcm")

    seg = highdicom.seg.segread(tmp_path / "seg.dcm")
    uids = [dcmread(file).SOPInstanceUID for file in volume.dicom_files]
    planes = seg.get_pixels_by_source_instance(
        uids, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
    )[..., 0]
    np.testing.assert_array_equal(planes > 0, values > -500)
    moved = replace(result, geometry=replace(stacked, origin=(-30.0, -20.0, 10.0)))
    with pytest.raises(OutputError, match="does not lie on the grid"):
        write_dicom_seg(moved, volume, tmp_path / "other.dcm")


def test_shifts_below_half_a_pixel_are_left_alone(tmp_path: Path) -> None:
    values = tilted_series(tmp_path, float(np.degrees(np.arctan(0.5 / 69.0))))

    volume = read_volume(tmp_path)

    np.testing.assert_array_equal(volume.array, values)
    assert (volume.notes, volume.acquired) == ((), None)


def write_sheared_nifti(path: Path, geometry: Geometry, values: np.ndarray, codes: Any) -> None:
    image = nibabel.Nifti1Image(values.T, geometry.affine_ras)
    image.set_sform(geometry.affine_ras, codes[0])
    if codes[1]:
        image.header["qform_code"] = codes[1]
        image.header["quatern_d"] = 1.0
        for axis, place in zip("xyz", geometry.affine_ras[:3, 3], strict=True):
            image.header[f"qoffset_{axis}"] = place
    nibabel.save(image, path)


@pytest.mark.parametrize("codes", [(1, 0), (2, 0), (1, 1)], ids=["sform", "aligned", "both"])
def test_sheared_nifti_grids_are_straightened(tmp_path: Path, codes: tuple[int, int]) -> None:
    geometry = sheared(18.0)
    write_sheared_nifti(tmp_path / "ct.nii.gz", geometry, ball_in(geometry), codes)

    volume = read_volume(tmp_path / "ct.nii.gz")

    assert any("tilted by 18.0°" in note for note in volume.notes)
    assert dice(volume.array > -470, in_ball(positions(volume.geometry))) > 0.98
    assert volume.acquired is not None
    assert volume.acquired.matches(geometry, tolerance_mm=0.01)


def test_a_sheared_grid_with_other_axis_order_is_straightened_across_its_slices(
    tmp_path: Path,
) -> None:
    """As after a conversion to RAS with the slices along the first axis."""
    plain = sheared(18.0)
    values = ball_in(plain).transpose(1, 2, 0)  # array axes j, i, k: index axes k, i, j
    order = [2, 0, 1]
    geometry = Geometry(
        values.shape,
        tuple(plain.spacing[n] for n in order),
        plain.origin,
        plain.direction[:, order],
    )
    write_sheared_nifti(tmp_path / "ct.nii.gz", geometry, values, (1, 0))

    volume = read_volume(tmp_path / "ct.nii.gz")

    assert volume.geometry.spacing[0] == pytest.approx(SPACING[2], rel=1e-3)
    assert dice(volume.array > -470, in_ball(positions(volume.geometry))) > 0.98


def test_the_label_map_is_right_on_the_straight_and_on_the_original_grid(tmp_path: Path) -> None:
    geometry = sheared(18.0)
    write_sheared_nifti(tmp_path / "ct.nii.gz", geometry, ball_in(geometry), (1, 0))
    volume = read_volume(tmp_path / "ct.nii.gz")
    result = labels_of(volume)

    for name in ("labels.nii.gz", "labels.nrrd"):
        straight, original = tmp_path / name, tmp_path / f"original-{name}"
        write_label_map(result, straight)
        write_label_map(result, original, acquired=volume.acquired)

        image = sitk.ReadImage(str(straight))
        np.testing.assert_array_equal(sitk.GetArrayFromImage(image), result.label_map)
        assert read_volume(straight).geometry.matches(volume.geometry, tolerance_mm=0.01)
        back = read_volume(original, labels=True)
        assert back.geometry.matches(volume.geometry, tolerance_mm=0.01)
        assert set(np.unique(back.array)) == {0, 1}
        assert dice(back.array > 0, result.label_map > 0) > 0.99

    stored = nibabel.load(tmp_path / "original-labels.nii.gz")
    source = nibabel.load(tmp_path / "ct.nii.gz")
    np.testing.assert_allclose(stored.affine, source.affine, atol=1e-3)
    assert dice(np.asarray(stored.dataobj) > 0, np.asarray(source.dataobj) > -500) > 0.95


def test_axes_that_no_tilt_explains_are_still_refused(tmp_path: Path) -> None:
    for name, geometry in {
        "steep": sheared(50.0),
        "skew": replace(
            sheared(15.0), direction=np.array([[1, 0.2, 0.1], [0, 0.98, 0.2], [0, 0, 0.97]])
        ),
    }.items():
        path = tmp_path / f"{name}.nii.gz"
        write_sheared_nifti(path, geometry, ball_in(geometry), (1, 0))
        with pytest.raises(InputError, match="miss the right angle"):
            read_volume(path)


def test_the_command_line_warns_and_writes_both_grids(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    model = write_tiny_model(tmp_path / "model")
    values = tilted_series(tmp_path / "ct", 15.0)

    def run(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["sdseg", *(str(item) for item in arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        assert not stop.value.code, shown.err
        return shown.err + shown.out

    straight, original = tmp_path / "straight.nrrd", tmp_path / "original.nii.gz"
    command = ("segment", tmp_path / "ct", "-m", model, "--labelmap")
    (note,) = read_volume(tmp_path / "ct").notes
    assert note.replace(" ", "") in "".join(run(*command, straight).split())
    run(*command, original, "--original-grid")

    assert sitk.ReadImage(str(straight)).GetSize()[1] > values.shape[1]
    assert nibabel.load(original).shape == values.shape[::-1]
    batch = ("batch", tmp_path / "ct", "-o", tmp_path / "out", "-m", model)
    shown = run(*batch, "--write", "nii.gz", "--original-grid", "--json").splitlines()
    answer = json.loads(next(line for line in shown if line.startswith("{")))
    assert note in answer["warnings"]
    assert nibabel.load(next((tmp_path / "out").glob("*.nii.gz"))).shape == values.shape[::-1]
