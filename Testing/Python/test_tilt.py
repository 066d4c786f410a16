"""Drawings in oblique planes are told from those on slices and from whole structures."""

from __future__ import annotations

import numpy as np
import pytest

from SDSegLib.propagation.mask_part import MaskPart
from SDSegLib.propagation.tilt import tilt_of

SPACING = (2.5, 1.0, 1.0)
K, J, I = np.indices((40, 90, 80))  # noqa: E741


def sheet(degrees: float, along: str = "j") -> np.ndarray:
    """A round sheet that is tilted against the axial slices, one voxel thick."""
    place = {"j": (J - 45) * SPACING[1], "i": (I - 40) * SPACING[2]}[along]
    height = (K - 20) * SPACING[0] - np.tan(np.radians(degrees)) * place
    thin = abs(height) <= SPACING[0] / 2
    return thin & ((J - 45) ** 2 + (I - 40) ** 2 < 30**2)


@pytest.mark.parametrize("along", ["j", "i"])
@pytest.mark.parametrize("degrees", [10, 25, 40])
def test_a_tilted_sheet_is_found_with_its_angle_and_the_nearest_slices(
    degrees: int, along: str
) -> None:
    tilt = tilt_of(MaskPart.of(sheet(degrees, along)), SPACING)
    assert tilt is not None
    assert tilt.axis == 0
    assert tilt.degrees == pytest.approx(degrees, abs=2)


def test_steeper_sheets_are_nearest_to_another_plane() -> None:
    tilt = tilt_of(MaskPart.of(sheet(60) & (abs(J - 45) < 18)), SPACING)
    assert tilt is not None
    assert tilt.axis == 1
    assert tilt.degrees == pytest.approx(30, abs=3)


def test_slices_organs_and_a_few_voxels_are_no_tilted_sheets() -> None:
    disc = (J - 45) ** 2 + (I - 40) ** 2 < 20**2
    ball = (2.5 * (K - 20)) ** 2 + (J - 45) ** 2 + (I - 40) ** 2 < 25**2
    flat_organ_with_gaps = sheet(30) & (K % 3 == 0)
    few = np.zeros(K.shape, bool)
    few[20, 45, 40] = few[21, 46, 40] = few[22, 47, 40] = True
    for mask in (
        disc & (K == 20),
        disc & np.isin(K, (10, 20, 30)),
        disc & (abs(K - 20) < 3),
        ball,
        flat_organ_with_gaps,
        few,
        np.zeros(K.shape, bool),
    ):
        assert tilt_of(MaskPart.of(mask), SPACING) is None
