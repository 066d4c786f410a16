"""Predictions of a model on the CT that `propagate` learns from, so that it learns to correct them.

A model's predictions on its own training patients are better than on others. So each CT is also
segmented with its HU varied: another scale, blurred, noisier, or cut off.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter

from SDSegLib.datasets.shaped_volume import (
    ShapedVolume,
    has_predictions,
    keep_predictions,
    organ_shape,
    seed_of,
)
from SDSegLib.inference.load import load_segmenter
from SDSegLib.inference.segmenter import Segmenter
from SDSegLib.reading.files import read_volume
from SDSegLib.volume.volume import Volume

log = logging.getLogger("propagate")
HERE = Path(__file__).parent


def unpredicted_names() -> frozenset[str]:
    """Patients that were held back from head-neck-oar's training, to measure corrections on."""
    text = (HERE / "propagate-unpredicted.txt").read_text(encoding="utf-8")
    return frozenset(text.split())


def with_predictions(
    volumes: list[ShapedVolume], images: dict[str, Path], model: str
) -> list[ShapedVolume]:
    """The volumes, those with drawn organs with predictions of a model.

    Args:
        volumes: From the cache, where predictions are kept too.
        images: The CT by name of the volume.
        model: Name or folder of a model whose labels are those of the label maps.
    """
    segmenter: Segmenter | None = None
    result = []
    for volume in volumes:
        wanted = volume.organs and volume.name not in unpredicted_names()
        if wanted and not has_predictions(volume):
            segmenter = segmenter or load_segmenter(model)
            volume = predicted(volume, read_volume(images[volume.name]), segmenter)
        result.append(volume)
    return result


def predicted(volume: ShapedVolume, ct: Volume, segmenter: Segmenter) -> ShapedVolume:
    """A volume with what a model gives of its CT, and of the CT varied."""
    shapes = []
    labels = [int(shape.kind.split()[1]) for shape in volume.organs]
    for image in (ct, varied(ct, np.random.default_rng(seed_of(volume.name)))):
        label_map = segmenter.segment(image).label_map
        found = [organ_shape(label, label_map == label) for label in labels]
        shapes += [shape for shape in found if shape is not None]
    log.info("%s: %d predictions", volume.name, len(shapes))
    return keep_predictions(volume, shapes)


def varied(ct: Volume, random: np.random.Generator) -> Volume:
    """A CT whose HU are scaled, and perhaps blurred, noisier and cut off."""
    hu = ct.array.astype(np.float32) * np.float32(np.exp(random.normal() * 0.12))
    hu += np.float32(random.normal() * 40)
    if random.random() < 0.6:
        hu = gaussian_filter(hu, random.uniform(0.3, 1.1, 3))
    if random.random() < 0.6:
        noise = random.standard_normal(hu.shape, np.float32)
        hu += noise * np.float32(random.uniform(10, 70))
    if random.random() < 0.5:
        hu = np.clip(hu, -random.uniform(200, 1000), random.uniform(150, 1500))
    return replace(ct, array=hu.astype(np.int16))
