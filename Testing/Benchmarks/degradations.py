"""What can be wrong with a CT, done to a good one: noise, thick slices, metal, offsets, headers.

Each function returns another `Volume` of the same patient; references stay where they are in the
patient and are compared there. All randomness comes from a seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import ndimage, sparse

from SDSegLib.volume.geometry import Geometry
from SDSegLib.volume.volume import Volume

AIR_HU = -1024.0
LARGEST_HU = 3071.0  # of 12 bits with offset 1024
NATIVE_PIXEL_MM = 1.0
SOFT_HU = (-20.0, 100.0)
_VIEWS = 180
_PHOTONS = 1e6  # a detector bin and view
# Spectrum at 120 kV behind the bow tie filter, and attenuation in 1/cm (NIST XCOM): water; iron,
# which stands for cobalt and chromium.
_ENERGY_KEV = (40, 50, 60, 80, 100)
_SPECTRUM = np.array([0.15, 0.22, 0.27, 0.24, 0.12])
_WATER = np.array([0.2683, 0.2269, 0.2059, 0.1837, 0.1707])
_IRON = 7.874 * np.array([3.629, 1.958, 1.205, 0.5952, 0.3717])
_LEAST_PHOTONS = 5.0  # electronic noise
_TEETH_HU = 1100.0
_TEETH = 4
_TEETH_APART_MM = 14.0
_CROWN_MM = 8.0


def own_noise_hu(volume: Volume) -> float:
    """Standard deviation of the noise in soft tissue, HU.

    The median of |I ∗ N| over soft tissue, where N is the difference of two Laplacians, for which
    smooth anatomy is zero: J. Immerkær, *Fast noise variance estimation*, Comput. Vis. Image
    Underst. 64 (1996) 300–302, with the median instead of the mean against borders.
    """
    kernel = np.array([[1.0, -2, 1], [-2, 4, -2], [1, -2, 1]])
    values = volume.array.astype(np.float32)
    soft = (values > SOFT_HU[0]) & (values < SOFT_HU[1])
    inner = ndimage.binary_erosion(soft, np.ones((1, 3, 3), bool))
    if not inner.any():
        return 0.0
    found = ndimage.convolve(values, kernel[None])[inner]
    return float(np.median(np.abs(found)) / (0.6745 * np.sqrt((kernel**2).sum())))


def with_noise(volume: Volume, dose: float = 0.5, seed: int = 0) -> Volume:
    """The scan with a part of its dose.

    Variance is inverse to the dose, so the variance added is (1 / dose − 1) times the CT's own,
    measured by `own_noise_hu`. The texture is that of filtered back-projection: the noise power of
    a slice grows with the frequency up to the cut of the kernel (S. J. Riederer, N. J. Pelc,
    D. A. Chesler, *The noise power spectrum in computed X-ray tomography*, Phys. Med. Biol. 23
    (1978) 446–454), on pixels of 1 mm, of which the volume's voxels are samples; slices are
    independent. Only the body gets noise.

    Args:
        volume: In HU.
        dose: Part of the dose that is left, above 0 and below 1.
        seed: Of the noise.
    """
    generator = np.random.default_rng(seed)
    sigma = own_noise_hu(volume) * np.sqrt(1 / dose - 1)
    shape, spacing = volume.array.shape, volume.geometry.spacing
    steps = [max(1, round(size / NATIVE_PIXEL_MM)) for size in (spacing[1], spacing[0])]
    native = [count * step for count, step in zip(shape[1:], steps, strict=True)]
    down, across = np.fft.fftfreq(native[0])[:, None], np.fft.rfftfreq(native[1])[None]
    frequency = np.hypot(down, across)
    power = frequency * np.clip(np.cos(np.pi * frequency), 0, None) ** 2  # ramp, Hann kernel
    values = volume.array.astype(np.float32)
    for plane in values:
        white = np.fft.rfft2(generator.standard_normal(native).astype(np.float32))
        texture = np.fft.irfft2(white * np.sqrt(power), s=native)[:: steps[0], :: steps[1]]
        plane += np.where(plane > AIR_HU, sigma * texture / texture.std(), 0)
    return replace(volume, array=_as_hu(values))


def with_offset(volume: Volume, hu: float) -> Volume:
    """All values shifted, as by a scanner that is not calibrated; padding stays as it is."""
    values = volume.array.astype(np.float32)
    values = np.where(values <= AIR_HU, values, values + hu)
    return replace(volume, array=_as_hu(values))


def with_thick_slices(volume: Volume, thickness_mm: float = 5.0) -> Volume:
    """Slices of another thickness without gaps; each is the mean over its thickness.

    The slice profile is a rectangle, as of several detector rows that are added.
    """
    have = volume.geometry.spacing[2]
    edges = have * np.arange(len(volume.array) + 1)
    count = max(1, int(edges[-1] // thickness_mm))
    begins = (edges[-1] - count * thickness_mm) / 2 + thickness_mm * np.arange(count)
    low = np.maximum(begins[:, None], edges[None, :-1])
    high = np.minimum(begins[:, None] + thickness_mm, edges[None, 1:])
    weights = np.clip(high - low, 0, None) / thickness_mm
    values = np.tensordot(weights, volume.array.astype(np.float32), 1)
    first = (begins[0] + thickness_mm / 2) / have - 0.5
    return _on(volume, values, (1, 1, thickness_mm / have), (0, 0, first))


def resampled(volume: Volume, spacing_mm: float = 1.0) -> Volume:
    """Cubic voxels of another size, by linear interpolation."""
    have = np.array(volume.geometry.spacing)
    sizes = np.array(volume.array.shape[::-1])
    counts = np.maximum(1, np.floor((sizes - 1) * have / spacing_mm).astype(int) + 1)
    step = spacing_mm / have
    values = volume.array.astype(np.float32)
    for axis in range(3):
        place = np.minimum(np.arange(counts[axis]) * step[axis], sizes[axis] - 1)
        below = np.minimum(place.astype(int), max(0, sizes[axis] - 2))
        above = np.minimum(below + 1, sizes[axis] - 1)
        part = (place - below).astype(np.float32).reshape([-1] + [1] * axis)
        along = 2 - axis
        values = (1 - part) * values.take(below, along) + part * values.take(above, along)
    return _on(volume, values, tuple(step), (0, 0, 0))


def cut(volume: Volume, first: int, stop: int) -> Volume:
    """Slices `first` … `stop` − 1 only."""
    return _on(volume, volume.array[first:stop], (1, 1, 1), (0, 0, first))


def with_other_axes(volume: Volume, order: tuple[int, int, int], flips: Sequence[int]) -> Volume:
    """The same patient, with array axes permuted and flipped and the header saying so."""
    matrix = volume.geometry.affine_lps[:, [2 - axis for axis in order[::-1]] + [3]]
    array = volume.array.transpose(order)
    for axis in flips:
        column = 2 - axis
        matrix[:3, 3] += matrix[:3, column] * (array.shape[axis] - 1)
        matrix[:3, column] *= -1
    array = np.ascontiguousarray(np.flip(array, tuple(flips)))
    return replace(volume, array=array, geometry=Geometry.from_affine_lps(array.shape, matrix))


def with_turned_header(volume: Volume, degrees: tuple[float, float, float]) -> Volume:
    """The same voxels in another position of the patient: a header that is oblique.

    Args:
        volume: Any.
        degrees: Rotations about the axes L, P and S.
    """
    from scipy.spatial.transform import Rotation

    turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix()
    old = volume.geometry
    geometry = replace(
        old,
        direction=turn @ old.direction,
        origin=tuple(float(value) for value in turn @ np.array(old.origin)),
    )
    return replace(volume, geometry=geometry)


class Metal(NamedTuple):
    """Crowns of teeth: slices `first` … `stop` − 1, and the pixels (row, column) of each."""

    first: int
    stop: int
    pixels: tuple[tuple[int, int], ...]


def teeth_of(volume: Volume, mandible: np.ndarray) -> Metal | None:
    """Where crowns would be: the densest places in and right above the mandible.

    Args:
        volume: Rows to the back, slices to the head.
        mandible: Mask (k, j, i).

    Returns:
        None if there is no mandible or nothing as dense as a tooth.
    """
    used = [np.flatnonzero(mandible.any(axis=others)) for others in ((1, 2), (0, 2), (0, 1))]
    if not len(used[0]):
        return None
    spacing = volume.geometry.spacing
    bottom, top = int(used[0][0]), int(used[0][-1])
    front = int(used[1][0])
    depth = (int(used[1][-1]) - front) // 2 + 1  # the front half, where the teeth are
    rows, columns = slice(front, front + depth), slice(int(used[2][0]), int(used[2][-1]) + 1)
    tall = max(1, round(_CROWN_MM / spacing[2]))
    low = bottom + (top - bottom) // 3
    box = volume.array[low : top + 1, rows, columns].astype(np.float32)
    dense = (box > _TEETH_HU).sum(axis=(1, 2))
    if not dense.any():
        return None
    first = low
    if len(dense) >= tall:
        first += int(np.argmax(np.convolve(dense, np.ones(tall), "valid")))
    shown = volume.array[first : first + tall, rows, columns].mean(axis=0)
    chosen: list[tuple[int, int]] = []
    for place in np.argsort(-shown, axis=None):
        row, column = (int(n) for n in np.unravel_index(place, shown.shape))
        apart = [np.hypot((row - r) * spacing[1], (column - c) * spacing[0]) for r, c in chosen]
        if all(distance >= _TEETH_APART_MM for distance in apart):
            chosen.append((row, column))
        if len(chosen) == _TEETH:
            break
    pixels = tuple(
        (row + front + down, column + columns.start + right)
        for row, column in chosen
        for down in (0, 1)
        for right in (0, 1)
    )
    return Metal(first, first + tall, pixels)


def with_metal(volume: Volume, metal: Metal, seed: int = 0) -> Volume:
    """Metal crowns with their streaks.

    The streaks are the difference between what is reconstructed from a measurement with the metal
    and from one without: parallel rays through the slice, a spectrum of five energies (so that
    metal hardens the beam), Poisson noise with a floor of electronic noise, the correction for
    water that scanners make, and filtered back-projection with a Hann kernel. The model follows
    B. De Man et al., *Metal streak artifacts in X-ray computed tomography: a simulation study*,
    IEEE Trans. Nucl. Sci. 46 (1999) 691–696, on the volume's own pixels, without scatter and
    without the partial volume within a pixel. The difference is added to the CT, which so keeps its
    own sharpness.

    Args:
        volume: Square slices with equal spacing of rows and columns.
        metal: As `teeth_of` gives it.
        seed: Of the photons.
    """
    values = volume.array.astype(np.float32)
    pixel_cm = volume.geometry.spacing[0] / 10
    projector, filtered = _projector(values.shape[1]), _filter(values.shape[1])
    generator = np.random.default_rng(seed)
    crown = np.zeros(values.shape[1:], np.float32)
    for row, column in metal.pixels:
        crown[row, column] = 1
    iron = projector @ crown.ravel() * pixel_cm
    for place in range(max(0, metal.first), min(len(values), metal.stop)):
        water = projector @ np.clip(1 + values[place] / 1000, 0, None).ravel() * pixel_cm
        change = _measured(water, iron, generator) - water
        streaks = _reconstructed(change, projector, filtered, values.shape[1:], pixel_cm)
        values[place] += 1000 * streaks
    return replace(volume, array=_as_hu(values))


def _measured(water: np.ndarray, iron: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Length of water in cm that a scanner takes a ray through water and iron for."""

    def photons(lengths: np.ndarray, metal: np.ndarray) -> np.ndarray:
        depth = _WATER[:, None] * lengths + _IRON[:, None] * metal
        return _PHOTONS * (_SPECTRUM @ np.exp(-depth))

    table = np.linspace(0, 400, 8001)
    of_water = -np.log(np.maximum(photons(table, np.zeros_like(table)), 1e-9) / _PHOTONS)
    counted = generator.poisson(photons(water, iron)) + generator.normal(
        0, _LEAST_PHOTONS, water.shape
    )
    seen = -np.log(np.maximum(counted, _LEAST_PHOTONS) / _PHOTONS)
    return np.interp(seen, of_water, table)


