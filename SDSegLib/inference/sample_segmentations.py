"""The segmentation of each noise sample and of their mean, to measure a model's stability."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ..options import RunOptions
from ..volume.pictures import flat_geometry, resize_probabilities
from ..volume.segmentation import Segmentation
from ..volume.volume import Volume
from .grids import PlaneGrids, likeliest, restored
from .picture import PictureSegmenter
from .progress import ProgressCallback
from .samples import average_of, background, instability_of
from .segmenter import Segmenter, SliceExpectations
from .volume_task import VolumeTask

OnSamples = Callable[[int, Tensor], None]
"""Receives the number of a slice in the model's axes, and the probabilities (samples, C, rows,
columns) of each noise sample. After a restart with less memory a slice is passed again; the last
call is valid."""


@dataclass(frozen=True, eq=False)
class SampleSegmentations:
    """Segmentations of one volume or picture with different noise samples.

    Attributes:
        mean: From the averaged probabilities of all samples. A picture is a volume of one slice.
        label_maps: From each noise sample alone; the first one is the stored z_T.
    """

    mean: Segmentation
    label_maps: tuple[np.ndarray, ...]


def segment_samples(
    segmenter: Segmenter,
    volume: Volume,
    samples: int,
    report: ProgressCallback | None = None,
    on_samples: OnSamples | None = None,
) -> SampleSegmentations:
    """Segment a volume with several noise samples in one pass.

    Args:
        segmenter: The model on its device.
        volume: As for `Segmenter.segment`.
        samples: Noises, at least two.
        report: Receives the progress of each batch.
        on_samples: Receives the probabilities of each slice with tissue.

    Raises:
        InputError: As `Segmenter.segment`.
    """
    _check_several(samples)
    task = VolumeTask.of(volume, segmenter.description.input.axes)
    classes = segmenter.family.num_classes
    each = np.zeros((samples, *task.box.shape), np.uint8)
    labels, unsure = np.zeros(task.box.shape, np.uint8), np.zeros(task.box.shape, np.uint8)
    expected = SliceExpectations(classes, task, segmenter.description.uncertainty)

    def keep(place: int, values: Tensor, grids: PlaneGrids) -> None:
        expected.keep(place, values[samples * classes : -1])
        alone, together = _parted(restored(values, grids), samples, classes)
        for sample, probabilities in enumerate(alone):
            each[sample, place] = likeliest(probabilities).cpu().numpy()
        labels[place] = likeliest(together[:classes]).cpu().numpy()
        unsure[place] = instability_of(together[classes]).cpu().numpy()
        if on_samples is not None:
            on_samples(place, alone)

    empty = torch.cat([background(classes, 1).repeat(samples), background(classes, samples)])
    options = segmenter.options.with_changes(samples=samples)
    segmenter.run(task, options, _each_and_average, empty, keep, report)
    structures = segmenter.description.structures
    mean = Segmentation(
        label_map=segmenter.finished(task, labels, structures),
        geometry=volume.geometry,
        structures=structures,
        model=f"{segmenter.description.name} {segmenter.description.version}",
        instability=task.on_volume(unsure),
        samples=samples,
        doubt=expected.on_volume(segmenter.description, structures),
    )
    return SampleSegmentations(
        mean, tuple(segmenter.finished(task, item, structures) for item in each)
    )


def segment_picture_samples(
    segmenter: PictureSegmenter,
    picture: np.ndarray,
    samples: int,
    on_samples: OnSamples | None = None,
) -> SampleSegmentations:
    """Segment a picture with several noise samples; the image is encoded once.

    Args:
        segmenter: The model on its device.
        picture: As for `PictureSegmenter.segment`.
        samples: Noises, at least two.
        on_samples: Receives the probabilities of slice 0, which is the picture.

    Raises:
        InputError: As `PictureSegmenter.segment`.
    """
    _check_several(samples)
    rows, columns = picture.shape[:2]
    values = segmenter.run(picture, samples, _each_and_average)
    values = resize_probabilities(values, (rows, columns))
    alone, together = _parted(values, samples, segmenter.family.num_classes)
    if on_samples is not None:
        on_samples(0, alone)
    mean = Segmentation(
        label_map=likeliest(together[:-1]).cpu().numpy()[None],
        geometry=flat_geometry((rows, columns)),
        structures=segmenter.description.structures,
        model=f"{segmenter.description.name} {segmenter.description.version}",
        instability=instability_of(together[-1]).cpu().numpy()[None],
        samples=samples,
    )
    return SampleSegmentations(mean, tuple(likeliest(item).cpu().numpy()[None] for item in alone))


def _check_several(samples: int) -> None:
    RunOptions.infos()["samples"].check(samples)
    if samples < 2:
        raise ValueError("one noise cannot be compared with itself")


def _parted(values: Tensor, samples: int, classes: int) -> tuple[Tensor, Tensor]:
    """Split `_each_and_average` of one slice: (samples, C, H, W), and (C + 1, H, W) of the mean."""
    return values[: samples * classes].unflatten(0, (samples, classes)), values[samples * classes :]


def _each_and_average(samples: Iterable[Tensor]) -> Tensor:
    """Each sample's probabilities, then `average_of`: (N, samples · C + C + 1, H, W)."""
    each = [probability.float() for probability in samples]
    return torch.cat([*each, average_of(each)], dim=1)
