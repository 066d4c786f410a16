"""The networks' input for a collection: as published, or measured from its images."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np

from ..reading.files import read_volume
from ..volume.model_input import InputDescription
from ..volume.orientation import reorientation_to
from .collection import Collection, Item
from .files import load_in_threads

log = logging.getLogger(__name__)

AXES = "LPS"
SIDE = 256
MOST_MEASURED = 20
STEP_MM = 0.05
CT_WINDOWS = ((-160.0, 240.0), (-1000.0, 1500.0))


def input_for(collection: Collection) -> InputDescription:
    """The collection's own input, or one measured from some of its images.

    The measured in-plane spacing is one at which a tile of 256 × 256 pixels covers the whole slice
    of half of the images; it is not finer than theirs. CT gets a soft-tissue window and a window
    for the full range; other images get one window from the 0.5th to the 99.5th percentile of their
    values, which is correct only if values have the same meaning in all images.

    Raises:
        InputError: If an image cannot be read.
    """
    if collection.input is not None and not collection.whole_slices:
        return collection.input
    items = collection.train or collection.items("all")
    step = max(1, len(items) // MOST_MEASURED)
    chosen = items[::step][:MOST_MEASURED]
    log.info("measuring %d images of %s", len(chosen), collection.title)
    measured = load_in_threads(chosen, _measure)
    spacing, extent, low, high = np.median(np.array(measured), axis=0)
    wanted = max(STEP_MM, round(max(spacing, extent / SIDE) / STEP_MM) * STEP_MM)
    side = round(float(wanted), 2)
    if collection.input is not None:
        return replace(collection.input, spacing=(side, side))
    windows: tuple[tuple[float, float], ...] = CT_WINDOWS
    if collection.modality != "CT":
        windows = ((round(float(low), 3), round(float(max(high, low + 1e-3)), 3)),)
    return InputDescription(
        size=(SIDE, SIDE),
        spacing=(side, side),
        axes=AXES,
        windows=windows,
        outside=min(window[0] for window in windows) if collection.modality != "CT" else -1024.0,
    )


def _measure(item: Item) -> tuple[float, float, float, float]:
    """Smaller in-plane spacing and larger in-plane extent in mm; low and high values."""
    volume = read_volume(item.image, item.series)
    turn = reorientation_to(volume.geometry, AXES)
    spacing = turn.spacing(volume.geometry)[1:]
    shape = turn.apply(volume.array).shape[1:]
    step = max(1, round((volume.array.size / 2_000_000) ** (1 / 3)))
    sample = volume.array[::step, ::step, ::step]
    low, high = np.percentile(sample[np.isfinite(sample)], (0.5, 99.5))
    return min(spacing), max(n * mm for n, mm in zip(shape, spacing, strict=True)), low, high


def picture_input(colored: bool) -> InputDescription:
    """Whole 2-D pictures resized to 256 × 256, as in the paper; three channels in [−1, 1].

    Args:
        colored: Whether the channels are the colours; otherwise the grey value is repeated.
    """
    return InputDescription(
        size=(256, 256),
        spacing=None,
        axes="LPS",
        windows=((0.0, 255.0),),
        repeat=1 if colored else 3,
        outside=0.0,
        pictures="rgb" if colored else "grey",
    )
