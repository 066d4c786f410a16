"""Grids in the patient: affines, plausibility, and lossless turning to a model's axes."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations, product

import numpy as np
import pytest

from SDSegLib.errors import InputError
from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.orientation import axis_letters, is_axes, reorientation_to

SHAPE = (4, 3, 2)
LPS_OF_LETTER = {
    "L": (1, 0, 0),
    "R": (-1, 0, 0),
    "P": (0, 1, 0),
    "A": (0, -1, 0),
    "S": (0, 0, 1),
    "I": (0, 0, -1),
}
ALL_48 = [
    "".join(letters) for axes in permutations(("LR", "PA", "SI")) for letters in product(*axes)
]


def rotation(*degrees: float) -> np.ndarray:
    """Turn about L, then P, then S."""
    matrix = np.eye(3)
    for axis, angle in enumerate(np.radians(degrees)):
        one, other = [n for n in range(3) if n != axis]
        turn = np.eye(3)
        turn[one, one] = turn[other, other] = np.cos(angle)
        turn[one, other], turn[other, one] = -np.sin(angle), np.sin(angle)
        matrix = turn @ matrix
    return matrix


def grid(axes: str = "LPS", turned: np.ndarray | None = None) -> Geometry:
    direction = np.array([LPS_OF_LETTER[letter] for letter in axes], dtype=float).T
    return Geometry(
        shape=SHAPE,
        spacing=(0.5, 0.75, 2.0),
        origin=(-10.0, 20.0, 30.0),
        direction=direction if turned is None else turned @ direction,
    )


def voxel_positions(geometry: Geometry) -> np.ndarray:
    """LPS position of every voxel, shape (k, j, i, 3)."""
    k, j, i = np.indices(geometry.shape)
    indices = np.stack([i, j, k, np.ones_like(i)], axis=-1)
    return (indices @ geometry.affine_lps.T)[..., :3]


def test_affine_places_voxels_in_lps_and_ras() -> None:
    geometry = grid("RAS")

    np.testing.assert_allclose(geometry.affine_lps @ [1, 2, 3, 1], [-10.5, 18.5, 36, 1])
    np.testing.assert_allclose(geometry.affine_ras @ [1, 2, 3, 1], [10.5, -18.5, 36, 1])
    assert geometry.voxel_volume_ml == pytest.approx(0.00075)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SLA"])
def test_grid_comes_back_from_its_affines(axes: str) -> None:
    geometry = grid(axes, rotation(10, -20, 35))

    for back in (
        Geometry.from_affine_lps(SHAPE, geometry.affine_lps),
        Geometry.from_affine_ras(SHAPE, geometry.affine_ras),
    ):
        assert back.matches(geometry, tolerance_mm=1e-9)
        assert back.spacing == pytest.approx(geometry.spacing)


def test_affine_without_extent_is_refused() -> None:
    with pytest.raises(InputError, match="zero or not a number"):
        Geometry.from_affine_lps(SHAPE, np.diag([1.0, 0.0, 1.0, 1.0]))


def test_matches_compares_where_voxels_lie() -> None:
    geometry = grid()

    assert geometry.matches(replace(geometry, origin=(-10.0005, 20.0, 30.0)))
    assert not geometry.matches(replace(geometry, origin=(-10.01, 20.0, 30.0)))
    assert not geometry.matches(replace(geometry, shape=(4, 3, 3)))
    assert not geometry.matches(replace(geometry, spacing=(0.5, 0.75, 2.001)))
    assert geometry.matches(replace(geometry, spacing=(0.5, 0.75, 2.001)), tolerance_mm=0.01)
    assert not geometry.matches(replace(geometry, direction=rotation(0, 0, 1)))


def test_unusable_grids_are_refused_with_their_values() -> None:
    grid("AIR", rotation(10, 20, 30)).check()
    flat = np.array([[1, 0, 1], [0, 1, 0], [0, 0, 0.05]])
    sheared = np.array([[1, 0, np.sin(np.radians(15))], [0, 1, 0], [0, 0, np.cos(np.radians(15))]])

    for broken, finding in (
        (replace(grid(), spacing=(0.5, 0.0, 2.0)), "0.5 × 0 × 2 mm"),
        (replace(grid(), spacing=(0.5, 250.0, 2.0)), "0.5 × 250 × 2 mm"),
        (replace(grid(), spacing=(0.5, float("nan"), 2.0)), "nan"),
        (replace(grid(), origin=(float("inf"), 0.0, 0.0)), "not numbers"),
        (replace(grid(), direction=flat), "in one plane"),
        (replace(grid(), direction=sheared), r"miss the right angle by 15\.0°"),
    ):
        with pytest.raises(InputError, match=finding):
            broken.check()


def test_axes_of_all_orientations_are_named() -> None:
    assert len(set(ALL_48)) == 48
    for axes in ALL_48:
        assert axis_letters(grid(axes)) == axes
        assert axis_letters(grid(axes, rotation(15, -12, 20))) == axes


def test_every_axis_is_named_once_even_at_45_degrees() -> None:
    for angles in [(45, 0, 0), (45, 45, 0), (45, 45, 45), (0, 54.7, 45), (30, 60, 45)]:
        assert is_axes(axis_letters(grid("LPS", rotation(*angles))))


def test_axes_are_three_different_ones() -> None:
    assert all(is_axes(axes) for axes in ALL_48)
    assert not any(is_axes(text) for text in ("", "LP", "LPSA", "LRS", "lps", "XYZ", "LPP"))


@pytest.mark.parametrize("turned", [None, rotation(15, -12, 20)], ids=["straight", "oblique"])
@pytest.mark.parametrize("target", ["LPS", "RAS", "PLS", "SAR"])
def test_turning_to_the_models_axes_and_back_moves_no_voxel(
    target: str, turned: np.ndarray | None
) -> None:
    values = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    for axes in ALL_48:
        geometry = grid(axes, turned)
        turn = reorientation_to(geometry, target)

        np.testing.assert_array_equal(turn.undo(turn.apply(values)), values)

        positions = np.stack(
            [turn.apply(voxel_positions(geometry)[..., n]) for n in range(3)], axis=-1
        )
        for axis, letter in enumerate(reversed(target)):
            step = np.diff(positions, axis=axis).reshape(-1, 3)[0]
            straight = step if turned is None else turned.T @ step
            expected = turn.spacing(geometry)[axis] * np.array(LPS_OF_LETTER[letter])
            np.testing.assert_allclose(straight, expected, atol=1e-9)


def test_turning_copies_nothing() -> None:
    values = np.zeros(SHAPE)

    assert np.shares_memory(reorientation_to(grid("RIA"), "LPS").apply(values), values)
