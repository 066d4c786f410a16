"""Structures made from a CT alone, to learn from where nothing was drawn.

Components of tissues, pieces of tissues cut where they are thin, supervoxels and unions of them,
and warped ellipsoids, most of them cut by a tissue. Thresholds, scales and places are random.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import SimpleITK as sitk
from scipy import ndimage

from .shapes import Point, Shape

Found = tuple[str, np.ndarray, Point]
"""Kind, mask in a box, first voxel of the box."""
Tissues = dict[str, np.ndarray]

LEAST_SLICES = 4
LEAST_VOXELS = 80
_LARGEST_BOX = 3_000_000  # voxels; larger volumes are worked on in boxes of this size
_ROUNDS = 2
_BOXES = 8
_DEEPEST_BOX = 60
_BODY_HU = -500
_COMPONENTS = 3
_PIECES = {"bone": 9, "soft": 7, "fat": 3, "muscle": 4, "bright": 3}
_SEGMENTATIONS = 2
_UNIONS = 11
_ELLIPSOIDS = 7
_SMALLEST_MM, _LARGEST_MM = 6.0, 45.0  # radii of ellipsoids


def made_shapes(hu: np.ndarray, spacing: Sequence[float], seed: int) -> list[Shape]:
    """Structures of one CT; the same for the same seed.

    Args:
        hu: int16, (k, j, i).
        spacing: In mm along (k, j, i).
        seed: Of all random numbers.

    Returns:
        Shapes of at least 4 slices and 80 voxels; about 120 for a small volume, up to 500 for
        a large one.
    """
    random = np.random.default_rng(seed)
    shapes = []
    for box in _boxes(hu.shape, random):
        for kind, mask, start in _found(hu[box], spacing, random):
            offset = [side.start + inner for side, inner in zip(box, start, strict=True)]
            shape = usable_shape(kind, mask, offset)
            if shape is not None:
                shapes.append(shape)
    return shapes


def usable_shape(kind: str, mask: np.ndarray, offset: Sequence[int] = (0, 0, 0)) -> Shape | None:
    """The shape of a mask; None if it is too small to learn from."""
    if np.count_nonzero(mask) < LEAST_VOXELS:
        return None
    shape = Shape.of(kind, mask, offset)
    return shape if shape is not None and shape.size[0] >= LEAST_SLICES else None


def _boxes(shape: Sequence[int], random: np.random.Generator) -> list[tuple[slice, ...]]:
    """The whole volume twice, or boxes of a large one, more of them in the middle of the body."""
    if int(np.prod(shape)) <= _LARGEST_BOX:
        return [tuple(slice(0, count) for count in shape)] * _ROUNDS
    depth = min(shape[0], _DEEPEST_BOX)
    side = int(np.sqrt(_LARGEST_BOX / depth))
    size = (depth, min(shape[1], side), min(shape[2], side))
    boxes = []
    for _ in range(_BOXES):
        starts = [
            min(int(random.beta(1.6, 1.6) * (count - part + 1)), count - part)
            for count, part in zip(shape, size, strict=True)
        ]
        boxes.append(
            tuple(slice(start, start + part) for start, part in zip(starts, size, strict=True))
        )
    return boxes


def _found(
    hu: np.ndarray, spacing: Sequence[float], random: np.random.Generator
) -> Iterator[Found]:
    sigma = [0.6 * min(3 / step, 2) for step in spacing]
    smooth = ndimage.gaussian_filter(hu.astype(np.float32), sigma)
    body = smooth > _BODY_HU
    tissues = _tissues(smooth, random)
    for kind, mask in tissues.items():
        turns = int(random.integers(0, 3))
        opened = ndimage.binary_opening(mask, iterations=turns) if turns else mask
        labels = _array(sitk.ConnectedComponent(_image(opened.astype(np.uint8))))
        for part, start in _drawn(labels, _COMPONENTS, labels.size, random):
            if part.shape[0] >= LEAST_SLICES:
                yield f"component of {kind}", _tidied(part, random), start
    for kind, most in _PIECES.items():
        labels = _pieces(tissues[kind], spacing, float(random.choice([0.5, 1.0, 2.0, 3.0])))
        for part, start in _drawn(labels, most, labels.size // 3 - 1, random):
            yield f"piece of {kind}", _tidied(part, random), start
    for _ in range(_SEGMENTATIONS):
        yield from _supervoxels(hu, body, random)
    yield from _ellipsoids(tissues, body, spacing, random)


def _tissues(smooth: np.ndarray, random: np.random.Generator) -> Tissues:
    return {
        "bone": smooth > random.uniform(130, 280),
        "bright": (smooth > random.uniform(70, 130)) & (smooth < random.uniform(400, 900)),
        "soft": (smooth > random.uniform(-30, 20)) & (smooth < random.uniform(90, 180)),
        "muscle": (smooth > random.uniform(25, 50)) & (smooth < random.uniform(75, 110)),
        "fat": (smooth > -170) & (smooth < random.uniform(-60, -20)),
        "air": smooth < random.uniform(-450, -250),
        "lung": (smooth < -500) & (smooth > -980),
    }


def _pieces(mask: np.ndarray, spacing: Sequence[float], level: float) -> np.ndarray:
    """Labels of a tissue's pieces: watershed of the distance to its border."""
    image = _image(mask.astype(np.uint8))
    image.SetSpacing([float(step) for step in reversed(spacing)])
    distance = sitk.SignedMaurerDistanceMap(image, True, False, True)
    distance = sitk.Clamp(distance, sitk.sitkFloat32, -1e6, 2.0)
    return np.where(mask, _array(sitk.MorphologicalWatershed(distance, level, False, False)), 0)


