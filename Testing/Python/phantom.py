"""A patient-like volume for the whole path: a body with bone in air, nothing in it symmetric."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

SPACING = (3.0, 3.5, 2.5)


def a_body(shape: tuple[int, int, int] = (10, 40, 48)) -> Volume:
    """An elliptic body of noisy soft tissue with a bone, int16 HU, axes along LPS."""
    k, j, i = np.indices(shape).astype(float)
    height, width = shape[1:]
    radius = ((j - 0.55 * height) / (0.4 * height)) ** 2 + ((i - 0.45 * width) / (0.4 * width)) ** 2
    values = np.full(shape, -1000.0)
    noise = np.random.default_rng(0).normal(40, 30, shape)
    values[radius < 1] = noise[radius < 1]
    bone = (abs(j - 0.3 * height) < 3) & (abs(i - 0.6 * width) < 5) & (k > 2)
    values[bone] = 900
    geometry = Geometry(shape, SPACING, (-70.0, 12.5, 300.0), np.eye(3))
    return Volume(values.astype(np.int16), geometry, name="body", modality="CT")


def stored_as(volume: Volume, order: tuple[int, ...], flips: tuple[int, ...]) -> Volume:
    """The same patient, with array axes permuted and flipped and the header saying so."""
    matrix = volume.geometry.affine_lps[:, [2 - axis for axis in order[::-1]] + [3]]
    array = volume.array.transpose(order)
    for axis in flips:
        column = 2 - axis
        matrix[:3, 3] += matrix[:3, column] * (array.shape[axis] - 1)
        matrix[:3, column] *= -1
    array = np.flip(array, flips)
    return replace(volume, array=array, geometry=Geometry.from_affine_lps(array.shape, matrix))