@cache
def _projector(side: int) -> sparse.csr_matrix:
    """Lengths of parallel rays in the pixels of a slice (side × side), in pixels."""
    middle = (side - 1) / 2
    rows, columns = np.mgrid[:side, :side].reshape(2, -1) - middle
    inside = np.flatnonzero(rows**2 + columns**2 <= middle**2)
    bins, pixels, weights = [], [], []
    for view, angle in enumerate(np.pi * np.arange(_VIEWS) / _VIEWS):
        place = columns[inside] * np.cos(angle) + rows[inside] * np.sin(angle) + middle
        below = np.clip(np.floor(place).astype(int), 0, side - 2)
        part = (place - below).astype(np.float32)
        for number, weight in ((below, 1 - part), (below + 1, part)):
            bins.append(view * side + number)
            pixels.append(inside)
            weights.append(weight)
    return sparse.csr_matrix(
        (np.concatenate(weights), (np.concatenate(bins), np.concatenate(pixels))),
        shape=(_VIEWS * side, side * side),
        dtype=np.float32,
    )


@cache
def _filter(side: int) -> np.ndarray:
    """Ramp of the discrete back-projection with a Hann kernel, for rays of twice the length."""
    length = 2 * side
    distance = np.minimum(np.arange(length), length - np.arange(length))
    response = np.zeros(length)
    odd = distance % 2 == 1
    response[odd] = -1 / (np.pi * distance[odd]) ** 2
    response[0] = 0.25
    frequency = np.fft.rfftfreq(length)
    return np.fft.rfft(response).real * (0.5 + 0.5 * np.cos(2 * np.pi * frequency))


