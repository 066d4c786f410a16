"""What each noise gives by itself, beside their mean: to judge how stable a model is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..volume.pictures import flat_geometry, resize_probabilities
from ..volume.segmentation import Segmentation
from ..volume.volume import Volume
from .job import Job
from .picture import PictureSegmenter
from .plane import PlaneGrids
from .progress import ProgressCallback
from .restore import likeliest, restored
from .samples import average_of, background, check_samples, instability_of
from .segmenter import Segmenter

Look = Callable[[int, Tensor], None]
"""Told the number of a slice in the model's axes, and the probabilities (samples, C, rows, columns)
that each noise gives there. It may get a slice twice; the latter counts."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Segmentations of one volume or picture with different noises.

    Attributes:
        mean: As one run gives it for all noises together. A picture is a volume of one slice.
        label_maps: As it would be with each noise alone; the first is the stored one.
    """

    mean: Segmentation
    label_maps: tuple[np.ndarray, ...]


def segment_each(
    segmenter: Segmenter,
    volume: Volume,
    samples: int,
    report: ProgressCallback | None = None,
    look: Look | None = None,
) -> Samples:
    """Segment a volume with several noises, all in one pass.

    Args:
        segmenter: The model on its device.
        volume: As for `Segmenter.segment`.
        samples: Noises, at least two.
        report: Told of each batch.
        look: Told the probabilities of each slice with tissue.

    Raises:
        InputError: As `Segmenter.segment`.
    """
    _check(samples)
    job = Job.of(volume, segmenter.description.input.axes)
    classes = segmenter.family.num_classes
    each = np.zeros((samples, *job.box.shape), np.uint8)
    labels, unsure = np.zeros(job.box.shape, np.uint8), np.zeros(job.box.shape, np.uint8)

    def take(place: int, values: Tensor, grids: PlaneGrids) -> None:
        alone, together = _parted(restored(values, grids), samples, classes)
        for sample, probabilities in enumerate(alone):
            each[sample, place] = likeliest(probabilities).cpu().numpy()
        labels[place] = likeliest(together[:classes]).cpu().numpy()
        unsure[place] = instability_of(together[classes]).cpu().numpy()
        if look is not None:
            look(place, alone)

    empty = torch.cat([background(classes, 1).repeat(samples), background(classes, samples)])
    segmenter.run(job, samples, _each_and_average, empty, take, report)
    structures = segmenter.description.structures
    mean = Segmentation(
        label_map=segmenter.finished(job, labels, structures),
        geometry=volume.geometry,
        structures=structures,
        model=f"{segmenter.description.name} {segmenter.description.version}",
        instability=job.on_volume(unsure),
        samples=samples,
    )
    return Samples(mean, tuple(segmenter.finished(job, item, structures) for item in each))


def segment_picture_each(
    segmenter: PictureSegmenter, picture: np.ndarray, samples: int, look: Look | None = None
) -> Samples:
    """Segment a picture with several noises; the image is encoded once.

    Args:
        segmenter: The model on its device.
        picture: As for `PictureSegmenter.segment`.
        samples: Noises, at least two.
        look: Told the probabilities of slice 0, which is the picture.

    Raises:
        InputError: As `PictureSegmenter.segment`.
    """
    _check(samples)
    rows, columns = picture.shape[:2]
    values = segmenter.run(picture, samples, _each_and_average)
    values = resize_probabilities(values, (rows, columns))
    alone, together = _parted(values, samples, segmenter.family.num_classes)
    if look is not None:
        look(0, alone)
    mean = Segmentation(
        label_map=likeliest(together[:-1]).cpu().numpy()[None],
        geometry=flat_geometry((rows, columns)),
        structures=segmenter.description.structures,
        model=f"{segmenter.description.name} {segmenter.description.version}",
        instability=instability_of(together[-1]).cpu().numpy()[None],
        samples=samples,
    )
    return Samples(mean, tuple(likeliest(item).cpu().numpy()[None] for item in alone))


def _check(samples: int) -> None:
    check_samples(samples)
    if samples < 2:
        raise ValueError("one noise cannot be compared with itself")


def _parted(values: Tensor, samples: int, classes: int) -> tuple[Tensor, Tensor]:
    """What `_each_and_average` put together: (samples, C, H, W), and (C + 1, H, W) of the mean."""
    return values[: samples * classes].unflatten(0, (samples, classes)), values[samples * classes :]


def _each_and_average(samples: Iterable[Tensor]) -> Tensor:
    """(N, samples · C + C + 1, H, W)."""
    each = [probability.float() for probability in samples]
    return torch.cat([*each, average_of(each)], dim=1)