def _drawn(
    labels: np.ndarray, most: int, largest: int, random: np.random.Generator
) -> Iterator[tuple[np.ndarray, Point]]:
    """Some labels of at least 80 and at most `largest` voxels, in their boxes; larger ones more
    often.
    """
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    usable = np.flatnonzero((sizes >= LEAST_VOXELS) & (sizes <= largest))
    if not len(usable):
        return
    boxes = ndimage.find_objects(labels)
    for number in _by_size(usable, sizes, min(most, len(usable)), random):
        box = boxes[number - 1]
        yield labels[box] == number, _start(box)


def _by_size(
    numbers: np.ndarray, sizes: np.ndarray, count: int, random: np.random.Generator
) -> np.ndarray:
    """Different numbers, with a probability by the root of their size."""
    weights = np.sqrt(sizes[numbers].astype(float))
    return random.choice(numbers, count, replace=False, p=weights / weights.sum())


def _tidied(mask: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Every other mask with a smoother border, as a person draws."""
    if random.random() < 0.5:
        return mask
    sigma = random.uniform(0.5, 1.2)
    return ndimage.gaussian_filter(mask.astype(np.float32), sigma, mode="nearest") > 0.5


def _supervoxels(hu: np.ndarray, body: np.ndarray, random: np.random.Generator) -> Iterator[Found]:
    """Unions of 1 to 12 neighbouring catchment basins of the gradient that are alike in HU."""
    sigma = float(random.choice([1.0, 1.6, 2.4]))
    low, high = (-160, 240) if random.random() < 0.6 else (-400, 600)
    values = np.clip(hu, low, high).astype(np.float32)
    gradient = sitk.GradientMagnitudeRecursiveGaussian(_image(values), sigma)
    level = float(random.choice([2.0, 5.0, 10.0]))
    labels = _array(sitk.MorphologicalWatershed(gradient, level, False, False))
    labels = np.where(body, labels, 0).astype(np.int32)
    sizes = np.bincount(labels.ravel())
    means = np.bincount(labels.ravel(), values.ravel()) / np.maximum(sizes, 1)
    neighbours = _neighbours(labels)
    seeds = np.flatnonzero(sizes >= LEAST_VOXELS // 2)
    seeds = seeds[seeds > 0]
    if not len(seeds):
        return
    for _ in range(_UNIONS):
        union = [int(_by_size(seeds, sizes, 1, random)[0])]
        wanted = int(random.choice([1, 2, 3, 5, 8, 12]))
        alike = random.uniform(15, 60)
        while len(union) < wanted:
            around = set().union(*(neighbours.get(one, set()) for one in union)) - set(union)
            near = sorted(one for one in around if abs(means[one] - means[union[0]]) < alike)
            if not near:
                break
            union.append(int(random.choice(near)))
        mask = np.isin(labels, union)
        box = ndimage.find_objects(mask.astype(np.uint8))[0]
        box = tuple(slice(max(side.start - 2, 0), side.stop + 2) for side in box)
        part = mask[box].astype(np.float32)
        smooth = ndimage.gaussian_filter(part, random.uniform(0.5, 1.0)) > 0.5
        yield "supervoxel", smooth, _start(box)


def _neighbours(labels: np.ndarray) -> dict[int, set[int]]:
    """Labels that share a face, by label."""
    pairs = []
    for axis in range(3):
        planes = np.moveaxis(labels, axis, 0)
        before, after = planes[:-1].ravel(), planes[1:].ravel()
        differ = (before != after) & (before > 0) & (after > 0)
        pairs.append(before[differ].astype(np.int64) << 32 | after[differ])
    neighbours: dict[int, set[int]] = {}
    for pair in np.unique(np.concatenate(pairs)):
        one, two = int(pair >> 32), int(pair & 0xFFFFFFFF)
        neighbours.setdefault(one, set()).add(two)
        neighbours.setdefault(two, set()).add(one)
    return neighbours


def _ellipsoids(
    tissues: Tissues, body: np.ndarray, spacing: Sequence[float], random: np.random.Generator
) -> Iterator[Found]:
    """Ellipsoids with waves; of three in four only the largest piece of a tissue in them."""
    places = np.argwhere(body[::4, ::4, ::4]) * 4
    if not len(places):
        return
    for _ in range(_ELLIPSOIDS):
        centre = places[random.integers(len(places))]
        radii = np.exp(random.uniform(np.log(_SMALLEST_MM), np.log(_LARGEST_MM), 3))
        box = tuple(
            slice(max(at - reach, 0), min(at + reach + 1, count))
            for at, reach, count in zip(
                centre,
                [int(np.ceil(1.4 * radii.max() / step)) for step in spacing],
                body.shape,
                strict=True,
            )
        )
        mask = _warped_ellipsoid(box, centre, radii, spacing, random)
        if random.random() >= 0.75:
            yield "ellipsoid", mask, _start(box)
            continue
        name = str(random.choice(["bone", "soft", "soft", "muscle", "fat", "bright"]))
        tissue = tissues[name][box]
        if random.random() < 0.5:
            tissue = ndimage.binary_closing(tissue)
        labels, count = ndimage.label(mask & tissue)
        if count:
            sizes = np.bincount(labels.ravel())
            sizes[0] = 0
            yield f"ellipsoid of {name}", labels == sizes.argmax(), _start(box)


def _warped_ellipsoid(
    box: tuple[slice, ...],
    centre: np.ndarray,
    radii: np.ndarray,
    spacing: Sequence[float],
    random: np.random.Generator,
) -> np.ndarray:
    lines = [
        (np.arange(side.start, side.stop) - at) * step
        for side, at, step in zip(box, centre, spacing, strict=True)
    ]
    points = np.stack(np.meshgrid(*lines, indexing="ij"), -1).astype(np.float32)
    turn = np.linalg.qr(random.normal(size=(3, 3)))[0].astype(np.float32)
    local = points @ turn / radii.astype(np.float32)
    radius = np.sqrt((local**2).sum(-1))
    for height, phase in random.normal(size=(3, 2)) * 0.25:
        radius = radius + height * np.sin(2.2 * local @ random.normal(size=3) + 6 * phase)
    return radius < 1


def _start(box: Sequence[slice]) -> Point:
    return box[0].start, box[1].start, box[2].start


def _image(array: np.ndarray) -> sitk.Image:
    return sitk.GetImageFromArray(array)


def _array(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)