def _reconstructed(
    rays: np.ndarray,
    projector: sparse.csr_matrix,
    filtered: np.ndarray,
    shape: tuple[int, ...],
    pixel_cm: float,
) -> np.ndarray:
    """Filtered back-projection: lengths of water in cm → density of water."""
    side = shape[1]
    spectrum = np.fft.rfft(rays.reshape(_VIEWS, side), 2 * side, axis=1) * filtered
    smooth = np.fft.irfft(spectrum, 2 * side, axis=1)[:, :side]
    back = projector.T @ smooth.ravel().astype(np.float32)
    return back.reshape(shape) * np.pi / _VIEWS / pixel_cm


def _on(
    volume: Volume,
    values: np.ndarray,
    step: tuple[float, float, float],
    first: tuple[float, float, float],
) -> Volume:
    """A volume on a grid that begins at `first` (i, j, k) and has other steps, in old voxels."""
    matrix = volume.geometry.affine_lps
    matrix[:3, 3] += matrix[:3, :3] @ np.array(first, float)
    matrix[:3, :3] *= np.array(step, float)
    geometry = Geometry.from_affine_lps(values.shape, matrix)
    return replace(volume, array=_as_hu(values), geometry=geometry)


def _as_hu(values: np.ndarray) -> np.ndarray:
    return np.rint(values.clip(AIR_HU, LARGEST_HU)).astype(np.int16)
