"""What each noise gives by itself, beside their mean: to judge how stable a model is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..volume.segmentation import Segmentation
from ..volume.volume import Volume
from .job import Job
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
    """Segmentations of one volume with different noises.

    Attributes:
        mean: As `Segmenter.segment` gives it for all noises together.
        label_maps: As it would give them with each noise alone; the first is the stored one.
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
    check_samples(samples)
    if samples < 2:
        raise ValueError("one noise cannot be compared with itself")
    job = Job.of(volume, segmenter.description.input.axes)
    classes = segmenter.family.num_classes
    each = np.zeros((samples, *job.box.shape), np.uint8)
    labels, unsure = np.zeros(job.box.shape, np.uint8), np.zeros(job.box.shape, np.uint8)

    def take(place: int, values: Tensor, grids: PlaneGrids) -> None:
        values = restored(values, grids)
        alone = values[: samples * classes].unflatten(0, (samples, classes))
        together = values[samples * classes :]
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


def _each_and_average(samples: Iterable[Tensor]) -> Tensor:
    """(N, samples · C + C + 1, H, W)."""
    each = [probability.float() for probability in samples]
    return torch.cat([*each, average_of(each)], dim=1)
